"""Every engine on every route, by the command: what it stored is held against the registries' own logs.

A real docker-registry, and a real pull-through of it. Both log each request with its end, its client's name and the
bytes that were sent, so every row can be asked: was it so?

The clients may be of any generation. An option that the installed version lacks excludes its engine, with a reason; with
PULLBENCH_MODERN=1 none may be excluded.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pullbench.daemon.docker import DockerDaemon
from pullbench.model.facts import Facts
from pullbench.model.manifest import Manifest
from pullbench.model.plan import manifest_requests, plan
from pullbench.model.spec import read_spec
from pullbench.store.dataset import ResultStore
from tests.integration.conftest import StartRegistry, missing, need
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry, Served
from tests.integration.shell import PrefectServer, Shell

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

AGENTS = {"wire": "pullbench/", "docker": "docker/", "podman": "containers/", "skopeo": "skopeo/"}
AGENTS["containerd"] = "containerd/"
"""What each kind of engine calls itself."""
ENGINES: dict[str, dict[str, Any]] = {kind: {"kind": kind} for kind in AGENTS if kind != "containerd"}
ENGINES |= {
    "ctr": {"kind": "containerd", "transfer": "local"},
    "service": {"kind": "containerd", "transfer": "service"},
}
NEWER = {"service"}
"""Engines that clients of some years ago lack."""
IMAGES = 4
CONCURRENCY = (1, IMAGES)
PLATFORM = "linux/amd64"
# Small images with layers of a common base: where an engine's pulls share a store, they share these.
WORKLOAD = ("--count", str(IMAGES), "--size", "2MB", "--layers", "4", "--share", "0.3")
WORKLOAD += ("--platform", PLATFORM, "--platform", "linux/arm64", "--fresh")  # dockerd may have had the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """One trial as it was stored, and what the registries logged from its start to the next one's."""

    row: dict[str, Any]
    pulls: tuple[dict[str, Any], ...]
    transfers: tuple[dict[str, Any], ...]
    at_origin: tuple[Served, ...]
    at_cache: tuple[Served, ...]

    @property
    def kind(self) -> str:
        return str(self.row["engine_kind"])

    @property
    def here(self) -> tuple[Served, ...]:
        """At the registry of its route."""
        return self.at_origin if self.row["proxy"] == "direct" else self.at_cache

    @property
    def elsewhere(self) -> tuple[Served, ...]:
        return self.at_cache if self.row["proxy"] == "direct" else self.at_origin

    def by_its_client(self, served: tuple[Served, ...]) -> list[Served]:
        return [one for one in served if one.agent.startswith(AGENTS[self.kind])]

    def blobs(self) -> list[Served]:
        """Blobs that its client was sent by the registry of its route."""
        return [one for one in self.by_its_client(self.here) if "/blobs/" in one.path and one.method == "GET"]

    def __str__(self) -> str:
        return f"{self.row['engine']} {self.row['proxy']} ×{self.row['concurrency']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A finished run with all that is known of it."""

    folder: Path
    document: dict[str, Any]
    origin: RealRegistry
    cache: RealRegistry
    facts: Facts
    manifests: dict[str, Manifest]
    trials: tuple[Pulled, ...]

    @property
    def engines(self) -> set[str]:
        """The names of those that could be measured."""
        return {name for name, engine in self.facts.engines.items() if engine.unavailable is None}


@pytest.fixture(scope="module")
def measured(
    docker_registry: StartRegistry,
    docker_host: str,
    prefect_server: PrefectServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Measured:
    """One run of the whole matrix."""
    for program in ("podman", "skopeo", "ctr"):
        need(program)
    if os.geteuid() != 0:
        missing("only root can run podman and containerd for a benchmark")
    origin = docker_registry(changes=REQUESTS_LOGGED)
    cache = docker_registry(changes={**REQUESTS_LOGGED, "proxy": {"remoteurl": origin.url}})
    shell = Shell(tmp_path_factory.mktemp("every-engine"), prefect_server.environment)
    images = shell.push_images(origin.url, *WORKLOAD)
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec_of(origin, cache, images, docker_host)))
    done = shell.run("run", "spec.yaml", "--json")
    assert done.code in (0, 1), done.err  # 1: an SLO may be missed on a busy machine
    assert done.document["status"] == "complete", done.err
    results = shell.folder / "results"
    facts = Facts.from_json(ResultStore(str(results)).run(done.document["run_id"]).facts)
    return Measured(
        folder=shell.folder,
        document=done.document,
        origin=origin,
        cache=cache,
        facts=facts,
        manifests={image.image: image.platforms[PLATFORM].manifest for image in facts.images.values()},
        trials=tuple(trials_of(results, origin.served(), cache.served())),
    )


def spec_of(origin: RealRegistry, cache: RealRegistry, images: list[str], docker_host: str) -> dict[str, Any]:
    mirror = {"name": "cache", "kind": "mirror", "upstream": "origin", "url": cache.url, "credentials": "anonymous"}
    return {
        "name": "every-engine",
        "registries": [{"name": "origin", "url": origin.url, "credentials": "anonymous"}],
        "proxies": [mirror],
        "engines": [
            {"name": name, **options} | ({"host": docker_host} if name == "docker" else {})
            for name, options in ENGINES.items()
        ],
        "images": images,
        "matrix": {
            "engines": list(ENGINES),
            "proxies": ["direct", "cache"],
            "platforms": [PLATFORM],
            "concurrency": list(CONCURRENCY),
        },
        "repetitions": 1,
        "warmup": 0,
    }


def trials_of(results: Path, at_origin: list[Served], at_cache: list[Served]) -> Iterator[Pulled]:
    """Every trial in the order of time."""
    rows = sorted(rows_of(results, "trials"), key=lambda row: row["started_at"])
    pulls, transfers = rows_of(results, "pulls"), rows_of(results, "transfers")
    ends = [row["started_at"] for row in rows[1:]] + [datetime.max.replace(tzinfo=UTC)]
    for row, end in zip(rows, ends, strict=True):
        begin = row["started_at"]
        yield Pulled(
            row=row,
            pulls=tuple(pull for pull in pulls if pull["trial"] == row["trial"]),
            transfers=tuple(transfer for transfer in transfers if transfer["trial"] == row["trial"]),
            at_origin=tuple(one for one in at_origin if begin <= one.at < end and not is_probe(one)),
            at_cache=tuple(one for one in at_cache if begin <= one.at < end and not is_probe(one)),
        )


def is_probe(one: Served) -> bool:
    """Of a route, beside its trials: it brings no content."""
    return one.agent.startswith(AGENTS["wire"]) and (one.path == "/v2/" or one.method == "HEAD")


def rows_of(results: Path, table: str) -> list[dict[str, Any]]:
    return [row for path in results.glob(f"{table}/*/*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]


def test_every_engine_pulls_by_every_route_at_every_concurrency(measured: Measured, docker_host: str) -> None:
    assert measured.document["status"] == "complete"
    assert set(ENGINES) - measured.engines <= (set() if os.environ.get("PULLBENCH_MODERN") == "1" else NEWER)
    cells = {(cell["engine"], cell["proxy"], cell["concurrency"]) for cell in measured.document["cells"]}
    assert cells == {
        (name, proxy, n) for name in measured.engines for proxy in ("direct", "cache") for n in CONCURRENCY
    }
    assert [cell["succeeded"] for cell in measured.document["cells"]] == [IMAGES] * len(cells)
    assert (measured.folder / measured.document["report"]).is_file()
    daemon = DockerDaemon(docker_host)
    left = daemon.image_ids() & {manifest.config.digest for manifest in measured.manifests.values()}
    daemon.close()
    assert not left, "a finished run leaves the daemon without what it brought"


def test_a_trials_client_asks_the_registry_of_its_route_and_no_other(measured: Measured) -> None:
    for trial in measured.trials:
        assert trial.by_its_client(trial.elsewhere) == [], str(trial)
        if trial.row["proxy"] == "cache":
            assert {one.agent for one in trial.at_origin} <= {"Go-http-client/1.1"}, f"{trial}: the pull-through alone"


def test_the_registry_logged_the_manifest_requests_that_the_plan_counts(measured: Measured) -> None:
    spec = read_spec(yaml.safe_load((measured.folder / "spec.yaml").read_text()))
    planned = {trial.number: manifest_requests(trial, measured.facts) for trial in plan(spec, measured.facts).trials}
    kept = set[str]()
    for trial in measured.trials:
        asked = [one for one in trial.by_its_client(trial.here) if "/manifests/" in one.path and one.method == "GET"]
        counted = planned[trial.row["trial"]]
        assert counted == 2 * IMAGES, str(trial)
        if trial.kind == "docker":
            # dockerd keeps manifests of removed images until its own garbage collection, and asks for none of those again.
            assert len(asked) <= counted, str(trial)
            assert len(asked) == counted or kept, f"{trial}: the first pull has nothing that the daemon kept"
            kept.update(one.name for one in asked)
        else:
            assert len(asked) == counted, str(trial)


def test_every_pull_brought_each_blob_of_its_image_as_the_registry_sent_it(measured: Measured) -> None:
    for trial in measured.trials:
        if trial.kind == "docker":
            continue
        sent = Counter((one.repository, one.name, one.sent_bytes) for one in trial.blobs())
        promised = Counter[tuple[str, str, int]]()
        for pull in trial.pulls:
            repository = pull["image"].partition(":")[0]
            blobs = measured.manifests[pull["image"]].blobs
            promised.update((repository, blob.digest, blob.size_bytes) for blob in blobs)
            assert pull["bytes"] == sum(blob.size_bytes for blob in blobs), str(trial)
            assert pull["layers"] == len(blobs) - 1
            unknown = None if trial.kind == "wire" else 0
            assert (pull["layers_cached"], pull["layers_shared"]) == (unknown, unknown), str(trial)
        assert sent == promised, str(trial)


def test_docker_brings_a_layer_that_its_pulls_share_once_and_counts_it_once(measured: Measured) -> None:
    config_and_layers = {blob.digest: blob.size_bytes for m in measured.manifests.values() for blob in m.blobs}
    layers = sum(len(manifest.layers) for manifest in measured.manifests.values())
    shared = layers + IMAGES - len(config_and_layers)
    assert shared > 0, "the workload has layers to share"
    for trial in (trial for trial in measured.trials if trial.kind == "docker"):
        assert Counter(one.name for one in trial.blobs()) == Counter(config_and_layers.keys()), str(trial)
        assert sum(one.sent_bytes for one in trial.blobs()) == sum(pull["bytes"] for pull in trial.pulls)
        assert sum(pull["layers"] for pull in trial.pulls) == layers
        assert sum(pull["layers_shared"] for pull in trial.pulls) == shared
        assert {pull["layers_cached"] for pull in trial.pulls} == {0}, "cold"
        if trial.row["concurrency"] == 1:  # at once, which of two pulls has dockerd fetch a layer is dockerd's secret
            by_image = Counter[str]()
            for one in trial.blobs():
                by_image[one.repository] += one.sent_bytes
            assert by_image == {pull["image"].partition(":")[0]: pull["bytes"] for pull in trial.pulls}


def test_the_transfers_of_wire_are_the_registrys_log(measured: Measured) -> None:
    for trial in (trial for trial in measured.trials if trial.kind == "wire"):
        logged = Counter((one.name, one.sent_bytes, one.status) for one in trial.by_its_client(trial.here))
        assert Counter((row["digest"], row["bytes"], row["status"]) for row in trial.transfers) == logged, str(trial)
        assert {row["remote_ip"] for row in trial.transfers} == {"127.0.0.1"}


def test_the_transfers_of_docker_are_layers_that_the_registry_sent(measured: Measured) -> None:
    configs = {manifest.config.digest for manifest in measured.manifests.values()}
    for trial in (trial for trial in measured.trials if trial.kind == "docker"):
        assert {row["kind"] for row in trial.transfers} == {"layer"}
        brought = Counter((row["digest"], row["bytes"]) for row in trial.transfers if row["bytes"])
        sent = Counter((one.name, one.sent_bytes) for one in trial.blobs() if one.name not in configs)
        assert brought == sent, str(trial)


def test_clients_that_hide_their_exchanges_have_no_transfers(measured: Measured) -> None:
    for trial in (trial for trial in measured.trials if trial.kind not in ("wire", "docker")):
        assert trial.transfers == (), str(trial)


def test_what_served_a_pull_is_the_registry_of_its_route(measured: Measured) -> None:
    for trial in measured.trials:
        here = (measured.origin if trial.row["proxy"] == "direct" else measured.cache).host
        # A client that hides who answered it is believed to have met whom a probe met before and after the trial.
        expected = here if trial.kind == "wire" else f"probe before: {here}; after: {here}"
        assert {row["served_by"] for row in trial.pulls} == {expected}, str(trial)
        told = {row["served_by"] for row in trial.transfers} - {None}
        assert told == ({here} if trial.kind == "wire" else set()), str(trial)


def test_guard_client_busy_how_near_its_client_was_to_its_limit_is_known_of_every_trial_of_every_engine(
    measured: Measured,
) -> None:
    for trial in measured.trials:
        assert trial.row["client_busy"] is not None and trial.row["client_busy"] > 0, trial
        assert trial.row["client_limit"] in ("bytes", "cores", "lag"), trial
        assert (trial.row["run_delay_share"] is not None) == (trial.kind == "wire"), trial
        if trial.kind != "wire":
            assert trial.row["client_limit"] == "cores" and trial.row["client_busy"] < 1.1, "the machine's"
