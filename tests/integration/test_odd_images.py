"""Each kind of image with each client that is installed: a client does what `client_rules` says that it does."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import httpx
import pytest

from pullbench.bench.facts import gather_facts
from pullbench.engines.base import Engine, PullOutcome, PullRequest, SystemClock, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.errors import ErrorCode
from pullbench.lab.contents import Contents
from pullbench.lab.registry import Registry
from pullbench.model.client_rules import Client, refusals
from pullbench.model.facts import EngineFacts, Facts, ImageFacts, PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Manifest, parse_manifest
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry, read_spec
from pullbench.preflight.runner import preflight
from pullbench.registry.client import image_facts, quick_client
from pullbench.registry.keychain import Keychain
from tests.integration.conftest import missing
from tests.integration.odd_images import KINDS, OddImage, push, put
from tests.integration.real_registry import RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

ENGINES = ("wire", "docker", "podman", "skopeo", "containerd")
AT_ONCE = 4
KEYCHAIN = Keychain(environ={})
NO_IMAGE = {"helm-chart", "oras-artifact", "artifact-with-its-config", "schema-1"}
UNFIT = {*NO_IMAGE, "v2-and-v3-only", "no-platform-other-config", "single-other-arch", "over-4-mib"}
"""Kinds without an image for the platform: preflight fails, whatever a client may do with them."""
FIT = [kind for kind in KINDS if kind not in UNFIT and kind != "foreign-layer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An image of one kind at a registry, and what pullbench knows of it."""

    image: OddImage
    route: Route
    repository: str
    facts: ImageFacts

    @property
    def found(self) -> PlatformImage | None:
        return self.facts.platforms.get(self.image.platform)

    def request(self, number: int, expected: PlatformImage) -> PullRequest:
        reference = Reference(repository=self.repository, tag="1.0", digest=self.image.top.digest)
        return PullRequest(
            pull=number,
            image=f"{self.repository}:1.0",
            reference=reference,
            is_index=self.facts.is_index,
            expected=expected,
            platform=self.image.platform,
            route=self.route,
            auth="persisted",
            timeout_s=300.0,
            retries=0,
        )


@pytest.fixture(scope="module")
def served(plain_registry: RealRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Served]]:
    """Every kind, at a CNCF registry where it takes the push, else at the lab's."""
    word, contents, folder = os.urandom(4).hex(), Contents(), tmp_path_factory.mktemp("odd")
    with Registry(contents) as lab, plain_registry.client() as pushing:
        yield {kind: _serve(kind, word, plain_registry.url, pushing, lab.url, contents, folder) for kind in KINDS}


def _serve(
    kind: str, word: str, url: str, pushing: httpx.Client, lab_url: str, contents: Contents, folder: Path
) -> Served:
    image, repository = KINDS[kind](f"{word}-{kind}"), f"odd-{word}/{kind}"
    if image.needs_lab:
        put(contents, folder, repository, image)
    else:
        push(pushing, repository, image)
    route = Route(registry="r", url=lab_url if image.needs_lab else url)
    with quick_client(route, KEYCHAIN) as client:
        facts = image_facts(client, "r", f"{repository}:1.0", [image.platform])
    return Served(image=image, route=route, repository=repository, facts=facts)


class Pulls:
    """One engine, and trials on it of one image each or many."""

    def __init__(self, kind: str, docker_host: Callable[[], str]) -> None:
        entry = {"name": kind, "kind": kind} | ({"host": docker_host()} if kind == "docker" else {})
        self.engine: Engine = make_engine(EngineEntry.model_validate(entry), keychain=KEYCHAIN, clock=SystemClock())
        self.facts: EngineFacts = self.engine.facts()
        if self.facts.unavailable is not None:
            missing(f"{kind}: {self.facts.unavailable}")
        self.client = Client.of_engine(self.facts)
        self._told: list[str] = []

    def pull(self, *requests: PullRequest) -> list[PullOutcome]:
        self.engine.open_trial(
            TrialSetup(
                trial=0,
                concurrency=AT_ONCE,
                cache="cold",
                cache_reset="own",
                requests=requests,
                before_pulls=self._told.extend,
            )
        )
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                return [outcome.verified() for outcome in pool.map(self.engine.pull, requests)]
        finally:
            self.engine.close_trial()

    def close(self, docker_host: Callable[[], str]) -> None:
        self.engine.close()
        if self.facts.kind == "docker":
            with contextlib.closing(docker.APIClient(base_url=docker_host())) as daemon:
                for name in self._told:
                    with contextlib.suppress(docker.errors.APIError):  # pulled under fewer names, or not at all
                        daemon.remove_image(name, force=True)


@pytest.fixture(scope="module", params=ENGINES)
def pulls(request: pytest.FixtureRequest) -> Iterator[Pulls]:
    def docker_host() -> str:
        return str(request.getfixturevalue("docker_host"))

    made = Pulls(request.param, docker_host)
    yield made
    made.close(docker_host)


@pytest.fixture(scope="module")
def outcomes(pulls: Pulls, served: Mapping[str, Served]) -> Mapping[str, PullOutcome]:
    """What the client did with each kind that pullbench calls fit: all in one trial, because a trial takes seconds."""
    fit = {kind: found for kind in FIT if (found := served[kind].found) is not None}
    requests = [served[kind].request(number, found) for number, (kind, found) in enumerate(fit.items())]
    return dict(zip(fit, pulls.pull(*requests), strict=True))


@pytest.mark.parametrize("kind", FIT)
def test_a_client_pulls_what_it_is_said_to_pull_and_refuses_the_rest(
    kind: str, pulls: Pulls, served: Mapping[str, Served], outcomes: Mapping[str, PullOutcome]
) -> None:
    image, found, outcome = served[kind].image, served[kind].found, outcomes[kind]
    assert found is not None
    said = refusals(found, Platform.parse(image.platform), pulls.client)
    assert outcome.ok is not bool(said), (said, pulls.client, outcome.error_code, outcome.error)


@pytest.mark.parametrize("kind", KINDS)
def test_pullbench_finds_the_image_unless_nothing_there_is_for_the_platform(
    kind: str, served: Mapping[str, Served]
) -> None:
    coded = dict.fromkeys(NO_IMAGE, ErrorCode.PLATFORM_MISSING) | {"over-4-mib": ErrorCode.TOO_LARGE}
    assert (served[kind].found is None, served[kind].facts.error_code) == (kind in UNFIT, coded.get(kind))


def test_a_manifest_over_4_mib_is_pulled_by_docker_s_own_store_alone(
    pulls: Pulls, served: Mapping[str, Served]
) -> None:
    large = served["over-4-mib"]
    (outcome,) = pulls.pull(large.request(0, _parsed(large)))
    assert outcome.ok is (pulls.client.store == "overlay2"), outcome.error


def test_schema_1_is_pulled_by_no_client(pulls: Pulls, served: Mapping[str, Served]) -> None:
    any_image = served["plain"].found
    assert any_image is not None
    (outcome,) = pulls.pull(served["schema-1"].request(0, any_image))
    assert not outcome.ok


def test_a_foreign_layer_that_the_registry_lacks_comes_from_nowhere(pulls: Pulls, served: Mapping[str, Served]) -> None:
    found = served["foreign-layer"].found
    assert found is not None
    (outcome,) = pulls.pull(served["foreign-layer"].request(0, found))
    assert not outcome.ok


def _parsed(large: Served) -> PlatformImage:
    document = parse_manifest(large.image.top.content)
    assert isinstance(document, Manifest)
    return PlatformImage(digest=large.image.top.digest, manifest=document)


def test_preflight_names_the_clients_that_refuse_an_image(tmp_path: Path) -> None:
    contents = Contents()
    for kind in ("plain", "nested", "126-layers", "helm-chart", "schema-1", "foreign-layer", "over-4-mib"):
        put(contents, tmp_path, kind, KINDS[kind](kind))
    with Registry(contents) as lab:
        found = {finding.target.split()[1]: finding for finding in _findings(lab.url, contents.repositories(), "wire")}
        refused = _findings(lab.url, ["nested"], "podman", "skopeo")
    assert {target.partition(":")[0]: (finding.status, finding.code) for target, finding in found.items()} == {
        "plain": (Status.PASS, None),
        "nested": (Status.WARN, None),
        "126-layers": (Status.WARN, None),
        "helm-chart": (Status.FAIL, ErrorCode.PLATFORM_MISSING),
        "schema-1": (Status.FAIL, ErrorCode.PLATFORM_MISSING),
        "foreign-layer": (Status.FAIL, ErrorCode.NOT_FOUND),
        "over-4-mib": (Status.FAIL, ErrorCode.TOO_LARGE),
    }
    assert "podman, skopeo" in found["nested:1.0"].observed
    assert "docker with overlay2:" in found["126-layers:1.0"].observed
    assert [finding.status for finding in refused] == [Status.FAIL]


def _findings(url: str, repositories: list[str], *engines: str) -> list[Finding]:
    spec = read_spec(
        {
            "name": "odd",
            "registries": [{"name": "r", "url": url, "credentials": "anonymous"}],
            "images": [f"{repository}:1.0" for repository in repositories],
            "matrix": {"engines": list(engines), "platforms": ["linux/amd64"]},
        }
    )
    facts: Facts = gather_facts(spec, {}, keychain=KEYCHAIN, brought=lambda _: frozenset())
    return [
        finding
        for finding in preflight(spec, facts, KEYCHAIN, only=frozenset({"platform"}), skip=frozenset())
        if finding.check == "platform"
    ]
