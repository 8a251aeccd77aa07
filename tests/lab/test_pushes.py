import base64
import hashlib
import http.client
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pullbench.lab import uploads as uploads_module
from pullbench.lab.auth import AuthRules
from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.registry import Registry
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from tests.lab.conftest import Answer

BYTES = bytes(range(256)) * 5000
UPLOADS = "/v2/team/app/blobs/uploads/"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def send(url: str, method: str, path: str, body: bytes | Iterable[bytes] | None = None, **headers: str) -> Answer:
    """One exchange on a connection of its own; pieces are sent in chunks."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    chunked = body is not None and not isinstance(body, bytes)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"Transfer-Encoding": "chunked"} if chunked else {}
    try:
        connection.request(method, path, body=body, headers=named, encode_chunked=chunked)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["errors"][0]["code"])


def begin(registry: Registry, path: str = UPLOADS) -> str:
    answer = send(registry.url, "POST", path)
    assert answer.status == 202
    return answer.headers["location"]


def push_blob(registry: Registry, content: bytes, repository: str = "team/app") -> str:
    location = begin(registry, f"/v2/{repository}/blobs/uploads/")
    digest = digest_of(content)
    answer = send(registry.url, "PUT", f"{location}?digest={digest}", content)
    assert (answer.status, answer.headers["docker-content-digest"]) == (201, digest)
    return digest


def manifest(config: bytes, layer: bytes, **more: Any) -> bytes:
    def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER_GZIP, layer)],
    }
    return json.dumps(document | more).encode()


def push_image(registry: Registry, layer: bytes, tag: str, repository: str = "team/app", **more: Any) -> str:
    push_blob(registry, b"{}", repository)
    push_blob(registry, layer, repository)
    content = manifest(b"{}", layer, **more)
    answer = send(registry.url, "PUT", f"/v2/{repository}/manifests/{tag}", content, Content_Type=OCI_MANIFEST)
    assert (answer.status, answer.headers["docker-content-digest"]) == (201, digest_of(content))
    return digest_of(content)


@pytest.fixture
def registry(tmp_path: Path, images: tuple[LabImage, ...]) -> Iterator[Registry]:
    with Registry(Contents(images), uploads_folder=tmp_path / "pushed") as running:
        yield running


def test_a_blob_pushed_in_one_put_comes_back(registry: Registry) -> None:
    digest = push_blob(registry, BYTES)
    assert send(registry.url, "GET", f"/v2/team/app/blobs/{digest}").body == BYTES
    head = send(registry.url, "HEAD", f"/v2/team/app/blobs/{digest}")
    assert (head.status, head.headers["content-length"]) == (200, str(len(BYTES)))
    assert send(registry.url, "GET", f"/v2/team/other/blobs/{digest}").status == 404


def test_a_blob_pushed_in_one_post_comes_back(registry: Registry) -> None:
    answer = send(registry.url, "POST", f"{UPLOADS}?digest={digest_of(BYTES)}", BYTES)
    assert (answer.status, answer.headers["location"]) == (201, f"/v2/team/app/blobs/{digest_of(BYTES)}")


def test_a_blob_pushed_in_chunks_comes_back(registry: Registry) -> None:
    location, half = begin(registry), len(BYTES) // 2
    first = send(registry.url, "PATCH", location, BYTES[:half], Content_Range=f"0-{half - 1}")
    assert (first.status, first.headers["range"]) == (202, f"0-{half - 1}")
    state = send(registry.url, "GET", first.headers["location"])
    assert (state.status, state.headers["range"]) == (204, f"0-{half - 1}")
    gap = send(registry.url, "PATCH", location, b"x", Content_Range=f"{half + 1}-{half + 1}")
    assert (gap.status, gap.headers["range"]) == (416, f"0-{half - 1}")
    # As a Docker daemon sends it: a stream of unknown length, then an empty PUT.
    second = send(registry.url, "PATCH", location, iter([BYTES[half:-9], BYTES[-9:]]))
    assert (second.status, second.headers["range"]) == (202, f"0-{len(BYTES) - 1}")
    assert send(registry.url, "PUT", f"{location}?digest={digest_of(BYTES)}").status == 201
    assert send(registry.url, "GET", f"/v2/team/app/blobs/{digest_of(BYTES)}").body == BYTES
    assert send(registry.url, "GET", location).status == 404


def test_bytes_of_another_digest_are_refused_and_not_kept(registry: Registry, tmp_path: Path) -> None:
    location = begin(registry)
    answer = send(registry.url, "PUT", f"{location}?digest={digest_of(b'other')}", BYTES)
    assert (answer.status, code(answer)) == (400, "DIGEST_INVALID")
    assert send(registry.url, "HEAD", f"/v2/team/app/blobs/{digest_of(b'other')}").status == 404
    assert list((tmp_path / "pushed").iterdir()) == []
    for malformed in ("?digest=sha256:short", "?digest=", ""):
        assert code(send(registry.url, "PUT", begin(registry) + malformed, b"x")) == "DIGEST_INVALID"


def test_a_cancelled_upload_is_gone(registry: Registry) -> None:
    location = begin(registry)
    assert send(registry.url, "DELETE", location).status == 204
    answer = send(registry.url, "PUT", f"{location}?digest={digest_of(BYTES)}", BYTES)
    assert (answer.status, code(answer)) == (404, "BLOB_UPLOAD_UNKNOWN")
    elsewhere = begin(registry).replace("team/app", "team/other")
    assert send(registry.url, "PATCH", elsewhere, b"x").status == 404


def test_a_pushed_image_comes_by_tag_and_by_digest(registry: Registry) -> None:
    digest = push_image(registry, BYTES, "1.0")
    for reference in ("1.0", digest):
        answer = send(registry.url, "GET", f"/v2/team/app/manifests/{reference}")
        assert (answer.body, answer.headers["content-type"]) == (manifest(b"{}", BYTES), OCI_MANIFEST)
    assert json.loads(send(registry.url, "GET", "/v2/team/app/tags/list").body)["tags"] == ["1.0"]
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{"mediaType": OCI_MANIFEST, "digest": digest, "size": len(manifest(b"{}", BYTES))}],
        }
    ).encode()
    put = send(registry.url, "PUT", f"/v2/team/app/manifests/{digest_of(index)}", index, Content_Type=OCI_INDEX)
    assert put.status == 201
    assert send(registry.url, "GET", f"/v2/team/app/manifests/{digest_of(index)}").body == index


@pytest.mark.parametrize(
    ("reference", "content", "expected"),
    [
        ("1.0", b"no json", (400, "MANIFEST_INVALID")),
        ("1.0", b"[]", (400, "MANIFEST_INVALID")),
        ("1.0", manifest(b"{}", b"never sent"), (400, "MANIFEST_BLOB_UNKNOWN")),
        (f"sha256:{'0' * 64}", manifest(b"{}", b"x"), (400, "DIGEST_INVALID")),
        ("sha256:short", manifest(b"{}", b"x"), (400, "DIGEST_INVALID")),
        ("-tag", manifest(b"{}", b"x"), (400, "MANIFEST_INVALID")),
        ("1.0", b" " * (4 * 1024 * 1024 + 1), (413, "SIZE_INVALID")),
    ],
)
def test_a_wrong_manifest_is_refused_and_not_kept(
    registry: Registry, reference: str, content: bytes, expected: tuple[int, str]
) -> None:
    answer = send(registry.url, "PUT", f"/v2/team/app/manifests/{reference}", content, Content_Type=OCI_MANIFEST)
    assert (answer.status, code(answer)) == expected
    assert send(registry.url, "GET", "/v2/team/app/manifests/1.0").status == 404


def test_a_deleted_image_frees_what_no_other_image_needs(registry: Registry, tmp_path: Path) -> None:
    first, second = push_image(registry, BYTES, "1.0"), push_image(registry, BYTES[1:], "2.0")
    uploads = registry.state.uploads
    assert uploads is not None
    assert send(registry.url, "DELETE", f"/v2/team/app/manifests/{first}").status == 202
    assert send(registry.url, "GET", "/v2/team/app/manifests/1.0").status == 404
    assert send(registry.url, "HEAD", f"/v2/team/app/blobs/{digest_of(BYTES)}").status == 404
    assert send(registry.url, "HEAD", f"/v2/team/app/blobs/{digest_of(b'{}')}").status == 200
    assert send(registry.url, "DELETE", f"/v2/team/app/manifests/{first}").status == 404
    assert send(registry.url, "DELETE", f"/v2/team/app/manifests/{second}").status == 202
    assert uploads.used_bytes == 0
    assert list((tmp_path / "pushed").iterdir()) == []


def test_a_deleted_tag_leaves_its_manifest(registry: Registry) -> None:
    digest = push_image(registry, BYTES, "1.0")
    assert send(registry.url, "DELETE", "/v2/team/app/manifests/1.0").status == 202
    assert send(registry.url, "DELETE", "/v2/team/app/manifests/1.0").status == 404
    assert send(registry.url, "GET", f"/v2/team/app/manifests/{digest}").status == 200


def test_a_blob_is_deleted_in_its_repository_alone(registry: Registry) -> None:
    digest = push_blob(registry, BYTES)
    mount = f"/v2/team/other/blobs/uploads/?mount={digest}&from=team/app"
    assert send(registry.url, "POST", mount).status == 201
    assert send(registry.url, "DELETE", f"/v2/team/app/blobs/{digest}").status == 202
    assert send(registry.url, "DELETE", f"/v2/team/app/blobs/{digest}").status == 404
    assert send(registry.url, "GET", f"/v2/team/other/blobs/{digest}").body == BYTES
    assert send(registry.url, "POST", mount).status == 202  # nothing to mount: an upload


def test_the_images_of_the_lab_outlive_their_deletion_in_a_registry(
    registry: Registry, images: tuple[LabImage, ...]
) -> None:
    image = images[0]
    for digest in (image.digest, *image.manifests):
        assert send(registry.url, "DELETE", f"/v2/{image.repository}/manifests/{digest}").status == 202
    assert send(registry.url, "GET", f"/v2/{image.repository}/manifests/{image.tag}").status == 404
    assert all(path.exists() for path in image.blobs.values())


def test_a_full_registry_says_so_and_serves_on(
    tmp_path: Path, images: tuple[LabImage, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = Contents(images)
    with Registry(contents, uploads_folder=tmp_path) as registry:
        assert registry.state.uploads is not None
        registry.state.uploads.most_bytes = len(BYTES) + 10
        push_blob(registry, BYTES)
        answer = send(registry.url, "PUT", f"{begin(registry)}?digest={digest_of(BYTES[1:])}", BYTES[1:])
        assert (answer.status, code(answer)) == (413, "SIZE_INVALID")
        push_blob(registry, b"small")
        monkeypatch.setattr(uploads_module, "MOST_OPEN", 2)
        oldest, *_ = [begin(registry) for _ in range(3)]
        assert send(registry.url, "GET", oldest).status == 404


def test_a_mirror_and_a_read_only_registry_accept_no_push(
    tmp_path: Path, registry: Registry, images: tuple[LabImage, ...]
) -> None:
    with (
        Registry(upstream=registry.url, cache_folder=tmp_path / "cache") as mirror,
        Registry(Contents(images)) as read_only,
    ):
        for refusing in (mirror, read_only):
            for method, path in (
                ("POST", UPLOADS),
                ("PUT", "/v2/team/app/manifests/1.0"),
                ("DELETE", f"/v2/team/app/blobs/{digest_of(BYTES)}"),
                ("PATCH", "/elsewhere"),
                ("OPTIONS", "/v2/"),
            ):
                answer = send(refusing.url, method, path, BYTES if method == "PUT" else None)
                assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
                assert code(answer) == "UNSUPPORTED"
    with pytest.raises(ValueError, match="accepts no pushes"):
        Registry(upstream=registry.url, cache_folder=tmp_path, uploads_folder=tmp_path)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", UPLOADS, 405, "POST"),
        ("PUT", UPLOADS, 405, "POST"),
        ("POST", "/v2/team/app/manifests/1.0", 405, "GET, HEAD, PUT, DELETE"),
        ("PUT", f"/v2/team/app/blobs/sha256:{'0' * 64}", 405, "GET, HEAD, DELETE"),
        ("DELETE", "/v2/team/app/tags/list", 405, "GET, HEAD"),
        ("POST", f"/v2/team/app/referrers/sha256:{'0' * 64}", 405, "GET, HEAD"),
        ("POST", "/elsewhere", 404, None),
    ],
)
def test_a_method_that_a_path_lacks_is_answered_with_those_that_it_has(
    registry: Registry, method: str, path: str, status: int, allowed: str | None
) -> None:
    answer = send(registry.url, method, path)
    assert (answer.status, answer.headers.get("allow")) == (status, allowed)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/team/app/manifests/sha256:short"),
        ("HEAD", "/v2/team/app/manifests/md5:abc"),
        ("GET", "/v2/team/app/blobs/latest"),
        ("GET", "/v2/team/app/referrers/latest"),
        ("DELETE", "/v2/team/app/manifests/sha256:short"),
        ("DELETE", "/v2/team/app/blobs/latest"),
    ],
)
def test_a_malformed_digest_is_a_mistake_of_the_client(registry: Registry, method: str, path: str) -> None:
    assert send(registry.url, method, path).status == 400


def test_a_wrong_repository_name_is_refused(registry: Registry) -> None:
    answer = send(registry.url, "POST", "/v2/Team//app/blobs/uploads/")
    assert (answer.status, code(answer)) == (400, "NAME_INVALID")


def test_referrers_list_what_refers_to_a_digest(registry: Registry, tmp_path: Path) -> None:
    digest = push_image(registry, BYTES, "1.0")
    path = f"/v2/team/app/referrers/{digest}"
    empty = send(registry.url, "GET", path)
    assert (empty.status, empty.headers["content-type"]) == (200, OCI_INDEX)
    assert json.loads(empty.body)["manifests"] == []
    subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(manifest(b"{}", BYTES))}
    content = manifest(b"{}", BYTES, subject=subject, artifactType="text/sbom", annotations={"a": "b"})
    put = send(registry.url, "PUT", "/v2/team/app/manifests/sbom", content, Content_Type=OCI_MANIFEST)
    assert put.headers["oci-subject"] == digest
    (found,) = json.loads(send(registry.url, "GET", path).body)["manifests"]
    assert (found["digest"], found["artifactType"], found["annotations"]) == (
        digest_of(content),
        "text/sbom",
        {"a": "b"},
    )
    other = send(registry.url, "GET", f"{path}?artifactType=other")
    assert (json.loads(other.body)["manifests"], other.headers["oci-filters-applied"]) == ([], "artifactType")
    with Registry(upstream=registry.url, cache_folder=tmp_path / "cache") as mirror:
        assert json.loads(send(mirror.url, "GET", path).body)["manifests"] == [found]


@pytest.mark.parametrize("sent", [b"zz\r\nabc\r\n0\r\n\r\n", b"-5\r\nabc\r\n0\r\n\r\n"])
def test_a_body_that_is_no_http_ends_its_own_connection_only(registry: Registry, sent: bytes) -> None:
    location = begin(registry)
    connection = http.client.HTTPConnection(urlsplit(registry.url).netloc, timeout=10)
    connection.putrequest("PATCH", location)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(sent)
    response = connection.getresponse()
    assert (response.status, response.headers["connection"]) == (400, "close")
    connection.close()
    assert send(registry.url, "PATCH", begin(registry), b"x", Transfer_Encoding="gzip").status == 400
    assert send(registry.url, "GET", "/v2/").status == 200


def test_a_connection_is_kept_over_pushes_and_a_refused_body_is_not_taken_for_a_request(registry: Registry) -> None:
    connection = http.client.HTTPConnection(urlsplit(registry.url).netloc, timeout=10)
    for _ in range(2):
        connection.request("PUT", f"{UPLOADS}unknown?digest={digest_of(BYTES)}", body=BYTES)
        response = connection.getresponse()
        assert (response.status, response.read() != b"") == (404, True)
        assert connection.sock is not None
    connection.close()
    assert registry.counters.as_dict()["requests"] == {"upload_put": 2}


def test_pushed_bytes_are_counted(registry: Registry) -> None:
    push_blob(registry, BYTES)
    assert registry.counters.as_dict()["pushed_bytes"] == len(BYTES)


def authorization(registry: Registry, rules: AuthRules, scope: str) -> str:
    basic = "Basic " + base64.b64encode(f"{rules.username}:{rules.password}".encode()).decode()
    if rules.kind == "basic":
        return basic
    answer = send(registry.url, "GET", f"/token?service=pullbench-lab&scope={scope}", Authorization=basic)
    return f"Bearer {json.loads(answer.body)['token']}"


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize("may_push", [True, False])
def test_pushes_and_deletions_need_their_own_permission(tmp_path: Path, kind: Any, may_push: bool) -> None:
    rules = AuthRules(kind=kind, username="ada", password="secret", may_push=may_push)
    with Registry(auth=rules, uploads_folder=tmp_path) as registry:
        assert send(registry.url, "POST", UPLOADS).status == 401
        given = authorization(registry, rules, "repository:team/app:pull,push,delete")
        refused = {"basic": 403, "bearer": 401}[kind]
        assert send(registry.url, "POST", UPLOADS, Authorization=given).status == (202 if may_push else refused)
        path = f"/v2/team/app/blobs/{digest_of(BYTES)}"
        assert send(registry.url, "DELETE", path, Authorization=given).status == (404 if may_push else refused)
        assert send(registry.url, "GET", path, Authorization=given).status == 404
        only_pull = authorization(registry, rules, "repository:team/app:pull")
        if kind == "bearer":
            challenge = send(registry.url, "POST", UPLOADS, Authorization=only_pull).headers["www-authenticate"]
            assert 'scope="repository:team/app:pull,push"' in challenge
