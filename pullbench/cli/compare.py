"""`compare`: two stored runs, configuration by configuration."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pullbench.cli.options import Json, Reports, Results
from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import comparison_table

if TYPE_CHECKING:
    from pullbench.report.compare.runs import RunsCompared

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def compare(
    baseline: Annotated[
        str,
        typer.Argument(
            metavar="BASELINE",
            help="A run_id; 'baseline' (see `pullbench baseline`); 'latest', the previous run of the same name; "
            "a label such as commit=3f4ff3c; or a name.",
        ),
    ],
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="A run_id, 'latest', a label or a name.")
    ] = "latest",
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="regression[:PERCENT]",
            help="Exit 1 if a configuration is significantly slower (by PERCENT), or fails more; 3 if nothing can be compared.",
        ),
    ] = None,
    any_machine: Annotated[
        bool, typer.Option("--any-machine", help="Apply --fail-on to runs from different machines or vantages too.")
    ] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Print only, write no report.")] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Compare two stored runs: did it get worse?"""
    from pullbench.app.compare import compare as compare_stored
    from pullbench.app.steps import DirectSteps
    from pullbench.report.compare.verdict import comparison_document

    done = compare_stored(
        baseline,
        candidate,
        results=results,
        reports=reports,
        fail_on=fail_on,
        any_machine=any_machine,
        report=not no_report,
        steps=DirectSteps(),
    )
    if as_json:
        page = None if done.page is None else str(done.page)
        print(json.dumps(comparison_document(done.found, page), indent=2, default=str))
    else:
        _show(done.found, done.page)
    if notice := done.failure or done.undecided or done.note:
        Console(stderr=True).print(literal(f"pullbench: {notice}"), soft_wrap=True)
    return 1 if done.failure else 3 if done.undecided else 0


def _show(found: "RunsCompared", page: Path | None) -> None:
    from pullbench.report.compare import verdict

    stdout, said = stdout_console(), verdict.headline(found)
    for side, stored in (("baseline", found.baseline), ("candidate", found.candidate)):
        run = stored.run
        stdout.print(literal(f"{side:9}  {run.run_id}  {run.name}  {run.started_at:%Y-%m-%d %H:%M} UTC"))
    for warning in verdict.warnings(found):
        stdout.print(literal(f"warning: {warning}"), style="yellow")
    for entry in found.differences:
        stdout.print(literal(f"differs: {entry.kind}: {entry.what}: {entry.before} → {entry.after}"), style="dim")
    stdout.print()
    if len(found.cells):
        stdout.print(comparison_table(found.cells))
        stdout.print()
    stdout.print(literal(said.title), style="bold")
    for clause in said.clauses:
        stdout.print(literal(clause))
    if page is not None:
        stdout.print(literal(f"report: {page}"))
