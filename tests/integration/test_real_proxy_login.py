"""A squid that wants a login: who gives it, who is refused, and who never gets to see it."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.debian_images import small_image
from pullbench.errors import ErrorCode
from pullbench.model.platform import Platform
from pullbench.model.route import Route
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.integration.asked import request
from tests.integration.command_bench import CommandBench
from tests.integration.conftest import PushImage, StartRegistry, missing, need
from tests.integration.real_registry import HTPASSWD, PASSWORD, USERNAME, RealRegistry
from tests.integration.real_squid import RealSquid, running_squid
from tests.integration.shell import Done, Shell, hiding_places, holding
from tests.integration.wire_trial import made_image, trial
from tests.registry.sockets import Authority, authority, listening

pytestmark = [pytest.mark.integration, pytest.mark.real]

AMD64 = Platform.parse("linux/amd64")
PROGRAMS = {"skopeo": "skopeo", "podman": "podman", "containerd": "ctr"}
LOGIN = {"SQUID_USERNAME": USERNAME, "SQUID_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def squid() -> Iterator[RealSquid]:
    with running_squid(need("squid"), htpasswd=HTPASSWD) as started:
        yield started


@pytest.fixture(scope="module")
def encrypted(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(tls=True)


def by(squid: RealSquid, credentials: str) -> dict[str, Any]:
    """A route through the squid with a login of `wire_trial` or `command_bench`."""
    return {"proxy": "squid", "forward_url": squid.url, "forward_credentials": credentials}


@pytest.mark.parametrize("tls", [False, True])
def test_wire_logs_in_to_the_proxy_and_a_wrong_login_is_the_proxys_failure(
    tls: bool,
    plain_registry: RealRegistry,
    encrypted: RealRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    squid: RealSquid,
) -> None:
    registry, repository, image = encrypted if tls else plain_registry, fresh(), made_image((100_000, 300))
    push_image(registry, repository, "1", image)
    with trial(registry, repository, image, route=by(squid, "env:REAL")) as pull:
        outcome = pull()
    assert outcome.ok, outcome.error
    target = registry.host if tls else repository
    asked = squid.asked_at_last(lambda so_far: any(target in one.url for one in so_far))
    assert {one.user for one in asked if target in one.url} == {USERNAME}
    for route, password in ((by(squid, "env:REAL"), "wrong-password"), (by(squid, "anonymous"), PASSWORD)):
        with trial(registry, repository, image, route=route, password=password) as pull:
            refused = pull()
        assert refused.error_code is ErrorCode.PROXY, refused.error
        assert "407" in (refused.error or "")
        assert password not in (refused.error or "")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_client_logs_in_to_the_proxy_and_a_wrong_login_is_the_proxys_failure(
    kind: str,
    tls: bool,
    plain_registry: RealRegistry,
    encrypted: RealRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    squid: RealSquid,
) -> None:
    need(PROGRAMS[kind])
    if kind != "skopeo" and os.geteuid() != 0:
        missing(f"only root can run {kind} for a benchmark")
    registry, repository, image = encrypted if tls else plain_registry, fresh(), small_image(AMD64, fresh())
    push_image(registry, repository, "1.0", image)
    # Go passes a proxy by for 127.0.0.0/8; 0.0.0.0 reaches the same registry, and is none of those.
    url, ca_file = registry.url.replace("127.0.0.1", "0.0.0.0"), str(registry.ca_file) if tls else None
    bench = CommandBench(kind)
    (right,) = bench.pull(request(repository, image, url, ca_file=ca_file, **by(squid, "env:GOOD")))
    (wrong,) = bench.pull(request(repository, image, url, ca_file=ca_file, **by(squid, "env:BAD")))
    bench.engine.close()
    assert right.ok, right.error
    target = url.partition("://")[2] if tls else repository
    asked = squid.asked_at_last(lambda so_far: any(target in one.url for one in so_far))
    assert USERNAME in {one.user for one in asked if target in one.url}
    assert wrong.error_code is ErrorCode.PROXY, wrong.error
    assert "wrong-password" not in (wrong.error or "")


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[tuple[str, Authority, list[bytes]]]:
    """A TLS server that keeps what it is sent, its CA, and what it kept."""
    ca, seen = authority(tmp_path), list[bytes]()

    def serve(connection: socket.socket) -> None:
        seen.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with listening(serve, ca.server(tmp_path)) as port:
        yield f"https://127.0.0.1:{port}", ca, seen


def test_the_registry_never_sees_the_proxys_login(
    origin: tuple[str, Authority, list[bytes]], plain_registry: RealRegistry, squid: RealSquid
) -> None:
    url, ca, seen = origin
    route = {**by(squid, "env:REAL"), "url": url, "ca_file": str(ca.ca_file), "credentials": "anonymous"}
    with trial(plain_registry, "app", made_image((300,)), route=route) as pull:
        assert pull().error_code is ErrorCode.NOT_FOUND
    keychain = Keychain(environ=LOGIN)
    asked = Route(
        registry="r",
        url=url,
        ca_file=str(ca.ca_file),
        proxy="squid",
        forward_url=squid.url,
        forward_credentials="env:SQUID",
    )
    with RegistryClient(asked, keychain) as client, pytest.raises(Exception, match="404"):
        client.ping()
    assert len(seen) == 2
    assert all(b"authorization" not in head.lower() for head in seen)


def run(shell: Shell, registry: RealRegistry, repository: str, squid: RealSquid, **environment: Any) -> Done:
    engines = ["wire", "skopeo", *(["podman", "containerd"] if os.geteuid() == 0 else [])]
    spec = {
        "name": "proxy-login",
        "registries": [
            {
                "name": "local",
                "url": registry.url.replace("127.0.0.1", "0.0.0.0"),
                "credentials": "anonymous",
                "ca_file": str(registry.ca_file),
            }
        ],
        "proxies": [{"name": "squid", "kind": "forward", "url": squid.url, "credentials": "env:SQUID"}],
        "images": [f"{repository}:1.0"],
        "matrix": {"platforms": ["linux/amd64"], "engines": engines, "proxies": ["squid"]},
        "repetitions": 1,
        "warmup": 0,
    }
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return shell.run("run", "spec.yaml", "--json", "--no-report", **(LOGIN | environment))


def test_a_run_goes_through_a_proxy_with_a_login_that_is_nowhere_to_be_found(
    shell: Shell,
    encrypted: RealRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    squid: RealSquid,
) -> None:
    repository = fresh()
    push_image(encrypted, repository, "1.0", small_image(AMD64, fresh()))
    done = run(shell, encrypted, repository, squid)
    assert done.code in (0, 1), done.err
    assert [cell["succeeded"] for cell in done.document["cells"]] == [1] * len(done.document["cells"]) != []
    assert holding(PASSWORD, hiding_places([shell.folder], done)) == []

    refused = run(shell, encrypted, repository, squid, SQUID_PASSWORD="planted-wrong-password")
    assert refused.code == 1, refused.err
    failed = [finding for finding in refused.document["preflight"]["findings"] if finding["status"] == "fail"]
    assert "[proxy]" in failed[0]["observed"] and "credentials" in failed[0]["remedy"]
    assert "planted-wrong-password" not in refused.out + refused.err

    forgotten = run(shell, encrypted, repository, squid, SQUID_PASSWORD="")
    assert forgotten.code == 2
    assert "SQUID_PASSWORD" in forgotten.err
