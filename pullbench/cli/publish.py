"""`publish`: the page of all reports."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pullbench.cli.options import Reports, Results
from pullbench.cli.terminal.safe_text import literal, print_line
from pullbench.errors import IncompleteError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def publish(
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Where the reports will be served, for the links of the feed. Default: as before."
        ),
    ] = None,
    render: Annotated[
        bool, typer.Option("--render/--no-render", help="Render the reports that complete runs lack.")
    ] = True,
    results: Results = "results",
    reports: Reports = Path("reports"),
) -> int:
    """Build a static site of all reports, with a feed.

    Its first page lists all runs with their verdicts. Serve the directory with any web server.
    """
    from pullbench.app.publish import publish as publish_reports
    from pullbench.app.steps import DirectSteps

    progress = Console(stderr=True)

    def note(what: str) -> None:
        progress.print(literal(what), soft_wrap=True)

    done = publish_reports(results=results, reports=reports, url=url, render=render, steps=DirectSteps(), note=note)
    if not done.site.entries:  # the results of another directory may have been meant
        note(f"no runs in {results}: the page lists none")
    print_line(done.site.page)
    if done.failures:
        for failure in done.failures[1:]:
            note(f"pullbench: {failure}")
        raise IncompleteError(done.failures[0])
    return 0
