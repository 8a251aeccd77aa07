"""The docker engine's policy, on a daemon of the tests' own making; tests/integration has a real one."""

import json
import platform
from pathlib import Path
from typing import Any, cast

import pytest

from pullbench.engines.base import TrialSetup
from pullbench.errors import ErrorCode, RegistryError
from pullbench.registry.keychain import Keychain
from tests.engines.docker_world import (
    COLD,
    CONFIG,
    DONE,
    IMAGE,
    NAME,
    OTHER,
    REFUSED,
    FakeDaemon,
    engine_on,
    pull_request,
    trial,
)


def test_a_cold_trial_pulls_by_digest_and_tells_before_what_it_brings() -> None:
    daemon = FakeDaemon(COLD)
    (outcome,), told = trial(engine_on(daemon))
    assert outcome.ok and outcome.layers_cached == 0
    assert daemon.pulled == [NAME]
    assert told == [NAME, CONFIG]
    assert daemon.removed == []


def test_what_is_brought_is_told_before_the_first_pull() -> None:
    daemon = FakeDaemon(COLD)
    engine, seen = engine_on(daemon), []
    for cache in ("cold", "warm"):
        daemon.store.clear()
        daemon.pulled.clear()
        setup = TrialSetup(
            trial=0,
            concurrency=1,
            cache=cast(Any, cache),
            cache_reset="own",
            requests=(pull_request(),),
            before_pulls=lambda names: seen.append((tuple(names), list(daemon.pulled))),
        )
        engine.open_trial(setup)
    assert seen == [((NAME, CONFIG), [])] * 2


def test_a_second_cold_trial_removes_what_the_first_brought() -> None:
    daemon = FakeDaemon(COLD)
    engine = engine_on(daemon)
    trial(engine)
    _, told = trial(engine)
    assert daemon.removed == [(NAME, False)]
    assert told == [NAME, CONFIG]


def test_what_an_earlier_run_brought_is_removed_by_its_own_names() -> None:
    daemon = FakeDaemon(COLD)
    elsewhere = f"registry.example.com/app@{IMAGE}"
    daemon.store[CONFIG] = {elsewhere}
    trial(engine_on(daemon), brought=frozenset({CONFIG, elsewhere}))
    assert daemon.removed == [(elsewhere, False)]


def test_an_image_without_names_that_a_run_brought_is_removed_by_id() -> None:
    daemon = FakeDaemon(COLD)
    daemon.store[CONFIG] = set()
    trial(engine_on(daemon), brought=frozenset({CONFIG}))
    assert daemon.removed == [(CONFIG, False)]


def test_an_image_that_no_run_brought_is_left_and_not_told_as_brought() -> None:
    daemon = FakeDaemon([DONE])
    daemon.store[CONFIG] = {"app:mine", NAME}
    (outcome,), told = trial(engine_on(daemon))
    assert (daemon.removed, told) == ([], [])
    assert outcome.ok and outcome.layers_cached == 2


def test_a_name_that_a_pull_adds_to_a_users_image_is_told_alone() -> None:
    daemon = FakeDaemon([DONE])
    daemon.store[CONFIG] = {"app:mine"}
    _, told = trial(engine_on(daemon))
    assert told == [NAME]


def test_a_brought_image_that_a_user_tagged_since_keeps_the_users_tag() -> None:
    daemon = FakeDaemon([DONE])
    daemon.store[CONFIG] = {"app:mine", NAME}
    trial(engine_on(daemon), brought=frozenset({CONFIG, NAME}))
    assert daemon.removed == [(NAME, False)]
    assert "app:mine" in daemon.store[CONFIG]


def test_a_brought_image_that_a_container_uses_stays() -> None:
    daemon = FakeDaemon([DONE])
    daemon.store[CONFIG], daemon.in_use = {NAME}, {CONFIG}
    (outcome,), _ = trial(engine_on(daemon), brought=frozenset({CONFIG, NAME}))
    assert daemon.removed == []
    assert outcome.layers_cached == 2


def test_a_users_image_without_names_is_left() -> None:
    daemon = FakeDaemon([DONE])
    daemon.store[CONFIG] = set()
    trial(engine_on(daemon))
    assert daemon.removed == []


def test_other_images_are_never_touched() -> None:
    daemon = FakeDaemon(COLD)
    daemon.store[OTHER] = set()
    for reset in ("own", "remove"):
        trial(engine_on(daemon), reset=reset, brought=frozenset({CONFIG, NAME, OTHER}))
    assert OTHER in daemon.store


def test_cache_reset_remove_removes_an_image_under_test_by_force() -> None:
    daemon = FakeDaemon(COLD)
    daemon.store[CONFIG] = {"app:mine"}
    _, told = trial(engine_on(daemon), reset="remove")
    assert daemon.removed == [(CONFIG, True)]
    assert told == [NAME, CONFIG]


def test_a_warm_trial_pulls_before_the_clock_what_is_not_there() -> None:
    daemon = FakeDaemon(COLD, [DONE])
    (outcome,), told = trial(engine_on(daemon), cache="warm")
    assert daemon.pulled == [NAME, NAME]
    assert told == [NAME, CONFIG]
    assert (outcome.layers_cached, outcome.layers_shared, outcome.bytes) == (2, 0, 0)


def test_a_users_name_of_another_platforms_image_is_not_moved() -> None:
    daemon = FakeDaemon(COLD)
    daemon.store[OTHER] = {NAME, "app:mine"}
    _, told = trial(engine_on(daemon))
    assert daemon.pulled == [f"127.0.0.1:5000/app@{IMAGE}"]
    assert NAME not in told and NAME in daemon.store[OTHER]


def test_credentials_go_with_the_pull_and_nobody_elses_do() -> None:
    daemon = FakeDaemon(COLD)
    for source in ("anonymous", "env:ME", "env:BOT"):
        trial(engine_on(daemon), pull_request(credentials=source))
    anonymous, me, bot = daemon.auth
    assert anonymous == {}
    assert me == {"username": "me", "password": "secret", "serveraddress": "127.0.0.1:5000"}
    assert bot["identitytoken"] == "identity"


def test_a_registry_token_goes_to_the_daemon_as_one(tmp_path: Path) -> None:
    auths = {"127.0.0.1:5000": {"registrytoken": "r3gistry-t0ken"}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    daemon = FakeDaemon(COLD)
    engine = engine_on(daemon)
    engine._keychain = Keychain(environ={"DOCKER_CONFIG": str(tmp_path)})
    trial(engine, pull_request(credentials="docker"))
    assert daemon.auth[0]["registrytoken"] == "r3gistry-t0ken"


def test_a_wrong_platform_fails_the_pull_after_its_clock() -> None:
    daemon = FakeDaemon(COLD)
    (outcome,), _ = trial(engine_on(daemon), pull_request(platform="linux/arm64"))
    assert outcome.error_code is ErrorCode.PLATFORM_MISSING
    assert outcome.error_code is ErrorCode.PLATFORM_MISSING
    assert (outcome.error or "").endswith("linux/amd64")
    assert outcome.duration_s == 0.0


@pytest.mark.parametrize(("asked", "variant"), [("v7", "v7"), ("v7", ""), ("v7", "v6"), ("v6", "v7")])
def test_the_plan_s_image_is_right_whatever_variant_its_config_has(asked: str, variant: str) -> None:
    daemon = FakeDaemon(COLD)
    daemon.platform = {"Os": "linux", "Architecture": "arm", "Variant": variant}
    (outcome,), _ = trial(engine_on(daemon), pull_request(platform=f"linux/arm/{asked}"))
    assert outcome.ok


def test_another_image_than_the_manifests_is_a_digest_mismatch() -> None:
    daemon = FakeDaemon(COLD)
    daemon.brings = OTHER
    (outcome,), _ = trial(engine_on(daemon))
    assert outcome.error_code is ErrorCode.DIGEST_MISMATCH


def test_an_error_in_the_stream_is_read_and_kept_on_one_line_without_queries() -> None:
    text = 'Get "https://s3.example.com/blob?X-Signature=abc":\n dial tcp: lookup s3 on 10.0.0.2:53: no such host'
    (outcome,), _ = trial(engine_on(FakeDaemon([{"errorDetail": {"message": text}}])))
    assert outcome.error_code is ErrorCode.DNS
    assert outcome.error == 'Get "https://s3.example.com/blob?…": dial tcp: lookup s3 on 10.0.0.2:53: no such host'


def test_a_stream_that_ends_without_a_status_is_no_success() -> None:
    (outcome,), _ = trial(engine_on(FakeDaemon(COLD[:-1])))
    assert outcome.error_code is ErrorCode.ENGINE_UNAVAILABLE


def test_a_trial_on_a_daemon_that_fails_is_not_opened() -> None:
    daemon = FakeDaemon(COLD)
    daemon.find = lambda name: (_ for _ in ()).throw(REFUSED)  # type: ignore[method-assign]
    with pytest.raises(RegistryError):
        trial(engine_on(daemon))


def test_a_layer_of_a_pull_that_failed_is_brought_by_the_pull_after_it() -> None:
    broken = [COLD[0], {"errorDetail": {"message": "unexpected EOF"}}]
    requests = [pull_request(pull) for pull in range(2)]
    (first, second), _ = trial(engine_on(FakeDaemon(broken, COLD)), *requests)
    assert (first.ok, second.ok, second.layers_shared) == (False, True, 0)
    assert second.bytes == requests[1].expected.manifest.size_bytes


def test_facts_say_version_store_and_contents() -> None:
    daemon = FakeDaemon(COLD)
    daemon.store[OTHER] = set()
    facts = engine_on(daemon).facts()
    assert (facts.name, facts.kind, facts.version, facts.unavailable) == ("docker-2", "docker", "20.10.24", None)
    assert (facts.store_id, facts.present) == ("FAKE:ID", frozenset({OTHER}))


def test_guard_remote_a_daemon_is_on_this_machine_only_if_it_shows_so() -> None:
    daemon = FakeDaemon(COLD)
    assert not engine_on(daemon).facts().is_local, "it does not say where it is"
    daemon.system = {"Name": platform.node(), "KernelVersion": platform.release()}
    assert engine_on(daemon).facts().is_local
    daemon.system = {"Name": "elsewhere", "KernelVersion": platform.release()}
    assert not engine_on(daemon).facts().is_local, "its socket was forwarded"


def test_facts_of_an_absent_daemon_say_why() -> None:
    daemon = FakeDaemon(COLD)
    daemon.broken = RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", "no answer from the daemon: Gone")
    assert engine_on(daemon).facts().unavailable == "unix:///fake.sock: no answer from the daemon: Gone"


def test_a_host_whose_pulls_cannot_be_stopped_is_refused() -> None:
    daemon = FakeDaemon(COLD)
    daemon.host = "ssh://me@host"
    assert "ssh://" in (engine_on(daemon).facts().unavailable or "")


def test_closing_the_engine_lets_go_of_the_daemon_and_removes_nothing() -> None:
    daemon = FakeDaemon(COLD)
    engine = engine_on(daemon)
    trial(engine)
    engine.close()
    assert daemon.closed and CONFIG in daemon.store
