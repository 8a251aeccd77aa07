"""The commands `compare`, `trend`, `publish` and `baseline …`: what pullbench/cli/main.py is for the others."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Reports, Results, RunId

app = typer.Typer()
baseline_app = typer.Typer(no_args_is_help=True, help="Which run others of its name are compared with.")


@app.command()
def compare(
    baseline: Annotated[
        str,
        typer.Argument(
            metavar="BASELINE",
            help="A run_id; 'baseline', as `pullbench baseline set` named it; 'latest', the one before of the same name; "
            "a label such as commit=3f4ff3c; or a name.",
        ),
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="A run_id, 'latest', a label or a name.")
    ] = "latest",
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="regression[:PERCENT]", help="Exit 1 where a setting is proven slower (by so much), or fails more."
        ),
    ] = None,
    any_machine: Annotated[
        bool, typer.Option("--any-machine", help="Let --fail-on fail across different machines or vantages too.")
    ] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Print, render nothing.")] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> None:
    """Compare two stored runs, setting by setting: did it get worse?"""
    from pullbench.cli.commands.compared import compare as compare_stored

    code = compare_stored(
        baseline,
        candidate,
        results=results,
        reports=reports,
        fail_on=fail_on,
        any_machine=any_machine,
        report=not no_report,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command()
def trend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A benchmark's name, as `pullbench runs` lists it.")],
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="The newest N runs alone.")] = None,
    vantage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where they were measured. Default: where the newest was.")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Print, render nothing.")] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> None:
    """Show a benchmark over its runs: since when is it slower or faster?"""
    from pullbench.cli.commands.compared import show_trend

    raise typer.Exit(
        show_trend(
            name,
            last=last,
            vantage=vantage,
            results=results,
            reports=reports,
            report=not no_report,
            as_json=as_json,
        )
    )


@app.command()
def publish(
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the reports will be served: makes the feed's links whole.")
    ] = None,
    render: Annotated[
        bool, typer.Option("--render/--no-render", help="Make the reports that complete runs do not have yet.")
    ] = True,
    results: Results = "results",
    reports: Reports = Path("reports"),
) -> None:
    """Build the reports site: a page of all runs, with their verdicts and a feed; static files."""
    from pullbench.cli.commands.published import publish as build

    raise typer.Exit(build(results=results, reports=reports, url=url, render=render))


@baseline_app.command("set")
def set_baseline(run_id: RunId, results: Results = "results") -> None:
    """Compare later runs of the same name with this one."""
    from pullbench.cli.commands.compared import set_baseline as keep

    raise typer.Exit(keep(run_id, results=results))


@baseline_app.command("list")
def list_baselines(results: Results = "results", as_json: Json = False) -> None:
    """List the baselines, by name."""
    from pullbench.cli.commands.compared import list_baselines as tell

    raise typer.Exit(tell(results=results, as_json=as_json))


@baseline_app.command("remove")
def remove_baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A benchmark's name, as the spec has it.")],
    results: Results = "results",
) -> None:
    """Forget the baseline of a name; its run stays."""
    from pullbench.cli.commands.compared import remove_baseline as forget

    raise typer.Exit(forget(name, results=results))
