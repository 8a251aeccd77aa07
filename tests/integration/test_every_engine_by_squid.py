"""Every engine that can use a forward proxy, by the command: squid's log says what went through it, and what did not.

Two squids: the spec's, and one that only the environment of the command names, which nobody may ask for anything.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from pullbench.model.facts import Facts
from pullbench.model.manifest import Manifest
from pullbench.store.dataset import ResultStore
from tests.integration.conftest import StartRegistry, missing, need
from tests.integration.real_registry import ANY_ADDRESS, REQUESTS_LOGGED, RealRegistry
from tests.integration.real_squid import Asked, RealSquid, running_squid
from tests.integration.shell import Done, PrefectServer, Shell

pytestmark = [pytest.mark.integration, pytest.mark.real]

AGENTS = {"wire": "pullbench/", "skopeo": "skopeo/", "podman": "containers/", "containerd": "containerd/"}
PLATFORM = "linux/amd64"
IMAGES = 2
WORKLOAD = ("--count", str(IMAGES), "--size", "600KB", "--layers", "3", "--platform", PLATFORM)
NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A run of the whole matrix, with what the registries and the squids know of it."""

    shell: Shell
    done: Done
    plain: RealRegistry
    encrypted: RealRegistry
    by_spec: tuple[Asked, ...]
    by_environment: tuple[Asked, ...]
    manifests: dict[str, Manifest]

    def pulls(self, **factors: str) -> int:
        """How many succeeded in the cells of these factors."""
        cells = [cell for cell in self.done.document["cells"] if factors.items() <= cell.items()]
        return sum(cell["succeeded"] for cell in cells)


@pytest.fixture(scope="module")
def measured(
    docker_registry: StartRegistry, prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Measured]:
    for program in ("podman", "skopeo", "ctr"):
        need(program)
    if os.geteuid() != 0:
        missing("only root can run podman and containerd for a benchmark")
    shell = Shell(tmp_path_factory.mktemp("by-squid"), prefect_server.environment)
    plain, encrypted = docker_registry(changes=REQUESTS_LOGGED), docker_registry(changes=REQUESTS_LOGGED, tls=True)
    images = shell.push_images(plain.url, *WORKLOAD)
    shell.push_images(encrypted.url, *WORKLOAD, "--ca-file", str(encrypted.ca_file))
    program = need("squid")
    with running_squid(program) as squid, running_squid(program) as planted:
        (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec_of(plain, encrypted, squid, images)))
        environment = dict.fromkeys(NAMES, planted.url)
        done = shell.run("run", "spec.yaml", "--json", "--no-report", no_proxy="", NO_PROXY="", **environment)
        assert done.code in (0, 1), done.err  # 1: an SLO may be missed on a busy machine
        results = ResultStore(str(shell.folder / "results"))
        facts = Facts.from_json(results.run(done.document["run_id"]).facts)
        manifests = {image.image: image.platforms[PLATFORM].manifest for image in facts.images.values()}
        blobs = len(AGENTS) * sum(len({blob.digest for blob in manifest.blobs}) for manifest in manifests.values())
        yield Measured(
            shell=shell,
            done=done,
            plain=plain,
            encrypted=encrypted,
            by_spec=tuple(squid.asked_at_last(lambda asked: len(blobs_of(asked)) >= blobs)),
            by_environment=tuple(planted.asked()),
            manifests=manifests,
        )


def spec_of(plain: RealRegistry, encrypted: RealRegistry, squid: RealSquid, images: list[str]) -> dict[str, Any]:
    return {
        "name": "by-squid",
        "registries": [
            {"name": "plain", "url": by_any_address(plain), "credentials": "anonymous"},
            {
                "name": "encrypted",
                "url": by_any_address(encrypted),
                "credentials": "anonymous",
                "ca_file": str(encrypted.ca_file),
            },
        ],
        "proxies": [{"name": "squid", "kind": "forward", "url": squid.url}],
        "images": images,
        "matrix": {"engines": list(AGENTS), "proxies": ["direct", "squid"], "platforms": [PLATFORM]},
        "repetitions": 1,
        "warmup": 0,
    }


def by_any_address(registry: RealRegistry) -> str:
    return registry.url.replace("127.0.0.1", ANY_ADDRESS)


def blobs_of(asked: list[Asked]) -> list[Asked]:
    """Whole ones; preflight asks for a part of one."""
    return [one for one in asked if "/blobs/" in one.url and one.status == 200]


def test_every_engine_pulls_by_squid_and_directly_from_both_registries(measured: Measured) -> None:
    assert measured.done.document["status"] == "complete", measured.done.err
    for engine in AGENTS:
        for registry in ("plain", "encrypted"):
            for proxy in ("direct", "squid"):
                assert measured.pulls(engine=engine, registry=registry, proxy=proxy) == IMAGES


def test_squid_passes_on_each_blob_of_the_plain_registry_once_a_pull_by_it_and_none_of_a_direct_one(
    measured: Measured,
) -> None:
    blobs = {blob.digest: blob.size_bytes for manifest in measured.manifests.values() for blob in manifest.blobs}
    configs = {manifest.config.digest for manifest in measured.manifests.values()}
    for engine, agent in AGENTS.items():
        # The probe of who serves an engine that hides it asks by HEAD.
        asked = [one for one in blobs_of(list(measured.by_spec)) if one.agent.startswith(agent) and one.method == "GET"]
        times = Counter(urlsplit(one.url).path.rpartition("/")[2] for one in asked)
        if engine == "wire":  # preflight, which has its name, reads configs too
            times -= Counter({digest: max(0, times[digest] - 1) for digest in configs})
        assert times == Counter(blobs.keys()), engine
        assert {urlsplit(one.url).netloc for one in asked} == {urlsplit(by_any_address(measured.plain)).netloc}
        assert sum(one.sent_bytes for one in asked) > sum(blobs.values()), f"{engine}: with their headers"


def test_the_registry_with_tls_is_reached_by_tunnels_that_carry_what_its_log_has(measured: Measured) -> None:
    host = urlsplit(by_any_address(measured.encrypted)).netloc
    # The other registry is asked for one too: skopeo and podman try TLS first, whatever they are told.
    tunnels = [one for one in measured.by_spec if (one.method, one.url) == ("CONNECT", host)]
    layers = {layer.digest: layer.size_bytes for m in measured.manifests.values() for layer in m.layers}
    assert sum(one.sent_bytes for one in tunnels) > len(AGENTS) * sum(layers.values())
    for engine, agent in AGENTS.items():
        served = [one for one in measured.encrypted.served() if one.agent.startswith(agent) and one.status == 200]
        times = Counter(one.name for one in served if one.method == "GET" and one.name in layers)
        assert times == dict.fromkeys(layers, 2), f"{engine}: directly, and by squid"


def test_a_proxy_that_only_the_environment_names_is_asked_for_nothing(measured: Measured) -> None:
    assert measured.by_environment == ()


def test_docker_by_a_forward_proxy_is_planned_out_with_the_way_round(measured: Measured) -> None:
    planned = measured.shell.run("plan", "spec.yaml", "--json", "--offline", "--set", "matrix.engines=[wire,docker]")
    assert planned.code == 0, planned.err
    reasons = {
        (entry["cell"]["engine"], entry["cell"]["proxy"]): entry["reason"] for entry in planned.document["planned_out"]
    }
    assert set(reasons) == {("docker", "squid")}
    assert "second daemon with HTTP_PROXY" in reasons["docker", "squid"]
