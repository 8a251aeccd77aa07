"""proxy_cache cold and warm through real mirrors: what the spec says is held against the upstream's own access log."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.debian_images import DebianImage, push, small_image
from pullbench.bench.active_run import ActiveRun
from pullbench.bench.specfile import LoadedSpec
from pullbench.bench.workbench import Workbench
from pullbench.daemon.docker import DockerDaemon
from pullbench.engines.base import SystemClock
from pullbench.lab.registry import Registry
from pullbench.model.platform import Platform
from pullbench.model.record import TrialResult
from pullbench.model.spec import read_spec
from pullbench.store.dataset import ResultStore
from tests.integration.conftest import PushImage, need
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry, start_registry

pytestmark = [pytest.mark.integration, pytest.mark.real]

AMD64 = Platform.parse("linux/amd64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A registry that takes pushes, tells how much it has served, and logs each request."""

    registry: RealRegistry

    def served(self) -> Counter[str]:
        """How often it served each blob so far, by digest."""
        found = (entry for entry in self.registry.served() if "/blobs/" in entry.path)
        return Counter(entry.name for entry in found if (entry.method, entry.status) == ("GET", 200))

    def is_gone(self, repository: str) -> bool:
        """Whether no tag of a repository leads to an image."""
        with self.registry.client() as client:
            tags = client.get(f"/v2/{repository}/tags/list").json().get("tags") or []
            return all(client.get(f"/v2/{repository}/manifests/{tag}").status_code == 404 for tag in tags)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    need("docker-registry")
    registry = start_registry(tmp_path_factory.mktemp("upstream"), changes=REQUESTS_LOGGED, counters=True)
    yield Upstream(registry=registry)
    registry.stop()


@pytest.fixture(scope="module")
def pull_through(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """It hides whether it had what it serves."""
    proxy = {"proxy": {"remoteurl": upstream.registry.url}}
    registry = start_registry(tmp_path_factory.mktemp("mirror"), changes=proxy)
    yield registry
    registry.stop()


@pytest.fixture
def image(upstream: Upstream, push_image: PushImage, fresh: Callable[[], str]) -> tuple[str, DebianImage]:
    """A repository of the test's own at the upstream, and the image there."""
    built, repository = small_image(AMD64, fresh(), fresh()), fresh()
    push_image(upstream.registry, repository, "1.0", built)
    return f"{repository}:1.0", built


def trials(folder: Path, upstream: Upstream, mirror: str, image: str, **changes: Any) -> list[TrialResult]:
    """What a run of one cell stores, trial by trial."""
    cold, state, engine = changes.get("cold"), changes["state"], changes.get("engine", "wire")
    spec = read_spec(
        {
            "name": "proxy-cache",
            "registries": [
                {
                    "name": "up",
                    "url": upstream.registry.url,
                    "credentials": "anonymous",
                    **({"counters": upstream.registry.counters} if changes.get("counters", True) else {}),
                }
            ],
            "proxies": [
                {
                    "name": "cache",
                    "kind": "mirror",
                    "url": mirror,
                    "upstream": "up",
                    "credentials": "anonymous",
                    **({"cold": cold} if cold else {}),
                }
            ],
            "engines": [] if isinstance(engine, str) else [engine],
            "images": [image],
            "matrix": {
                "engines": [engine if isinstance(engine, str) else engine["name"]],
                "proxies": ["cache"],
                "platforms": ["linux/amd64"],
                "proxy_cache": [state],
            },
            "repetitions": 2,
            "warmup": 1,
        }
    )
    loaded = LoadedSpec(spec=spec, hash=spec.hash(), source=folder / "spec.yaml")
    store = ResultStore(str(folder / "results"))
    with Workbench(loaded, vantage="here", environ={"PATH": "/usr/bin:/bin"}, clock=SystemClock()) as bench:
        run = ActiveRun.begin(bench, store, bench.gather())
        measured = [run.run_trial(trial) for trial in run.plan.trials]
        left = run.left_upstream()
        assert left == [] or "left" in changes, left
        changes.get("left", []).extend(left)

    assert all(pull.ok for result in measured for pull in result.pulls), measured
    return measured


def said(results: list[TrialResult]) -> set[tuple[str | None, str | None]]:
    return {(result.record.proxy_cache_found, result.record.proxy_cache_proof) for result in results}


def layers_of(results: list[TrialResult]) -> list[str]:
    return [
        str(row.digest)
        for result in results
        for row in result.transfers
        if row.kind == "layer" and row.error_code is None
    ]


def test_cold_by_push_fetches_every_layer_from_the_upstream_and_leaves_nothing_there(
    upstream: Upstream, pull_through: RealRegistry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    name, built = image
    before = upstream.served()
    results = trials(tmp_path, upstream, pull_through.url, name, state="cold", cold={"push": "pullbench/cold"})
    assert said(results) == {("cold", "upstream bytes")}
    pulled = layers_of(results)
    assert len(results) == 2, "no warm-up"
    assert len(pulled) == len(set(pulled)) == 2 * len(built.blobs[1:])
    fetched = upstream.served() - before
    assert all(fetched[digest] >= 1 for digest in pulled)
    layers = {blob.digest for blob in built.blobs[1:]}
    assert not fetched.keys() & layers, "the spec's own image was not pulled"
    assert upstream.is_gone("pullbench/cold")


def test_warm_is_filled_before_each_trial_and_fetches_nothing_within_it(
    upstream: Upstream, pull_through: RealRegistry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    name, built = image
    results = trials(tmp_path, upstream, pull_through.url, name, state="warm")
    assert len(results) == 3
    assert said(results) == {("warm", "upstream bytes")}
    served = upstream.registry.served()
    layers = {blob.digest for blob in built.blobs[1:]}
    assert all(result.record.setup_s > 0 for result in results)
    last_fetch = max(entry.at for entry in served if entry.method == "GET" and entry.name in layers)
    assert last_fetch < min(result.record.started_at for result in results)


def test_cold_by_a_command_finds_the_mirror_empty_each_time(
    upstream: Upstream, pull_through: RealRegistry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    name, built = image
    empties = ["/bin/rm", "-rf", str(pull_through.folder / "data" / "docker")]
    before = upstream.served()
    results = trials(tmp_path, upstream, pull_through.url, name, state="cold", cold={"reset": empties})
    assert said(results) == {("cold", "upstream bytes")}
    fetched = upstream.served() - before
    assert all(fetched[blob.digest] >= 2 for blob in built.blobs[1:]), "once a trial at least"


def test_a_reset_that_does_not_empty_the_mirror_is_found_out(
    upstream: Upstream, pull_through: RealRegistry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    results = trials(tmp_path, upstream, pull_through.url, image[0], state="cold", cold={"reset": ["true"]})
    assert [result.record.proxy_cache_found for result in results] == ["cold", "warm"]


def test_nothing_shows_what_a_silent_mirror_had_without_the_upstreams_counters(
    upstream: Upstream, pull_through: RealRegistry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    results = trials(tmp_path, upstream, pull_through.url, image[0], state="warm", counters=False)
    assert said(results) == {(None, None)}


@pytest.fixture(scope="module")
def talking(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """The lab's pull-through before a real registry: it says what it had, and how old that is."""
    with Registry(upstream=upstream.registry.url, cache_folder=tmp_path_factory.mktemp("lab")) as running:
        yield running


def test_headers_of_the_trials_own_layers_show_both_states(
    upstream: Upstream, talking: Registry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"counters": False, "cold": {"push": "pullbench/cold"}}
    for state in ("cold", "warm"):
        results = trials(tmp_path / state, upstream, talking.url, image[0], state=state, **changes)
        assert said(results) == {(state, "headers")}


def test_a_probe_shows_both_states_for_an_engine_that_hides_who_served_it(
    upstream: Upstream, talking: Registry, image: tuple[str, DebianImage], tmp_path: Path
) -> None:
    need("skopeo")
    changes: dict[str, Any] = {"counters": False, "cold": {"push": "pullbench/cold"}, "engine": "skopeo"}
    for state in ("cold", "warm"):
        results = trials(tmp_path / state, upstream, talking.url, image[0], state=state, **changes)
        assert said(results) == {(state, "probe")}
        for pull in (pull for result in results for pull in result.pulls):
            told = pull.served_by or ""
            assert told.startswith(f"probe before: {talking.url.removeprefix('http://')}"), told
            assert "after: " in told and "x-cache=HIT" in told.partition("after: ")[2], told
            assert ("x-cache=HIT" in told.partition("; after")[0]) == (state == "warm"), told


def test_a_daemon_keeps_no_image_that_was_pushed_for_one_trial_alone(
    upstream: Upstream,
    pull_through: RealRegistry,
    image: tuple[str, DebianImage],
    docker_daemon: DockerDaemon,
    tmp_path: Path,
) -> None:
    engine = {"name": "daemon", "kind": "docker", "host": docker_daemon.host}
    cold = {"push": "pullbench/cold"}
    results = trials(tmp_path, upstream, pull_through.url, image[0], state="cold", cold=cold, engine=engine)
    assert said(results) == {("cold", "upstream bytes")}
    for pull in (pull for result in results for pull in result.pulls):
        assert pull.layers_cached == 0
        assert docker_daemon.find(f"{pull_through.host}/pullbench/cold@{pull.digest}") is None


def test_a_registry_that_deletes_nothing_is_told_of(
    upstream: Upstream, image: tuple[str, DebianImage], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    keeps = {"storage": {"filesystem": {"rootdirectory": str(tmp_path / "kept")}, "delete": {"enabled": False}}}
    registry = start_registry(tmp_path / "registry", changes=keeps)
    try:
        with registry.client() as client:
            push(client, "app", "1.0", image[1])
        with Registry(upstream=registry.url, cache_folder=tmp_path / "lab") as mirror:
            there = Upstream(registry=registry)
            cold = {"push": "pullbench/cold"}
            left: list[str] = []
            trials(tmp_path, there, mirror.url, "app:1.0", state="cold", cold=cold, counters=False, left=left)
    finally:
        registry.stop()
    assert len(left) == 1
    assert left[0].startswith(f"left at {registry.url}: 2 synthetic images in pullbench/cold (405 "), left
