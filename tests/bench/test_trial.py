"""One trial on a scripted engine and clock: what is in the measurement, and what is not."""

import dataclasses
from collections.abc import Sequence

import pytest

from pullbench.bench.ceiling import Ceiling
from pullbench.bench.sampler import Sampler, Watched
from pullbench.bench.trial import pull_requests, run_trial, stored_bytes
from pullbench.engines.base import Clock, PullOutcome, PullRequest, TrialSetup
from pullbench.engines.fake import FakeEngine, ScriptedClock
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.plan import Plan, plan, routes
from pullbench.model.record import TrialResult
from pullbench.registry.keychain import Keychain
from pullbench.stats.busy import Window
from tests.bench.samples import digest, facts_for, make_spec


def planned(**changes: object) -> tuple[Plan, tuple[PullRequest, ...]]:
    spec = make_spec(**{"matrix": {"engines": ["scripted"], "platforms": ["linux/amd64"]}, "warmup": 0, **changes})
    facts = facts_for(spec)
    made = plan(spec, facts)
    trial = made.trials[0]
    return made, pull_requests(trial, spec, facts, routes(spec)[trial.cell.registry, trial.cell.proxy])


def engine_for(script: list[float | str], clock: Clock) -> FakeEngine:
    entry = make_spec(engines=[{"name": "scripted", "kind": "fake", "script": script}]).engine("scripted")
    return FakeEngine(entry, keychain=Keychain(environ={}), clock=clock)


def measure(engine: FakeEngine, clock: Clock, ceiling: Ceiling | None = None, **changes: object) -> TrialResult:
    made, requests = planned(**changes)
    return run_trial(
        made.trials[0],
        requests,
        engine,
        clock=clock,
        cache_reset="own",
        brought=frozenset(),
        before_pulls=lambda names: None,
        ceiling=ceiling,
    )


def test_a_pull_is_pinned_to_the_digest_that_its_tag_had() -> None:
    _, requests = planned()
    assert str(requests[0].reference) == f"app/one:1@{digest('app/one:1/index')}"
    assert requests[0].expected.manifest.size_bytes == 2010


def test_durations_are_those_of_the_pulls() -> None:
    clock = ScriptedClock()
    result = measure(engine_for([1.0, 3.0], clock), clock)
    assert [pull.duration_s for pull in result.pulls] == pytest.approx([1.0, 3.0])
    assert result.record.wall_s == pytest.approx(4.0)
    assert result.record.throughput_bytes_per_s == pytest.approx(4020 / 4.0)


def test_a_trial_has_no_throughput_where_the_bytes_of_a_pull_are_unknown() -> None:
    class Partial(FakeEngine):
        def pull(self, request: PullRequest) -> PullOutcome:
            return dataclasses.replace(super().pull(request), bytes=None if request.pull else 1000)

    clock = ScriptedClock()
    engine = engine_for([1.0], clock)
    engine.__class__ = Partial
    record = measure(engine, clock).record
    assert (record.succeeded, record.bytes, record.throughput_bytes_per_s) == (2, None, None)


def test_a_failed_pull_is_recorded_with_its_time_to_failure() -> None:
    clock = ScriptedClock()
    result = measure(engine_for(["connect_refused", 2.0], clock), clock)
    failed, succeeded = result.pulls
    assert (failed.ok, failed.error_code) == (False, ErrorCode.CONNECT_REFUSED)
    assert failed.duration_s == pytest.approx(0.001)
    assert succeeded.ok
    assert (result.record.pulls, result.record.succeeded) == (2, 1)


class Breaking(FakeEngine):
    """Raises where an engine must not."""

    def pull(self, request: PullRequest) -> PullOutcome:
        raise OSError("read tcp: connection reset by peer")


@pytest.mark.promise("whatever the fault", "Every pull has a row with a code of the closed list")
def test_the_catch_of_pull_once_makes_a_row_with_a_code_of_whatever_an_engine_raises() -> None:
    clock = ScriptedClock()
    engine = engine_for([], clock)
    engine.__class__ = Breaking
    result = measure(engine, clock)
    assert {pull.error_code for pull in result.pulls} == {ErrorCode.RESET}


class Second(FakeEngine):
    """Reports an answer that hides another, as containerd 2 does."""

    def pull(self, request: PullRequest) -> PullOutcome:
        name = f"r.io/app@sha256:{64 * '0'}"
        text = f'failed to resolve reference "{name}": {name}: not found'
        return PullOutcome(ok=False, error_code=ErrorCode.NOT_FOUND, error=text)


def test_a_missing_manifest_that_was_there_before_the_run_is_doubted_in_its_row() -> None:
    clock = ScriptedClock()
    engine = engine_for([], clock)
    engine.__class__ = Second
    (pull, *_) = measure(engine, clock).pulls
    assert pull.error_code is ErrorCode.NOT_FOUND
    assert pull.error is not None and not pull.error.endswith("not found")


class Slow(FakeEngine):
    """Takes its time to get ready and to tidy up."""

    clock: Clock
    tidied = False

    def open_trial(self, setup: TrialSetup) -> None:
        self.clock.sleep(100.0)

    def close_trial(self) -> None:
        self.clock.sleep(1000.0)
        self.tidied = True


def test_making_ready_and_tidying_up_are_outside_the_wall_time() -> None:
    clock = ScriptedClock()
    engine = engine_for([1.0], clock)
    engine.__class__ = Slow
    engine.clock = clock  # type: ignore[attr-defined]
    result = measure(engine, clock)
    assert result.record.setup_s == pytest.approx(100.0)
    assert result.record.wall_s == pytest.approx(2.0)
    assert engine.tidied  # type: ignore[attr-defined]


def test_an_interruption_cancels_the_engine_and_tidies_up() -> None:
    clock = ScriptedClock()
    calls: list[str] = []

    class Interrupted(FakeEngine):
        def pull(self, request: PullRequest) -> PullOutcome:
            raise KeyboardInterrupt

        def cancel(self) -> None:
            calls.append("cancel")

        def close_trial(self) -> None:
            calls.append("close_trial")

    engine = engine_for([1.0], clock)
    engine.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        measure(engine, clock)
    assert calls[-1] == "close_trial"


def test_pulls_are_stored_in_their_order_whatever_ended_first() -> None:
    clock = ScriptedClock()
    result = measure(engine_for([0.001], clock), clock, pulls_per_trial=6)
    assert [pull.pull for pull in result.pulls] == [0, 1, 2, 3, 4, 5]
    assert [pull.image for pull in result.pulls][:3] == ["app/one:1", "app/two:1", "app/one:1"]


def test_the_names_that_may_be_brought_reach_the_ledger_through_the_setup() -> None:
    told: list[Sequence[str]] = []
    made, requests = planned()

    class Storing(FakeEngine):
        def open_trial(self, setup: TrialSetup) -> None:
            assert setup.brought == frozenset({"sha256:old"})
            setup.before_pulls(["sha256:new"])

    clock = ScriptedClock()
    engine = engine_for([], clock)
    engine.__class__ = Storing
    run_trial(
        made.trials[0],
        requests,
        engine,
        clock=clock,
        cache_reset="own",
        brought=frozenset({"sha256:old"}),
        before_pulls=told.append,
        ceiling=None,
    )
    assert told == [["sha256:new"]]


class Watching(Sampler):
    """Has seen what a test says, and knows from when to when it looked."""

    def __init__(self, seen: Watched, clock: Clock) -> None:
        self.at_s: list[float] = []
        self._seen, self._clock = seen, clock

    def begin(self) -> None:
        self.at_s.append(self._clock.monotonic())

    def end(self) -> Watched:
        self.at_s.append(self._clock.monotonic())
        return self._seen


BUSY = Watched(
    windows=(Window(lasted_s=2.0, cpu_s=1.8, waited_s=0.2, used_s=1.9, wakes=100, late=3),), longest_lag_s=0.004
)


def test_a_trial_says_how_near_its_client_came_to_the_ceiling_and_by_what(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ScriptedClock()
    watching = Watching(BUSY, clock)
    monkeypatch.setattr(Ceiling, "sampler", lambda _: watching)
    engine = engine_for([1.0], clock)
    engine.__class__ = Slow
    engine.clock = clock  # type: ignore[attr-defined]
    record = measure(engine, clock, Ceiling(cores=1.0, bytes_per_s=1e6)).record
    assert (record.client_busy, record.client_limit) == (pytest.approx(0.95), "cores")
    assert (record.run_delay_share, record.sched_lag_s) == (pytest.approx(0.1), 0.004)
    assert watching.at_s[1] - watching.at_s[0] == pytest.approx(record.wall_s), "it looks while pulls are under way"


def test_bytes_near_the_ceiling_make_a_client_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ScriptedClock()
    monkeypatch.setattr(Ceiling, "sampler", lambda _: Watching(BUSY, clock))
    record = measure(engine_for([1.0], clock), clock, Ceiling(cores=16.0, bytes_per_s=2010.0)).record
    assert (record.client_busy, record.client_limit) == (pytest.approx(1.0), "bytes")


def test_where_others_do_the_work_it_is_the_machine_that_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ScriptedClock()
    monkeypatch.setattr(Ceiling, "sampler", lambda _: Watching(BUSY, clock))
    record = measure(engine_for([1.0], clock), clock, Ceiling(cores=4.0, whole_machine=True)).record
    assert (record.client_busy, record.client_limit) == (pytest.approx(1.9 / 8), "cores")
    assert record.run_delay_share is None, "what this process waits says nothing of a daemon"


def test_without_a_ceiling_nothing_is_said_of_the_client() -> None:
    clock = ScriptedClock()
    record = measure(engine_for([1.0], clock), clock).record
    assert (record.client_busy, record.client_limit, record.sched_lag_s) == (None, None, None)


def test_watching_ends_also_where_a_trial_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ScriptedClock()
    watching = Watching(BUSY, clock)
    monkeypatch.setattr(Ceiling, "sampler", lambda _: watching)

    class Interrupted(FakeEngine):
        def pull(self, request: PullRequest) -> PullOutcome:
            raise KeyboardInterrupt

    engine = engine_for([1.0], clock)
    engine.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        measure(engine, clock, Ceiling(cores=1.0))
    assert len(watching.at_s) == 2


class Inspecting(FakeEngine):
    """Looks at what it pulled after each pull, and says how long the pull itself took."""

    clock: Clock

    def pull(self, request: PullRequest) -> PullOutcome:
        started = self.clock.monotonic()
        outcome = super().pull(request)
        pulled_s = self.clock.monotonic() - started
        self.clock.sleep(50.0)
        return dataclasses.replace(outcome, duration_s=pulled_s)


def test_what_an_engine_does_after_its_last_pull_is_not_in_the_wall_time() -> None:
    clock = ScriptedClock()
    engine = engine_for([1.0], clock)
    engine.__class__ = Inspecting
    engine.clock = clock  # type: ignore[attr-defined]
    result = measure(engine, clock, images=["app/one:1"])
    assert result.pulls[0].duration_s == pytest.approx(1.0)
    assert result.record.wall_s == pytest.approx(1.0)


def test_an_engine_that_cannot_be_made_ready_is_tidied_up() -> None:
    tidied: list[bool] = []

    class Unready(FakeEngine):
        def open_trial(self, setup: TrialSetup) -> None:
            raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", "gone")

        def close_trial(self) -> None:
            tidied.append(True)

    clock = ScriptedClock()
    engine = engine_for([], clock)
    engine.__class__ = Unready
    with pytest.raises(RegistryError):
        measure(engine, clock)
    assert tidied == [True]


class Looking(FakeEngine):
    """Looks at what came when all pulls have ended, which takes time, and finds that the second brought nothing."""

    def pull(self, request: PullRequest) -> PullOutcome:
        outcome = super().pull(request)
        return dataclasses.replace(outcome, verify=lambda: self._look(request, outcome))

    def _look(self, request: PullRequest, outcome: PullOutcome) -> PullOutcome:
        assert request.pull < 2
        self._clock.sleep(10.0)
        if request.pull == 1:
            return PullOutcome(ok=False, error_code=ErrorCode.DIGEST_MISMATCH, error="nothing came")
        return outcome


def test_what_engines_find_afterwards_counts_and_costs_no_time() -> None:
    clock = ScriptedClock()
    engine = engine_for([1.0], clock)
    engine.__class__ = Looking
    result = measure(engine, clock)
    assert [(pull.ok, pull.error_code) for pull in result.pulls] == [(True, None), (False, ErrorCode.DIGEST_MISMATCH)]
    assert [pull.duration_s for pull in result.pulls] == pytest.approx([1.0, 1.0])
    assert result.record.wall_s == pytest.approx(2.0), "the second pull did not wait for the first one's proof"


def test_what_filled_a_store_before_the_clock_is_what_it_lacked() -> None:
    _, requests = planned()
    cell = planned()[0].trials[0].cell
    sizes = [request.expected.manifest.size_bytes for request in requests]
    podman = dataclasses.replace(cell, engine_kind="podman", cache="warm")
    docker = dataclasses.replace(podman, engine_kind="docker")
    assert stored_bytes(podman, requests, []) == sum(sizes), "it has a store of its own for each trial"
    assert stored_bytes(docker, requests, []) == 0, "all was there"
    assert stored_bytes(docker, requests, [requests[0].expected.manifest.config.digest]) == sizes[0]
    assert stored_bytes(docker, requests, [requests[0].expected.digest]) == sizes[0], "containerd's image store"
    assert stored_bytes(dataclasses.replace(podman, cache="cold"), requests, []) == 0
