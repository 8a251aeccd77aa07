import hashlib
import http.client
import ipaddress
import json
import re
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from pullbench.lab import registry as registries
from pullbench.lab.calibration import write_certificate
from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.reference_client import summarize, time_exchanges, time_tls_handshake
from pullbench.lab.registry import Registry, listen
from pullbench.model.calibration import ReferenceMeasurement
from pullbench.model.manifest import OCI_INDEX, OCI_MANIFEST
from tests.lab.conftest import ask, until


@pytest.fixture
def registry(images: tuple[LabImage, ...]) -> Iterator[Registry]:
    with Registry(Contents(images)) as running:
        yield running


def counters(registry: Registry) -> dict[str, Any]:
    return dict(json.loads(ask(registry.url, "/lab/counters").body))


def code(body: bytes) -> str:
    return str(json.loads(body)["errors"][0]["code"])


def large_blob(image: LabImage) -> tuple[str, bytes]:
    digest, path = max(image.blobs.items(), key=lambda item: item[1].stat().st_size)
    return digest, path.read_bytes()


def test_the_api_root_names_its_version(registry: Registry) -> None:
    for path in ("/v2/", "/v2"):
        answer = ask(registry.url, path)
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


def test_a_manifest_comes_by_tag_and_by_digest_with_its_headers(
    registry: Registry, images: tuple[LabImage, ...]
) -> None:
    image = images[0]
    for reference in (image.tag, image.digest):
        answer = ask(registry.url, f"/v2/{image.repository}/manifests/{reference}")
        assert answer.body == image.index
        assert answer.headers["content-type"] == OCI_INDEX
        assert answer.headers["docker-content-digest"] == image.digest
        assert answer.headers["etag"] == f'"{image.digest}"'
    for digest, content in image.manifests.items():
        answer = ask(registry.url, f"/v2/{image.repository}/manifests/{digest}")
        assert (answer.body, answer.headers["content-type"]) == (content, OCI_MANIFEST)


def test_head_says_what_get_would_and_sends_no_body(registry: Registry, images: tuple[LabImage, ...]) -> None:
    image = images[0]
    digest, _ = large_blob(image)
    for path in (f"/v2/{image.repository}/manifests/{image.tag}", f"/v2/{image.repository}/blobs/{digest}"):
        get, head = ask(registry.url, path), ask(registry.url, path, "HEAD")
        assert head.body == b"" and head.status == 200
        assert head.headers["content-length"] == str(len(get.body))
        assert head.headers["docker-content-digest"] == get.headers["docker-content-digest"]


def test_a_manifest_that_the_client_has_is_not_sent_again(registry: Registry, images: tuple[LabImage, ...]) -> None:
    path = f"/v2/{images[0].repository}/manifests/{images[0].tag}"
    answer = ask(registry.url, path, If_None_Match=f'"{images[0].digest}"')
    assert (answer.status, answer.body) == (304, b"")


def test_every_blob_comes_whole(registry: Registry, images: tuple[LabImage, ...]) -> None:
    for image in images:
        for digest in image.blobs:
            answer = ask(registry.url, f"/v2/{image.repository}/blobs/{digest}")
            assert f"sha256:{hashlib.sha256(answer.body).hexdigest()}" == digest
            assert answer.headers["content-type"] == "application/octet-stream"


def test_a_range_gives_a_part(registry: Registry, images: tuple[LabImage, ...]) -> None:
    digest, content = large_blob(images[0])
    path = f"/v2/{images[0].repository}/blobs/{digest}"
    part = ask(registry.url, path, Range="bytes=5-104")
    assert (part.status, part.body) == (206, content[5:105])
    assert part.headers["content-range"] == f"bytes 5-104/{len(content)}"
    tail = ask(registry.url, path, Range="bytes=-7")
    assert (tail.status, tail.body) == (206, content[-7:])
    beyond = ask(registry.url, path, Range=f"bytes={len(content)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    changed = ask(registry.url, path, Range="bytes=5-104", If_Range='"another"')
    assert (changed.status, changed.body) == (200, content)


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/v2/lab/app-1/manifests/nope", 404, "MANIFEST_UNKNOWN"),
        ("/v2/no/such/manifests/1.0", 404, "NAME_UNKNOWN"),
        ("/v2/no/such/tags/list", 404, "NAME_UNKNOWN"),
        (f"/v2/lab/app-1/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
        ("/v2/lab/app-1/blobs/sha256:short", 400, "DIGEST_INVALID"),
        ("/v2/_catalog?n=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("/elsewhere", 404, "NOT_FOUND"),
    ],
)
def test_what_is_missing_is_an_oci_error(registry: Registry, path: str, status: int, expected: str) -> None:
    answer = ask(registry.url, path)
    assert (answer.status, code(answer.body)) == (status, expected)
    assert answer.headers["content-type"] == "application/json"


def test_a_blob_of_another_repository_is_unknown(registry: Registry, images: tuple[LabImage, ...]) -> None:
    foreign = next(digest for digest in images[0].blobs if digest not in images[1].blobs)
    assert ask(registry.url, f"/v2/{images[1].repository}/blobs/{foreign}").status == 404


def test_another_method_is_unsupported_and_ends_the_connection(registry: Registry) -> None:
    answer = ask(registry.url, "/v2/lab/app-1/blobs/uploads/", "POST")
    assert (answer.status, code(answer.body)) == (405, "UNSUPPORTED")
    assert answer.headers["connection"] == "close"


def test_catalog_and_tags_come_in_pages(tmp_path: Path) -> None:
    contents = Contents()
    for name in ("c", "a", "b/x"):
        for tag in ("2", "10", "1"):
            contents.put_manifest(name, b"{}", OCI_MANIFEST, tag=tag)
    with Registry(contents) as registry:
        assert json.loads(ask(registry.url, "/v2/_catalog").body) == {"repositories": ["a", "b/x", "c"]}
        first = ask(registry.url, "/v2/_catalog?n=2")
        assert json.loads(first.body) == {"repositories": ["a", "b/x"]}
        following = first.headers["link"].removesuffix('>; rel="next"').removeprefix("<")
        last = ask(registry.url, following)
        assert json.loads(last.body) == {"repositories": ["c"]}
        assert "link" not in last.headers
        tags = ask(registry.url, "/v2/b/x/tags/list?n=1&last=1")
        assert json.loads(tags.body) == {"name": "b/x", "tags": ["10"]}
        assert tags.headers["link"] == '</v2/b/x/tags/list?n=1&last=10>; rel="next"'
        none = ask(registry.url, "/v2/a/tags/list?n=0")
        assert json.loads(none.body)["tags"] == [] and "link" not in none.headers


def test_a_connection_is_kept_for_the_next_request(registry: Registry, images: tuple[LabImage, ...]) -> None:
    connection = http.client.HTTPConnection(urlsplit(registry.url).netloc, timeout=10)
    digest, _ = large_blob(images[0])
    for path in ("/v2/", f"/v2/{images[0].repository}/blobs/{digest}", "/v2/nope/tags/list", "/v2/"):
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()
    assert registry.counters.as_dict()["connections"] == 1


def test_counters_say_what_was_asked_and_sent(registry: Registry, images: tuple[LabImage, ...]) -> None:
    image = images[0]
    digest, content = large_blob(image)
    ask(registry.url, f"/v2/{image.repository}/manifests/{image.tag}", "HEAD")
    ask(registry.url, f"/v2/{image.repository}/manifests/{image.tag}")
    ask(registry.url, f"/v2/{image.repository}/blobs/{digest}")
    ask(registry.url, f"/v2/{image.repository}/blobs/{digest}", Range="bytes=0-9")
    seen = counters(registry)
    assert seen["requests"] == {"manifest_head": 1, "manifest_get": 1, "blob_get": 2}
    assert seen["statuses"] == {"200": 3, "206": 1}
    assert seen["bytes"] == len(image.index) + len(content) + 10
    again = counters(registry)
    assert (again["bytes"], again["statuses"]) == (seen["bytes"], seen["statuses"])


def test_a_client_that_goes_away_harms_nobody_and_is_not_counted_as_served(tmp_path: Path) -> None:
    digest, size = f"sha256:{'1' * 64}", 64 << 20
    blob = tmp_path / "blob"
    with blob.open("wb") as file:
        file.truncate(size)
    contents = Contents()
    contents.put_blob("big", digest, blob)
    with Registry(contents) as registry:
        host, port = urlsplit(registry.url).hostname, urlsplit(registry.url).port
        with socket.create_connection((host, port)) as client:
            client.sendall(f"GET /v2/big/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(1000)
        assert until(lambda: 0 < counters(registry)["bytes"] < size)
        assert ask(registry.url, "/v2/").status == 200


@pytest.mark.parametrize("sent", [b"", b"nonsense\r\n\r\n", b"GET /v2/ HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 70_000])
def test_nonsense_ends_its_own_connection_only(registry: Registry, sent: bytes) -> None:
    host, port = urlsplit(registry.url).hostname, urlsplit(registry.url).port
    with socket.create_connection((host, port), timeout=10) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert ask(registry.url, "/v2/").status == 200


def test_a_body_that_nobody_reads_is_not_taken_for_a_request(registry: Registry) -> None:
    answer = ask(registry.url, "/v2/", Content_Length="5")
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_the_access_log_has_a_line_an_exchange(tmp_path: Path, images: tuple[LabImage, ...]) -> None:
    log = tmp_path / "access.log"
    with Registry(Contents(images), access_log=log) as registry:
        ask(registry.url, "/v2/", X_Secret="hidden")
        ask(registry.url, "/v2/no/such/tags/list")
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line[1:4] for line in lines] == [["GET", "/v2/", "200"], ["GET", "/v2/no/such/tags/list", "404"]]


def test_closing_cuts_idle_connections_and_frees_the_port(images: tuple[LabImage, ...]) -> None:
    registry = Registry(Contents(images))
    host, port = urlsplit(registry.url).hostname, urlsplit(registry.url).port
    with socket.create_connection((host, port), timeout=10) as client:
        client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(10_000)
        registry.close()
        assert client.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=10)


def test_with_one_slot_no_two_requests_are_in_service_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    lock = threading.Lock()
    entered = threading.Event()

    def service(_seconds: float) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        entered.wait(0.02)
        with lock:
            inside -= 1

    monkeypatch.setattr("pullbench.lab.handler.time", SimpleNamespace(sleep=service, monotonic=time.monotonic))
    with Registry(slots=1, service_s=0.02) as registry:
        threads = [threading.Thread(target=ask, args=(registry.url, "/v2/")) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 1


def test_a_cache_needs_a_folder_and_an_upstream() -> None:
    with pytest.raises(ValueError, match="both"):
        Registry(upstream="http://127.0.0.1:1")


def test_what_it_sent_of_layers_is_counted_by_itself(registry: Registry, images: tuple[LabImage, ...]) -> None:
    image = images[0]
    document = json.loads(next(iter(image.manifests.values())))
    layer, config = document["layers"][0], document["config"]
    for digest in (layer["digest"], config["digest"]):
        ask(registry.url, f"/v2/{image.repository}/blobs/{digest}")
    ask(registry.url, f"/v2/{image.repository}/blobs/{layer['digest']}", Range="bytes=0-9")
    assert until(lambda: counters(registry)["layer_bytes"] == layer["size"] + 10)
    assert counters(registry)["layers"] == 2


def test_it_speaks_tls_with_a_certificate_of_its_own(images: tuple[LabImage, ...], tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    assert key.stat().st_mode & 0o077 == 0
    with Registry(Contents(images), tls=(certificate, key)) as running:
        assert running.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate)
        with urllib.request.urlopen(f"{running.url}/v2/", context=trusting, timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"{}")
        assert time_tls_handshake(running.url, certificate) > 0


def test_plain_sockets_see_what_a_line_gives(registry: Registry, images: tuple[LabImage, ...]) -> None:
    image = images[0]
    manifest, content = next(iter(image.manifests.items()))
    digest, large = large_blob(image)
    paths = [f"/v2/{image.repository}/manifests/{manifest}", f"/v2/{image.repository}/blobs/{digest}"]
    seen = time_exchanges(registry.url, paths)
    assert all(wait > 0 for wait in seen.waits_s) and len(seen.waits_s) == 2
    assert seen.sizes_bytes[0] <= len(content) + 1_000 and seen.sizes_bytes[1] <= len(large) + 1_000
    found = summarize([seen] * 2, [seen], [0.3, 0.1, 0.2])
    assert found.wait_s is not None and found.rate_bytes_per_s is not None and found.handshake_s == 0.2
    assert summarize([], [], []) == ReferenceMeasurement()


@pytest.mark.promise("listening", "The lab listens on loopback only")
def test_listen_is_on_loopback_and_nothing_else_of_the_lab_opens_a_socket_for_others() -> None:
    with listen() as listener:
        assert ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    lab = Path(registries.__file__).parent
    opening = [path.name for path in lab.glob("*.py") if re.search(r"create_server|\.bind\(", path.read_text())]
    assert opening == ["registry.py"]


@pytest.mark.parametrize("evil", ["sha256:..", "sha256:..%2f..%2fetc%2fpasswd", "%2e%2e", f"sha256:{'0' * 63}."])
@pytest.mark.promise("names", "The lab serves no path in place of a digest")
def test_is_digest_lets_the_lab_be_asked_for_no_path(registry: Registry, evil: str) -> None:
    answer = ask(registry.url, f"/v2/lab/app-1/blobs/{evil}")
    assert (answer.status, code(answer.body)) == (400, "DIGEST_INVALID")
