"""`publish`: the reports site, without Prefect."""

from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from pullbench.errors import UsageError
from pullbench.report.render import check_out_dir, render_run_report, render_trend
from pullbench.report.site import build_site, stale_trends, without_report
from pullbench.store.dataset import ResultStore


def publish(*, results: str, reports: Path, url: str | None, render: bool) -> int:
    """Make what is missing, then the site; prints its page."""
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or "@" in urlsplit(url).netloc):
        raise UsageError(
            f"--url: '{url}' is no http(s) address without credentials, such as https://reports.example.com"
        )
    check_out_dir(reports)
    store = ResultStore(results)
    if render:
        _render_missing(store, results, reports)
    print(build_site(store, reports, url=url))
    return 0


def _render_missing(store: ResultStore, results: str, reports: Path) -> None:
    progress = Console(stderr=True)
    missing = without_report(store, reports)
    for number, run_id in enumerate(missing, start=1):
        progress.print(f"report {number} of {len(missing)}: {run_id}", markup=False)
        render_run_report(results, run_id, reports)
    for name in stale_trends(store, reports):
        progress.print(f"trend of {name}", markup=False)
        render_trend(results, name, None, reports)
