"""The docker engine on both image stores of dockerd: what was fetched is what the registry sent, and cold is cold.

A daemon of each store is taken from PULLBENCH_DOCKER_OVERLAY2 and PULLBENCH_DOCKER_CONTAINERD. Else overlay2 is the session's
daemon, and containerd's store is one that is started here, where the installed Docker has it.
"""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from benchmarks.debian_images import DebianImages, small_image
from pullbench.bench.cleaning import clean
from pullbench.daemon.docker import names_of
from pullbench.daemon.image_store import ContainerdStore, image_store
from pullbench.engines.base import PullOutcome, PullRequest
from pullbench.errors import ErrorCode
from pullbench.model.platform import Platform
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import Ledger
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.docker_bench import DockerBench, request
from tests.integration.front import Fault, Front
from tests.integration.image_kinds import AMD64, KINDS, sized
from tests.integration.real_dockerd import major, own_dockerd
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

STORES = {"overlay2": "PULLBENCH_DOCKER_OVERLAY2", "containerd": "PULLBENCH_DOCKER_CONTAINERD"}
_HAS_CONTAINERD_STORE = 25
_READS_ZSTD = 23


@pytest.fixture(scope="module", params=STORES)
def host(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a daemon with the store that the test is about."""
    named = os.environ.get(STORES[request.param])
    if named:
        yield named
        return
    with ExitStack() as stack:
        if request.param == "containerd":
            if major(request.getfixturevalue("docker_host")) < _HAS_CONTAINERD_STORE:
                pytest.skip("this Docker has no containerd image store")
            yield stack.enter_context(own_dockerd(features={"containerd-snapshotter": True})).host
        elif os.environ.get("PULLBENCH_MODERN") == "1":
            yield stack.enter_context(own_dockerd(features={"containerd-snapshotter": False})).host
        else:
            yield request.getfixturevalue("docker_host")


@pytest.fixture(scope="module")
def logged_registry(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(changes=REQUESTS_LOGGED)


@pytest.fixture
def bench(host: str, logged_registry: RealRegistry, push_image: PushImage) -> Iterator[DockerBench]:
    made = DockerBench(host, logged_registry, push_image)
    yield made
    made.close()


def has_containerd(bench: DockerBench) -> bool:
    return isinstance(image_store(bench.daemon), ContainerdStore)


def sent(registry: RealRegistry, asked: list[PullRequest], before: int) -> int:
    """The bytes of blobs that the registry sent to a daemon since for these images, by its log."""
    names = {one.reference.repository for one in asked}
    served = [one for one in registry.served()[before:] if "httpx" not in one.agent]  # that is a front's, and late
    return sum(one.sent_bytes for one in served if one.repository in names and "/blobs/" in one.path)


def logged(bench: DockerBench) -> int:
    return len(bench.registry.served())


def cold(outcome: PullOutcome, asked: PullRequest, *, attested: bool = False) -> None:
    """Everything came, as the manifest has it; attestations may have come too."""
    assert (outcome.ok, outcome.error) == (True, None)
    assert (outcome.layers, outcome.layers_cached) == (len(asked.expected.manifest.layers), 0)
    size = asked.expected.manifest.size_bytes
    assert outcome.bytes == size or (attested and (outcome.bytes or 0) > size)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_cold_again_and_again_then_warm(
    bench: DockerBench, fresh: Callable[[], str], kind: str
) -> None:
    if kind == "zstd" and major(bench.daemon.host) < _READS_ZSTD:
        pytest.skip("this Docker does not read zstd")
    repository = fresh()
    image = KINDS[kind](repository)
    bench.push(repository, image)
    asked = request(bench, repository, image, platform="linux/amd64")
    for _ in range(2):
        before = logged(bench)
        (outcome,) = bench.trial(asked)
        cold(outcome, asked, attested=kind == "attestations")
        assert outcome.bytes == sent(bench.registry, [asked], before)
    for _ in range(2):
        (outcome,) = bench.trial(asked, cache="warm")
        assert (outcome.ok, outcome.bytes) == (True, 0)
        assert outcome.layers_cached == outcome.layers == len(asked.expected.manifest.layers)
    bench.clean()
    assert not any(repository in name for image in bench.daemon.images() for name in names_of(image))


def test_four_concurrent_pulls_bring_what_the_registry_sent(bench: DockerBench, fresh: Callable[[], str]) -> None:
    asked = []
    for pull in range(4):
        repository = fresh()
        image = sized(repository)
        bench.push(repository, image)
        asked.append(request(bench, repository, image, pull=pull, platform="linux/amd64"))
    for _ in range(2):
        before = logged(bench)
        outcomes = bench.trial(*asked)
        for outcome, one in zip(outcomes, asked, strict=True):
            cold(outcome, one)
        assert sum(outcome.bytes or 0 for outcome in outcomes) == sent(bench.registry, asked, before)


def test_a_base_that_concurrent_pulls_share_is_counted_once(bench: DockerBench, fresh: Callable[[], str]) -> None:
    base, asked = fresh(), []
    for pull in range(2):
        repository = fresh()
        image = small_image(AMD64, base, repository)
        bench.push(repository, image)
        asked.append(request(bench, repository, image, pull=pull, platform="linux/amd64"))
    outcomes = bench.trial(*asked)
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert [outcome.layers_cached for outcome in outcomes] == [0, 0]
    assert sum(outcome.layers_shared or 0 for outcome in outcomes) == 1


def removes_platforms(bench: DockerBench) -> bool:
    return not has_containerd(bench) or bench.daemon.api_version >= (1, 50)


def cold_after_a_stopped_pull(bench: DockerBench, outcome: PullOutcome, asked: PullRequest, before: int) -> None:
    """Nothing of it is left, or else the bytes are not known."""
    if image_store(bench.daemon).frees_stopped_pulls:
        cold(outcome, asked)
        assert outcome.bytes == sent(bench.registry, [asked], before)
    else:
        assert (outcome.ok, outcome.bytes) == (True, None)


FAULTS: tuple[Fault, ...] = ("stall", "truncate", "reset", "corrupt", "overload")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stopped_or_failed_pull_leaves_no_trace_in_the_next_cold_trial(
    bench: DockerBench, fresh: Callable[[], str], fault: Fault
) -> None:
    repository = fresh()
    image = sized(repository)
    bench.push(repository, image)
    layer = image.blobs[2].digest
    asked = request(bench, repository, image, platform="linux/amd64")
    with Front(bench.registry.url, lambda method, path: fault if method == "GET" and layer in path else None) as front:
        broken = request(bench, repository, image, platform="linux/amd64", url=front.url, timeout_s=2.0)
        (failed,) = bench.trial(broken)
    assert not failed.ok
    before = logged(bench)
    (outcome,) = bench.trial(asked)
    cold_after_a_stopped_pull(bench, outcome, asked, before)


def test_a_cancelled_trial_leaves_no_trace_in_the_next(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository = fresh()
    image = sized(repository)
    bench.push(repository, image)
    layer = image.blobs[3].digest
    with Front(
        bench.registry.url, lambda method, path: "stall" if method == "GET" and layer in path else None
    ) as front:
        broken = request(bench, repository, image, platform="linux/amd64", url=front.url)
        bench.open([broken])
        with ThreadPoolExecutor(1) as pool:
            pulling = pool.submit(bench.engine.pull, broken)
            assert front.reached.wait(20)
            bench.engine.cancel()
            assert pulling.result(20).error_code is ErrorCode.CANCELLED
        bench.engine.close_trial()
    asked = request(bench, repository, image, platform="linux/amd64")
    before = logged(bench)
    (outcome,) = bench.trial(asked)
    cold_after_a_stopped_pull(bench, outcome, asked, before)


def platforms(bench: DockerBench, name: str) -> set[str]:
    """The architectures that a name has content of, as far as the daemon says."""
    if not has_containerd(bench) or bench.daemon.api_version < (1, 48):
        return {str(bench.daemon.inspect(name)["Architecture"])}
    listed = bench.daemon.inspect(name, manifests=1)["Manifests"]
    return {each["ImageData"]["Platform"]["architecture"] for each in listed if each["Available"]}


@pytest.mark.parametrize("reset", ["own", "remove"])
@pytest.mark.parametrize("by_digest", [False, True])
def test_a_users_platform_of_the_same_index_is_never_touched(
    bench: DockerBench, fresh: Callable[[], str], reset: str, by_digest: bool
) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    digest = bench.push(repository, image)
    users = f"{bench.registry.host}/{repository}@{digest}" if by_digest else bench.name(repository)
    bench.api.pull(users, platform="linux/amd64")
    asked = request(bench, repository, image, platform="linux/arm64")
    try:
        for number in range(2):
            before = logged(bench)
            (outcome,) = bench.trial(asked, reset=reset)
            assert outcome.ok
            if number == 0 or removes_platforms(bench):  # else the plan excludes the configuration
                cold(outcome, asked)
                assert outcome.bytes == sent(bench.registry, [asked], before)
            assert "amd64" in platforms(bench, users)
        bench.clean()
        if removes_platforms(bench):
            assert platforms(bench, users) == {"amd64"}
        assert users in names_of(bench.daemon.inspect(users))
        before = logged(bench)
        bench.api.pull(users, platform="linux/amd64")
        assert sent(bench.registry, [asked], before) == 0
    finally:
        bench.api.remove_image(users, force=True)


def test_a_users_pull_of_another_platform_by_our_own_name_stays(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    bench.push(repository, image)
    asked = request(bench, repository, image, platform="linux/arm64")
    (outcome,) = bench.trial(asked)
    cold(outcome, asked)
    users = bench.name(repository)
    bench.api.pull(users, platform="linux/amd64")
    try:
        bench.clean()
        assert "amd64" in platforms(bench, users)
    finally:
        bench.api.remove_image(users, force=True)


def test_both_platforms_of_an_index_are_cold_in_turn(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    bench.push(repository, image)
    both = [request(bench, repository, image, platform=name) for name in ("linux/amd64", "linux/arm64")]
    for asked in (*both, *both):
        before = logged(bench)
        (outcome,) = bench.trial(asked)
        cold(outcome, asked)
        assert outcome.bytes == sent(bench.registry, [asked], before)
    bench.clean()
    assert bench.daemon.find(bench.name(repository)) is None


def test_layers_that_a_users_image_shares_with_one_platform_stay(bench: DockerBench, fresh: Callable[[], str]) -> None:
    """A removal by platform would take the layers of the user's image with it."""
    shared, index_of, other = fresh(), fresh(), fresh()
    image = DebianImages.small(shared)
    bench.push(index_of, image)
    sharing = small_image(Platform.parse("linux/arm64"), shared, other)
    bench.push(other, sharing)
    bench.api.pull(bench.name(index_of), platform="linux/amd64")
    bench.api.pull(bench.name(other))
    asked = request(bench, index_of, image, platform="linux/arm64")
    try:
        for _ in range(2):
            (outcome,) = bench.trial(asked)
            assert (outcome.ok, outcome.layers_cached) == (True, 1)
        bench.clean()
        before = logged(bench)
        bench.api.pull(bench.name(other))
        served = bench.registry.served()[before:]
        assert not [one for one in served if "/blobs/" in one.path]
        assert platforms(bench, bench.name(other)) == {"arm64"}
    finally:
        for name in (index_of, other):
            bench.api.remove_image(bench.name(name), force=True)


def test_what_a_user_tagged_or_made_a_container_of_since_stays(bench: DockerBench, fresh: Callable[[], str]) -> None:
    asked = []
    for pull in range(2):
        repository = fresh()
        image = sized(repository, layers=1, size_bytes=1000)
        bench.push(repository, image)
        asked.append(request(bench, repository, image, pull=pull, platform="linux/amd64"))
    assert all(outcome.ok for outcome in bench.trial(*asked))
    names = [f"{bench.registry.host}/{one.reference.repository}@{one.reference.digest}" for one in asked]
    mine = f"mine/{fresh()}:1"
    bench.api.tag(names[0], mine)
    container = bench.api.create_container(names[1], command="none", network_disabled=True)
    try:
        assert [outcome.layers_cached for outcome in bench.trial(*asked)] == [1, 1]
        store = image_store(bench.daemon)
        ids = [name for name in bench.told if name.startswith("sha256:")]
        cleaned = store.remove_brought(ids, [name for name in bench.told if "@" in name])
        assert cleaned.removed == ()
        reasons = " ".join(cleaned.kept.values())
        assert mine in reasons and "container" in reasons
    finally:
        bench.api.remove_container(container["Id"])
        bench.api.remove_image(mine, force=True)


def test_a_wrong_platform_in_silence_is_caught(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository = fresh()
    image = sized(repository, layers=1, size_bytes=1000)
    bench.push(repository, image)
    (outcome,) = bench.trial(request(bench, repository, image, platform="linux/arm64"))
    assert (outcome.ok, outcome.error_code) == (False, ErrorCode.PLATFORM_MISSING)


def test_images_before_the_run_and_those_it_brought_are_facts(
    bench: DockerBench, fresh: Callable[[], str], tmp_path: Any
) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    bench.push(repository, image)
    asked = request(bench, repository, image, platform="linux/arm64")
    assert bench.trial(asked)[0].ok
    facts = bench.engine.facts()
    assert asked.reference.digest is not None
    names = {asked.reference.digest, asked.expected.digest, asked.expected.manifest.config.digest}
    known = names & facts.present
    assert known
    assert known <= set(bench.told)
    assert facts.image_store == image_store(bench.daemon).label
    ledger = Ledger(ResultStore(str(tmp_path)))
    assert facts.store_id is not None
    ledger.record("20261129T000000Z-0000", 0, facts.store_id, bench.told)
    assert ledger.brought(facts.store_id) == frozenset(bench.told)
    cleaned = clean(ledger, bench.daemon)
    assert known.issuperset(cleaned.removed)
    assert ledger.entries() == ()
    assert json.dumps(sorted(bench.engine.facts().present & known)) == "[]"
