"""Selects the monitored runs: the newest ended run of each benchmark and vantage. Complete runs are read once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from pullbench.errors import UsageError
from pullbench.model.record import RunRecord
from pullbench.store.dataset import ResultStore, check_run_id
from pullbench.store.schema import run_from_row


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest ended run of a name, kind and vantage, and the end of the newest complete one."""

    run: RunRecord
    completed_at: datetime | None


class StoredRuns:
    """The runs of a results directory. Complete runs do not change, so they are read once."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._known: dict[str, RunRecord] = {}
        self.unreadable: dict[str, str] = {}
        """By run_id, why the last reading could not read a run."""

    def read(self) -> list[RunRecord]:
        """Read again; raises UsageError if the directory cannot be listed."""
        there = [name for name in self._store.files.names("runs") if _is_run_id(name)]
        known, self.unreadable = {}, {}
        for run_id in there:
            run = self._known.get(run_id)
            if run is None or run.status != "complete":
                run = self._read(run_id)
            if run is not None:
                known[run_id] = run
        self._known = known
        return list(known.values())

    def _read(self, run_id: str) -> RunRecord | None:
        try:
            rows = self._store.table("runs", run_id).to_pylist()
        except UsageError as error:
            self.unreadable[run_id] = str(error)
            return None
        return run_from_row(rows[0]) if rows else None


def last_runs(runs: Iterable[RunRecord], names: Sequence[str] = ()) -> list[LastRun]:
    """By name, kind and vantage; a benchmark's name must match one of the globs in `names`, if there are any.

    Calibrations are left out: their registries belong to the lab, and have intended faults.
    """
    newest: dict[tuple[str, str, str], LastRun] = {}
    for run in sorted(runs, key=lambda run: (run.started_at, run.run_id)):
        if run.status == "running" or run.kind == "calibration" or not _wanted(run.name, names):
            continue
        key = (run.name, run.kind, run.vantage)
        before = newest[key].completed_at if key in newest else None
        completed_at = run.finished_at if run.status == "complete" else before
        newest[key] = LastRun(run=run, completed_at=completed_at)
    return list(newest.values())


def _wanted(name: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _is_run_id(name: str) -> bool:
    try:
        check_run_id(name)
    except UsageError:
        return False
    return True
