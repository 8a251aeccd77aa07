"""The fake engine does what its script says, on the clock it is given."""

import threading

import pytest

from pullbench.engines.base import PullOutcome, PullRequest, SystemClock, TrialSetup
from pullbench.engines.fake import FakeEngine, ScriptedClock
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


CONFIG = Descriptor(media_type=OCI_CONFIG, digest=digest("c"), size_bytes=100)
BASE = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest("a"), size_bytes=600)
TOP = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest("b"), size_bytes=300)
IMAGE = PlatformImage(
    digest=digest("f"), manifest=Manifest(media_type=OCI_MANIFEST, config=CONFIG, layers=(BASE, TOP, BASE))
)


def request(timeout_s: float = 300.0) -> PullRequest:
    return PullRequest(
        pull=7,
        image="app:1",
        reference=Reference.parse("app:1").pinned(IMAGE.digest),
        is_index=False,
        expected=IMAGE,
        platform="linux/amd64",
        route=Route(registry="eu", url="http://127.0.0.1:1"),
        auth="persisted",
        timeout_s=timeout_s,
        retries=0,
    )


def fake(script: list[float | str], clock: ScriptedClock | SystemClock) -> FakeEngine:
    entry = EngineEntry(name="scripted", kind="fake", script=script)
    return FakeEngine(entry, keychain=Keychain(environ={}), clock=clock)


def test_the_script_goes_round_and_takes_just_its_seconds() -> None:
    clock = ScriptedClock()
    engine = fake([0.5, "server_error", 2.0], clock)
    codes, durations_s = [], []
    for _ in range(4):
        before = clock.monotonic()
        codes.append(engine.pull(request()).error_code)
        durations_s.append(clock.monotonic() - before)
    assert codes == [None, ErrorCode.SERVER_ERROR, None, None]
    assert durations_s == pytest.approx([0.5, 0.001, 2.0, 0.5])


def test_an_empty_script_succeeds_after_a_millisecond() -> None:
    clock = ScriptedClock()
    assert fake([], clock).pull(request()).ok
    assert clock.monotonic() == 0.001


def test_a_success_has_the_bytes_and_layers_of_the_manifest_each_digest_once() -> None:
    outcome = fake([1.0], ScriptedClock()).pull(request())
    assert (outcome.bytes, outcome.layers) == (1000, 3)
    rows = [(row.kind, row.digest, row.bytes) for row in outcome.transfers]
    assert rows == [("config", CONFIG.digest, 100), ("layer", BASE.digest, 600), ("layer", TOP.digest, 300)]
    assert sum(row.total_s or 0 for row in outcome.transfers) == pytest.approx(1.0)
    assert {row.pull for row in outcome.transfers} == {7}


def test_transfers_follow_each_other_on_the_clock() -> None:
    rows = fake([1.0], ScriptedClock()).pull(request()).transfers
    starts = [(row.started_at - rows[0].started_at).total_seconds() for row in rows]
    assert starts == pytest.approx([0.0, 0.1, 0.7])


def test_a_failure_says_that_it_was_scripted_and_brings_no_bytes() -> None:
    outcome = fake(["reset"], ScriptedClock()).pull(request())
    assert (outcome.ok, outcome.error_code, outcome.bytes, outcome.layers) == (False, ErrorCode.RESET, 0, None)
    assert outcome.error == "scripted: reset"
    assert [row.error_code for row in outcome.transfers] == [ErrorCode.RESET]


def test_a_pull_that_would_outlast_its_timeout_ends_there() -> None:
    clock = ScriptedClock()
    outcome = fake([60.0], clock).pull(request(timeout_s=5.0))
    assert outcome.error_code is ErrorCode.TIMEOUT
    assert clock.monotonic() == pytest.approx(5.0)


def test_a_cancel_ends_a_sleeping_pull_and_every_later_one() -> None:
    engine = fake([3600.0], SystemClock())
    outcomes: list[PullOutcome] = []
    worker = threading.Thread(target=lambda: outcomes.append(engine.pull(request(timeout_s=7200.0))))
    worker.start()
    engine.cancel()
    worker.join(timeout=10)
    assert [outcome.error_code for outcome in outcomes] == [ErrorCode.CANCELLED]
    assert engine.pull(request()).error_code is ErrorCode.CANCELLED


def test_threads_share_the_script_and_no_entry_is_taken_twice() -> None:
    engine = fake([0.0, "reset"], SystemClock())
    outcomes: list[PullOutcome] = []
    workers = [
        threading.Thread(target=lambda: outcomes.extend(engine.pull(request()) for _ in range(50))) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(outcome.ok for outcome in outcomes) == 100


@pytest.mark.parametrize("step", ["broken_pipe", -1.0, float("nan"), float("inf"), ""])
def test_a_step_that_is_neither_seconds_nor_a_code_is_a_usage_error(step: float | str) -> None:
    with pytest.raises(UsageError, match=r"engines\.scripted\.script\[1\]: "):
        fake([0.1, step], ScriptedClock())


def test_seconds_may_come_as_text() -> None:
    clock = ScriptedClock()
    assert fake(["0.25"], clock).pull(request()).ok
    assert clock.monotonic() == 0.25


def test_a_trial_can_be_opened_and_closed_around_it() -> None:
    engine = fake([], ScriptedClock())
    setup = TrialSetup(
        trial=1, concurrency=1, cache="cold", cache_reset="own", requests=(request(),), before_pulls=lambda names: None
    )
    engine.open_trial(setup)
    assert engine.pull(request()).ok
    engine.close_trial()
    engine.close()
    assert engine.facts().unavailable is None and engine.facts().kind == "fake"


def test_virtual_time_stands_still_until_somebody_sleeps() -> None:
    clock = ScriptedClock()
    before = clock.now()
    assert (clock.monotonic(), clock.now()) == (0.0, before)
    clock.sleep(1.5)
    assert (clock.monotonic(), (clock.now() - before).total_seconds()) == (1.5, 1.5)
    with pytest.raises(ValueError, match="time does not go back"):
        clock.sleep(-1)
