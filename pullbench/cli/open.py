"""`open`: shows a report in the browser."""

import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Reports, Results, complete_runs
from pullbench.cli.terminal.safe_text import print_line
from pullbench.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def open_report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run_id, 'latest', a label, a name, or a directory of --reports such as compare-A-B.",
            autocompletion=complete_runs,
        ),
    ] = "latest",
    results: Results = "results",
    reports: Reports = Path("reports"),
) -> int:
    """Open a report in the browser.

    It prints the path of the report too. Where there is no browser, it only prints the path.
    """
    page = _page(run, results, reports)
    print_line(page)
    if _has_browser():
        webbrowser.open(page.as_uri())
    return 0


def _page(run: str, results: str, reports: Path) -> Path:
    from pullbench.report.core.run_selection import choose_run
    from pullbench.report.render.render import PAGE, find_report
    from pullbench.store.dataset import ResultStore

    directory = reports.resolve() / run
    if directory.parent == reports.resolve() and (directory / PAGE).is_file():
        return directory / PAGE
    found = choose_run(ResultStore(results), run).run_id
    page = find_report(reports, found)
    if page is None:
        elsewhere = "" if results == "results" else f" --results {results}"
        raise UsageError(f"run {found} has no report in {reports}; write it: pullbench report {found}{elsewhere}")
    return page


def _has_browser() -> bool:
    """Whether a window can be opened; a text browser would take over the terminal."""
    if sys.platform in ("darwin", "win32") or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
