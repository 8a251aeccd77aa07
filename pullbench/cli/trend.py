"""`trend`: one benchmark over its stored runs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Reports, Results
from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import trend_table

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def trend(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a benchmark, as in `pullbench runs`.")],
    last: Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the newest N runs.")] = None,
    vantage: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only runs from this vantage. Default: that of the newest run.")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Print only, write no report.")] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Show a benchmark over time: when did it change?"""
    from pullbench.report.render.render import check_out_dir, render_trend
    from pullbench.report.trend.changes import headline, trend_document, trend_of
    from pullbench.store.dataset import ResultStore

    store = ResultStore(results)
    found = trend_of(store, name, last=last, vantage=vantage)
    page = None
    if not no_report:
        check_out_dir(reports)
        page = render_trend(results, name, last, reports, vantage=vantage, found=found)
    if as_json:
        print(json.dumps(trend_document(found, None if page is None else str(page)), indent=2, default=str))
        return 0
    stdout, said = stdout_console(), headline(found)
    stdout.print(trend_table(found))
    stdout.print()
    stdout.print(literal(said.title), style="bold")
    for clause in said.clauses:
        stdout.print(literal(clause))
    if page is not None:
        stdout.print(literal(f"report: {page}"))
    return 0
