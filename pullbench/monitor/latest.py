"""Which runs are monitored: of each benchmark, at each vantage, the newest that ended; read again only what may have changed."""

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
    """The newest run of a name, kind and vantage that ended, and when the newest complete one did."""

    run: RunRecord
    completed_at: datetime | None


class StoredRuns:
    """The runs of a results folder. One that is complete does not change any more, and is read once."""

    def __init__(self, store: ResultStore) -> None:
        self._store = store
        self._known: dict[str, RunRecord] = {}
        self.unreadable: dict[str, str] = {}
        """By run_id, why a run could not be read at the last look."""

    def read(self) -> list[RunRecord]:
        """Look again; raises UsageError where the folder cannot be listed."""
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
    """By name, kind and vantage; `names` are globs that a benchmark's name must match one of, all where there are none.

    A calibration is none of them: its registries are its lab's, and faulty on purpose.
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
