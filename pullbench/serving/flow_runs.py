"""Flow runs that `pullbench serve` is responsible for: left behind by a former one, missed, or to be cancelled at its end."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from pullbench.serving.worker import runs_below, stop_runs

MISSED_AFTER = timedelta(minutes=30)
"""A scheduled run that is later than this is skipped: a stress test belongs to the hour it was planned for."""
_CANCEL_WITHIN_S = 25.0
_STOP_WITHIN_S = 12.0
_AT_MOST = 200


def skip_missed(client: SyncPrefectClient, pool: str, now: datetime | None = None) -> int:
    """Cancel scheduled runs whose time came while no worker ran, and count them. Runs that a person started stay."""
    before = (now or datetime.now(UTC)) - MISSED_AFTER
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=before),
    )
    missed = [run for run in _runs(client, pool, wanted) if run.auto_scheduled]
    for run in missed:
        state = State[None](
            type=StateType.CANCELLED, name="Missed", message="Skipped: pullbench serve was not running at its time."
        )
        client.set_flow_run_state(run.id, state, force=True)
    return len(missed)


def close_lost(client: SyncPrefectClient, pool: str, worker: str) -> int:
    """Mark the runs of a former `serve` that was killed as crashed. Only where no other worker ever took runs of the pool."""
    if any(entry.name != worker for entry in client.read_workers_for_work_pool(pool)):
        return 0
    under_way = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    lost = _runs(client, pool, FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=under_way))))
    for run in lost:
        state = State[None](type=StateType.CRASHED, message="pullbench serve was killed while this ran.")
        client.set_flow_run_state(run.id, state, force=True)
    return len(lost)


def cancel_runs(client: SyncPrefectClient, worker_pid: int, within_s: float = _CANCEL_WITHIN_S) -> int:
    """Cancel the runs of a worker of ours, as the UI does, and wait until that is recorded; how many runs there were.

    A server whose database is busy refuses for some moments, and is asked again. A run that the worker does not end in time
    is stopped here, so that it ends as cancelled and not as crashed.
    """
    runs, asked, over = list(runs_below(worker_pid)), set[str](), set[str]()
    until = time.monotonic() + within_s
    while len(over) < len(runs) and time.monotonic() < until:
        for run in (run for run in runs if run not in over):
            with _asked_again():
                if run not in asked:
                    client.set_flow_run_state(run, _state(StateType.CANCELLING))
                    asked.add(run)
                if _is_over(client, run):
                    over.add(run)
        time.sleep(0.2)
    if len(over) < len(runs):
        stop_runs(worker_pid, within_s=_STOP_WITHIN_S)
        for run in (run for run in runs if run not in over):
            with _asked_again():
                if not _is_over(client, run):
                    client.set_flow_run_state(run, _state(StateType.CANCELLED), force=True)
    return len(runs)


def _state(kind: StateType) -> State[None]:
    return State[None](type=kind, message="Cancelled: pullbench serve was ended.")


@contextlib.contextmanager
def _asked_again() -> Iterator[None]:
    """Pass over an answer that the same question may not have in a moment."""
    try:
        yield
    except httpx.TimeoutException:
        pass
    except httpx.HTTPStatusError as error:
        if not error.response.is_server_error:
            raise


def _is_over(client: SyncPrefectClient, run: str) -> bool:
    """The worker records the end after the process has gone, so that is what is waited for."""
    try:
        state = client.read_flow_run(UUID(run)).state
    except ObjectNotFound:  # deleted meanwhile
        return True
    return state is not None and state.is_final()


def _runs(client: SyncPrefectClient, pool: str, wanted: FlowRunFilter) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=wanted,
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        limit=_AT_MOST,
    )
