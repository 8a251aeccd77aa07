"""What `metrics` exports, from the functions that console, JSON and report call: handed over, never computed again."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from pullbench.errors import PullbenchError
from pullbench.model.finding import Finding
from pullbench.monitor.latest import LastRun, StoredRuns, last_runs
from pullbench.monitor.metrics import EngineSlo, Exposition, Group, Sample, Snapshot, about, exposition
from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, measured, read_run, records
from pullbench.report.run.documents import document_of
from pullbench.report.run.slos import engine_scores, measured_engines
from pullbench.store.dataset import ResultStore
from pullbench.store.schema import finding_from_row

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

_ALWAYS = ("success_rate", "mean_pull_s", "p99_api_s", "consecutive_failures")
"""Exported of each engine, whether the spec sets them or not: what is measured does not depend on a target."""
_Key = tuple[str, str, datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which runs, and the limit on series."""

    results: str
    names: tuple[str, ...] = ()
    """Globs for benchmark names; empty means all."""
    most_series: int


class Readings:
    """The newest runs of a results directory. A run's tables are read once, and again only if its record has changed.

    `tell` receives new problems, one line each.
    """

    def __init__(self, scope: Scope, tell: Callable[[str], None]) -> None:
        self._scope = scope
        self._tell = tell
        self._told: set[str] = set()
        self._store = ResultStore(scope.results)
        self._runs = StoredRuns(self._store)
        self._known: dict[_Key, Snapshot] = {}
        self.readable = True
        """Whether the last reading could read everything."""

    def families(self) -> "list[Family]":
        """Read again, and return the metrics to export."""
        return self.expose(self.snapshots(), own=True)

    def expose(self, snapshots: Sequence[Snapshot], *, own: bool) -> "list[Family]":
        """The metrics of several snapshots within the limit; with `own`, also those about the export itself."""
        exposed = exposition(snapshots, self._scope.most_series)
        samples: list[Sample] = list(exposed.samples)
        if own:
            samples += about(exposed, readable=self.readable, read_at_s=time.time())
        self._say_once(_dropped_lines(exposed))
        return Exposition(samples=tuple(samples), dropped=exposed.dropped, dropped_of=exposed.dropped_of).families()

    def snapshots(self) -> list[Snapshot]:
        """Read again. A run that cannot be read is left out; if the directory cannot be listed, nothing changes."""
        try:
            found = last_runs(self._runs.read(), self._scope.names)
        except PullbenchError as error:
            self.readable = False
            self._say_once([str(error)])
            return list(self._known.values())
        amiss = list(self._runs.unreadable.values())
        if not found and not amiss:
            of = f" of {', '.join(self._scope.names)}" if self._scope.names else ""
            self._say_once([f"{self._scope.results}: no run{of} to export yet"])
        known: dict[_Key, Snapshot] = {}
        for last in found:
            key = (last.run.run_id, last.run.status, last.run.finished_at)
            try:
                read = self._known.get(key) or snapshot(self._store, last)
            except PullbenchError as error:
                amiss.append(str(error))
            except Exception as error:  # noqa: BLE001  (one run's oddity must not end the watch over the others)
                amiss.append(f"run {last.run.run_id}: cannot compute its numbers: {type(error).__name__}: {error}")
            else:
                known[key] = replace(read, completed_at=last.completed_at)
        self._known, self.readable = known, not amiss
        self._say_once(amiss)
        return list(known.values())

    def _say_once(self, lines: Sequence[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._tell(line)
        self._told.update(lines)


def snapshot(store: ResultStore, last: LastRun) -> Snapshot:
    """The report's values of a run; raises UsageError, as the store does, if it cannot be read."""
    stored = read_run(store, last.run.run_id)
    document = document_of(stored)
    failures = tables.errors(stored)
    return Snapshot(
        run=last.run,
        completed_at=last.completed_at,
        verdict=document["headline"]["status"],
        trials_finished=len(stored.trials),
        cells=records(tables.cells(stored.pulls, stored.trials)),
        latencies_s=_latencies_s(stored.pulls),
        slos=_slos(stored, document["slo"]),
        errors=dict(zip(failures["code"].tolist(), failures["count"].tolist(), strict=True)),
        findings=_findings(stored.checks),
    )


def _latencies_s(pulls: pd.DataFrame) -> dict[Group, list[float]]:
    counted = measured(pulls)
    if counted.empty:
        return {}
    fine = counted[counted["ok"].astype(bool)]
    times = fine.assign(latency_s=tables.latency_s(fine))
    return {
        Group(*map(str, key)): group["latency_s"].tolist()
        for key, group in times.groupby(list(Group._fields), sort=False, dropna=False)
    }


def _slos(stored: StoredRun, scored: Sequence[Mapping[str, Any]]) -> list[EngineSlo]:
    """Those of the document, as it judges each engine: of a stress test at the load that met them.

    Of a benchmark further what every engine measured, not judged. Configurations are in the report alone.
    """
    found = {}
    if stored.run.kind != "stress":
        for name, engine, score, _ in engine_scores(
            stored, dict.fromkeys(_ALWAYS, 1.0), list(measured_engines(stored))
        ):
            found[name, engine or ""] = EngineSlo(
                name=name, engine=engine or "", target=None, measured=score.measured, low=score.low, verdict=None
            )
    for row in scored:
        if row["configuration"] is None:
            values = {key: row[key] for key in ("target", "measured", "low", "verdict")}
            name, engine = row["name"], row["engine"] or ""
            found[name, engine] = EngineSlo(name=name, engine=engine, **values)
    return list(found.values())


def _findings(checks: pd.DataFrame) -> list[Finding]:
    return [finding_from_row({str(name): value for name, value in row.items()}) for row in checks.to_dict("records")]


def _dropped_lines(exposed: Exposition) -> list[str]:
    if not exposed.dropped:
        return []
    shown = ", ".join(exposed.dropped_of[:3]) + (" and others" if len(exposed.dropped_of) > 3 else "")
    return [f"{exposed.dropped} series are dropped (--most-series), of {shown}: select benchmarks with --name"]
