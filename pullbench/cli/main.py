"""The command line: finds the command, runs it, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 a check failed or an SLO was missed; 2 usage or spec; 3 incomplete, what was measured is stored;
70 a bug. A command is a module of this package with its name, loaded when the command is run; its `app` has the options
and the body, which returns the exit code. What its --help need not wait for, such as pandas, it imports in its functions.
"""

import os
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from pullbench import __version__
from pullbench.cli.terminal import interruption, streams
from pullbench.cli.terminal.safe_text import print_notice
from pullbench.errors import IncompleteError, InterruptedRunError, PullbenchError, UsageError

COMMANDS = {
    "demo": "Measure an embedded lab: two regions, a proxy, the whole pipeline, a report. No network, Docker or root.",
    "init": "Write a first spec: the images found, the registries that they come from.",
    "preflight": "Check every registry, proxy, image and client of a spec, without any load.",
    "plan": "Show the cells and trials, what is planned out and why, bytes and requests.",
    "run": "Measure: facts, plan, preflight, trials, Parquet, report.",
    "stress": "Raise the load until an SLO is missed: how much is too much?",
    "runs": "List the stored runs, newest first; `runs prune` removes old ones.",
    "show": "Show what a stored run measured.",
    "report": "Render the report of a stored run.",
    "compare": "Compare two stored runs: did it get worse?",
    "baseline": "Which run others of its name are compared with.",
    "trend": "Show a benchmark over its runs: since when is it slower or faster?",
    "publish": "Build the reports site: a page of all runs, with their verdicts and a feed; static files.",
    "regional": "Measure a spec from every vantage that a Prefect server has workers at; one report, region × region.",
    "fleet": "Measure a fleet: many nodes of a Dask cluster pull one image at the same moment, with and without a mirror.",
    "lab": "Serve the embedded lab until Ctrl-C: registries in two regions, a proxy, images.",
    "calibrate": "Test pullbench itself: how far off are its results?",
    "images": "Synthetic images for registries that take pushes.",
    "serve": "Serve Prefect's UI, the deployments of prefect.yaml, a worker and the reports, until Ctrl-C.",
    "automations": "What Prefect tells, and to whom: missed SLOs, failures in a row, regressions.",
    "clean": "Remove what killed runs left: images in a daemon and at registries, folders of engines; nothing else.",
    "prune": "Remove images that no container uses from a Docker daemon; without --apply, list what would go.",
    "metrics": "What stored runs measured, for Prometheus: the newest run of each benchmark and vantage.",
}
"""What help lists, in the order in which a newcomer meets them and README.md tells of them: each command's own first line."""

_WRONG_CALL: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for a missing argument, an unknown option or command; it has no public name."""
_NO_ARGUMENTS = "NoArgsIsHelpError"
_TYPER_INTERRUPTED = 130
_exit = os._exit


class LazyCommands(TyperGroup):
    """The commands of COMMANDS. Help lists them from there; a command's module is imported when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands.update({name: TyperCommand(name, help=line) for name, line in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else self.load(name), rest

    @staticmethod
    def load(name: str) -> Any:
        """The command with its options, or the group of commands."""
        return typer.main.get_command(import_module(f"pullbench.cli.{name}").app)


app = typer.Typer(
    name="pullbench",
    cls=LazyCommands,
    help="Is this container registry ready, how fast do images really pull from it, and did it get worse?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"pullbench {__version__}")
        raise typer.Exit


def main() -> NoReturn:
    """Run a command; never a traceback for a user's mistake."""
    interruption.listen()
    streams.guard()
    try:
        with interruption.as_keyboard_interrupt():
            code = typer.main.get_command(app).main(standalone_mode=False)
    except _WRONG_CALL as error:
        if type(error).__name__ == _NO_ARGUMENTS:  # its text is the help
            typer.echo(str(error), err=True)
            _leave(UsageError.exit_code)
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
    print_notice(text)
    interruption.hurry(text)
    _leave(InterruptedRunError.exit_code)


def _fail(text: str, code: int) -> NoReturn:
    if text:  # of a call without a command there is none: its help was shown
        print_notice(text)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End; where there is hurry, without the interpreter's own end, which waits for threads of libraries, some without a limit.

    What is to be kept is on the disk by now, and child processes end with their lifelines.
    """
    if unwritten := streams.finish():
        print_notice(f"what was printed is not whole: {unwritten}")
        code = code or IncompleteError.exit_code
    if not interruption.hurried():
        interruption.done(code)
        sys.exit(code)
    _exit(code)
    raise AssertionError("unreachable")
