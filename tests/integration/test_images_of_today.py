"""Images of the kinds that registries have today, by every engine, cold and warm: rows against the registry's own log.

Where Docker can have containerd's image store, both stores are measured side by side.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from pullbench.model.facts import Facts
from pullbench.model.manifest import Manifest
from pullbench.store.dataset import ResultStore
from tests.integration.conftest import PushImage, StartRegistry, need
from tests.integration.image_kinds import KINDS
from tests.integration.real_dockerd import major, own_dockerd
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry
from tests.integration.shell import PrefectServer, Shell
from tests.integration.test_every_engine import Pulled, trials_of

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

PLATFORM = "linux/amd64"
CONCURRENCY = (1, 4)
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


@pytest.fixture(scope="module")
def trials(
    engines: dict[str, dict[str, Any]],
    docker_host: str,
    docker_registry: StartRegistry,
    push_image: PushImage,
    prefect_server: PrefectServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[tuple[Pulled, ...], dict[str, Manifest]]:
    """The trials of one run, and the manifest of each image."""
    for program in ("podman", "skopeo", "ctr"):
        need(program)
    origin = docker_registry(changes=REQUESTS_LOGGED)
    images = push_kinds(origin, push_image, zstd=major(docker_host) >= _READS_ZSTD)
    shell = Shell(tmp_path_factory.mktemp("images-of-today"), prefect_server.environment)
    spec = {
        "name": "images-of-today",
        "registries": [{"name": "origin", "url": origin.url, "credentials": "anonymous"}],
        "engines": [{"name": name, **options} for name, options in engines.items()],
        "images": images,
        "matrix": {
            "engines": list(engines),
            "platforms": [PLATFORM],
            "concurrency": list(CONCURRENCY),
            "cache": ["cold", "warm"],
        },
        "repetitions": 1,
        "warmup": 0,
        "pulls_per_trial": len(images),
    }
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = shell.run("run", "spec.yaml", "--json", "--no-report", "--skip-preflight", timeout_s=500)
    assert done.code == 0, done.err
    results = shell.folder / "results"
    facts = Facts.from_json(ResultStore(str(results)).run(done.document["run_id"]).facts)
    manifests = {image.image: image.platforms[PLATFORM].manifest for image in facts.images.values()}
    return tuple(trials_of(results, origin.served(), [])), manifests


def push_kinds(origin: RealRegistry, push_image: PushImage, *, zstd: bool) -> list[str]:
    """One image of each kind; docker before 23 does not read zstd, and is excluded by it."""
    names = []
    for number, (kind, make) in enumerate(KINDS.items()):
        if kind != "zstd" or zstd:
            push_image(origin, f"kinds/{number}", "1.0", make(f"today-{number}"))
            names.append(f"kinds/{number}:1.0")
    return names


def test_every_engine_pulls_every_kind_in_every_cache_state(
    trials: tuple[tuple[Pulled, ...], dict[str, Manifest]], engines: dict[str, dict[str, Any]]
) -> None:
    rows, manifests = trials
    without_a_store = {"wire", "skopeo"}
    assert {(t.row["engine"], t.row["cache"], t.row["concurrency"]) for t in rows} == {
        (name, cache, n)
        for name in engines
        for cache in (("cold",) if name in without_a_store else ("cold", "warm"))
        for n in CONCURRENCY
    }
    for trial in rows:
        assert [(pull["image"], pull["ok"], pull["error"]) for pull in trial.pulls if not pull["ok"]] == [], str(trial)
        assert {pull["image"] for pull in trial.pulls} == set(manifests)


def test_a_cold_pull_brought_what_the_registry_sent(
    trials: tuple[tuple[Pulled, ...], dict[str, Manifest]],
) -> None:
    rows, manifests = trials
    for trial in (trial for trial in rows if trial.row["cache"] == "cold"):
        sent = Counter[str]()
        for one in trial.blobs():
            sent[one.repository] += one.sent_bytes
        for pull in trial.pulls:
            repository = pull["image"].partition(":")[0]
            layers = [layer.digest for layer in manifests[pull["image"]].layers]
            if trial.kind == "skopeo" and len(set(layers)) < len(layers):
                assert pull["bytes"] is None, "it may download a layer again that is listed again"
            else:
                assert pull["bytes"] == sent[repository], (str(trial), pull["image"])
            assert pull["layers"] == len(manifests[pull["image"]].layers), (str(trial), pull["image"])
            assert pull["layers_cached"] in (0, None), (str(trial), pull["image"])
            assert (pull["layers_cached"] is None) == (trial.kind == "wire"), str(trial)


def test_a_warm_pull_found_every_layer_and_was_sent_none(
    trials: tuple[tuple[Pulled, ...], dict[str, Manifest]],
) -> None:
    rows, manifests = trials
    for trial in (trial for trial in rows if trial.row["cache"] == "warm"):
        layers = {layer.digest for manifest in manifests.values() for layer in manifest.layers}
        first = min(pull["started_at"] for pull in trial.pulls)  # the store is warmed before, with requests of its own
        assert not [one for one in trial.blobs() if one.at > first and one.name in layers], str(trial)
        for pull in trial.pulls:
            assert pull["layers_cached"] == pull["layers"] == len(manifests[pull["image"]].layers), str(trial)
