"""The reports site: one page that lists the runs of a results folder, with their verdicts, and a feed of them.

    REPORTS/index.html     every run, the newest first; what has a report is linked
    REPORTS/runs.json      the same for programs
    REPORTS/feed.xml       the newest complete runs (Atom, RFC 4287)

Static files: any web server or a plain folder will do. Building again is quick, and harms nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pullbench.errors import IncompleteError
from pullbench.report.render.data_files import put
from pullbench.report.render.feed import feed
from pullbench.report.render.render import PAGE, find_report, trend_folder
from pullbench.report.site.entries import KEPT, Entry, entries, kept_document
from pullbench.report.site.page import site_page
from pullbench.store.dataset import ResultStore

FEED = "feed.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The page that was written, and what it tells of each run, the newest first."""

    page: Path
    entries: Sequence[Entry]


def build_site(store: ResultStore, reports: Path, *, url: str | None = None) -> Site:
    """Write the site of all stored runs into a reports folder; `url` is where it will be served.

    Raises IncompleteError where the folder cannot be written.
    """
    reports = reports.resolve()
    found = entries(store, reports)
    trends = {
        name: f"{folder.name}/{PAGE}"
        for name in dict.fromkeys(entry.name for entry in found)
        if (folder := trend_folder(reports, name)).joinpath(PAGE).is_file()
    }
    try:
        reports.mkdir(parents=True, exist_ok=True)
        put(reports / KEPT, (json.dumps(kept_document(found), indent=1, ensure_ascii=False) + "\n").encode())
        put(reports / FEED, feed(found, url).encode())
        put(reports / PAGE, site_page(found, trends, feed=FEED).encode())
    except OSError as error:
        raise IncompleteError(
            f"{error.filename or reports}: the site cannot be written there: {error.strerror or error}; give another "
            "folder with `--reports`"
        ) from error
    return Site(page=reports / PAGE, entries=found)


def without_report(store: ResultStore, reports: Path) -> list[str]:
    """The complete runs that have no report in a folder yet, the newest first."""
    return [run.run_id for run in store.runs() if run.status == "complete" and find_report(reports, run.run_id) is None]


def stale_trends(store: ResultStore, reports: Path) -> list[str]:
    """The names with two complete runs or more whose trend report is not there, or lacks the newest."""
    newest: dict[str, list[str]] = {}
    for run in store.runs():
        if run.status == "complete" and run.kind == "benchmark":
            newest.setdefault(run.name, []).append(run.run_id)
    return [name for name, run_ids in newest.items() if len(run_ids) > 1 and not _has(reports, name, run_ids[0])]


def _has(reports: Path, name: str, run_id: str) -> bool:
    try:
        document = json.loads((trend_folder(reports, name) / "trend.json").read_text(encoding="utf-8"))
        return run_id in (*(run["run_id"] for run in document["runs"]), *document["left_out"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
