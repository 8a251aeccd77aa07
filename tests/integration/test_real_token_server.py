"""Token authentication with a real docker-registry: who asks for a token, when, and what a refusal is called."""

import base64
import datetime
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.debian_images import DebianImage, push, small_image
from pullbench.errors import ErrorCode
from pullbench.model.platform import Platform
from tests.integration.asked import request
from tests.integration.command_bench import CommandBench
from tests.integration.conftest import PushImage, missing, need
from tests.integration.docker_bench import DockerBench
from tests.integration.docker_bench import request as docker_request
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry, start_registry
from tests.integration.real_token_server import TokenServer
from tests.integration.shell import Done, Shell, hiding_places, holding
from tests.integration.wire_trial import trial

pytestmark = [pytest.mark.integration, pytest.mark.real]

AMD64 = Platform.parse("linux/amd64")
OPEN = ("open/a", "open/b")
CLOSED = "closed/c"
PULLS = 6
LOGIN = {"REG_USERNAME": USERNAME, "REG_PASSWORD": PASSWORD}
PROGRAMS = {"skopeo": "skopeo", "podman": "podman", "containerd": "ctr"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A registry that wants tokens, who gives them, and what is in it."""

    registry: RealRegistry
    tokens: TokenServer
    images: dict[str, DebianImage] = field(repr=False)

    def push(self, repository: str, image: DebianImage) -> None:
        headers = {"Authorization": f"Bearer {self.tokens.token_to_push(repository)}"}
        with httpx.Client(base_url=self.registry.url, headers=headers, timeout=60, trust_env=False) as client:
            push(client, repository, "1.0", image)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    need("docker-registry")
    folder = tmp_path_factory.mktemp("guarded")
    with TokenServer(folder / "tokens") as tokens:
        registry = start_registry(folder, changes={"auth": tokens.settings})
        images = {name: small_image(AMD64, f"token-{name}") for name in (*OPEN, CLOSED)}
        made = Guarded(registry=registry, tokens=tokens, images=images)
        try:
            for name, image in images.items():
                made.push(name, image)
            yield made
        finally:
            registry.stop()


def spec_of(guarded: Guarded, **changes: Any) -> dict[str, Any]:
    return {
        "name": "token",
        "registries": [{"name": "local", "url": guarded.registry.url, "credentials": "env:REG"}],
        "images": [f"{name}:1.0" for name in OPEN],
        "matrix": {"platforms": ["linux/amd64"], "auth": ["persisted", "per-pull"], "concurrency": [1, 2]},
        "repetitions": 1,
        "warmup": 0,
        "pulls_per_trial": PULLS,
        **changes,
    }


def run(shell: Shell, spec: dict[str, Any], *options: str, **environment: str) -> Done:
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    given: dict[str, Any] = LOGIN | environment
    return shell.run("run", "spec.yaml", "--json", "--no-report", *options, **given)


def rows(shell: Shell, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(str(shell.folder / "results" / table)).to_pylist()
    return found


def refused(done: Done, secret: str = "") -> dict[str, Any]:
    """The one check that stopped a run before any load."""
    assert done.code == 1, done.err
    assert done.document["cells"] == []
    assert not secret or secret not in done.out + done.err
    (finding,) = [finding for finding in done.document["preflight"]["findings"] if finding["status"] == "fail"]
    found: dict[str, Any] = finding
    return found


def test_persisted_asks_once_a_scope_and_per_pull_once_a_pull_as_the_token_servers_log_has_it(
    shell: Shell, guarded: Guarded
) -> None:
    done = run(shell, spec_of(guarded))
    assert done.code in (0, 1), done.err
    pulls, transfers = rows(shell, "pulls"), rows(shell, "transfers")
    assert len(pulls) == 4 * PULLS and all(pull["ok"] for pull in pulls)
    for one in rows(shell, "trials"):
        begun = one["started_at"]
        ended = begun + datetime.timedelta(seconds=one["wall_s"])
        asked = Counter(entry.scope for entry in guarded.tokens.log() if begun <= entry.at <= ended)
        each = 1 if one["auth"] == "persisted" else PULLS // len(OPEN)
        assert asked == {f"repository:{name}:pull": each for name in OPEN}, one["auth"]
        its_pulls = [pull for pull in pulls if pull["trial"] == one["trial"]]
        tokens = [row for row in transfers if row["trial"] == one["trial"] and row["kind"] == "token"]
        assert sum(row["status"] == 200 for row in tokens) == asked.total()
        paid = {row["pull"] for row in tokens}
        assert all(pull["auth_s"] > 0 for pull in its_pulls if pull["pull"] in paid)
        if one["concurrency"] == 1:  # where pulls run at once, one may wait for the token that another gets
            assert all(pull["auth_s"] == 0 for pull in its_pulls if pull["pull"] not in paid)
            assert len(paid) == asked.total()
        for pull in its_pulls:
            assert pull["auth_s"] + pull["resolve_s"] + pull["download_s"] <= pull["duration_s"] + 1e-6
    assert holding(PASSWORD, hiding_places([shell.folder], done)) == []


def test_a_token_that_the_registry_takes_no_more_is_renewed_in_mid_run(shell: Shell, guarded: Guarded) -> None:
    guarded.tokens.holds_s = 2
    steady = {"mode": "open", "rate": 5, "arrivals": "uniform"}
    matrix = {"platforms": ["linux/amd64"], "auth": ["persisted"], "concurrency": [2]}
    try:
        done = run(shell, spec_of(guarded, matrix=matrix, load=steady, pulls_per_trial=20))
    finally:
        guarded.tokens.holds_s = 600
    assert done.code in (0, 1), done.err
    pulls = rows(shell, "pulls")
    assert (len(pulls), {pull["error_code"] for pull in pulls}) == (20, {None})
    tokens = [row for row in rows(shell, "transfers") if row["kind"] == "token"]
    assert sum(row["status"] == 200 for row in tokens) > len(OPEN), "the trial outlasts a token"
    assert {row["status"] for row in tokens} == {200, 401}


def test_a_token_that_says_when_it_ends_is_renewed_before_the_registry_refuses_it(guarded: Guarded) -> None:
    guarded.tokens.told_s = 1
    try:
        with trial(guarded.registry, OPEN[0], guarded.images[OPEN[0]], route={"credentials": "env:REAL"}) as pull:
            first = pull()
            renewed = next(outcome for outcome in iter(pull, None) if outcome.auth_s)
    finally:
        guarded.tokens.told_s = 600
    assert first.ok and renewed.ok
    assert [row.status for row in renewed.transfers if row.kind == "token"] == [200], "no 401 comes before it"


def test_a_wrong_password_is_unauthorized_before_any_load(shell: Shell, guarded: Guarded) -> None:
    wrong = "planted-wrong-password"
    finding = refused(run(shell, spec_of(guarded), REG_PASSWORD=wrong), wrong)
    assert finding["check"] == "auth"
    assert "[unauthorized]" in finding["observed"] and "incorrect username or password" in finding["observed"]
    assert "docker login" in finding["remedy"]


@pytest.mark.parametrize("command", ["preflight", "plan", "run"])
def test_a_wrong_password_reaches_the_token_service_once_in_a_whole_command_of_twenty_images(
    shell: Shell, guarded: Guarded, command: str
) -> None:
    images = [f"{OPEN[number % 2]}:{number}" for number in range(10)] + [f"more/{number}:1.0" for number in range(10)]
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec_of(guarded, images=images)))
    before = len(guarded.tokens.log())
    done = shell.run(command, "spec.yaml", "--json", REG_USERNAME=USERNAME, REG_PASSWORD="planted-wrong-password")
    assert done.code == (0 if command == "plan" else 1), done.err
    assert [entry.status for entry in guarded.tokens.log()[before:]] == [401]


def test_a_user_without_the_right_to_a_repository_is_forbidden_and_told_to_be_granted_it(
    shell: Shell, guarded: Guarded
) -> None:
    finding = refused(run(shell, spec_of(guarded, images=[f"{OPEN[0]}:1.0", f"{CLOSED}:1.0"])), PASSWORD)
    assert finding["check"] == "image"
    assert "[forbidden]" in finding["observed"] and CLOSED in finding["target"] + finding["observed"]
    assert "grant" in finding["remedy"]


def test_wire_tells_a_wrong_password_from_a_right_that_is_missing(guarded: Guarded) -> None:
    route = {"credentials": "env:REAL"}
    for repository, password, code in (
        (OPEN[0], PASSWORD, None),
        (OPEN[0], "wrong-password", ErrorCode.UNAUTHORIZED),
        (CLOSED, PASSWORD, ErrorCode.FORBIDDEN),
    ):
        image = guarded.images[repository]
        with trial(guarded.registry, repository, image, password=password, route=route) as pull:
            outcome = pull()
        assert outcome.error_code is code, outcome.error


def outcomes(kind: str, guarded: Guarded, docker_host: str, push_image: PushImage) -> dict[str, ErrorCode | None]:
    """What a command-line client or dockerd makes of the right password, a wrong one, and a right that is missing."""
    asked = {"right": (OPEN[0], "env:GOOD"), "wrong": (OPEN[0], "env:BAD"), "closed": (CLOSED, "env:GOOD")}
    url, found = guarded.registry.url, {}
    if kind == "docker":
        daemon = DockerBench(docker_host, guarded.registry, push_image)
        for case, (name, source) in asked.items():
            made = docker_request(daemon, name, guarded.images[name], platform="linux/amd64", credentials=source)
            found[case] = daemon.trial(made)[0]
        daemon.close()
    else:
        bench = CommandBench(kind)
        for case, (name, source) in asked.items():
            (found[case],) = bench.pull(request(name, guarded.images[name], url, credentials=source))
        bench.engine.close()
    return {case: outcome.error_code for case, outcome in found.items()}


@pytest.mark.parametrize("kind", ["docker", *PROGRAMS])
def test_each_client_gets_its_token_and_says_why_it_gets_none(
    kind: str, guarded: Guarded, docker_host: str, push_image: PushImage
) -> None:
    if kind in PROGRAMS:
        need(PROGRAMS[kind])
    if kind in ("podman", "containerd") and os.geteuid() != 0:
        missing(f"only root can run {kind} for a benchmark")
    before = len(guarded.tokens.log())
    found = outcomes(kind, guarded, docker_host, push_image)
    assert found["right"] is None
    assert found["wrong"] is ErrorCode.UNAUTHORIZED
    assert found["closed"] in (ErrorCode.FORBIDDEN, ErrorCode.UNAUTHORIZED)
    log = guarded.tokens.log()[before:]
    assert any(entry.scope == f"repository:{OPEN[0]}:pull" and entry.status == 200 for entry in log)
    assert {entry.status for entry in log if entry.account == USERNAME} == {200, 401}


def test_every_engine_pulls_with_the_login_of_dockers_config_file(
    shell: Shell, guarded: Guarded, docker_host: str
) -> None:
    folder = shell.folder / "docker-config"
    folder.mkdir()
    secret = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {guarded.registry.host: {"auth": secret}}}))
    engines = ["wire", "dockerd", "skopeo", *(["podman", "containerd"] if os.geteuid() == 0 else [])]
    spec = spec_of(
        guarded,
        registries=[{"name": "local", "url": guarded.registry.url, "credentials": "docker"}],
        engines=[{"name": "dockerd", "kind": "docker", "host": docker_host}],
        matrix={"platforms": ["linux/amd64"], "engines": engines},
        pulls_per_trial=None,
    )
    before = len(guarded.tokens.log())
    done = run(shell, spec, DOCKER_CONFIG=str(folder))
    assert done.code in (0, 1), done.err
    assert {cell["engine"]: cell["succeeded"] for cell in done.document["cells"]} == dict.fromkeys(engines, len(OPEN))
    assert {entry.account for entry in guarded.tokens.log()[before:]} == {USERNAME}
