"""What the reports page says of each run: its verdict in words, its level, and the levels of the runs before it.

The verdict of a finished run does not change, so it is computed once. It is read from the document beside the run's report,
else from what the page kept when it was built before (`runs.json`, by this version of pullbench).
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pullbench import __version__
from pullbench.model.capability import engines_to_judge
from pullbench.model.plan import FACTORS
from pullbench.model.record import RunRecord
from pullbench.report.calibration.judgement import calibration_part
from pullbench.report.core import tables
from pullbench.report.core.stored import json_records, read_run
from pullbench.report.render.data_files import write_run_beside
from pullbench.report.render.render import PAGE, find_report
from pullbench.report.run.slos import slos
from pullbench.report.run.verdicts import headline
from pullbench.report.stress.verdict import stress_part
from pullbench.store.dataset import ResultStore

DATA = "run.json"
KEPT = "runs.json"
_OF_PULLS = (
    *("trial", "pull", "block", "warmup", *tables.CELL_KEY, "started_at", "queued_s", "duration_s", "ok", "attempts"),
    *("image", "bytes", "layers_cached", "error_code", "error"),
    *(f"{phase}_s" for phase in tables.PHASES),
)
"""What a headline is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerdict:
    """What a run says of itself."""

    verdict: str
    """As a headline's `status`; `no_slo` where the spec has none and nothing failed."""
    title: str
    sentence: str
    settings: int
    level_s: float | None
    """The geometric mean of the configurations' medians; None where not every configuration has one."""
    level_of: str
    """The engines that the level is about, where others of the run do different work."""
    measured: str
    """A digest of the configurations: runs of one digest, name, kind and vantage make one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteEntry:
    """What the reports page says of one run."""

    run_id: str
    name: str
    kind: str
    labels: Mapping[str, str]
    vantage: str
    started_at: datetime
    finished_at: datetime | None
    status: str
    said: RunVerdict
    line: tuple[float, ...]
    """The levels of the runs of this name, kind and vantage with the same configurations, up to this one: a sparkline."""
    report: str | None
    """Relative to the site's page."""

    @property
    def title(self) -> str:
        return self.said.title

    @property
    def sentence(self) -> str:
        return self.said.sentence


def entries(store: ResultStore, reports: Path) -> list[SiteEntry]:
    """Newest first; each has the line of the runs of its name before it."""
    kept, found = _kept(reports), []
    lines: dict[tuple[str, ...], tuple[float, ...]] = {}
    for run in reversed(store.runs()):
        known = kept.get(run.run_id)
        said = known[1] if known is not None and known[0] == _state(run) else _said(store, run, reports)
        line = (run.name, run.kind, run.vantage, said.measured)  # as a trend: one series each
        if said.level_s is not None and run.status == "complete":
            lines[line] = (*lines.get(line, ()), said.level_s)
        found.append(_entry(run, said, lines.get(line, ()), reports))
    return found[::-1]


def kept_document(found: Sequence[SiteEntry], address: str | None) -> dict[str, Any]:
    """What is kept beside the page: its address and runs, for programs and for the next time that the page is built."""
    rows = []
    for entry in found:
        row = {
            "run_id": entry.run_id,
            "name": entry.name,
            "kind": entry.kind,
            "labels": dict(entry.labels),
            "vantage": entry.vantage,
            "started_at": entry.started_at.isoformat(),
            "finished_at": None if entry.finished_at is None else entry.finished_at.isoformat(),
            "status": entry.status,
            "report": entry.report,
        }
        rows.append(row | dataclasses.asdict(entry.said))
    return {"pullbench": __version__, "url": address, "runs": rows}


def kept_address(reports: Path) -> str | None:
    """The address that an earlier build of the page was for; None where there is none."""
    try:
        address = json.loads((reports / KEPT).read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if isinstance(address, str) and address.startswith(("http://", "https://")) else None


def _kept(reports: Path) -> dict[str, tuple[tuple[str, str | None], RunVerdict]]:
    """What an earlier build said of a complete run, with the state that the run was in, by run_id."""
    names = [field.name for field in dataclasses.fields(RunVerdict)]
    try:
        document = json.loads((reports / KEPT).read_text(encoding="utf-8"))
        if document["pullbench"] != __version__:
            return {}
        return {
            row["run_id"]: ((row["status"], row["finished_at"]), RunVerdict(**{name: row[name] for name in names}))
            for row in document["runs"]
            if row["status"] == "complete"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _state(run: RunRecord) -> tuple[str, str | None]:
    return run.status, None if run.finished_at is None else run.finished_at.isoformat()


def _said(store: ResultStore, run: RunRecord, reports: Path) -> RunVerdict:
    """From the document beside the run's report while the run is the same; a report with older data gets it again."""
    kept = reports / run.run_id / DATA
    try:
        document = json.loads(kept.read_text(encoding="utf-8"))
        if (document["status"], document["finished_at"]) == _state(run) and run.status == "complete":
            return _of(document["headline"], document["cells"], document["slo"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if kept.parent.joinpath(PAGE).is_file():
        write_run_beside(store, run.run_id, kept.parent, page=PAGE)
        document = json.loads(kept.read_text(encoding="utf-8"))
        return _of(document["headline"], document["cells"], document["slo"])
    return _computed(store, run.run_id)


def _computed(store: ResultStore, run_id: str) -> RunVerdict:
    """The same from the run's tables, without what the page does not show (comparisons, claims, warnings)."""
    stored = read_run(store, run_id, pull_columns=_OF_PULLS)
    if stored.run.kind == "stress":
        part = stress_part(stored)
        return _of(part["headline"], part["cells"], part["slo"])
    if stored.run.kind == "calibration":
        part = calibration_part(stored)
        return _of(part["headline"], part["cells"], part["slo"])
    table = tables.cells(stored.pulls, stored.trials)
    scores = slos(stored, table)
    found = headline(stored, table, scores)
    return _of(found.document(), json_records(table), json_records(scores))


def _of(
    headline: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], scores: Sequence[Mapping[str, Any]]
) -> RunVerdict:
    kinds = {str(cell["engine"]): str(cell["engine_kind"]) for cell in cells}
    judged = engines_to_judge(kinds)
    return RunVerdict(
        verdict="no_slo" if headline["status"] == "not_shown" and cells and not scores else headline["status"],
        title=headline["title"],
        sentence=headline["sentence"],
        settings=len(cells),
        level_s=_level(cells, judged),
        level_of=", ".join(judged) if len(judged) < len(kinds) else "",
        measured=hashlib.sha256("\n".join(sorted(_coordinates(cells))).encode()).hexdigest()[:16],
    )


def _entry(run: RunRecord, said: RunVerdict, line: tuple[float, ...], reports: Path) -> SiteEntry:
    report = find_report(reports, run.run_id)
    return SiteEntry(
        run_id=run.run_id,
        name=run.name,
        kind=run.kind,
        labels=run.labels,
        vantage=run.vantage,
        started_at=run.started_at,
        finished_at=run.finished_at,
        status=run.status,
        said=said,
        line=line,
        report=None if report is None else f"{run.run_id}/{PAGE}",
    )


def _level(cells: Sequence[Mapping[str, Any]], engines: Sequence[str]) -> float | None:
    """The geometric mean over the configurations of some engines; None where one of those has no time."""
    medians = [cell["median_s"] for cell in cells if cell["engine"] in engines]
    if not medians or any(value is None or value <= 0 for value in medians):
        return None
    return math.exp(sum(map(math.log, medians)) / len(medians))


def _coordinates(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    return (json.dumps([cell[name] for name in FACTORS]) for cell in cells)
