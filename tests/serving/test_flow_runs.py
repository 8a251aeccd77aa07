"""What `pullbench serve` does with runs that a former one left behind, against a client that holds a few."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType

from pullbench.serving import flow_runs as served_runs
from pullbench.serving.flow_runs import cancel_runs, close_lost, skip_missed
from pullbench.serving.worker import keep_own_message

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)


@dataclass
class Client:
    """The part of Prefect's client that these need; filters as the server does."""

    runs: list[FlowRun]
    workers: tuple[str, ...] = ("ours",)
    set_states: dict[UUID, State[Any]] = field(default_factory=dict)

    def read_flow_runs(self, *, flow_run_filter: FlowRunFilter, **_: object) -> list[FlowRun]:
        wanted = flow_run_filter.state.type.any_  # type: ignore[union-attr]
        before = flow_run_filter.expected_start_time.before_ if flow_run_filter.expected_start_time else None
        found = [run for run in self.runs if run.state_type in (wanted or ())]
        return [run for run in found if before is None or run.expected_start_time <= before]

    def read_workers_for_work_pool(self, _: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=name) for name in self.workers]

    def set_flow_run_state(self, run: UUID, state: State[Any], force: bool = False) -> None:
        assert force, "the server refuses to leave a state that it takes for a going one"
        self.set_states[run] = state


def flow_run(state: StateType, *, hours_ago: float, auto_scheduled: bool = True) -> FlowRun:
    return FlowRun(
        id=uuid4(),
        flow_id=uuid4(),
        state_type=state,
        expected_start_time=NOW - timedelta(hours=hours_ago),
        auto_scheduled=auto_scheduled,
    )


def test_what_a_schedule_wanted_hours_ago_is_skipped_and_what_a_person_asked_for_stays() -> None:
    missed = flow_run(StateType.SCHEDULED, hours_ago=9)
    kept = [
        flow_run(StateType.SCHEDULED, hours_ago=9, auto_scheduled=False),
        flow_run(StateType.SCHEDULED, hours_ago=0.1),
        flow_run(StateType.SCHEDULED, hours_ago=-9),
    ]
    client = Client([missed, *kept])
    assert skip_missed(client, "local", NOW) == 1  # type: ignore[arg-type]
    (state,) = client.set_states.values()
    assert list(client.set_states) == [missed.id]
    assert (state.type, state.name) == (StateType.CANCELLED, "Missed")


@pytest.mark.parametrize(("workers", "closed"), [((), 3), (("ours",), 3), (("ours", "another machine's"), 0)])
def test_runs_without_a_process_are_marked_unless_another_machine_may_be_at_them(
    workers: tuple[str, ...], closed: int
) -> None:
    states = (StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.COMPLETED, StateType.SCHEDULED)
    client = Client([flow_run(state, hours_ago=1) for state in states], workers)
    assert close_lost(client, "local", "ours") == closed  # type: ignore[arg-type]
    assert {state.type for state in client.set_states.values()} <= {StateType.CRASHED}


class BusyClient:
    """Refuses every second question, as a server does whose database is locked; the run ends once it is cancelled."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.questions = 0
        self.states: list[StateType] = []

    def set_flow_run_state(self, _: str, state: State[Any], force: bool = False) -> None:
        self._answer()
        self.states.append(state.type)

    def read_flow_run(self, _: UUID) -> SimpleNamespace:
        self._answer()
        return SimpleNamespace(state=State[None](type=StateType.CANCELLED))

    def _answer(self) -> None:
        self.questions += 1
        if self.questions % 2:
            request = httpx.Request("POST", "http://127.0.0.1/api")
            response = httpx.Response(self.status, request=request)
            raise httpx.HTTPStatusError("refused", request=request, response=response)


@pytest.fixture
def one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_runs, "runs_below", lambda _: {str(uuid4()): None})
    monkeypatch.setattr(served_runs, "stop_runs", lambda *_, **__: None)
    monkeypatch.setattr(served_runs.time, "sleep", lambda _: None)


@pytest.mark.usefixtures("one_run")
def test_a_busy_server_is_asked_again_to_cancel_and_is_asked_it_once() -> None:
    client = BusyClient(503)
    assert cancel_runs(client, 1) == 1  # type: ignore[arg-type]
    assert client.states == [StateType.CANCELLING]


@pytest.mark.usefixtures("one_run")
def test_a_server_that_knows_better_is_not_asked_again() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        cancel_runs(BusyClient(409), 1)  # type: ignore[arg-type]


class SlowClient:
    """A server whose worker never ends the run: it stays in the state that it was given last."""

    def __init__(self) -> None:
        self.states = [StateType.RUNNING]

    def set_flow_run_state(self, _: str, state: State[Any], force: bool = False) -> None:
        self.states.append(state.type)

    def read_flow_run(self, _: UUID) -> SimpleNamespace:
        return SimpleNamespace(state=State[None](type=self.states[-1]))


@pytest.mark.usefixtures("one_run")
def test_a_run_that_prefect_does_not_end_in_time_is_stopped_and_recorded_as_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[int] = []
    monkeypatch.setattr(served_runs, "stop_runs", lambda pid, **_: stopped.append(pid))
    client = SlowClient()
    assert cancel_runs(client, 7, within_s=0.05) == 1  # type: ignore[arg-type]
    assert stopped == [7]
    assert client.states[1:] == [StateType.CANCELLING, StateType.CANCELLED]


class States:
    """The states of one flow run, as Prefect's client has them."""

    def __init__(self, *messages: str) -> None:
        self.held = [
            State[None](type=StateType.CANCELLED, message=message, timestamp=NOW + timedelta(seconds=at))
            for at, message in enumerate(messages)
        ]

    async def read_flow_run_states(self, _: UUID) -> list[State[None]]:
        return self.held[::-1]

    async def set_flow_run_state(self, _: UUID, state: State[None], force: bool) -> None:
        assert force, "the run has ended already"
        self.held.append(state)


@pytest.mark.parametrize(
    ("messages", "last"),
    [
        (("Cancelled. Run x", "Flow run was cancelled successfully."), "Cancelled. Run x"),
        (("Flow run was cancelled successfully.",), "Flow run was cancelled successfully."),
        ((), None),
    ],
    ids=["its own is put back", "it had none", "not cancelled"],
)
def test_a_cancelled_run_keeps_the_message_that_says_how_to_resume(messages: tuple[str, ...], last: str | None) -> None:
    client = States(*messages)
    asyncio.run(keep_own_message(client, uuid4(), within_s=0.0))
    assert (client.held[-1].message if client.held else None) == last


@pytest.mark.usefixtures("one_run")
def test_a_run_that_does_not_end_is_not_waited_for_without_a_limit() -> None:
    assert cancel_runs(BusyClient(503), 1, within_s=0.0) == 1  # type: ignore[arg-type]
