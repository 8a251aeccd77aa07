"""skopeo, podman and containerd with a real docker-registry: what they bring, how they fail, and what they leave.

The same for every generation of the clients. An option that the installed version lacks is excluded, and its tests are skipped.
With PULLBENCH_MODERN=1 nothing may be: the clients must be of today.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.debian_images import BuiltIndex, DebianBlob, DebianImage, DebianImages, index_of, small_image
from pullbench.engines.command.folder import remove_stale_folders
from pullbench.errors import ErrorCode
from pullbench.model.capability import CAPABILITIES
from pullbench.model.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from pullbench.model.platform import Platform
from tests.integration.asked import manifest_of, request
from tests.integration.command_bench import CommandBench, processes_of
from tests.integration.conftest import PushImage, StartRegistry, missing, need
from tests.integration.front import Fault, Front
from tests.integration.real_registry import ANY_ADDRESS, RealRegistry
from tests.integration.real_squid import Asked, RealSquid

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]

PROGRAMS = {"skopeo": "skopeo", "podman": "podman", "containerd": "ctr"}
BENCHES: dict[str, dict[str, Any]] = {
    "skopeo": {"kind": "skopeo"},
    "podman": {"kind": "podman"},
    "ctr": {"kind": "containerd", "transfer": "local"},
    "service": {"kind": "containerd", "transfer": "service"},
}
AMD64 = Platform.parse("linux/amd64")
PLATFORMS = ("linux/amd64", "linux/amd64/v2", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/s390x")
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[CommandBench]:
    yield from _bench(**BENCHES[request.param])


@pytest.fixture(params=[name for name, options in BENCHES.items() if options["kind"] != "skopeo"])
def bench_with_store(request: pytest.FixtureRequest) -> Iterator[CommandBench]:
    yield from _bench(**BENCHES[request.param])


@pytest.fixture
def bench_in_parts() -> Iterator[CommandBench]:
    yield from _bench("podman", partial_pulls=True)


def _bench(kind: str, **options: Any) -> Iterator[CommandBench]:
    need(PROGRAMS[kind])
    if kind != "skopeo" and os.geteuid() != 0:
        missing(f"only root can run {kind} for a benchmark")
    made = CommandBench(kind, **options)
    if options and made.facts.unavailable is not None:
        (pytest.fail if os.environ.get("PULLBENCH_MODERN") == "1" else pytest.skip)(made.facts.unavailable)
    yield made
    made.engine.close()
    assert made.left_behind() == []


@pytest.fixture(scope="module")
def protected(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(htpasswd=True)


@pytest.fixture(scope="module")
def encrypted(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(tls=True)


@pytest.fixture
def pushed(
    plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> Callable[[DebianImage | BuiltIndex], str]:
    """Pushes an image to a repository of its own, and names that."""

    def push(image: DebianImage | BuiltIndex) -> str:
        repository = fresh()
        push_image(plain_registry, repository, "1.0", image)
        return repository

    return push


def of_docker(image: DebianImage) -> DebianImage:
    """The same image with a manifest in Docker's format."""
    document = json.loads(image.manifest.content)
    document["mediaType"] = DOCKER_MANIFEST
    document["config"]["mediaType"] = DOCKER_CONFIG
    for layer in document["layers"]:
        layer["mediaType"] = DOCKER_LAYER
    manifest = DebianBlob.of(DOCKER_MANIFEST, json.dumps(document).encode())
    return DebianImage(platform=image.platform, manifest=manifest, blobs=image.blobs)


def with_plain_and_repeated_layers(image: DebianImage) -> DebianImage:
    """The image of two layers with its first as a bare tar, and its second once more on top."""
    document, config = json.loads(image.manifest.content), json.loads(image.blobs[0].content)
    config["rootfs"]["diff_ids"].append(config["rootfs"]["diff_ids"][1])
    bare = DebianBlob.of("application/vnd.oci.image.layer.v1.tar", gzip.decompress(image.blobs[1].content))
    blobs = (DebianBlob.of(image.blobs[0].media_type, json.dumps(config).encode()), bare, image.blobs[2])
    document["config"] = blobs[0].descriptor()
    document["layers"] = [blob.descriptor() for blob in (bare, image.blobs[2], image.blobs[2])]
    manifest = DebianBlob.of(image.manifest.media_type, json.dumps(document).encode())
    return DebianImage(platform=image.platform, manifest=manifest, blobs=blobs)


def with_a_long_history(image: DebianImage) -> DebianImage:
    """The same layers, each made by a step of 2,000 characters: more than 200 KB of config."""
    document, config = json.loads(image.manifest.content), json.loads(image.blobs[0].content)
    for entry in config["history"]:
        entry["created_by"] = "RUN make install " * 120
    blob = DebianBlob.of(image.blobs[0].media_type, json.dumps(config).encode())
    document["config"] = blob.descriptor()
    manifest = DebianBlob.of(image.manifest.media_type, json.dumps(document).encode())
    return DebianImage(platform=image.platform, manifest=manifest, blobs=(blob, *image.blobs[1:]))


def chunked_copy(registry: RealRegistry, repository: str) -> DebianImage:
    """The repository's image with zstd:chunked layers, pushed beside it by skopeo; its blobs stay at the registry."""
    source, target = (f"docker://{registry.host}/{repository}:{tag}" for tag in ("1.0", "chunked"))
    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    copy = ("skopeo", "--insecure-policy", "copy", "--quiet", *insecure, "--dest-compress-format=zstd:chunked")
    force = "--dest-force-compress-format"  # else skopeo takes the blobs that are there
    subprocess.run((*copy, force, source, target), check=True)
    with registry.client() as client:
        answer = client.get(f"/v2/{repository}/manifests/chunked", headers={"Accept": OCI_MANIFEST}).raise_for_status()
    assert b"zstd-chunked" in answer.content
    return DebianImage(platform=AMD64, manifest=DebianBlob.of(OCI_MANIFEST, answer.content), blobs=())


def test_the_facts_have_a_version_and_what_it_unpacks_with(bench: CommandBench) -> None:
    assert bench.facts.unavailable is None
    version, _, how = (bench.facts.version or "").partition(" (")
    assert version[0].isdecimal()
    assert bench.kind == "skopeo" or how.startswith(("overlay", "vfs", "native"))


def test_a_cold_pull_brings_all_of_a_real_image(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    debian_image: Callable[[str], BuiltIndex],
) -> None:
    host = str(Platform.of_machine(os.uname().machine))
    image = debian_image("command")
    asked = request(pushed(image), image, plain_registry.url, platform=host)
    (outcome,) = bench.pull(asked)
    assert outcome.ok, outcome.error
    assert outcome.bytes == manifest_of(image.platforms[host]).size_bytes
    assert (outcome.layers, outcome.layers_cached, outcome.layers_shared, outcome.attempts) == (3, 0, 0, 1)
    assert outcome.duration_s is not None and outcome.duration_s > 0
    assert (outcome.extract_s is not None) == bench.prints_how_long_it_unpacked
    assert outcome.extract_s is None or 0 < outcome.extract_s < outcome.duration_s


def test_each_cold_pull_asks_the_registry_for_every_blob_again(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image, paths = small_image(AMD64, fresh(), fresh()), list[str]()
    with Front(plain_registry.url, lambda method, path: paths.append(path)) as front:
        asked = request(pushed(image), image, front.url)
        for _ in range(2):
            paths.clear()
            (outcome,) = bench.pull(asked)
            assert outcome.ok, outcome.error
            assert {path.rpartition("/")[2] for path in paths if "/blobs/" in path} == {b.digest for b in image.blobs}


def test_a_pull_asks_for_the_manifests_that_the_plan_counts_and_for_its_own_platforms_blobs(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    marker, asked = fresh(), list[str]()
    index = index_of([small_image(Platform.parse(name), f"{marker}-{name}") for name in PLATFORMS])
    mine = index.platforms["linux/amd64"]
    with Front(plain_registry.url, lambda method, path: asked.append(path) if method == "GET" else None) as front:
        for image, manifests in ((index, [index.index, mine.manifest]), (mine, [mine.manifest])):
            repository = pushed(image)
            asked.clear()
            (outcome,) = bench.pull(request(repository, image, front.url))
            assert outcome.ok, outcome.error
            assert sorted(path.rpartition("/")[2] for path in asked if path != "/v2/") == sorted(
                blob.digest for blob in (*manifests, *mine.blobs)
            ), "two manifests for an index, else one (`manifest_requests`), and each blob once"


@pytest.mark.parametrize("platform", ["linux/arm/v6", "linux/amd64/v2"])
def test_a_platform_whose_variant_only_the_index_names_is_pulled(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
    platform: str,
) -> None:
    marker = fresh()
    index = index_of([small_image(Platform.parse(name), f"{marker}-{name}") for name in PLATFORMS])
    (outcome,) = bench.pull(request(pushed(index), index, plain_registry.url, platform=platform))
    assert outcome.ok, outcome.error
    assert (outcome.bytes, outcome.layers) == (manifest_of(index.platforms[platform]).size_bytes, 1)


def test_an_image_of_100_layers_and_a_long_history_is_pulled(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    marker = fresh()
    image = with_a_long_history(small_image(AMD64, *(f"{marker}-{number}" for number in range(100))))
    # podman flushes its list to the disk for each layer, and a test may share the disk with others.
    (outcome,) = bench.pull(request(pushed(image), image, plain_registry.url, timeout_s=400))
    assert outcome.ok, outcome.error
    assert (outcome.bytes, outcome.layers, outcome.layers_cached) == (manifest_of(image).size_bytes, 100, 0)


def test_podman_pulls_chunked_layers_in_parts_and_knows_them_when_they_are_there(
    bench_in_parts: CommandBench, plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    bench, repository, asked = bench_in_parts, fresh(), list[str]()
    whole = small_image(AMD64, fresh(), fresh())
    push_image(plain_registry, repository, "1.0", whole)
    chunked = chunked_copy(plain_registry, repository)
    with Front(plain_registry.url, lambda method, path: asked.append(path.rpartition("/")[2])) as front:
        for image, is_in_parts in ((whole, False), (chunked, True)):
            layers = [layer.digest for layer in manifest_of(image).layers]
            asked.clear()
            (cold,) = bench.pull(request(repository, image, front.url))
            assert cold.ok, cold.error
            assert (cold.layers, cold.layers_cached) == (2, 0)
            assert cold.bytes == (None if is_in_parts else manifest_of(image).size_bytes)
            assert {asked.count(digest) > 1 for digest in layers} == {is_in_parts}, "a part with the list, and the rest"
            with bench.trial(request(repository, image, front.url), cache="warm"):
                asked.clear()
                warm = bench.engine.pull(request(repository, image, front.url)).verified()
            assert warm.ok, warm.error
            assert (warm.layers_cached, warm.bytes) == (2, manifest_of(image).config.size_bytes)
            assert not set(layers) & set(asked)


def test_pulls_of_one_trial_share_no_layer(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    base, paths = fresh(), list[str]()
    images = [small_image(AMD64, base, fresh()) for _ in range(3)]
    with Front(plain_registry.url, lambda method, path: paths.append(path)) as front:
        asked = [request(pushed(image), image, front.url, pull=number) for number, image in enumerate(images)]
        with bench.trial(*asked), ThreadPoolExecutor() as pool:
            made = [*pool.map(bench.engine.pull, asked[:2]), bench.engine.pull(asked[2])]
            outcomes = [outcome.verified() for outcome in made]
    for image, outcome in zip(images, outcomes, strict=True):
        assert outcome.ok, outcome.error
        assert (outcome.bytes, outcome.layers_cached) == (manifest_of(image).size_bytes, 0)
    shared = images[0].blobs[1].digest
    assert {path for path in paths if path.endswith(shared)} == {
        f"/v2/{entry.reference.repository}/blobs/{shared}" for entry in asked
    }


def test_an_image_in_dockers_format_is_brought_and_recognized(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = of_docker(small_image(AMD64, fresh(), fresh()))
    (outcome,) = bench.pull(request(pushed(image), image, plain_registry.url))
    assert outcome.ok, outcome.error
    assert (outcome.bytes, outcome.layers) == (manifest_of(image).size_bytes, 2)


def test_layers_that_are_not_compressed_or_there_twice_are_counted_as_they_come(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = with_plain_and_repeated_layers(small_image(AMD64, fresh(), fresh()))
    (outcome,) = bench.pull(request(pushed(image), image, plain_registry.url))
    assert outcome.ok, outcome.error
    # podman and skopeo may download a layer again that is listed again, and do not report it.
    known = None if bench.kind in ("podman", "skopeo") else manifest_of(image).size_bytes
    assert (outcome.bytes, outcome.layers) == (known, 3)


def test_a_warm_pull_brings_no_layer(
    bench_with_store: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    bench, image, paths = bench_with_store, small_image(AMD64, fresh(), fresh()), list[str]()
    with Front(plain_registry.url, lambda method, path: paths.append(path) if method == "GET" else None) as front:
        asked = request(pushed(image), image, front.url)
        with bench.trial(asked, cache="warm"):
            paths.clear()
            outcome = bench.engine.pull(asked).verified()
    assert outcome.ok, outcome.error
    assert (outcome.layers, outcome.layers_cached) == (2, 2)
    blobs = {blob.digest: blob.size_bytes for blob in image.blobs}
    assert outcome.bytes == sum(blobs[path.rpartition("/")[2]] for path in paths if "/blobs/" in path)
    assert sum("/manifests/" in path for path in paths) == (0 if CAPABILITIES[bench.kind].keeps_manifests else 1)


def test_the_right_password_pulls_and_a_wrong_one_is_unauthorized(
    bench: CommandBench, protected: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    push_image(protected, repository, "1.0", image)
    for credentials, code in (
        ("env:GOOD", None),
        ("env:BAD", ErrorCode.UNAUTHORIZED),
        ("anonymous", ErrorCode.UNAUTHORIZED),
    ):
        (outcome,) = bench.pull(request(repository, image, protected.url, credentials=credentials))
        assert outcome.error_code is code, outcome.error


def test_its_own_ca_is_trusted_and_without_it_nothing_is(
    bench: CommandBench, encrypted: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), DebianImages.small(fresh())
    push_image(encrypted, repository, "1.0", image)
    (trusted,) = bench.pull(request(repository, image, encrypted.url, ca_file=str(encrypted.ca_file)))
    (untrusted,) = bench.pull(request(repository, image, encrypted.url))
    assert trusted.ok, trusted.error
    assert untrusted.error_code is ErrorCode.TLS_UNTRUSTED, untrusted.error


def test_each_fault_has_its_code(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = DebianImages.small(fresh())
    repository = pushed(image)
    https = plain_registry.url.replace("http://", "https://")
    for asked, code in (
        (request(fresh(), image, plain_registry.url), ErrorCode.NOT_FOUND),
        (request(repository, image, "http://127.0.0.1:1"), ErrorCode.CONNECT_REFUSED),
        (request(repository, image, https), ErrorCode.PLAIN_HTTP),
        (request(repository, image, plain_registry.url, platform="linux/s390x"), ErrorCode.PLATFORM_MISSING),
    ):
        (outcome,) = bench.pull(asked)
        assert outcome.error_code is code, outcome.error
        assert (outcome.ok, outcome.bytes, outcome.layers, outcome.attempts) == (False, None, None, 1)
        assert "\n" not in (outcome.error or "\n")


def test_an_image_of_another_platform_that_is_no_index_is_not_taken_for_the_right_one(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = small_image(Platform.parse("linux/s390x"), fresh())
    (outcome,) = bench.pull(request(pushed(image), image, plain_registry.url, platform="linux/amd64"))
    assert outcome.error_code is ErrorCode.PLATFORM_MISSING, outcome.error


def test_wrong_bytes_are_a_digest_mismatch(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = small_image(AMD64, fresh())
    repository, layer = pushed(image), image.blobs[1].digest

    def wrong(method: str, path: str) -> Fault | None:
        return "corrupt" if path.endswith(layer) else None

    with Front(plain_registry.url, wrong) as front:
        (outcome,) = bench.pull(request(repository, image, front.url))
    assert outcome.error_code is ErrorCode.DIGEST_MISMATCH, outcome.error


def stalls(image: DebianImage) -> Callable[[str, str], Fault | None]:
    return lambda method, path: "stall" if path.endswith(image.blobs[1].digest) else None


def test_a_stalled_pull_ends_in_time_with_every_process_of_it(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = small_image(AMD64, fresh())
    with Front(plain_registry.url, stalls(image)) as front:
        asked = request(pushed(image), image, front.url, timeout_s=0.7, retries=2)
        with bench.trial(asked):
            outcome = bench.engine.pull(asked)
            assert processes_of(bench.folder, PROGRAMS[bench.kind]) == []
    assert (outcome.error_code, outcome.attempts) == (ErrorCode.TIMEOUT, 1)
    assert "not finished after 0.7 s" in (outcome.error or "")
    assert outcome.duration_s is not None and outcome.duration_s >= 0.7


def test_a_cancel_ends_the_pull_under_way_and_every_later_one(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = small_image(AMD64, fresh())
    with Front(plain_registry.url, stalls(image)) as front:
        asked = request(pushed(image), image, front.url)
        with bench.trial(asked):
            waiter = threading.Thread(target=lambda: (front.reached.wait(30), bench.engine.cancel()))
            waiter.start()
            under_way, later = bench.engine.pull(asked), bench.engine.pull(asked)
            waiter.join()
            assert processes_of(bench.folder, PROGRAMS[bench.kind]) == []
    assert under_way.error_code is later.error_code is ErrorCode.CANCELLED


def test_a_pull_that_fails_is_tried_again_in_a_fresh_store(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
) -> None:
    image = small_image(AMD64, fresh(), fresh())
    (refused,) = bench.pull(request(fresh(), image, "http://127.0.0.1:1", retries=1))
    assert (refused.error_code, refused.attempts) == (ErrorCode.CONNECT_REFUSED, 2)
    assert (refused.duration_s or 0) >= 0.5
    (once,) = bench.pull(request(pushed(image), image, plain_registry.url, retries=3))
    assert (once.ok, once.attempts) == (True, 1)


def test_a_mirror_is_asked_by_its_own_host_and_prefix(
    bench: CommandBench, plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, prefix, image = fresh(), fresh(), small_image(AMD64, fresh())
    push_image(plain_registry, f"{prefix}/{repository}", "1.0", image)
    (outcome,) = bench.pull(request(repository, image, plain_registry.url, proxy="cache", prefix=prefix))
    assert outcome.ok, outcome.error


@pytest.mark.parametrize("name", ["ctr", "service"])
def test_containerd_sends_a_mirrors_headers_and_asks_once(fresh: Callable[[], str], name: str) -> None:
    seen: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            seen.append((self.path, self.headers["X-Dragonfly-Registry"]))
            self.send_error(404)  # newer versions repeat a request after a 503

        def log_message(self, *args: object) -> None:
            pass

    image = small_image(AMD64, fresh())
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        headers = {"X-Dragonfly-Registry": "https://r.example.com"}
        asked = request("app", image, f"http://127.0.0.1:{server.server_address[1]}", proxy="p2p", headers=headers)
        for bench in _bench(**BENCHES[name]):
            (outcome,) = bench.pull(asked)
        server.shutdown()
    assert outcome.error_code is ErrorCode.NOT_FOUND, outcome.error
    assert seen[0] == (f"/v2/app/manifests/{image.manifest.digest}", "https://r.example.com")
    assert len({path for path, _ in seen}) == len(seen)


def test_only_the_forward_proxys_route_uses_a_proxy(
    bench: CommandBench,
    plain_registry: RealRegistry,
    pushed: Callable[[DebianImage | BuiltIndex], str],
    fresh: Callable[[], str],
    squid: RealSquid,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, url = small_image(AMD64, fresh()), plain_registry.url.replace("127.0.0.1", ANY_ADDRESS)
    repository = pushed(image)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, squid.url)
    (direct,) = bench.pull(request(repository, image, url))
    assert direct.ok, direct.error
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*")
    (forward,) = bench.pull(request(repository, image, url, proxy="squid", forward_url=squid.url))
    assert forward.ok, forward.error
    wanted = {blob.digest for blob in image.blobs}

    def blobs(asked: list[Asked]) -> list[str]:
        return [one.url.rpartition("/")[2] for one in asked if f"/{repository}/blobs/" in one.url]

    through = blobs(squid.asked_at_last(lambda asked: set(blobs(asked)) == wanted))
    assert sorted(through) == sorted(wanted), "of one pull: the one by the proxy"
    (down,) = bench.pull(request(repository, image, url, proxy="squid", forward_url="http://127.0.0.1:1"))
    assert down.error_code is ErrorCode.PROXY, down.error


def test_what_a_killed_run_left_is_found_and_removed(fresh: Callable[[], str]) -> None:
    need("ctr")
    if os.geteuid() != 0:
        missing("only root can run containerd")
    script = (
        "import time\n"
        "from tests.integration.asked import request\n"
        "from tests.integration.command_bench import CommandBench\n"
        "bench = CommandBench('containerd')\n"
        "from benchmarks.debian_images import DebianImages\n"
        "with bench.trial(request('a', DebianImages.small('a'), 'http://127.0.0.1:1')):\n"
        "    print(bench.folder, flush=True); time.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    folder = Path(killed.stdout.readline().strip())
    assert processes_of(folder, "containerd")
    os.utime(folder, (time.time() - 3600,) * 2)
    assert folder not in remove_stale_folders(folder.parent), "its owner lives"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert processes_of(folder, "containerd")
    assert folder in remove_stale_folders(folder.parent)
    assert not folder.exists()
    assert processes_of(folder) == []
