"""The daemon is the one that the `docker` command would use: DOCKER_HOST, else the current context, else the default."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pullbench.daemon.context import DEFAULT_HOST, endpoint_of
from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import ErrorCode, RegistryError
from tests.daemon.daemon_world import VERSION, DaemonSocket


def write_context(directory: Path, name: str, host: str, *, tls: bool = False, **more: Any) -> None:
    """A context as `docker context create` writes it."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, **more}}}
    (meta / "meta.json").write_text(json.dumps(document))
    if tls:
        files = directory / "contexts" / "tls" / key / "docker"
        files.mkdir(parents=True)
        for file in ("ca", "cert", "key"):
            (files / f"{file}.pem").write_text(file)


def environ_of(directory: Path, **more: str) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(directory), **more}


def use(directory: Path, name: str) -> None:
    (directory / "config.json").write_text(json.dumps({"currentContext": name}))


def test_without_a_context_the_daemon_is_at_the_default_socket(tmp_path: Path) -> None:
    assert endpoint_of(None, environ_of(tmp_path)).host == DEFAULT_HOST
    use(tmp_path, "default")
    assert endpoint_of(None, environ_of(tmp_path)).host == DEFAULT_HOST
    assert endpoint_of(None, {}).host == DEFAULT_HOST


def test_the_current_context_names_the_daemon(tmp_path: Path) -> None:
    write_context(tmp_path, "rootless", "unix:///run/user/1000/docker.sock")
    use(tmp_path, "rootless")
    found = endpoint_of(None, environ_of(tmp_path))
    assert (found.host, found.context) == ("unix:///run/user/1000/docker.sock", "rootless")


def test_a_home_directory_has_contexts_too(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    write_context(tmp_path / ".docker", "rootless", "unix:///run/user/1000/docker.sock")
    use(tmp_path / ".docker", "rootless")
    assert endpoint_of(None, {"HOME": str(tmp_path)}).context == "rootless"


def test_the_environment_goes_before_the_configuration_and_a_host_before_all(tmp_path: Path) -> None:
    write_context(tmp_path, "one", "unix:///one.sock")
    write_context(tmp_path, "two", "unix:///two.sock")
    use(tmp_path, "one")
    two = environ_of(tmp_path, DOCKER_CONTEXT="two")
    assert endpoint_of(None, two).host == "unix:///two.sock"
    assert endpoint_of(None, {**two, "DOCKER_HOST": "unix:///env.sock"}).host == "unix:///env.sock"
    assert endpoint_of("unix:///spec.sock", {**two, "DOCKER_HOST": "unix:///env.sock"}).host == "unix:///spec.sock"


def test_the_tls_files_of_a_context_are_used(tmp_path: Path) -> None:
    write_context(tmp_path, "far", "tcp://docker.example.com:2376", tls=True)
    found = endpoint_of(None, environ_of(tmp_path, DOCKER_CONTEXT="far"))
    assert found.tls_directory is not None
    assert (found.tls_directory / "cert.pem").read_text() == "cert"
    assert not found.skips_verification


@pytest.mark.parametrize("content", [None, "{", "[]", '{"Endpoints": {}}', '{"Endpoints": {"docker": {"Host": 3}}}'])
def test_a_context_that_cannot_be_used_says_so_when_the_daemon_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    if content is not None:
        write_context(tmp_path, "gone", "x")
        next(tmp_path.glob("contexts/meta/*/meta.json")).write_text(content)
    daemon = DockerDaemon()
    with pytest.raises(RegistryError) as raised:
        daemon.version()
    assert raised.value.code is ErrorCode.ENGINE_UNAVAILABLE
    assert "'gone'" in str(raised.value) and "docker context ls" in str(raised.value)


def test_the_daemon_of_the_current_context_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DaemonSocket(tmp_path) as world:
        write_context(tmp_path, "second", world.host)
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        monkeypatch.setenv("DOCKER_CONTEXT", "second")
        daemon = DockerDaemon()
        assert daemon.version() == VERSION["Version"]
        daemon.close()
