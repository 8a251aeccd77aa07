"""`publish`: the reports site, without Prefect."""

from pathlib import Path

from rich.console import Console

from pullbench.app.progress import DirectSteps
from pullbench.app.publish import publish as publish_reports
from pullbench.cli.terminal.safe_text import plain, tell
from pullbench.errors import IncompleteError


def publish(*, results: str, reports: Path, url: str | None, render: bool) -> int:
    """Make what is missing, then the site; prints its page. IncompleteError, after that, where a report failed."""
    progress = Console(stderr=True)

    def note(what: str) -> None:
        progress.print(plain(what), soft_wrap=True)

    done = publish_reports(results=results, reports=reports, url=url, render=render, steps=DirectSteps(), note=note)
    if not done.site.entries:  # the results of another folder may have been meant
        note(f"no runs in {results}; the site lists none")
    tell(done.site.page)
    if done.failures:
        for failure in done.failures[1:]:
            note(f"pullbench: {failure}")
        raise IncompleteError(done.failures[0])
    return 0
