"""The docker engine with a real dockerd and a real docker-registry."""

import io
import json
import socket
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.debian_images import BuiltIndex, DebianImages, small_image
from pullbench.daemon.image_store import image_store
from pullbench.engines.base import SystemClock
from pullbench.engines.docker.engine import DockerEngine
from pullbench.errors import ErrorCode
from pullbench.model.platform import Platform
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration.asked import manifest_of
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.docker_bench import DockerBench, image_id, request
from tests.integration.front import Fault, Front
from tests.integration.ports import free_port
from tests.integration.real_registry import RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

AMD64 = Platform.parse("linux/amd64")


@pytest.fixture
def bench(docker_host: str, plain_registry: RealRegistry, push_image: PushImage) -> Iterator[DockerBench]:
    made = DockerBench(docker_host, plain_registry, push_image)
    yield made
    made.close()


def test_cold_pulls_of_debian_bring_every_byte_and_layer_again_and_again(
    bench: DockerBench, debian_image: Callable[[str], BuiltIndex], fresh: Callable[[], str]
) -> None:
    images = {(word := fresh()): debian_image(word) for _ in range(2)}
    for repository, image in images.items():
        bench.push(repository, image)
    requests = [request(bench, name, image, pull=i) for i, (name, image) in enumerate(images.items())]
    for _ in range(2):
        for asked, outcome in zip(requests, bench.trial(*requests), strict=True):
            manifest = asked.expected.manifest
            assert (outcome.ok, outcome.error) == (True, None)
            assert (outcome.layers, outcome.layers_cached, outcome.layers_shared) == (3, 0, 0)
            assert outcome.bytes == manifest.size_bytes
            assert [t.digest for t in outcome.transfers] == [layer.digest for layer in manifest.layers]
            assert [t.bytes for t in outcome.transfers] == [layer.size_bytes for layer in manifest.layers]
            assert all(t.total_s is not None and t.extract_s is not None for t in outcome.transfers)
            assert None not in (outcome.resolve_s, outcome.download_s, outcome.extract_s, outcome.duration_s)
            assert outcome.resolve_s + outcome.extract_s <= outcome.duration_s  # type: ignore[operator]
            assert outcome.download_s <= sum(t.total_s or 0 for t in outcome.transfers) + 1e-9  # type: ignore[operator]
            assert manifest.config.digest in bench.daemon.image_ids()


def test_a_warm_pull_finds_every_layer(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository, image = fresh(), small_image(AMD64, fresh(), fresh())
    bench.push(repository, image)
    (outcome,) = bench.trial(request(bench, repository, image, platform="linux/amd64"), cache="warm")
    assert outcome.ok
    assert (outcome.layers, outcome.layers_cached, outcome.layers_shared, outcome.bytes) == (2, 2, 0, 0)


def test_a_layer_that_two_pulls_share_is_counted_once(bench: DockerBench, fresh: Callable[[], str]) -> None:
    base = fresh()
    images = {fresh(): small_image(AMD64, base, fresh()) for _ in range(2)}
    for repository, image in images.items():
        bench.push(repository, image)
    outcomes = bench.trial(
        *(request(bench, name, image, pull=i, platform="linux/amd64") for i, (name, image) in enumerate(images.items()))
    )
    blobs = {blob.digest: blob.size_bytes for image in images.values() for blob in image.blobs}
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert sorted(outcome.layers_shared or 0 for outcome in outcomes) == [0, 1]
    assert [outcome.layers_cached for outcome in outcomes] == [0, 0]
    assert sum(outcome.bytes or 0 for outcome in outcomes) == sum(blobs.values())


def test_an_image_that_the_user_had_stays_and_the_pull_says_that_it_was_not_cold(
    bench: DockerBench, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    bench.push(repository, image)
    bench.api.pull(bench.name(repository), platform="linux/amd64")
    asked = request(bench, repository, image, platform="linux/amd64")
    try:
        (outcome,) = bench.trial(asked)
        assert outcome.ok and outcome.layers_cached == outcome.layers == 1
        assert bench.told == []
        bench.clean()
        assert bench.daemon.inspect(bench.name(repository))["Id"] == image_id(image.platforms["linux/amd64"])
    finally:
        bench.api.remove_image(bench.name(repository), force=True)


def test_cache_reset_remove_makes_a_users_image_cold(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository, image = fresh(), small_image(AMD64, fresh())
    bench.push(repository, image)
    bench.api.pull(bench.name(repository))
    (outcome,) = bench.trial(request(bench, repository, image, platform="linux/amd64"), reset="remove")
    assert outcome.ok and outcome.layers_cached == 0
    assert outcome.bytes == manifest_of(image).size_bytes


def test_dangling_images_of_others_survive(bench: DockerBench, fresh: Callable[[], str]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(fresh()))
    dangling = _import(bench, packed.getvalue())
    try:
        repository, image = fresh(), small_image(AMD64, fresh())
        bench.push(repository, image)
        for reset in ("own", "remove", "own"):
            assert bench.trial(request(bench, repository, image, platform="linux/amd64"), reset=reset)[0].ok
        bench.clean()
        assert dangling in bench.daemon.image_ids()
    finally:
        bench.api.remove_image(dangling)


def _import(bench: DockerBench, content: bytes) -> str:
    answer = bench.api.import_image_from_data(content)
    return str(json.loads(str(answer).strip().splitlines()[-1])["status"])


def test_what_a_user_tagged_or_made_a_container_of_since_is_not_removed(
    bench: DockerBench, fresh: Callable[[], str]
) -> None:
    tagged, contained = (small_image(AMD64, fresh()) for _ in range(2))
    requests = []
    for pull, image in enumerate((tagged, contained)):
        repository = fresh()
        bench.push(repository, image)
        requests.append(request(bench, repository, image, pull=pull, platform="linux/amd64"))
    assert all(outcome.ok for outcome in bench.trial(*requests))
    mine = f"mine/{fresh()}:1"
    bench.api.tag(image_id(tagged), mine)
    container = bench.api.create_container(image_id(contained), command="none", network_disabled=True)
    try:
        assert [outcome.layers_cached for outcome in bench.trial(*requests)] == [1, 1]
        cleaned = image_store(bench.daemon).remove_brought([image_id(tagged), image_id(contained)], bench.told)
        assert cleaned.removed == ()
        assert mine in cleaned.kept[image_id(tagged)]
        assert "container" in cleaned.kept[image_id(contained)]
    finally:
        bench.api.remove_container(container["Id"])
        bench.api.remove_image(mine, force=True)


def test_another_platforms_pull_leaves_the_name_of_a_users_image_alone(
    bench: DockerBench, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    digest = bench.push(repository, image)
    bench.api.pull(bench.name(repository), platform="linux/amd64")
    try:
        (outcome,) = bench.trial(request(bench, repository, image, platform="linux/arm64"))
        assert outcome.ok and outcome.layers_cached == 0
        bench.clean()
        names = bench.daemon.inspect(bench.name(repository))["RepoDigests"]
        assert names == [f"{bench.registry.host}/{repository}@{digest}"]
    finally:
        bench.api.remove_image(bench.name(repository), force=True)


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_the_asked_platform_of_an_index_is_pulled(bench: DockerBench, fresh: Callable[[], str], platform: str) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    bench.push(repository, image)
    asked = request(bench, repository, image, platform=platform)
    (outcome,) = bench.trial(asked)
    assert outcome.ok and outcome.bytes == asked.expected.manifest.size_bytes
    assert bench.daemon.inspect(image_id(image.platforms[platform]))["Architecture"] == platform.partition("/")[2]


def test_a_wrong_platform_in_silence_is_caught(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository, image = fresh(), small_image(AMD64, fresh())
    bench.push(repository, image)
    (outcome,) = bench.trial(request(bench, repository, image, platform="linux/arm64"))
    assert (outcome.ok, outcome.error_code) == (False, ErrorCode.PLATFORM_MISSING)
    assert "linux/amd64" in (outcome.error or "")


def test_a_missing_manifest_is_not_found(bench: DockerBench, fresh: Callable[[], str]) -> None:
    (outcome,) = bench.trial(request(bench, fresh(), small_image(AMD64, fresh()), platform="linux/amd64"))
    assert outcome.error_code is ErrorCode.NOT_FOUND
    assert (outcome.bytes, outcome.resolve_s, outcome.transfers) == (None, None, ())


def test_credentials_go_with_each_pull(
    bench: DockerBench, docker_registry: StartRegistry, fresh: Callable[[], str]
) -> None:
    guarded = docker_registry(htpasswd=True)
    repository, image = fresh(), small_image(AMD64, fresh())
    bench.push(repository, image, guarded)
    codes = []
    for credentials in ("anonymous", "env:BAD", "env:GOOD"):
        asked = request(bench, repository, image, platform="linux/amd64", url=guarded.url, credentials=credentials)
        (outcome,) = bench.trial(asked)
        codes.append(outcome.error_code)
        assert "wrong-password" not in (outcome.error or "")
    assert codes == [ErrorCode.UNAUTHORIZED, ErrorCode.UNAUTHORIZED, None]


def test_a_refused_connection_is_tried_again_as_asked(bench: DockerBench, fresh: Callable[[], str]) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    asked = request(bench, fresh(), small_image(AMD64, fresh()), platform="linux/amd64", url=nowhere, retries=1)
    (outcome,) = bench.trial(asked)
    assert (outcome.error_code, outcome.attempts) == (ErrorCode.CONNECT_REFUSED, 2)


def test_corrupt_content_is_a_digest_mismatch(bench: DockerBench, fresh: Callable[[], str]) -> None:
    repository, image = fresh(), small_image(AMD64, fresh())
    bench.push(repository, image)
    layer = image.blobs[1].digest
    with Front(
        bench.registry.url, lambda method, path: "corrupt" if method == "GET" and layer in path else None
    ) as front:
        (outcome,) = bench.trial(request(bench, repository, image, platform="linux/amd64", url=front.url))
    assert outcome.error_code is ErrorCode.DIGEST_MISMATCH
    assert outcome.transfers[0].error_code is ErrorCode.DIGEST_MISMATCH


def test_a_stalled_blob_ends_with_the_time_limit_and_dockerd_lets_go(
    bench: DockerBench, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), small_image(AMD64, fresh(), fresh())
    bench.push(repository, image)
    layer = image.blobs[2].digest
    with Front(
        bench.registry.url, lambda method, path: "stall" if method == "GET" and layer in path else None
    ) as front:
        (outcome,) = bench.trial(
            request(bench, repository, image, platform="linux/amd64", url=front.url, timeout_s=1.0)
        )
        assert outcome.error_code is ErrorCode.TIMEOUT
        assert "unfinished" in (outcome.error or "") and "did not confirm" not in (outcome.error or "")
        assert image_id(image) not in bench.daemon.image_ids()
        # dockerd joins pulls of one layer, whatever their host: a download that still hung would hang this one too.
        (again,) = bench.trial(request(bench, repository, image, platform="linux/amd64", timeout_s=20.0))
    assert (again.ok, again.layers_cached, again.bytes) == (True, 0, manifest_of(image).size_bytes)


def test_cancelling_frees_every_pull(bench: DockerBench, fresh: Callable[[], str]) -> None:
    images = {fresh(): small_image(AMD64, fresh()) for _ in range(2)}
    for repository, image in images.items():
        bench.push(repository, image)
    layers = [image.blobs[1].digest for image in images.values()]

    def fault(method: str, path: str) -> Fault | None:
        return "stall" if method == "GET" and any(layer in path for layer in layers) else None

    with Front(bench.registry.url, fault) as front:
        requests = [
            request(bench, name, image, pull=i, platform="linux/amd64", url=front.url)
            for i, (name, image) in enumerate(images.items())
        ]
        bench.open(requests)
        with ThreadPoolExecutor(2) as pool:
            pulls = [pool.submit(bench.engine.pull, asked) for asked in requests]
            assert front.reached.wait(20)
            bench.engine.cancel()
            outcomes = [pull.result(20) for pull in pulls]
        bench.engine.close_trial()
    assert [outcome.error_code for outcome in outcomes] == [ErrorCode.CANCELLED] * 2
    assert not any("did not confirm" in (outcome.error or "") for outcome in outcomes)


def test_a_registry_that_accepts_and_never_answers_does_not_hold_the_bench(
    bench: DockerBench, fresh: Callable[[], str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked = request(bench, fresh(), small_image(AMD64, fresh()), platform="linux/amd64", url=url, timeout_s=0.5)
        (outcome,) = bench.trial(asked)
    assert outcome.error_code is ErrorCode.TIMEOUT
    assert "did not confirm" in (outcome.error or "")


def test_a_daemon_that_does_not_answer_is_a_fact(fresh: Callable[[], str]) -> None:
    entry = EngineEntry(name="docker", kind="docker", host=f"unix:///tmp/{fresh()}.sock")
    engine = DockerEngine(entry, keychain=Keychain(environ={}), clock=SystemClock())
    facts = engine.facts()
    engine.close()
    assert facts.version is None
    assert facts.unavailable == f"{entry.host}: no answer from the daemon: No such file or directory"


def test_the_store_is_known_by_the_daemons_own_id(bench: DockerBench) -> None:
    facts = bench.engine.facts()
    assert facts.unavailable is None
    assert facts.store_id == bench.api.info()["ID"]
    assert facts.present == bench.daemon.image_ids()
