"""Flow runs that `pullbench serve` answers for: those that a former one left behind, those that were missed, those to end."""

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

from pullbench.serving.worker import runs_below

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


def cancel_runs(client: SyncPrefectClient, worker_pid: int, within_s: float = _CANCEL_WITHIN_S) -> int:
    """Cancel what a worker of ours is at, as the UI does, and wait until it is recorded; how many runs that were.

    A server whose database is busy refuses for some moments, and is asked again.
    """
    runs, asked, over = list(runs_below(worker_pid)), set[str](), set[str]()
    until = time.monotonic() + within_s
    while len(over) < len(runs) and time.monotonic() < until:
        for run in (run for run in runs if run not in over):
            with _asked_again():
                if run not in asked:
                    state = State[None](type=StateType.CANCELLING, message="pullbench serve was ended")
                    client.set_flow_run_state(run, state)
                    asked.add(run)
                if _is_over(client, run):
                    over.add(run)
        time.sleep(0.2)
    return len(runs)


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
