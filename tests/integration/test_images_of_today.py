"""Images of the kinds that registries have today, by every engine, cold and warm: rows against the registry's own log.

Where Docker can have containerd's image store, both stores are measured side by side.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
import yaml

from pullbench.model.facts import Facts
from pullbench.model.manifest import Manifest
from pullbench.store.dataset import ResultStore
from tests.integration.client_record import note
from tests.integration.conftest import PushImage, StartRegistry, need
from tests.integration.image_kinds import KINDS
from tests.integration.real_dockerd import major, own_dockerd
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry
from tests.integration.shell import PrefectServer, Shell
from tests.integration.test_every_engine import Pulled, trials_of

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

PLATFORM = "linux/amd64"
CONCURRENCY = (1, 4)
WITHOUT_A_STORE = {"wire", "skopeo"}
REPEAT_LAYERS = {"podman", "skopeo"}
"""Clients that may download a layer as often as a manifest lists it."""
_HAS_CONTAINERD_STORE = 25
_READS_ZSTD = 23


@pytest.fixture(scope="module")
def engines(docker_host: str) -> Iterator[dict[str, dict[str, Any]]]:
    """Every engine of this machine by its name."""
    found: dict[str, dict[str, Any]] = {kind: {"kind": kind} for kind in ("wire", "podman", "skopeo", "containerd")}
    with ExitStack() as stack:
        if major(docker_host) < _HAS_CONTAINERD_STORE:
            yield found | {"docker": {"kind": "docker", "host": docker_host}}
            return
        for name, containerd in (("docker-overlay2", False), ("docker-containerd", True)):
            daemon = stack.enter_context(own_dockerd(features={"containerd-snapshotter": containerd}))
            found[name] = {"kind": "docker", "host": daemon.host}
        yield found


Run = tuple[tuple[Pulled, ...], dict[str, Manifest]]
"""The trials of a run, and the manifest of each image."""


@pytest.fixture(scope="module")
def origin(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(changes=REQUESTS_LOGGED)


@pytest.fixture(scope="module")
def images(origin: RealRegistry, docker_host: str, push_image: PushImage) -> list[str]:
    return push_kinds(origin, push_image, zstd=major(docker_host) >= _READS_ZSTD)


@pytest.fixture(scope="module")
def run_of(
    engines: dict[str, dict[str, Any]],
    origin: RealRegistry,
    images: list[str],
    prefect_server: PrefectServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Run]:
    """Measures one cache state. Two states in one run would put the requests that warm a store into a cold trial's time."""
    for program in ("podman", "skopeo", "ctr"):
        need(program)

    def measure(cache: str) -> Run:
        shell = Shell(tmp_path_factory.mktemp(f"images-of-today-{cache}"), prefect_server.environment)
        names = [name for name in engines if cache == "cold" or name not in WITHOUT_A_STORE]
        spec = {
            "name": f"images-of-today-{cache}",
            "registries": [{"name": "origin", "url": origin.url, "credentials": "anonymous"}],
            "engines": [{"name": name, **engines[name]} for name in names],
            "images": images,
            "matrix": {
                "engines": names,
                "platforms": [PLATFORM],
                "concurrency": list(CONCURRENCY),
                "cache": [cache],
            },
            "repetitions": 1,
            "warmup": 0,
            "pulls_per_trial": len(images),
        }
        (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
        before = len(origin.served())
        done = shell.run("run", "spec.yaml", "--json", "--no-report", "--skip-preflight", timeout_s=500)
        assert done.code == 0, done.err
        results = shell.folder / "results"
        facts = Facts.from_json(ResultStore(str(results)).run(done.document["run_id"]).facts)
        manifests = {image.image: image.platforms[PLATFORM].manifest for image in facts.images.values()}
        found = tuple(trials_of(results, origin.served()[before:], []))
        assert {(trial.row["engine"], trial.row["concurrency"]) for trial in found} == {
            (name, n) for name in names for n in CONCURRENCY
        }
        for trial in found:
            assert {pull["image"]: pull["error"] for pull in trial.pulls} == dict.fromkeys(manifests), str(trial)
        return found, manifests

    return measure


def push_kinds(origin: RealRegistry, push_image: PushImage, *, zstd: bool) -> list[str]:
    """One image of each kind; docker before 23 does not read zstd, and is excluded by it."""
    names = []
    for number, (kind, make) in enumerate(KINDS.items()):
        if kind != "zstd" or zstd:
            push_image(origin, f"kinds/{number}", "1.0", make(f"today-{number}"))
            names.append(f"kinds/{number}:1.0")
    return names


def test_a_cold_pull_brought_what_the_registry_sent(
    run_of: Callable[[str], Run], record_property: Callable[[str, object], None]
) -> None:
    trials, manifests = run_of("cold")
    for trial in trials:
        if trial.row["concurrency"] == 1:
            note_figures(record_property, trial, manifests)
        sent = Counter[str]()
        for one in trial.blobs():
            sent[one.repository] += one.sent_bytes
        for pull in trial.pulls:
            where, layers = (str(trial), pull["image"]), [layer.digest for layer in manifests[pull["image"]].layers]
            if trial.kind in REPEAT_LAYERS and len(set(layers)) < len(layers):
                assert pull["bytes"] is None, where
            else:
                assert pull["bytes"] == sent[pull["image"].partition(":")[0]], where
            assert pull["layers"] == len(layers), where
            assert pull["layers_cached"] == (None if trial.kind == "wire" else 0), where


def note_figures(record_property: Callable[[str, object], None], trial: Pulled, manifests: dict[str, Manifest]) -> None:
    """For docs/clients.md: the requests of a cold pull of each kind, and which times the engine reports."""
    engine = trial.row["engine"]
    for pull in trial.pulls:
        repository = pull["image"].partition(":")[0]
        requests = [one for one in trial.by_its_client(trial.here) if one.repository == repository]
        kind = list(KINDS)[int(repository.rpartition("/")[2])]
        note(record_property, engine, "requests", kind, len(requests))
        note(record_property, engine, "blobs", kind, sum("/blobs/" in one.path for one in requests))
    note(record_property, engine, "times", "pulls", len(manifests))
    for name in ("resolve_s", "download_s", "extract_s"):
        note(record_property, engine, "times", f"`{name}`", sum(pull[name] is not None for pull in trial.pulls))


def test_a_warm_pull_found_every_layer_and_was_sent_none(run_of: Callable[[str], Run]) -> None:
    trials, manifests = run_of("warm")
    layers = {layer.digest for manifest in manifests.values() for layer in manifest.layers}
    for trial in trials:
        # A store is warmed before its first pull, and the next one after its last.
        first = min(pull["started_at"] for pull in trial.pulls)
        last = max(pull["started_at"] + timedelta(seconds=pull["duration_s"]) for pull in trial.pulls)
        assert [one.path for one in trial.blobs() if first < one.at < last and one.name in layers] == [], str(trial)
        for pull in trial.pulls:
            assert pull["layers_cached"] == pull["layers"] == len(manifests[pull["image"]].layers), str(trial)
