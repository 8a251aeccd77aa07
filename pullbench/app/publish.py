"""The reports page, with the reports that it lacks."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pullbench.app.steps import Steps
from pullbench.errors import IncompleteError, UsageError
from pullbench.report.render.render import check_out_dir, render_run_report, render_trend
from pullbench.report.render.renderer import Renderer
from pullbench.report.site.build import Site, build_site, stale_trends, without_report
from pullbench.store.dataset import ResultStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The page, how many reports were rendered for it, and a line for each that could not be."""

    site: Site
    made: int
    failures: Sequence[str]


def publish(
    *, results: str, reports: Path, url: str | None, render: bool, steps: Steps, note: Callable[[str], None]
) -> Published:
    """Render the missing reports and trends, then the page. A report that fails does not stop the others.

    `note` gets what is rendered. Raises UsageError for a wrong argument, IncompleteError where the page itself cannot be
    written.
    """
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or "@" in urlsplit(url).netloc):
        raise UsageError(
            f"--url: '{url}' is not an http(s) address without credentials, such as https://reports.example.com"
        )
    check_out_dir(reports)
    store = ResultStore(results)
    made, failures = 0, []
    missing = _missing(store, results, reports) if render else []
    with Renderer(results) if missing else nullcontext() as renderer:
        for what, make in missing:
            note(what)
            try:
                steps.page(what, partial(make, renderer=renderer))
                made += 1
            except IncompleteError as error:
                failures.append(f"{what}: {error}")
    return Published(
        site=steps.page("the reports page", lambda: build_site(store, reports, url=url)), made=made, failures=failures
    )


def _missing(store: ResultStore, results: str, reports: Path) -> list[tuple[str, Callable[..., Path]]]:
    """The pages to render, each with its name for people."""
    missing = without_report(store, reports)
    pages: list[tuple[str, Callable[..., Path]]] = [
        (f"report {number} of {len(missing)}: {run_id}", partial(render_run_report, results, run_id, reports))
        for number, run_id in enumerate(missing, start=1)
    ]
    trends = [
        (f"trend of {name}", partial(render_trend, results, name, None, reports))
        for name in stale_trends(store, reports)
    ]
    return [*pages, *trends]
