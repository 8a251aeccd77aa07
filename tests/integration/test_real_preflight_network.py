"""The checks of network and access, each failing for real: docker-registries, a token service, a slow server."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.debian_images import small_image
from pullbench.app.preflight import check
from pullbench.lab.registry import Registry
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.platform import Platform
from pullbench.model.spec import read_spec
from pullbench.preflight.checks import clock
from pullbench.preflight.context import CheckContext, system_now
from pullbench.preflight.runner import run_checks
from pullbench.registry.keychain import Keychain
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry
from tests.integration.real_token_server import TokenServer
from tests.integration.shell import Shell, hiding_places, holding
from tests.registry.sockets import closed_port
from tests.registry.test_keychain import helper

pytestmark = [pytest.mark.integration, pytest.mark.real]

GOOD = {"GOOD_USERNAME": USERNAME, "GOOD_PASSWORD": PASSWORD}
WRONG_PASSWORD = "wr0ng-pa55word"
WRONG = {"WRONG_USERNAME": USERNAME, "WRONG_PASSWORD": WRONG_PASSWORD}


def write_spec(folder: Path, registries: dict[str, dict[str, Any]], image: str = "app:1.0", **changes: Any) -> Path:
    document = {
        "name": "network",
        "registries": [{"name": name, "credentials": "anonymous", **entry} for name, entry in registries.items()],
        "images": [image],
        "matrix": {"platforms": ["linux/amd64"]},
        **changes,
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def found_of(spec: Path, *only: str, **environ: str) -> dict[tuple[str, str], Finding]:
    """The findings by check and target, as the flow and the command get them."""
    return {(found.check, found.target): found for found in check(spec, only=only, environ=environ).findings}


def by_check(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(entry["check"], entry["target"]): entry for entry in document["findings"]}


@pytest.fixture(scope="module")
def guarded(docker_registry: StartRegistry, push_image: PushImage) -> RealRegistry:
    """One that wants a password, with an image in it."""
    registry = docker_registry(htpasswd=True)
    push_image(registry, "app", "1.0", small_image(Platform.parse("linux/amd64"), "preflight-network"))
    return registry


def test_the_command_tells_each_failure_of_the_way_by_its_code_and_the_command_for_it(
    docker_registry: StartRegistry, plain_registry: RealRegistry, tmp_path: Path
) -> None:
    good, ends_soon = docker_registry(tls=True), docker_registry(tls=True, certificate={"ends_in_days": 9})
    expired = docker_registry(tls=True, certificate={"ends_in_days": -2})
    other = docker_registry(tls=True, certificate={"host": "registry.example.com"})
    port = closed_port()
    registries = {
        "trusted": {"url": good.url, "ca_file": str(good.ca_file)},
        "untrusted": {"url": good.url},
        "ends-soon": {"url": ends_soon.url, "ca_file": str(ends_soon.ca_file)},
        "expired": {"url": expired.url, "ca_file": str(expired.ca_file)},
        "other-host": {"url": other.url, "ca_file": str(other.ca_file)},
        "plain": {"url": plain_registry.url.replace("http:", "https:")},
        "nowhere": {"url": "https://no-such-registry.invalid"},
        "closed": {"url": f"http://127.0.0.1:{port}"},
    }
    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "no-docker-config")})

    done = shell.run("preflight", str(write_spec(tmp_path, registries)), "--json", "--only", "network")

    assert done.code == 1, done.err
    found = by_check(done.document)
    expected = {
        ("tls", "untrusted"): (
            "[tls_untrusted]",
            f"sudo install -D -m 644 ca.pem /etc/docker/certs.d/{good.host}/ca.crt",
        ),
        ("tls", "expired"): (
            "[tls_expired]",
            f"-connect {expired.host} </dev/null 2>/dev/null | openssl x509 -noout -dates",
        ),
        ("tls", "other-host"): ("[tls_hostname]", f"-connect {other.host} </dev/null"),
        ("tls", "plain"): ("[plain_http]", f"curl -i {plain_registry.url}/v2/"),
        ("dns", "nowhere"): ("[dns]", "getent hosts no-such-registry.invalid"),
        ("tcp", "closed"): ("[connect_refused]", f"nc -vz 127.0.0.1 {port}"),
    }
    for place, (code, command) in expected.items():
        assert found[place]["status"] == "fail", place
        assert found[place]["observed"].startswith(code), found[place]
        assert command in found[place]["remedy"], found[place]
    assert "pullbench test CA" in found["tls", "untrusted"]["observed"]
    assert "registry.example.com" in found["tls", "other-host"]["observed"]
    assert (found["tls", "ends-soon"]["status"], "8 days left" in found["tls", "ends-soon"]["observed"]) == (
        "warn",
        True,
    )
    for name in ("dns", "tcp", "tls", "api", "latency", "http2"):
        assert found[name, "trusted"]["status"] == "pass", found[name, "trusted"]
    assert found["tls", "trusted"]["observed"].startswith("TLSv1.3, ALPN h2, for localhost, ")
    assert "registry/2.0" in found["api", "trusted"]["observed"]
    assert "tcp failed" in found["api", "closed"]["observed"]


def test_the_command_tells_no_credentials_wrong_ones_and_missing_ones_apart_and_shows_no_secret(
    guarded: RealRegistry, tmp_path: Path
) -> None:
    sources = {"none": "anonymous", "wrong": "env:WRONG", "good": "env:GOOD", "unset": "env:UNSET"}
    registries = {name: {"url": guarded.url, "credentials": source} for name, source in sources.items()}
    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "no-docker-config"), **GOOD, **WRONG})

    done = shell.run("preflight", str(write_spec(tmp_path, registries)), "--json", "--only", "access", "--only", "api")

    assert done.code == 1, done.err
    found = by_check(done.document)
    assert found["auth", "good"]["observed"].startswith(f"Basic, with user '{USERNAME}' ")
    assert all(
        part in found["credentials", "good"]["observed"] for part in (f"'{USERNAME}'", "GOOD_USERNAME", "GOOD_PASSWORD")
    )
    assert "with no credentials" in found["auth", "none"]["observed"]
    assert f"`docker login {guarded.host}`" in found["auth", "none"]["remedy"]
    assert f"with user '{USERNAME}' " in found["auth", "wrong"]["observed"]
    assert "UNSET_USERNAME" in found["credentials", "unset"]["observed"]
    assert "credentials failed" in found["auth", "unset"]["observed"]
    places = hiding_places([], done)
    assert holding(PASSWORD, places) == []
    assert holding(WRONG_PASSWORD, places) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [(None, "is not on PATH"), ("echo not here >&2; exit 1", "failed for"), ("echo '{", "failed for")],
)
def test_a_helper_that_is_missing_or_fails_is_named(
    guarded: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {guarded.host: "of-a-test"}}))
    if script is not None:
        helper(tmp_path, "of-a-test", script, monkeypatch)
    spec = write_spec(tmp_path, {"eu": {"url": guarded.url, "credentials": "docker"}})
    environ = {"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"]}

    found = found_of(spec, "credentials", "auth", "api", **environ)

    told = found["credentials", "eu"]
    assert told.status is Status.FAIL
    assert f"docker-credential-of-a-test of {tmp_path}/config.json {said}" in told.observed
    assert "docker-credential-of-a-test" in told.remedy
    assert "credentials failed" in found["auth", "eu"].observed


def test_a_helper_that_works_logs_in(guarded: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "of-a-test"}))
    helper(tmp_path, "of-a-test", f'echo \'{{"Username": "{USERNAME}", "Secret": "{PASSWORD}"}}\'', monkeypatch)
    spec = write_spec(tmp_path, {"eu": {"url": guarded.url, "credentials": "docker"}})

    found = found_of(spec, "access", "api", DOCKER_CONFIG=str(tmp_path), PATH=os.environ["PATH"])

    where = f"from docker-credential-of-a-test, set in {tmp_path}/config.json"
    assert found["credentials", "eu"].observed == f"user '{USERNAME}', {where}"
    assert found["auth", "eu"].status is Status.PASS


def test_a_token_service_tells_wrong_credentials_from_a_missing_right(
    docker_registry: StartRegistry, tmp_path: Path
) -> None:
    with TokenServer(tmp_path / "tokens") as tokens:
        url = docker_registry(changes={"auth": tokens.settings}).url
        registries = {
            "good": {"url": url, "credentials": "env:GOOD"},
            "wrong": {"url": url, "credentials": "env:WRONG"},
            "none": {"url": url},
        }
        of_open = found_of(write_spec(tmp_path, registries, "open/app:1.0"), "access", "api", **GOOD, **WRONG)
        of_closed = found_of(write_spec(tmp_path, registries, "closed/app:1.0"), "access", "api", **GOOD, **WRONG)

    good = of_open["auth", "good"]
    assert good.status is Status.PASS
    for part in (tokens.url, f"with user '{USERNAME}' ", "granted repository:open/app:pull"):
        assert part in good.observed
    for name in ("wrong", "none"):
        assert of_open["auth", name].observed.startswith("[unauthorized]")
    closed = of_closed["auth", "good"]
    assert closed.observed.startswith("[forbidden]")
    assert "closed/app (the token grants nothing)" in closed.observed
    assert f"user '{USERNAME}' permission to pull closed/app" in closed.remedy


def test_a_slow_server_misses_the_slo_and_a_fast_one_does_not(tmp_path: Path) -> None:
    with Registry(service_s=0.05) as slow, Registry() as fast:
        registries = {"slow": {"url": slow.url}, "fast": {"url": fast.url}}
        found = found_of(write_spec(tmp_path, registries, slo={"p99_api_s": 0.04}), "latency")
    assert found["latency", "slow"].status is Status.FAIL
    assert "stopped after 3 s" in found["latency", "slow"].observed
    assert found["latency", "fast"].observed.startswith("p50 ")


def test_a_machine_whose_clock_is_wrong_is_told_so(plain_registry: RealRegistry, tmp_path: Path) -> None:
    spec = read_spec(yaml.safe_load(write_spec(tmp_path, {"eu": {"url": plain_registry.url}}).read_text()))

    def found_at(ahead: timedelta) -> Finding:
        facts = Facts(host_platform="linux/amd64", offline=True)
        with CheckContext(spec, facts, Keychain(environ={}), now=lambda: system_now() + ahead) as context:
            return run_checks([clock.CHECK], context)[0]

    assert found_at(timedelta()).status is Status.PASS
    assert found_at(timedelta(seconds=30)).status is Status.WARN
    wrong = found_at(timedelta(minutes=-10))
    assert wrong.status is Status.FAIL
    assert "10 minutes behind" in wrong.observed
