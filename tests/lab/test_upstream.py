import hashlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.registry import Registry, listen
from pullbench.lab.upstream import Fetch
from pullbench.model.manifest import OCI_MANIFEST
from tests.lab.conftest import ask, until


@pytest.fixture
def origin(images: tuple[LabImage, ...]) -> Iterator[Registry]:
    with Registry(Contents(images)) as running:
        yield running


@pytest.fixture
def cache(origin: Registry, tmp_path: Path) -> Iterator[Registry]:
    with Registry(upstream=origin.url, cache_folder=tmp_path / "cache") as running:
        yield running


@contextmanager
def origin_that_answers(reply: bytes) -> Iterator[tuple[str, threading.Event]]:
    """An origin that sends the same bytes to everyone, the last only when the event is set."""
    listener, let_go = listen(), threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(reply[:-1])
                let_go.wait(10)
                connection.sendall(reply[-1:])

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = listener.getsockname()
    try:
        yield f"http://{host}:{port}", let_go
    finally:
        let_go.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def blob_answer(content: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def test_the_first_pull_is_a_miss_and_the_second_a_hit_with_its_age(
    cache: Registry, origin: Registry, images: tuple[LabImage, ...]
) -> None:
    image = images[0]
    paths = [f"/v2/{image.repository}/manifests/{digest}" for digest in image.manifests]
    paths += [f"/v2/{image.repository}/blobs/{digest}" for digest in image.blobs]
    for path in paths:
        first, second = ask(cache.url, path), ask(cache.url, path)
        assert first.status == second.status == 200
        assert first.body == second.body == ask(origin.url, path).body
        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("MISS", "HIT")
        assert "age" not in first.headers and second.headers["age"].isdigit()
        assert first.headers["via"] == second.headers["via"] == "1.1 pullbench-lab"
    seen = cache.counters.as_dict()
    assert (seen["misses"], seen["hits"], seen["upstream_requests"]) == (len(paths),) * 3
    assert seen["upstream_bytes"] == seen["bytes"] // 2


def test_a_held_tag_is_checked_with_a_head_and_follows_the_origin(
    cache: Registry, origin: Registry, images: tuple[LabImage, ...]
) -> None:
    path = f"/v2/{images[0].repository}/manifests/1.0"
    assert [ask(cache.url, path).headers["x-cache"] for _ in range(2)] == ["MISS", "HIT"]
    assert origin.counters.as_dict()["requests"] == {"manifest_get": 1, "manifest_head": 1}
    moved = origin.state.contents.put_manifest(images[0].repository, b'{"new": 1}', OCI_MANIFEST, tag="1.0")
    answer = ask(cache.url, path)
    assert (answer.headers["x-cache"], answer.headers["docker-content-digest"]) == ("MISS", moved.digest)


def test_what_is_held_is_served_while_the_origin_is_down(tmp_path: Path, images: tuple[LabImage, ...]) -> None:
    image = images[0]
    digest = next(iter(image.blobs))
    paths = (f"/v2/{image.repository}/manifests/1.0", f"/v2/{image.repository}/blobs/{digest}")
    with Registry(Contents(images)) as origin:
        cache = Registry(upstream=origin.url, cache_folder=tmp_path)
        for path in paths:
            ask(cache.url, path)
    with cache:
        assert [ask(cache.url, path).headers["x-cache"] for path in paths] == ["HIT", "HIT"]
        absent = ask(cache.url, f"/v2/{images[1].repository}/manifests/1.0")
        assert absent.status == 502
        assert ask(cache.url, f"/v2/lab/app-1/blobs/sha256:{'0' * 64}").status == 502


def test_what_the_origin_lacks_the_cache_lacks(cache: Registry) -> None:
    for path, code in (
        ("manifests/nope", "MANIFEST_UNKNOWN"),
        (f"blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
    ):
        answer = ask(cache.url, f"/v2/lab/app-1/{path}")
        assert answer.status == 404
        assert json.loads(answer.body)["errors"][0]["code"] == code


def test_a_layer_that_images_share_is_fetched_once(cache: Registry, images: tuple[LabImage, ...]) -> None:
    shared = next(digest for digest in images[0].blobs if digest in images[1].blobs)
    answers = [ask(cache.url, f"/v2/{image.repository}/blobs/{shared}") for image in images[:2]]
    assert [answer.headers["x-cache"] for answer in answers] == ["MISS", "HIT"]


def test_a_head_or_a_look_at_tags_fetches_no_blob(cache: Registry, images: tuple[LabImage, ...]) -> None:
    digest = max(images[0].blobs, key=lambda found: images[0].blobs[found].stat().st_size)
    head = ask(cache.url, f"/v2/lab/app-1/blobs/{digest}", "HEAD")
    assert (head.status, head.headers["x-cache"]) == (200, "MISS")
    assert head.headers["content-length"] == str(images[0].blobs[digest].stat().st_size)
    assert json.loads(ask(cache.url, "/v2/lab/app-1/tags/list").body) == {"name": "lab/app-1", "tags": ["1.0"]}
    assert cache.state.pull_through is not None
    assert ask(cache.url, f"/v2/lab/app-1/blobs/{digest}", Range="bytes=0-9").headers["x-cache"] == "MISS"


def test_bytes_are_passed_on_while_they_come_and_fetched_once_for_all(tmp_path: Path) -> None:
    content = b"x" * 100_000
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with (
        origin_that_answers(blob_answer(content)) as (url, let_go),
        Registry(upstream=url, cache_folder=tmp_path) as cache,
    ):
        host, port = cache.url.removeprefix("http://").split(":")
        clients = [socket.create_connection((host, int(port)), timeout=10) for _ in range(2)]
        received = []
        for client in clients:
            client.sendall(f"GET /v2/a/blobs/{digest} HTTP/1.0\r\n\r\n".encode())
            got = b""
            while got.count(b"x") < 90_000:
                got += client.recv(65536)
            received.append(got)
        let_go.set()
        for number, client in enumerate(clients):
            with client:
                while piece := client.recv(65536):
                    received[number] += piece
        assert all(got.endswith(b"\r\n\r\n" + content) for got in received)
        assert cache.counters.as_dict()["upstream_requests"] == 1


def test_wrong_content_never_comes_through_whole_and_is_not_kept(tmp_path: Path) -> None:
    wrong = f"sha256:{'0' * 64}"
    with (
        origin_that_answers(blob_answer(b"not what the digest says")) as (url, let_go),
        Registry(upstream=url, cache_folder=tmp_path) as cache,
    ):
        let_go.set()
        for attempt in (1, 2):
            with pytest.raises(http.client.IncompleteRead):
                ask(cache.url, f"/v2/a/blobs/{wrong}")
            assert cache.counters.as_dict()["upstream_requests"] == attempt
        refused = ask(cache.url, f"/v2/a/manifests/{wrong}")
        assert refused.status == 502 and b"does not match" in refused.body
        assert list(tmp_path.iterdir()) == []


def test_the_last_byte_of_a_fetch_is_held_back_until_it_is_verified(tmp_path: Path) -> None:
    fetch = Fetch()
    fetch.begin(tmp_path / "blob", 10)
    fetch.grow(10)
    assert fetch.wait_beyond(0) == 9
    fetch.end()
    assert fetch.wait_beyond(9) == 10


def test_an_origin_that_breaks_off_gives_a_cut_body(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500
    with (
        origin_that_answers(answer) as (url, let_go),
        Registry(upstream=url, cache_folder=tmp_path) as cache,
    ):
        let_go.set()
        with pytest.raises(http.client.IncompleteRead):
            ask(cache.url, f"/v2/a/blobs/sha256:{'0' * 64}")
        assert list(tmp_path.iterdir()) == []


def test_a_cache_that_forgets_fetches_its_layers_again_and_nothing_else(
    origin: Registry, images: tuple[LabImage, ...], tmp_path: Path
) -> None:
    image = images[0]
    manifest = next(iter(image.manifests))
    document = json.loads(image.manifests[manifest])
    layer, config = document["layers"][0]["digest"], document["config"]["digest"]
    with Registry(upstream=origin.url, cache_folder=tmp_path / "cache", forgets=1.0) as cache:
        ask(cache.url, f"/v2/{image.repository}/manifests/{manifest}")
        told = {
            digest: [ask(cache.url, f"/v2/{image.repository}/blobs/{digest}").headers["x-cache"] for _ in range(3)]
            for digest in (layer, config)
        }
        counted = cache.counters.as_dict()
    assert told == {layer: ["MISS", "MISS", "MISS"], config: ["MISS", "HIT", "HIT"]}
    assert (counted["layers"], counted["layer_hits"], counted["upstream_requests"]) == (3, 0, 5)


def test_a_forgetful_cache_finds_the_share_that_it_is_to_find(
    origin: Registry, images: tuple[LabImage, ...], tmp_path: Path
) -> None:
    image = images[0]
    manifest = next(iter(image.manifests))
    layer = json.loads(image.manifests[manifest])["layers"][0]["digest"]
    with Registry(upstream=origin.url, cache_folder=tmp_path / "cache", forgets=0.3, seed=2) as cache:
        ask(cache.url, f"/v2/{image.repository}/manifests/{manifest}")
        answers = [ask(cache.url, f"/v2/{image.repository}/blobs/{layer}") for _ in range(81)]
        assert until(lambda: cache.counters.as_dict()["layer_bytes"] == 81 * len(answers[0].body))
        hits = sum(answer.headers["x-cache"] == "HIT" for answer in answers)
        assert cache.counters.as_dict()["layer_hits"] == hits
    assert 45 <= hits <= 67 and len({answer.body for answer in answers}) == 1
