"""The reports site: one page that lists the runs of a results folder, with their verdicts, and a feed of them.

    REPORTS/index.html     every run, the newest first; what has a report is linked
    REPORTS/feed.xml       the newest complete runs (Atom, RFC 4287)

Static files: any web server or a plain folder will do. What a run's document says does not change once it is over, so
the one beside its report (`run.json`) is taken where it is there: building again is quick, and harms nothing.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pullbench.errors import IncompleteError
from pullbench.model.plan import FACTORS
from pullbench.model.record import Run
from pullbench.report.beside import put, write_run_beside
from pullbench.report.documents import run_document
from pullbench.report.feed import feed
from pullbench.report.render import PAGE, find_report, trend_folder
from pullbench.report.site_page import site_page
from pullbench.store.dataset import ResultStore

DATA = "run.json"
FEED = "feed.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the site tells of one run."""

    run_id: str
    name: str
    kind: str
    labels: Mapping[str, str]
    vantage: str
    started_at: datetime
    finished_at: datetime | None
    status: str
    verdict: str
    title: str
    sentence: str
    settings: int
    level_s: float | None
    """The geometric mean of the settings' medians; None where not every setting has one."""
    line: tuple[float, ...]
    """The levels of the runs of this name with the same settings, up to this one: a sparkline."""
    report: str | None
    """Relative to the site's page."""


def build_site(store: ResultStore, reports: Path, *, url: str | None = None) -> Path:
    """Write the site of all stored runs into a reports folder and return its page; `url` is where it will be served.

    Raises IncompleteError where the folder cannot be written.
    """
    reports = reports.resolve()
    entries = _entries(store, reports)
    trends = {
        name: f"{folder.name}/{PAGE}"
        for name in dict.fromkeys(entry.name for entry in entries)
        if (folder := trend_folder(reports, name)).joinpath(PAGE).is_file()
    }
    try:
        reports.mkdir(parents=True, exist_ok=True)
        put(reports / FEED, feed(entries, url).encode())
        put(reports / PAGE, site_page(entries, trends, feed=FEED).encode())
    except OSError as error:
        raise IncompleteError(
            f"{error.filename or reports}: the site cannot be written there: {error.strerror or error}; give another "
            "folder with `--reports`"
        ) from error
    return reports / PAGE


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


def _entries(store: ResultStore, reports: Path) -> list[Entry]:
    """The newest first; each knows the line of those of its name before it."""
    found: list[Entry] = []
    lines: dict[tuple[Any, ...], tuple[float, ...]] = {}
    for run in reversed(store.runs()):
        document = _document(store, run, reports)
        level = _level(document["cells"])
        measured = (run.name, *sorted(_coordinates(document["cells"])))
        if level is not None and run.status == "complete":
            lines[measured] = (*lines.get(measured, ()), level)
        found.append(_entry(run, document, level, lines.get(measured, ()), reports))
    return found[::-1]


def _document(store: ResultStore, run: Run, reports: Path) -> Mapping[str, Any]:
    """The run's document: the one beside its report while it still is the same, else made and kept there."""
    kept = reports / run.run_id / DATA
    try:
        document = json.loads(kept.read_text(encoding="utf-8"))
        finished = None if run.finished_at is None else run.finished_at.isoformat()
        if (document["status"], document["finished_at"]) == (run.status, finished) and run.status == "complete":
            return dict(document)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if kept.parent.joinpath(PAGE).is_file():
        write_run_beside(store, run.run_id, kept.parent, page=PAGE)
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    return run_document(store, run.run_id)


def _entry(run: Run, document: Mapping[str, Any], level: float | None, line: tuple[float, ...], reports: Path) -> Entry:
    said = document["headline"]
    report = find_report(reports, run.run_id)
    return Entry(
        run_id=run.run_id,
        name=run.name,
        kind=run.kind,
        labels=run.labels,
        vantage=run.vantage,
        started_at=run.started_at,
        finished_at=run.finished_at,
        status=run.status,
        verdict=said["status"],
        title=said["title"],
        sentence=said["sentence"],
        settings=len(document["cells"]),
        level_s=level,
        line=line,
        report=None if report is None else f"{run.run_id}/{PAGE}",
    )


def _level(cells: Sequence[Mapping[str, Any]]) -> float | None:
    medians = [cell["median_s"] for cell in cells]
    if not medians or any(value is None or value <= 0 for value in medians):
        return None
    return math.exp(sum(map(math.log, medians)) / len(medians))


def _coordinates(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    return (json.dumps([cell[name] for name in FACTORS]) for cell in cells)
