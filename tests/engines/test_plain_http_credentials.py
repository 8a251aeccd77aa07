"""No engine is handed credentials that it would send over plain HTTP to another machine; nothing is contacted then."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pullbench.engines.command.containerd import ContainerdEngine
from pullbench.engines.command.containers_image import AUTH, write_configuration
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.spec import EngineEntry
from tests.engines.command_world import KEYCHAIN, Image
from tests.engines.docker_world import COLD, FakeDaemon, engine_on, pull_request, trial
from tests.engines.scripted_server import Incoming
from tests.engines.test_wire_auth import BASIC, ENVIRON, TokenService
from tests.engines.wire_bench import CLOCK, bench

THERE = "http://10.0.0.7:5000"
REFUSED = r"not sent to http://10\.0\.0\.7:5000.*plain_http_credentials: send"


def open_wire(sends_in_clear: bool) -> None:
    route = {"url": THERE, "credentials": "env:EU", "sends_in_clear": sends_in_clear}
    with bench(route=route, environ=ENVIRON):
        pass


def open_docker(sends_in_clear: bool) -> None:
    daemon = FakeDaemon(COLD)
    request = pull_request(credentials="env:ME")
    route = replace(request.route, url=THERE, sends_in_clear=sends_in_clear)
    trial(engine_on(daemon), replace(request, route=route))
    assert daemon.auth[0]["password"] == "secret"


def open_containerd(sends_in_clear: bool) -> None:
    request = Image().request(url=THERE, credentials="env:ME", sends_in_clear=sends_in_clear)
    engine = ContainerdEngine(EngineEntry(name="containerd", kind="containerd"), keychain=KEYCHAIN, clock=CLOCK)
    engine._check_secret(request.route)
    engine.close()


@pytest.mark.parametrize("opens", [open_wire, open_docker, open_containerd])
@pytest.mark.promise(
    "plain http", "`wire`, `docker` and `containerd` get no credentials for plain HTTP to another machine"
)
def test_keychain_login_hands_no_engine_credentials_for_plain_http_to_another_machine(
    opens: Callable[[bool], None],
) -> None:
    with pytest.raises(UsageError, match=REFUSED):
        opens(False)
    opens(True)


@pytest.mark.promise(
    "plain http", "The auth file of `skopeo` and `podman` has no credentials for plain HTTP to another machine"
)
def test_keychain_login_keeps_credentials_for_plain_http_out_of_the_auth_file_of_skopeo_and_podman(
    tmp_path: Path,
) -> None:
    request = Image().request(url=THERE, credentials="env:ME")
    with pytest.raises(UsageError, match=REFUSED):
        write_configuration(tmp_path, [request], KEYCHAIN)
    assert not (tmp_path / AUTH).exists()


def test_the_realm_guard_of_the_wire_sends_no_credentials_to_a_plain_realm_elsewhere() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        service = TokenService(b)
        service.realm = "http://10.0.0.7:5001/token"
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.PLAIN_HTTP
        assert "plain_http_credentials" in (outcome.error or "")
        assert service.asked == []


def test_a_login_over_plain_http_to_this_machine_needs_no_word() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        path = b.image.manifest_path(b.image.index)
        challenged = [("WWW-Authenticate", "Basic")]
        seen: list[str | None] = []

        def refuse(incoming: Incoming) -> None:
            seen.append(incoming.headers.get("authorization"))
            incoming.send(401, headers=challenged)

        b.server.on(path, refuse)
        b.pull()
        assert seen == [None, BASIC]
