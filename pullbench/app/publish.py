"""The reports site with the reports that it lacks, as the flow and the command line both do it. Free of Prefect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pullbench.app.page_calls import PageCall, ReportCall, SiteCall, TrendReportCall
from pullbench.errors import IncompleteError, UsageError
from pullbench.report.render.render import check_out_dir
from pullbench.report.site.build import Site, stale_trends, without_report
from pullbench.store.dataset import ResultStore


class Steps(Protocol):
    """How the parts are made: called directly, or as Prefect tasks."""

    def report(self, call: PageCall) -> Path: ...
    def site(self, call: SiteCall) -> Site: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The site, how many reports were made for it, and in one line each what could not be."""

    site: Site
    made: int
    failures: Sequence[str]


def publish(
    *, results: str, reports: Path, url: str | None, render: bool, steps: Steps, note: Callable[[str], None]
) -> Published:
    """Make the reports and trends that are missing, then the site; a report that fails keeps no other from being made.

    `note` is told what is being made. Raises UsageError for what is asked wrongly, IncompleteError where the site itself
    cannot be written.
    """
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or "@" in urlsplit(url).netloc):
        raise UsageError(
            f"--url: '{url}' is no http(s) address without credentials, such as https://reports.example.com"
        )
    check_out_dir(reports)
    store = ResultStore(results)
    made, failures = 0, []
    for what, call in _missing(store, results, reports) if render else ():
        note(what)
        try:
            steps.report(call)
            made += 1
        except IncompleteError as error:
            failures.append(f"{what}: {error}")
    return Published(site=steps.site(SiteCall(results, reports, url)), made=made, failures=failures)


def _missing(store: ResultStore, results: str, reports: Path) -> list[tuple[str, PageCall]]:
    missing = without_report(store, reports)
    found: list[tuple[str, PageCall]] = [
        (f"report {number} of {len(missing)}: {run_id}", ReportCall(results, run_id, reports))
        for number, run_id in enumerate(missing, start=1)
    ]
    return found + [
        (f"trend of {name}", TrendReportCall(results, name, reports)) for name in stale_trends(store, reports)
    ]
