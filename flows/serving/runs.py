"""Flow runs that `pullbench serve` answers for: those that a former one left behind, those that were missed, those to end."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

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

from flows.serving.worker import runs_below

MISSED_AFTER = timedelta(minutes=30)
"""A schedule whose time passed so long ago is not made up for: a stress test belongs to the hour it was planned for."""
_CANCEL_WITHIN_S = 25.0
_AT_MOST = 200


def skip_missed(client: SyncPrefectClient, pool: str, now: datetime | None = None) -> int:
    """Cancel what a schedule wanted while nobody worked; runs that a person asked for stay. How many there were."""
    before = (now or datetime.now(UTC)) - MISSED_AFTER
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=before),
    )
    missed = [run for run in _runs(client, pool, wanted) if run.auto_scheduled]
    for run in missed:
        state = State[None](
            type=StateType.CANCELLED, name="Missed", message="its time came while pullbench serve was not running"
        )
        client.set_flow_run_state(run.id, state, force=True)
    return len(missed)


def close_lost(client: SyncPrefectClient, pool: str, worker: str) -> int:
    """Mark as crashed what a former `serve` was killed over. Only where no other worker ever took runs from the pool."""
    if any(entry.name != worker for entry in client.read_workers_for_work_pool(pool)):
        return 0
    under_way = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    lost = _runs(client, pool, FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=under_way))))
    for run in lost:
        state = State[None](type=StateType.CRASHED, message="pullbench serve was killed while this ran")
        client.set_flow_run_state(run.id, state, force=True)
    return len(lost)


def cancel_runs(client: SyncPrefectClient, worker_pid: int) -> int:
    """Cancel what a worker of ours is at, as the UI does, and wait until it is recorded; how many runs that were."""
    runs = runs_below(worker_pid)
    for run in runs:
        state = State[None](type=StateType.CANCELLING, message="pullbench serve was ended")
        client.set_flow_run_state(run, state)
    until = time.monotonic() + _CANCEL_WITHIN_S
    while not all(_is_over(client, run) for run in runs) and time.monotonic() < until:
        time.sleep(0.2)
    return len(runs)


def _is_over(client: SyncPrefectClient, run: str) -> bool:
    """The worker records the end after the process has gone, so that is what is waited for."""
    state = client.read_flow_run(UUID(run)).state
    return state is not None and state.is_final()


def _runs(client: SyncPrefectClient, pool: str, wanted: FlowRunFilter) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=wanted,
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        limit=_AT_MOST,
    )
