"""Decides which stored runs may be removed, and removes a run completely.

    removing/RUN_ID    a removal that has begun: the next removal finishes it

The run's row is removed first, so a run is listed completely or not at all, wherever a removal stops. The record of images
that a run pulled or pushed stays: `pullbench clean` still finds them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import get_args

from pullbench.model.record import RunRecord
from pullbench.store.dataset import ResultStore, check_run_id
from pullbench.store.schema import TableName

MAY_STILL_RUN = timedelta(days=7)
"""A killed run keeps the status `running`; after this time it counts as stopped."""
_FOLDER = "removing"
_TABLES: tuple[TableName, ...] = get_args(TableName)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionDecision:
    """A run, and why it stays; None if it is to be removed."""

    run: RunRecord
    kept: str | None


def decide_retention(
    runs: Iterable[RunRecord],
    *,
    baselines: Collection[str],
    newest: int | None,
    started_before: datetime | None,
    now: datetime,
) -> list[RetentionDecision]:
    """Each run once, newest first; a run is removed if no rule keeps it.

    `newest` complete runs of each name, kind and vantage stay, and every run newer than the oldest of them. So do runs
    started after `started_before`, runs in `baselines`, and runs that may still be running. The newest run and the newest
    complete run of each stay in any case, unless `newest` is 0.
    """
    choices: list[RetentionDecision] = []
    for _, group in groupby(sorted(runs, key=_series), key=_series):
        complete = 0
        for place, run in enumerate(sorted(group, key=_age, reverse=True)):
            first = place == 0 or (run.status == "complete" and complete == 0)
            if run.status == "running" and run.started_at > now - MAY_STILL_RUN:
                reason: str | None = "may still be running"
            elif run.run_id in baselines:
                reason = "the baseline of its name"
            elif newest is not None and complete < newest:
                reason = f"among the newest {newest} of its name"
            elif newest != 0 and first:
                reason = "the newest of its name"
            elif started_before is not None and run.started_at >= started_before:
                reason = "too new"
            else:
                reason = None
            choices.append(RetentionDecision(run=run, kept=reason))
            complete += run.status == "complete"
    return sorted(choices, key=lambda choice: _age(choice.run), reverse=True)


def run_bytes(store: ResultStore, run_id: str) -> int:
    """The size of a run on disk."""
    return sum(store.files.size_bytes(f"{table}/{check_run_id(run_id)}") for table in _TABLES)


def remove_run(store: ResultStore, run_id: str) -> None:
    """Remove a run's rows from all tables; a missing run is no error.

    Raises IncompleteError if something cannot be removed: the run is no longer listed, and `half_removed` has it.
    """
    mark = f"{_FOLDER}/{check_run_id(run_id)}"
    store.files.put(mark, b"")
    store.files.remove_folder(f"runs/{run_id}")
    for table in _TABLES:
        store.files.remove_folder(f"{table}/{run_id}")
    store.files.remove(mark)


def half_removed(store: ResultStore) -> list[str]:
    """Runs whose removal was interrupted."""
    return [check_run_id(name) for name in store.files.names(_FOLDER)]


def _series(run: RunRecord) -> tuple[str, str, str]:
    return (run.name, run.kind, run.vantage)


def _age(run: RunRecord) -> tuple[datetime, str]:
    return (run.started_at, run.run_id)
