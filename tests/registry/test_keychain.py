import base64
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.model.route import Route
from pullbench.registry.auth import Credentials
from pullbench.registry.keychain import Keychain

SECRET = "pl4nted-s3cret"
HOST = "r.example.com:5000"


def docker_config(folder: Path, document: object) -> dict[str, str]:
    (folder / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return {"DOCKER_CONFIG": str(folder)}


def inline(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_anonymous_is_nobody() -> None:
    assert Keychain(environ={}).credentials("anonymous", HOST) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"US_USERNAME": "ann", "US_PASSWORD": "p"}, Credentials(username="ann", password="p")),
        ({"US_USERNAME": "ann", "US_TOKEN": "t"}, Credentials(username="ann", password="t")),
        ({"US_TOKEN": "t"}, Credentials(username="<token>", password="", identity_token="t")),
    ],
)
def test_the_environment_gives_a_user_with_a_secret_or_a_token(environ: dict[str, str], expected: Credentials) -> None:
    assert Keychain(environ=environ).credentials("env:US", HOST) == expected


@pytest.mark.parametrize(
    ("environ", "missing"),
    [({}, "US_USERNAME"), ({"US_USERNAME": "ann"}, "US_PASSWORD"), ({"US_PASSWORD": SECRET}, "US_USERNAME")],
)
def test_a_missing_variable_is_named_in_one_line_without_the_secret(environ: dict[str, str], missing: str) -> None:
    with pytest.raises(UsageError) as caught:
        Keychain(environ=environ).credentials("env:US", HOST)
    text = str(caught.value)
    assert text.startswith(f"credentials 'env:US': {missing} is not set")
    assert "\n" not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"username": "ann", "password": "p:q"}', Credentials(username="ann", password="p:q")),
        ('{"token": "t"}', Credentials(username="<token>", password="", identity_token="t")),
        ("ann:p:q\n", Credentials(username="ann", password="p:q")),
    ],
)
def test_a_prefect_secret_is_json_or_user_and_password(value: str, expected: Credentials) -> None:
    assert Keychain(environ={}, block={"hub": value}.__getitem__).credentials("block:hub", HOST) == expected


@pytest.mark.parametrize(
    "value", ["", SECRET, "[1]", json.dumps({"password": SECRET}), '{"username": 1, "password": 2}']
)
def test_a_secret_of_another_form_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(UsageError, match="credentials 'block:hub'") as caught:
        Keychain(environ={}, block=lambda _name: value).credentials("block:hub", HOST)
    assert SECRET not in str(caught.value)


def test_a_secret_that_cannot_be_loaded_names_the_block_and_not_the_cause() -> None:
    def load(name: str) -> str:
        raise ValueError(f"{name} is {SECRET}")

    with pytest.raises(UsageError, match=r"the Secret 'hub' \(ValueError\)") as caught:
        Keychain(environ={}, block=load).credentials("block:hub", HOST)
    assert SECRET not in str(caught.value)


def test_a_secret_outside_of_a_flow_is_refused_with_what_to_use() -> None:
    with pytest.raises(UsageError, match="use docker or env:PREFIX"):
        Keychain(environ={}).credentials("block:hub", HOST)


def test_dockers_config_is_read_by_host_and_port(tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: inline("ann", "p"), "r.example.com": inline("bob", "q")}})
    keychain = Keychain(environ=environ)
    assert keychain.credentials("docker", HOST) == Credentials(username="ann", password="p")
    assert keychain.credentials("docker", "r.example.com") == Credentials(username="bob", password="q")
    assert keychain.credentials("docker", "other.example.com") is None


def test_dockers_config_stands_in_the_home_where_nothing_else_is_said(tmp_path: Path) -> None:
    folder = tmp_path / ".docker"
    folder.mkdir()
    docker_config(folder, {"auths": {HOST: inline("ann", "p")}})
    found = Keychain(environ={"HOME": str(tmp_path)}).credentials("docker", HOST)
    assert found == Credentials(username="ann", password="p")


@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_every_name_of_the_hub_finds_its_one_entry(tmp_path: Path, host: str) -> None:
    environ = docker_config(tmp_path, {"auths": {"https://index.docker.io/v1/": inline("ann", "p")}})
    assert Keychain(environ=environ).credentials("docker", host) == Credentials(username="ann", password="p")


def test_an_identity_token_of_dockers_config_is_kept_as_such(tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: {"identitytoken": "t"}}})
    found = Keychain(environ=environ).credentials("docker", HOST)
    assert found == Credentials(username="<token>", password="", identity_token="t")


@pytest.mark.parametrize("document", ["{}", '{"auths": {}}', '{"auths": {"r.example.com:5000": {}}}'])
def test_a_config_without_an_entry_means_anonymous(tmp_path: Path, document: str) -> None:
    assert Keychain(environ=docker_config(tmp_path, document)).credentials("docker", HOST) is None


def test_no_config_means_anonymous(tmp_path: Path) -> None:
    assert Keychain(environ={"DOCKER_CONFIG": str(tmp_path)}).credentials("docker", HOST) is None
    assert Keychain(environ={}).credentials("docker", HOST) is None


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        {"auths": {HOST: {"auth": SECRET}}},
        {"auths": {HOST: "b"}},
        '{"auths": [1]}',
        {"auths": {HOST: {"auth": 3}}},
    ],
)
def test_a_broken_config_is_named_and_never_taken_for_an_empty_one(tmp_path: Path, document: object) -> None:
    with pytest.raises(UsageError) as caught:
        Keychain(environ=docker_config(tmp_path, document)).credentials("docker", HOST)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert f"docker login {HOST}" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_credential_helper_is_asked_for_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = '{"ServerURL":"x","Username":"ann","Secret":"p"}'
    helper(tmp_path, "fake", f"read host; [ \"$host\" = {HOST} ] && echo '{answer}'", monkeypatch)
    environ = docker_config(tmp_path, {"credHelpers": {HOST: "fake"}})
    assert Keychain(environ=environ).credentials("docker", HOST) == Credentials(username="ann", password="p")


def test_a_helper_without_an_entry_means_anonymous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "fake", "echo 'credentials not found in native keychain'; exit 1", monkeypatch)
    environ = docker_config(tmp_path, {"credsStore": "fake"})
    assert Keychain(environ=environ).credentials("docker", HOST) is None


@pytest.mark.parametrize("script", [f"echo {SECRET}; exit 3", f"echo {SECRET}", "echo '{}'", "echo '[]'"])
def test_a_failing_helper_is_named_and_its_words_are_kept_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    helper(tmp_path, "fake", script, monkeypatch)
    with pytest.raises(UsageError, match="docker-credential-fake") as caught:
        Keychain(environ=docker_config(tmp_path, {"credsStore": "fake"})).credentials("docker", HOST)
    assert SECRET not in str(caught.value)


def test_a_helper_that_hangs_is_given_up_and_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    helper(tmp_path, "slow", f"echo >> {asked}; exec sleep 60", monkeypatch)
    monkeypatch.setattr("pullbench.registry.docker_config.PATIENCE_S", 0.1)
    keychain = Keychain(environ=docker_config(tmp_path, {"credHelpers": {HOST: "slow"}}))
    for _ in range(2):
        with pytest.raises(UsageError, match=r"docker-credential-slow .* 0\.1 s"):
            keychain.credentials("docker", HOST)
    assert not asked.exists() or asked.read_text() == "\n"


def test_a_helper_that_takes_its_time_holds_up_no_other_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    helper(tmp_path, "slow", f"""read go < {gate}; echo '{{"Username":"bob","Secret":"q"}}'""", monkeypatch)
    environ = docker_config(tmp_path, {"credHelpers": {HOST: "slow"}}) | {"US_USERNAME": "ann", "US_PASSWORD": "p"}
    keychain = Keychain(environ=environ)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(keychain.credentials, "docker", HOST)
        with gate.open("w") as go:  # opened once the helper reads
            other = pool.submit(keychain.credentials, "env:US", "other.example.com")
            assert other.result(timeout=30) == Credentials(username="ann", password="p")
            assert keychain.known() == (Credentials(username="ann", password="p"),)
            go.write("on\n")
        assert waiting.result() == Credentials(username="bob", password="q")


def test_an_identity_token_of_a_helper_is_kept_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(tmp_path, "fake", """echo '{"Username":"<token>","Secret":"t"}'""", monkeypatch)
    found = Keychain(environ=docker_config(tmp_path, {"credsStore": "fake"})).credentials("docker", HOST)
    assert found == Credentials(username="<token>", password="", identity_token="t")


def test_a_helper_is_asked_for_the_hub_by_the_name_that_docker_files_it_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """read host; [ "$host" = https://index.docker.io/v1/ ] && echo '{"Username":"ann","Secret":"p"}'"""
    helper(tmp_path, "fake", script, monkeypatch)
    keychain = Keychain(environ=docker_config(tmp_path, {"credsStore": "fake"}))
    assert keychain.credentials("docker", "registry-1.docker.io") == Credentials(username="ann", password="p")


NOTHING = ["echo credentials not found in native keychain; exit 1", """echo '{"Username":"","Secret":""}'"""]


@pytest.mark.parametrize("script", NOTHING)
@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_helper_that_has_no_login_means_anonymous_as_in_docker_although_the_file_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, key: str
) -> None:
    helper(tmp_path, "fake", script, monkeypatch)
    named = "fake" if key == "credsStore" else {HOST: "fake"}
    keychain = Keychain(environ=docker_config(tmp_path, {key: named, "auths": {HOST: inline("ann", "p")}}))
    assert keychain.credentials("docker", HOST) is None


@pytest.mark.parametrize(
    ("script", "user"),
    [*((script, "<token>") for script in NOTHING), ("""echo '{"Username":"bob","Secret":"q"}'""", "bob")],
)
def test_a_registry_token_of_the_file_is_used_beside_any_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, user: str
) -> None:
    helper(tmp_path, "fake", script, monkeypatch)
    entry = {**inline("ann", "p"), "registrytoken": "t"}
    keychain = Keychain(environ=docker_config(tmp_path, {"credsStore": "fake", "auths": {HOST: entry}}))
    found = keychain.credentials("docker", HOST)
    assert found is not None
    assert (found.username, found.password, found.registry_token) == (user, "q" if user == "bob" else "", "t")


def test_a_helper_that_is_not_installed_is_named_without_a_warning(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="docker-credential-absent"):
        Keychain(environ=docker_config(tmp_path, {"credsStore": "absent"})).credentials("docker", HOST)


def test_a_source_is_asked_once_a_host_from_many_threads() -> None:
    asked: list[str] = []

    def load(name: str) -> str:
        asked.append(name)
        return "ann:p"

    keychain = Keychain(environ={}, block=load)
    threads = [threading.Thread(target=keychain.credentials, args=("block:hub", HOST)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keychain.credentials("block:hub", "other.example.com")
    assert asked == ["hub", "hub"]


def test_a_forward_proxys_login_is_read_for_a_route_that_goes_through_it() -> None:
    keychain = Keychain(environ={"P_USERNAME": "ann", "P_PASSWORD": SECRET, "T_TOKEN": SECRET})
    direct = Route(registry="eu", url="https://r.example.com", forward_credentials="env:P")
    assert keychain.forward_login(direct) is None
    through = replace(direct, forward_url="https://squid:3128")
    assert keychain.forward_login(through) == Credentials(username="ann", password=SECRET)
    assert keychain.forward_login(replace(through, forward_credentials="anonymous")) is None
    with pytest.raises(UsageError, match="'env:T': a forward proxy"):
        keychain.forward_login(replace(through, forward_credentials="env:T"))
    with pytest.raises(UsageError, match="NO_USERNAME is not set"):
        keychain.forward_login(replace(through, forward_credentials="env:NO"))


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(UsageError, match="docker, env:PREFIX"):
        Keychain(environ={}).credentials("vault", HOST)


def test_the_keychain_itself_shows_no_secret() -> None:
    keychain = Keychain(environ={"US_USERNAME": "ann", "US_PASSWORD": SECRET})
    keychain.credentials("env:US", HOST)
    assert SECRET not in repr(keychain)


ANN, BOB = Credentials(username="ann", password="p"), Credentials(username="bob", password="q")
ROBOT = Credentials(username="ann", password="p", identity_token="t")
WITH_TOKEN = {"registrytoken": "r3g"}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "ann", "password": "p"}, ANN),
        ({**inline("ann", "p"), "identitytoken": ""}, ANN),
        ({**inline("ann", "p"), "username": "old", "password": "stale"}, ANN),
        ({**inline("ann", "p"), "email": None}, ANN),
        ({"Username": "ann", "PASSWORD": "p"}, ANN),
        ({"auth": inline("ann", "p\0\0")["auth"]}, ANN),
        ({"auth": inline("ann", "p")["auth"] + "\n"}, ANN),
        ({**inline("ann", "p"), "identitytoken": "t"}, ROBOT),
        (
            {"auth": inline("0000-0000", "")["auth"], "identitytoken": "t"},
            Credentials(username="0000-0000", password="", identity_token="t"),
        ),
        (WITH_TOKEN, Credentials(username="<token>", password="", registry_token="r3g")),
        (None, None),
        ({}, None),
        ({"auth": ""}, None),
        ({"auth": None, "username": "ann"}, None),
    ],
)
def test_an_entry_is_read_as_docker_reads_it(tmp_path: Path, entry: object, expected: Credentials | None) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: entry}})
    assert Keychain(environ=environ).credentials("docker", HOST) == expected


@pytest.mark.parametrize(
    "foreign", [None, {}, {"auth": ""}, {"auth": "!"}, "text", 3, [], {"auth": 3}, {"auth": "Og=="}]
)
def test_a_bad_entry_of_another_host_fails_no_other(tmp_path: Path, foreign: object) -> None:
    auths = {"a.example.com": foreign, HOST: inline("ann", "p"), "z.example.com": foreign}
    keychain = Keychain(environ=docker_config(tmp_path, {"auths": auths}))
    assert keychain.credentials("docker", HOST) == ANN
    assert keychain.credentials("docker", "other.example.com") is None


@pytest.mark.parametrize(
    "extra", [{"auths": None}, {"credHelpers": None, "credsStore": ""}, {"HttpHeaders": {"a": "b"}}]
)
def test_parts_of_the_file_that_are_empty_are_none(tmp_path: Path, extra: dict[str, object]) -> None:
    assert Keychain(environ=docker_config(tmp_path, extra)).credentials("docker", HOST) is None


@pytest.mark.parametrize(
    ("auths", "expected"),
    [
        ({f"https://{HOST}/v1/": inline("bob", "q"), HOST: inline("ann", "p")}, ANN),
        ({f"https://{HOST}/v2/": inline("bob", "q")}, BOB),
        ({HOST: {}, f"https://{HOST}": inline("bob", "q")}, None),
    ],
)
def test_the_entry_of_the_host_itself_comes_before_one_of_its_urls(
    tmp_path: Path, auths: dict[str, object], expected: Credentials | None
) -> None:
    assert Keychain(environ=docker_config(tmp_path, {"auths": auths})).credentials("docker", HOST) == expected


@pytest.mark.parametrize("hosted", ["docker.io", "registry-1.docker.io", "index.docker.io"])
def test_the_hubs_entry_is_the_one_that_docker_login_writes(tmp_path: Path, hosted: str) -> None:
    auths = {"registry-1.docker.io": inline("bob", "q"), "docker.io": inline("bob", "q")}
    both = auths | {"https://index.docker.io/v1/": inline("ann", "p")}
    assert Keychain(environ=docker_config(tmp_path, {"auths": both})).credentials("docker", hosted) == ANN
    only = {"auths": {"registry-1.docker.io": inline("bob", "q")}}
    keychain = Keychain(environ=docker_config(tmp_path, only))
    assert keychain.credentials("docker", hosted) is None
    assert keychain.origin("docker", hosted).near == ("registry-1.docker.io",)


@pytest.mark.parametrize("script", [None, "exit 3", "echo no JSON"])
def test_an_entry_with_a_login_is_used_where_its_helper_is_missing_or_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    if script is not None:
        helper(tmp_path, "box", script, monkeypatch)
    document = {"credsStore": "box", "auths": {HOST: inline("ann", "p"), "empty.example.com": {}}}
    keychain = Keychain(environ=docker_config(tmp_path, document))
    assert keychain.credentials("docker", HOST) == ANN
    with pytest.raises(UsageError, match="docker-credential-box"):
        keychain.credentials("docker", "empty.example.com")


def test_a_helpers_login_is_used_where_the_entry_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "box", """echo '{"Username":"ann","Secret":"p"}'""", monkeypatch)
    document = {"credsStore": "box", "auths": {HOST: {"auth": "!"}}}
    assert Keychain(environ=docker_config(tmp_path, document)).credentials("docker", HOST) == ANN


def test_no_token_of_an_entry_is_shown(tmp_path: Path) -> None:
    environ = docker_config(tmp_path, {"auths": {HOST: {"identitytoken": SECRET, "registrytoken": SECRET}}})
    assert SECRET not in repr(Keychain(environ=environ).credentials("docker", HOST))
