from pathlib import Path

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import credentials
from pullbench.preflight.checks.credentials import CredentialLookup
from pullbench.preflight.runner import as_json
from pullbench.registry.docker_config import Origin
from tests.preflight.contexts import ROUTE, context_over, spec_of, target_of
from tests.registry.fake_registry import SECRET, FakeRegistry
from tests.registry.test_keychain import docker_config, helper, inline

HOST = "registry.example.com"
FILE = "/home/ann/.docker/config.json"
FAULT = ObservedFault(code=ErrorCode.UNAUTHORIZED, text="credentials 'docker': no")
HELPER = Origin(source="docker", config_path=FILE, config_exists=True, helper="docker-credential-pass")


def judged(evidence: CredentialLookup, source: str = "docker") -> Finding:
    target = Target(route=Route(registry="eu", url=ROUTE.url, credentials=source))
    findings = credentials.judge(evidence, target)
    assert len(findings) == 1
    return findings[0]


@pytest.mark.promise("plain http", "Preflight fails on such credentials before anything is sent")
def test_credentials_that_would_go_in_clear_fail_the_check_before_anything_is_sent() -> None:
    registry, route = FakeRegistry(), Route(registry="eu", url="http://10.0.0.7:5000", credentials="env:CI")
    target = Target(route=route)
    (found,) = credentials.judge(credentials.probe(context_over(registry), target), target)
    assert found.status is Status.FAIL and "[plain_http]" in found.observed
    assert "`plain_http_credentials:" in found.remedy
    assert SECRET not in str(found) and registry.requests == []


@pytest.mark.parametrize(
    ("origin", "where"),
    [
        (Origin(source="docker", config_path=FILE, config_exists=True, entry=HOST), f"from {FILE}"),
        (HELPER, f"docker-credential-pass, set in {FILE}"),
        (Origin(source="env:CI", variables=("CI_USERNAME", "CI_TOKEN")), "from CI_USERNAME and CI_TOKEN"),
        (Origin(source="block:hub"), "'hub'"),
    ],
)
def test_what_is_found_passes_with_the_user_and_the_place(origin: Origin, where: str) -> None:
    found = judged(CredentialLookup(origin=origin, user="user 'ann'"), origin.source)
    assert (found.status, found.observed.startswith("user 'ann', ")) == (Status.PASS, True)
    assert found.observed.endswith(where)


@pytest.mark.parametrize(
    ("origin", "observed"),
    [
        (Origin(source="anonymous"), "(anonymous)"),
        (Origin(source="docker"), "no home directory"),
        (Origin(source="docker", config_path=FILE), f"{FILE} does not exist"),
        (HELPER, f"no entry for {HOST}, nor does docker-credential-pass"),
    ],
)
def test_nothing_for_this_host_passes_and_says_so(origin: Origin, observed: str) -> None:
    found = judged(CredentialLookup(origin=origin), origin.source)
    assert (found.status, observed in found.observed) == (Status.PASS, True)


def test_an_entry_with_another_port_warns_with_the_login_for_this_one() -> None:
    origin = Origin(source="docker", config_path=FILE, config_exists=True, near=(f"{HOST}:5000",))
    found = judged(CredentialLookup(origin=origin))
    assert found.status is Status.WARN
    assert f"one for {HOST}:5000" in found.observed
    assert f"`docker login {HOST}`" in found.remedy


@pytest.mark.parametrize(
    ("origin", "source", "cure"),
    [
        (HELPER, "docker", "`command -v docker-credential-pass`"),
        (
            Origin(source="docker", config_path=FILE, helper="docker-credential-pass", helper_path="/usr/bin/x"),
            "docker",
            "`docker-credential-pass list`",
        ),
        (Origin(source="docker", config_path=FILE), "docker", f"`python3 -m json.tool {FILE} >/dev/null`"),
        (Origin(source="env:CI"), "env:CI", "`export CI_USERNAME=… CI_PASSWORD=…`"),
        (Origin(source="block:hub"), "block:hub", "`prefect block inspect secret/hub`"),
    ],
)
def test_a_source_that_fails_fails_with_its_own_remedy(origin: Origin, source: str, cure: str) -> None:
    found = judged(CredentialLookup(origin=origin, fault=FAULT), source)
    assert (found.status, found.code) == (Status.FAIL, FAULT.code)
    assert cure in found.remedy


def probed(source: str, environ: dict[str, str]) -> tuple[CredentialLookup, Finding]:
    registry = FakeRegistry()
    context = context_over(registry, spec_of(credentials=source), environ=environ)
    evidence = credentials.probe(context, target_of(context))
    assert registry.requests == []
    return evidence, credentials.judge(evidence, target_of(context))[0]


def test_the_secret_is_in_neither_evidence_nor_finding(tmp_path: Path) -> None:
    evidence, found = probed("docker", docker_config(tmp_path, {"auths": {HOST: inline("ann", SECRET)}}))
    assert found.observed == f"user 'ann', from {tmp_path}/config.json"
    kept = repr(found) + repr(evidence) + as_json(evidence)
    assert SECRET not in kept
    assert inline("ann", SECRET)["auth"] not in kept


def test_an_identity_token_has_no_name() -> None:
    observed = probed("env:ID", {"ID_TOKEN": SECRET})[1].observed
    assert "identity token" in observed and "ID_TOKEN" in observed and "user" not in observed


def test_a_missing_helper_and_one_that_fails_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = docker_config(tmp_path, {"credsStore": "box"}) | {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    missing = probed("docker", environ)[1]
    assert missing.status is Status.FAIL
    assert "docker-credential-box" in missing.observed
    assert "not on PATH" in missing.observed
    helper(tmp_path, "box", f"echo {SECRET} is no JSON; exit 1", monkeypatch)
    failing = probed("docker", environ)[1]
    assert failing.status is Status.FAIL
    assert "registry.example.com" in failing.observed and "PATH" not in failing.observed
    assert "`docker-credential-box list`" in failing.remedy
    assert SECRET not in repr(failing)


@pytest.mark.parametrize("entry", [None, {}, {"auth": ""}])
def test_an_entry_without_a_login_warns_and_is_never_called_absent(tmp_path: Path, entry: object) -> None:
    found = probed("docker", docker_config(tmp_path, {"auths": {HOST: entry}}))[1]
    assert (found.status, HOST in found.observed) == (Status.WARN, True)
    assert "no entry" not in found.observed and f"docker login {HOST}" in found.remedy


def test_the_entry_is_named_where_its_key_is_not_the_host(tmp_path: Path) -> None:
    auths = {f"https://{HOST}/v1/": inline("ann", SECRET)}
    assert f"https://{HOST}/v1/" in probed("docker", docker_config(tmp_path, {"auths": auths}))[1].observed


def test_a_login_in_the_file_that_docker_does_not_read_beside_its_helper_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "box", "echo credentials not found in native keychain; exit 1", monkeypatch)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    document = {"credsStore": "box", "auths": {HOST: inline("ann", SECRET)}}
    found = probed("docker", docker_config(tmp_path, document) | path)[1]
    assert (found.status, found.kind) == (Status.WARN, "credentials-helper-has-none")
    assert "docker-credential-box" in found.observed and "skopeo" in found.observed
    assert f"docker login {HOST}" in found.remedy and SECRET not in repr(found)
    document["auths"] = {HOST: {}}
    assert probed("docker", docker_config(tmp_path, document) | path)[1].status is Status.PASS


def test_a_login_in_the_file_beside_a_helper_that_is_not_installed_passes(tmp_path: Path) -> None:
    document = {"credsStore": "absent", "auths": {HOST: inline("ann", SECRET)}}
    found = probed("docker", docker_config(tmp_path, document) | {"PATH": "/nowhere"})[1]
    assert (found.status, "not installed" in found.observed) == (Status.PASS, True)


@pytest.mark.parametrize("key", ["registry-1.docker.io", "https://registry.hub.docker.com/v2/"])
def test_a_name_of_the_hub_that_docker_does_not_read_warns_with_the_entry_that_it_reads(
    tmp_path: Path, key: str
) -> None:
    registry = FakeRegistry()
    spec = spec_of("https://registry-1.docker.io", credentials="docker")
    document = {"auths": {key: inline("ann", SECRET)}}
    context = context_over(registry, spec, environ=docker_config(tmp_path, document))
    (found,) = credentials.judge(credentials.probe(context, target_of(context)), target_of(context))
    assert (found.status, key in found.observed) == (Status.WARN, True)
    assert "https://index.docker.io/v1/" in found.remedy


def test_the_hubs_own_entry_is_named(tmp_path: Path) -> None:
    spec = spec_of("https://registry-1.docker.io", credentials="docker")
    document = {"auths": {"https://index.docker.io/v1/": inline("ann", SECRET)}}
    context = context_over(FakeRegistry(), spec, environ=docker_config(tmp_path, document))
    (found,) = credentials.judge(credentials.probe(context, target_of(context)), target_of(context))
    assert (found.status, "https://index.docker.io/v1/" in found.observed) == (Status.PASS, True)
