"""`report`: writes the report of a stored run."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Reports, Results, RunId
from pullbench.cli.terminal.safe_text import print_line, print_lines
from pullbench.errors import UsageError
from pullbench.model.text import did_you_mean

_FORMATS = ("html", "md", "json")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    run_id: RunId,
    form: Annotated[
        str, typer.Option("--format", metavar="html|md|json", help="html writes a page; md and json print on stdout.")
    ] = "html",
    results: Results = "results",
    reports: Reports = Path("reports"),
) -> int:
    """Write the report of a stored run: HTML, Markdown or JSON."""
    from pullbench.report.core.run_selection import choose_run
    from pullbench.report.render.render import REGIONAL_PREFIX, find_report, render_run_report
    from pullbench.report.run.documents import run_document
    from pullbench.report.run.markdown import run_summary
    from pullbench.store.dataset import ResultStore

    if form not in _FORMATS:
        raise UsageError(f"--format: '{form}' is not known; {did_you_mean(form, _FORMATS)}")
    store = ResultStore(results)
    if run_id.startswith(REGIONAL_PREFIX):
        return _render_regional(run_id.removeprefix(REGIONAL_PREFIX), form=form, results=results, reports=reports)
    found = choose_run(store, run_id).run_id
    if form == "html":
        print_line(render_run_report(results, found, reports))
        return 0
    page = find_report(reports, found)
    document = run_document(store, found, None if page is None else str(page))
    if form == "md":
        print_lines(run_summary(document))
    else:
        print(json.dumps(document, indent=2, default=str))
    return 0


def _render_regional(regional_id: str, *, form: str, results: str, reports: Path) -> int:
    from pullbench.report.regional.runs import read_regional, regional_document
    from pullbench.report.render.render import render_regional
    from pullbench.store.dataset import ResultStore

    if form == "md":
        raise UsageError("--format md: a regional benchmark has html and json only")
    if form == "html":
        print_line(render_regional(results, regional_id, reports))
    else:
        print(json.dumps(regional_document(read_regional(ResultStore(results), regional_id)), indent=2, default=str))
    return 0
