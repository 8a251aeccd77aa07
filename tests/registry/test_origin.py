from pathlib import Path
from typing import Any

import pytest

from pullbench.registry.auth import token_access
from pullbench.registry.docker_config import Origin
from pullbench.registry.keychain import Keychain
from tests.registry.test_keychain import HOST, SECRET, docker_config, helper, inline
from tests.registry.tokens import jwt


def origin_of(folder: Path, document: object, host: str = HOST, **environ: str) -> Origin:
    return Keychain(environ={**docker_config(folder, document), **environ}).origin("docker", host)


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"https://{HOST}/v2/"])
def test_an_entry_of_the_file_is_told_by_its_key_without_its_secret(tmp_path: Path, key: str) -> None:
    found = origin_of(tmp_path, {"auths": {key: inline("ann", SECRET)}})
    assert (found.config_path, found.config_exists, found.entry) == (str(tmp_path / "config.json"), True, key)
    assert SECRET not in repr(found)
    assert inline("ann", SECRET)["auth"] not in repr(found)


def test_an_entry_of_the_same_name_with_another_port_is_near(tmp_path: Path) -> None:
    found = origin_of(tmp_path, {"auths": {"r.example.com": {}, "other.example:5000": {}, "r.example.com:443": {}}})
    assert (found.entry, found.near) == (None, ("r.example.com", "r.example.com:443"))


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io"])
def test_the_hub_is_found_under_the_names_that_docker_gives_it(tmp_path: Path, key: str) -> None:
    assert origin_of(tmp_path, {"auths": {key: {}}}, "registry-1.docker.io").entry == key


@pytest.mark.parametrize("document", [{"credsStore": "box"}, {"credHelpers": {HOST: "box"}, "credsStore": "other"}])
def test_a_helper_is_named_with_where_it_is_and_is_not_run(
    tmp_path: Path, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "box", f"touch {tmp_path}/was-run", monkeypatch)
    found = origin_of(tmp_path, document, PATH=str(tmp_path))
    assert (found.helper, found.helper_path) == ("docker-credential-box", str(tmp_path / "docker-credential-box"))
    assert origin_of(tmp_path, document, PATH="/nowhere").helper_path is None
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("document", ["{", "[]", {"auths": []}, {"credsStore": 3}, {"credHelpers": "x"}])
def test_a_file_that_is_none_has_no_entry(tmp_path: Path, document: object) -> None:
    found = origin_of(tmp_path, document)
    assert (found.entry, found.helper, found.near) == (None, None, ())


def test_a_home_without_a_file_and_no_home_at_all_are_told_apart(tmp_path: Path) -> None:
    assert Keychain(environ={"HOME": str(tmp_path)}).origin("docker", HOST).config_exists is False
    assert Keychain(environ={}).origin("docker", HOST).config_path is None


def test_variables_that_are_set_are_named_without_their_values() -> None:
    found = Keychain(environ={"CI_USERNAME": "ann", "CI_TOKEN": SECRET, "CI_PASSWORD": ""}).origin("env:CI", HOST)
    assert found == Origin(source="env:CI", variables=("CI_USERNAME", "CI_TOKEN"))


def test_what_a_token_grants_is_read_from_its_claims() -> None:
    access = [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}, {"type": "registry"}]
    assert token_access(jwt({"access": access})) == ("repository:team/app:pull,push", "registry::")
    assert token_access(jwt({"access": []})) == ()


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.ü.c", jwt([]), jwt({}), jwt({"access": "all"}), f"x.{'W' * 40_000}.y"]
)
def test_a_token_that_does_not_say_what_it_grants_is_none(token: str) -> None:
    assert token_access(token) is None


def test_what_a_hostile_token_says_is_bounded_and_clean() -> None:
    entry = {"type": "repository\x1b[2J", "name": "n" * 2000, "actions": ["pull\n"] * 99}
    found = token_access(jwt({"access": [entry] * 99})) or ()
    assert len(found) == 20
    assert all(len(scope) < 600 and scope.isprintable() for scope in found)
