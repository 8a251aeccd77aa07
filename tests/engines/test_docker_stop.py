"""How pulls by Docker end: by time, by being told to, and by trying again."""

import threading
from typing import cast

import pytest

from pullbench.daemon.pull_stream import PullStream
from pullbench.engines.base import PullOutcome
from pullbench.engines.docker.engine import Watch
from pullbench.engines.fake import ScriptedClock
from pullbench.errors import ErrorCode, RegistryError
from tests.engines.docker_world import COLD, REFUSED, FakeDaemon, FakeStream, engine_on, pull_request, trial


def test_what_may_pass_is_tried_again_with_a_growing_pause() -> None:
    clock = ScriptedClock()
    (outcome,), _ = trial(engine_on(FakeDaemon([REFUSED], [REFUSED], COLD), clock), pull_request(retries=2))
    assert (outcome.ok, outcome.attempts) == (True, 3)
    assert outcome.duration_s == pytest.approx(0.5 + 1.0)


@pytest.mark.parametrize(
    ("code", "retries", "timeout_s", "attempts"),
    [
        (ErrorCode.NOT_FOUND, 5, 30.0, 1),
        (ErrorCode.CONNECT_REFUSED, 0, 30.0, 1),
        (ErrorCode.CONNECT_REFUSED, 5, 0.4, 1),
        (ErrorCode.CONNECT_REFUSED, 5, 1.2, 2),
    ],
)
def test_attempts_end_with_hope_retries_and_time(
    code: ErrorCode, retries: int, timeout_s: float, attempts: int
) -> None:
    daemon = FakeDaemon([RegistryError(code, "docker", "why")])
    (outcome,), _ = trial(engine_on(daemon), pull_request(retries=retries, timeout_s=timeout_s))
    assert (outcome.error_code, outcome.error, outcome.attempts) == (code, "why", attempts)


def test_a_silent_pull_ends_with_its_time_limit() -> None:
    daemon = FakeDaemon([*COLD[:2], "wait"])
    (outcome,), _ = trial(engine_on(daemon), pull_request(timeout_s=0.05))
    assert outcome.error_code is ErrorCode.TIMEOUT
    assert (outcome.error or "").startswith("not finished after 0.05 s")
    assert "0 of 2 layers complete" in (outcome.error or "")


def test_a_daemon_that_does_not_give_up_is_told() -> None:
    daemon = FakeDaemon(["wait"])
    daemon.obeys = False
    (outcome,), _ = trial(engine_on(daemon), pull_request(timeout_s=0.05))
    assert "did not confirm" in (outcome.error or "")


def test_a_pull_that_completed_as_its_time_ended_succeeded() -> None:
    daemon = FakeDaemon([*COLD, "wait"])
    (outcome,), _ = trial(engine_on(daemon), pull_request(timeout_s=0.05))
    assert outcome.ok


def test_cancel_ends_pulls_and_pauses_and_lets_none_begin() -> None:
    reached = threading.Event()
    engine = engine_on(FakeDaemon([reached.set, "wait"]))
    outcomes: list[PullOutcome] = []
    worker = threading.Thread(target=lambda: outcomes.extend(trial(engine, pull_request(retries=3))[0]))
    worker.start()
    assert reached.wait(10)
    engine.cancel()
    worker.join(10)
    outcomes.append(engine.pull(pull_request()))
    assert [outcome.error_code for outcome in outcomes] == [ErrorCode.CANCELLED] * 2
    assert outcomes[0].error_code is ErrorCode.CANCELLED


def test_the_first_reason_to_stop_is_the_one_that_is_kept() -> None:
    clock = ScriptedClock()
    watch = Watch(cast(PullStream, FakeStream([])), clock, 30.0)
    watch.stop(ErrorCode.TIMEOUT)
    clock.sleep(1.0)
    watch.stop(ErrorCode.CANCELLED)
    assert watch.stopped == (ErrorCode.TIMEOUT, 0.0)


def test_a_new_trial_begins_uncancelled() -> None:
    engine = engine_on(FakeDaemon(COLD))
    engine.cancel()
    assert trial(engine)[0][0].ok
