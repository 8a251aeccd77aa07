"""The docker engine on containerd's image store, in a daemon of the tests' own making; tests/integration has real ones."""

from collections.abc import Mapping
from typing import Any

from pullbench.daemon.docker import DockerDaemon
from pullbench.engines.docker.engine import DockerEngine
from pullbench.engines.docker.timeline import short_id
from pullbench.engines.fake import ScriptedClock
from pullbench.errors import ErrorCode
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.daemon.containerd_daemon import INFO, ContainerdDaemon
from tests.engines.docker_world import CONFIG_BYTES, DONE, IMAGE, INDEX, NAME, A, B, FakeStream, pull_request, trial

LEFTOVERS = ["import pullbench.leftovers=1", "prune pullbench.leftovers=1"]
COLD: list[Any] = [
    {"status": status, "id": short_id(digest)}
    for status in ("Pulling fs layer", "Download complete", "Pull complete")
    for digest in (A, B)
] + [DONE]
BROKEN = {"errorDetail": {"message": "unexpected EOF"}}


class PullingDaemon(ContainerdDaemon):
    """Its pulls say what the test says; one that ends well brings the image under test."""

    def __init__(self, *pulls: list[Any], api: tuple[int, int] = (1, 51)) -> None:
        super().__init__(api)
        self.offers(INDEX, amd64=pull_request().expected)
        self.pulled: list[str] = []
        self._pulls = list(pulls)

    def version(self) -> str:
        return "28.5.2"

    def pull(self, reference: str, *, platform: str, auth_config: Mapping[str, str]) -> FakeStream:  # type: ignore[override]
        self.pulled.append(reference)
        steps = self._pulls.pop(0) if len(self._pulls) > 1 else self._pulls[0]
        if DONE in steps:
            self.hold(reference, reference.rpartition("@")[2], IMAGE)
        return FakeStream(steps)


def engine_on(daemon: DockerDaemon) -> DockerEngine:
    return DockerEngine(
        EngineEntry(name="docker", kind="docker"), keychain=Keychain(environ={}), clock=ScriptedClock(), daemon=daemon
    )


def test_facts_say_which_store_it_is_and_which_platforms_are_there() -> None:
    daemon = PullingDaemon(COLD)
    daemon.hold("app:mine", INDEX, IMAGE)
    facts = engine_on(daemon).facts()
    assert (facts.unavailable, facts.image_store) == (None, "containerd (overlayfs)")
    assert (facts.store_id, facts.present) == ("FAKE:ID/containerd", frozenset({IMAGE}))


def test_a_cold_trial_pulls_everything_and_tells_name_and_manifest() -> None:
    daemon = PullingDaemon(COLD)
    (outcome,), told = trial(engine_on(daemon))
    assert (outcome.ok, outcome.layers_cached, outcome.bytes) == (True, 0, 110 + CONFIG_BYTES)
    assert told == [NAME, IMAGE]
    assert daemon.done == LEFTOVERS


def test_a_second_cold_trial_removes_what_the_first_brought_and_then_what_is_left() -> None:
    daemon = PullingDaemon(COLD)
    engine = engine_on(daemon)
    trial(engine)
    daemon.done.clear()
    (outcome,), told = trial(engine)
    assert daemon.done == [f"remove {NAME}", *LEFTOVERS]
    assert (told, outcome.bytes) == ([NAME, IMAGE], 110 + CONFIG_BYTES)


def test_a_failed_pull_is_followed_by_the_removal_of_its_leftovers_once_the_trial_is_over() -> None:
    daemon = PullingDaemon([COLD[0], BROKEN])
    (outcome,), _ = trial(engine_on(daemon), cache="warm")
    assert not outcome.ok
    assert daemon.done == LEFTOVERS


def test_a_warm_pull_brings_no_byte_though_it_has_no_events() -> None:
    daemon = PullingDaemon(COLD, [DONE])
    (outcome,), _ = trial(engine_on(daemon), cache="warm")
    assert (outcome.layers_cached, outcome.layers_shared, outcome.bytes) == (2, 0, 0)


def test_a_layer_that_was_there_after_all_is_no_claim_of_its_pull() -> None:
    there = [{"status": status, "id": short_id(A)} for status in ("Pulling fs layer", "Already exists")]
    daemon = PullingDaemon([*there, *(event for event in COLD if event.get("id") != short_id(A))])
    outcomes, _ = trial(engine_on(daemon), pull_request(0), pull_request(1))
    assert [outcome.layers_cached for outcome in outcomes] == [1, 1]


def test_a_store_that_lacks_what_dockerd_says_it_pulled_fails_the_pull() -> None:
    daemon = PullingDaemon(COLD)
    engine = engine_on(daemon)
    daemon.hold = lambda name, target, *_: daemon.names.update({name: target})  # type: ignore[method-assign]
    (outcome,), _ = trial(engine)
    assert outcome.error_code is ErrorCode.ENGINE_UNAVAILABLE


def test_before_platforms_could_be_listed_an_index_counts_as_a_whole() -> None:
    daemon = PullingDaemon(COLD, api=(1, 45))
    (outcome,), told = trial(engine_on(daemon))
    assert (outcome.ok, outcome.bytes, told) == (True, 110 + CONFIG_BYTES, [NAME, INDEX])


def test_the_bytes_after_a_stopped_pull_are_not_known_where_its_layers_cannot_be_dropped() -> None:
    daemon = PullingDaemon([COLD[0], BROKEN], COLD, api=(1, 45))
    daemon.info = lambda: {**INFO, "ServerVersion": "27.3.1"}  # type: ignore[method-assign]
    engine = engine_on(daemon)
    (failed,), _ = trial(engine)
    (outcome,), _ = trial(engine)
    assert (failed.ok, outcome.ok, outcome.bytes) == (False, True, None)
