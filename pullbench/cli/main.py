"""The command line: parses, calls flows/commands, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 a check failed or an SLO was missed; 2 usage or spec; 3 incomplete, what was measured is stored;
70 a bug. Nothing heavy is imported here, so that help answers at once.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pullbench import __version__
from pullbench.cli.check_cli import app as check_app
from pullbench.cli.command_order import CommandsInOrder
from pullbench.cli.compare_cli import app as compare_app
from pullbench.cli.compare_cli import baseline_app
from pullbench.cli.far_cli import app as far_app
from pullbench.cli.images_cli import app as images_app
from pullbench.cli.metrics_cli import app as metrics_app
from pullbench.cli.options import (
    Json,
    LogJson,
    NoReport,
    Reports,
    Results,
    Resume,
    RunId,
    Sets,
    SkipPreflight,
    SpecFile,
    Vantage,
)
from pullbench.cli.runs_cli import app as runs_app
from pullbench.cli.serve_cli import app as serve_app
from pullbench.cli.serve_cli import automations_app
from pullbench.cli.stress_cli import app as stress_app
from pullbench.cli.terminal import interruption, streams
from pullbench.cli.terminal.safe_text import say
from pullbench.errors import IncompleteError, InterruptedRunError, PullbenchError, UsageError

app = typer.Typer(
    name="pullbench",
    cls=CommandsInOrder,
    help="Is this container registry ready, how fast do images really pull from it, and did it get worse?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(images_app, name="images")
app.add_typer(metrics_app, name="metrics")
app.add_typer(check_app)
app.add_typer(compare_app)
app.add_typer(stress_app)
app.add_typer(far_app)
app.add_typer(baseline_app, name="baseline")
app.add_typer(runs_app, name="runs")
app.add_typer(serve_app)
app.add_typer(automations_app, name="automations")

_WRONG_CALL: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for a missing argument, an unknown option or command; it has no public name."""
_TYPER_INTERRUPTED = 130
_exit = os._exit


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"pullbench {__version__}")
        raise typer.Exit


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer settings and repetitions: a look in half a minute.")
    ] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> None:
    """Measure an embedded lab: two regions, a proxy, the whole pipeline, a report. No network, Docker or root."""
    from pullbench.cli.commands.measure import run_demo

    raise typer.Exit(run_demo(quick=quick, results=results, reports=reports, as_json=as_json))


@app.command()
def run(
    spec: SpecFile,
    sets: Sets = None,
    results: Results = "results",
    reports: Reports = Path("reports"),
    resume: Resume = None,
    vantage: Vantage = "local",
    skip_preflight: SkipPreflight = False,
    no_report: NoReport = False,
    log_json: LogJson = None,
    as_json: Json = False,
) -> None:
    """Measure: facts, plan, preflight, trials, Parquet, report."""
    from pullbench.cli.commands.measure import run_spec

    code = run_spec(
        spec,
        sets=sets or [],
        results=results,
        reports=reports,
        resume=resume,
        vantage=vantage,
        skip_preflight=skip_preflight,
        report=not no_report,
        log_json=log_json,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command()
def report(
    run_id: RunId,
    form: Annotated[
        str, typer.Option("--format", metavar="html|md|json", help="html writes a page; md and json go to stdout.")
    ] = "html",
    results: Results = "results",
    reports: Reports = Path("reports"),
) -> None:
    """Render the report of a stored run."""
    from pullbench.cli.commands.stored import render_report

    raise typer.Exit(render_report(run_id, form=form, results=results, reports=reports))


@app.command()
def show(
    run_id: RunId, results: Results = "results", reports: Reports = Path("reports"), as_json: Json = False
) -> None:
    """Show what a stored run measured."""
    from pullbench.cli.commands.stored import show_run

    raise typer.Exit(show_run(run_id, results=results, reports=reports, as_json=as_json))


@app.command()
def lab(
    spec_out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a spec that measures the lab.")] = None,
    slots: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Requests that a registry serves at once: a known capacity.")
    ] = None,
    service_ms: Annotated[
        float, typer.Option(metavar="MS", min=0, max=10_000, help="How long each of them takes there.")
    ] = 0.0,
) -> None:
    """Serve the embedded lab until Ctrl-C: registries in two regions, a proxy, images."""
    from pullbench.cli.commands.lab import serve_lab

    raise typer.Exit(serve_lab(spec_out, slots=slots, service_ms=service_ms))


@app.command()
def calibrate(
    seed: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="What the truth is drawn by; without, another each time.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer lines and repetitions, in half the time.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Store the results, render nothing.")] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the table there as Markdown, such as docs/calibration.md."),
    ] = None,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> None:
    """Hold pullbench itself against links and servers of known truth: how far off is what it measures?"""
    from pullbench.app.calibrate import CalibrationRequest
    from pullbench.cli.commands.calibrate import run_calibration

    request = CalibrationRequest(seed=seed, quick=quick, results=results, reports=reports, report=not no_report)
    raise typer.Exit(run_calibration(request, markdown=markdown, as_json=as_json))


@app.command()
def clean(
    results: Results = "results",
    host: Annotated[
        str | None, typer.Option(metavar="SOCKET", help="Another daemon's, such as unix:///run/docker-2.sock.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; without it, only tell.")] = False,
) -> None:
    """Remove what killed runs left: images in a daemon and at registries, folders of engines; nothing else.

    Not while a run is on: what that has brought goes, too.
    """
    from pullbench.cli.commands.clean import clean_up

    raise typer.Exit(clean_up(results=results, host=host, apply=apply))


@app.command()
def prune(
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="A glob over image names to keep, such as 'nginx:*'; may be given again."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Only images made so long ago: 24h, 7d, 2w.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="SOCKET", help="Another daemon's, such as unix:///run/docker-2.sock.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Remove; without it, only tell.")] = False,
    as_json: Json = False,
) -> None:
    """Remove images that no container uses from a Docker daemon; without --apply, list what would go."""
    from pullbench.cli.commands.prune import prune_images

    code = prune_images(keep=keep or [], older_than=older_than, host=host, apply=apply, as_json=as_json)
    raise typer.Exit(code)


def main() -> NoReturn:
    """Run a command; never a traceback for a user's mistake."""
    interruption.listen()
    streams.guard()
    try:
        with interruption.kept():
            code = typer.main.get_command(app).main(standalone_mode=False)
    except _WRONG_CALL as error:
        _fail(getattr(error, "format_message", error.__str__)(), UsageError.exit_code)
    except InterruptedRunError as error:
        _end_at_once(str(error))
    except PullbenchError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _end_at_once("interrupted")
    except Exception as error:  # noqa: BLE001  (the last line of defence: a bug is told as one)
        if os.environ.get("PULLBENCH_DEBUG"):
            traceback.print_exc()
        _fail(f"a bug of pullbench: {type(error).__name__}: {error}; PULLBENCH_DEBUG=1 shows where", 70)
    if code == _TYPER_INTERRUPTED:
        _end_at_once("interrupted")
    _leave(code if isinstance(code, int) else 0)


def _end_at_once(text: str) -> NoReturn:
    say(text)
    interruption.hurry(text)
    _leave(InterruptedRunError.exit_code)


def _fail(text: str, code: int) -> NoReturn:
    if text:  # of a call without a command there is none: its help was shown
        say(text)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End; where there is hurry, without the interpreter's own end, which waits for threads of libraries, some without a limit.

    What is to be kept is on the disk by now, and child processes end with their lifelines.
    """
    if unwritten := streams.finish():
        say(f"what was printed is not whole: {unwritten}")
        code = code or IncompleteError.exit_code
    if not interruption.hurried():
        interruption.done(code)
        sys.exit(code)
    _exit(code)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    main()
