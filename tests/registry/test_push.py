"""Pushing: only what is not there, never over what is not ours, and every refusal said as one who pushes reads it."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from pullbench.model.reference import Reference
from pullbench.model.upload import Blob, BuiltImage, Document, SyntheticImage
from pullbench.model.workload import RECIPE_ANNOTATION, WORKLOAD_ANNOTATION
from pullbench.registry.auth import Challenge, token_request
from pullbench.registry.push import PushedImage, PushError, PushReport, push_workload
from tests.registry.fake_registry import SECRET, URL, config_blob, digest_of, manifest_of
from tests.registry.push_registry import PushRegistry, refusal

LAYER_BYTES = 3000


def described(content: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(content), size_bytes=len(content))


def blob(content: bytes, media_type: str = OCI_LAYER_GZIP) -> Blob:
    half = len(content) // 2
    return Blob(descriptor=described(content, media_type), pieces=lambda: iter((content[:half], content[half:])))


def entry(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size_bytes}


def image(
    name: str, *layers: str, tag: str = "v1", label: str = "zb seed 1", platforms: int = 1, recipe: str = ""
) -> SyntheticImage:
    """An image whose layers are made of words; equal words make equal layers."""
    recipe = recipe or f"{label}:{name}:{layers}"
    annotations = {WORKLOAD_ANNOTATION: label, RECIPE_ANNOTATION: recipe}

    def build() -> BuiltImage:
        blobs, manifests = [], []
        for number in range(platforms):
            config = blob(f"config of {name} {number}".encode(), OCI_CONFIG)
            made = [blob((word * LAYER_BYTES).encode()[:LAYER_BYTES]) for word in layers]
            blobs += [config, *made]
            pointers = {"config": entry(config.descriptor), "layers": [entry(one.descriptor) for one in made]}
            manifests.append(document(OCI_MANIFEST, **pointers, annotations=annotations if platforms == 1 else {}))
        unique = tuple({one.descriptor.digest: one for one in blobs}.values())
        if platforms == 1:
            return BuiltImage(blobs=unique, manifests=(), tagged=manifests[0])
        children = [entry(one.descriptor) for one in manifests]
        index = document("application/vnd.oci.image.index.v1+json", manifests=children, annotations=annotations)
        return BuiltImage(blobs=unique, manifests=tuple(manifests), tagged=index)

    reference = Reference(repository=f"bench/{name}", tag=tag)
    return SyntheticImage(reference=reference, recipe=recipe, size_bytes=LAYER_BYTES * len(layers), build=build)


def document(media_type: str, **content: Any) -> Document:
    text = json.dumps({"schemaVersion": 2, "mediaType": media_type, **content}).encode()
    return Document(descriptor=described(text, media_type), content=text)


def push(registry: PushRegistry, *images: SyntheticImage, **options: Any) -> PushReport:
    with registry.client(options.pop("credentials", "anonymous")) as client:
        return push_workload(client, images, **{"workers": 2, **options})


def on(
    method: str, part: str, answer: Callable[[], httpx.Response]
) -> Callable[[httpx.Request], httpx.Response | None]:
    """A fault for the requests of a method whose path holds `part`."""
    return lambda asked: answer() if asked.method == method and part in asked.url.path else None


APP, OTHER = image("app", "base", "own"), image("other", "base", "else")


def test_an_image_is_pushed_blobs_first_then_the_tag() -> None:
    registry = PushRegistry()
    report = push(registry, APP)
    built = APP.build()
    assert registry.blobs["bench/app"] == {one.descriptor.digest for one in built.blobs}
    assert registry.manifests["bench/app", "v1"] == built.tagged.content
    assert registry.sent("PUT")[-1] == "PUT /v2/bench/app/manifests/v1"
    digest = built.tagged.descriptor.digest
    assert report.images == (PushedImage(reference=APP.reference, digest=digest, outcome="pushed"),)
    assert (report.blobs_sent, report.bytes_sent) == (3, sum(one.descriptor.size_bytes for one in built.blobs))


def test_an_index_goes_after_the_manifests_that_it_names() -> None:
    registry = PushRegistry()
    both = image("app", "base", platforms=2)
    push(registry, both)
    manifests = [line for line in registry.sent("PUT") if "/manifests/" in line]
    children = [one.descriptor.digest for one in both.build().manifests]
    assert manifests == [f"PUT /v2/bench/app/manifests/{name}" for name in (*children, "v1")]
    assert push(registry, both).images[0].outcome == "there"


def test_a_second_push_builds_and_sends_nothing_and_says_so() -> None:
    registry = PushRegistry()
    first = push(registry, APP, OTHER)
    registry.asked.clear()

    def refuse() -> BuiltImage:
        raise AssertionError("an image that is there was made again")

    unbuilt = [SyntheticImage(reference=o.reference, recipe=o.recipe, size_bytes=1, build=refuse) for o in (APP, OTHER)]
    second = push(registry, *unbuilt)
    assert registry.sent() == []
    assert [found.outcome for found in second.images] == ["there", "there"]
    assert [found.digest for found in second.images] == [found.digest for found in first.images]
    assert (second.blobs_sent, second.bytes_sent) == (0, 0)


def test_a_blob_that_the_registry_lost_is_sent_again_and_no_other() -> None:
    registry = PushRegistry()
    push(registry, APP)
    lost = APP.build().blobs[1].descriptor.digest
    registry.blobs["bench/app"].remove(lost)
    report = push(registry, APP)
    assert lost in registry.blobs["bench/app"]
    assert (report.blobs_sent, report.blobs_there) == (1, 2)


@pytest.mark.parametrize(
    "location",
    [
        "{url}/v2/{repository}/blobs/uploads/{upload}?_state=kX-_1%3D%3D",
        "/v2/{repository}/blobs/uploads/{upload}?_state=kX-_1%3D%3D",
        "/v2/{repository}/blobs/uploads/{upload}",
        "{upload}",
        "//registry.example.com/v2/{repository}/blobs/uploads/{upload}?_state=kX-_1%3D%3D#part",
    ],
)
def test_an_uploads_location_is_followed_relative_or_absolute_with_its_own_query(location: str) -> None:
    registry = PushRegistry(location=location)
    assert push(registry, APP).blobs_sent == 3


def test_credentials_do_not_follow_a_location_to_another_host() -> None:
    registry = PushRegistry(location="https://storage.example.com/v2/{repository}/blobs/uploads/{upload}")

    def challenge(asked: httpx.Request) -> httpx.Response | None:
        if asked.url.host == "registry.example.com" and "Authorization" not in asked.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return None

    registry.fault = challenge
    push(registry, APP, credentials="env:CI")
    away = [asked for asked in registry.requests if asked.url.host == "storage.example.com"]
    assert len(away) == 3
    assert not any("Authorization" in asked.headers for asked in away)


def test_a_location_that_leads_from_https_to_http_is_not_followed() -> None:
    registry = PushRegistry(location="http://registry.example.com/v2/{repository}/blobs/uploads/{upload}")
    with pytest.raises(RegistryError, match="sends the upload from https to http://") as caught:
        push(registry, APP)
    assert caught.value.code is ErrorCode.PLAIN_HTTP
    assert "X-Forwarded-Proto" in caught.value.remedy and "write http://" not in caught.value.remedy
    assert registry.sent("PUT") == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(200, text="<html>log in</html>"), "200 instead of 202"),
        (httpx.Response(202), "202 without a Location"),
        (httpx.Response(202, headers={"Location": "https://ann:pw@evil.example/x"}), "202 sends the upload to"),
    ],
)
def test_what_opens_no_upload_is_no_registry(answer: httpx.Response, says: str) -> None:
    registry = PushRegistry(fault=on("POST", "uploads", lambda: answer))
    with pytest.raises(RegistryError, match=says) as caught:
        push(registry, APP, workers=1)
    assert caught.value.code is ErrorCode.NOT_A_REGISTRY


def test_a_shared_layer_is_sent_once_and_mounted_elsewhere() -> None:
    shared = digest_of(b"base" * (LAYER_BYTES // 4))
    sending, twice = threading.Event(), threading.Event()

    def linger(asked: httpx.Request) -> None:
        if asked.url.params.get("digest") == shared:
            (twice if sending.is_set() else sending).set()
            twice.wait(0.2)  # time for another worker to send it too

    registry = PushRegistry(fault=linger)
    many = [image(f"app-{number}", "base", f"own-{number}") for number in range(6)]
    report = push(registry, *many, workers=6)
    assert sum(f"digest={shared}" in line for line in registry.sent("PUT")) == 1
    assert report.blobs_mounted == 5
    assert all(shared in found for found in registry.blobs.values())


@pytest.mark.parametrize("status", [202, 401, 403, 404, 405])
def test_a_layer_that_cannot_be_mounted_is_sent(status: int) -> None:
    def fault(asked: httpx.Request) -> httpx.Response | None:
        return refusal(status, "DENIED") if status != 202 and "mount" in asked.url.params else None

    registry = PushRegistry(mounts=False, fault=fault)
    report = push(registry, APP, OTHER, workers=1)
    assert (report.blobs_sent, report.blobs_mounted) == (6, 0)
    # An upload that a mount opened is used; only a refusal needs another.
    assert len(registry.sent("POST")) == (6 if status == 202 else 7)


def test_the_body_goes_out_in_pieces_with_its_length() -> None:
    registry = PushRegistry()
    push(registry, APP)
    puts = [asked for asked in registry.requests if asked.method == "PUT" and "uploads" in asked.url.path]
    assert all("Transfer-Encoding" not in asked.headers and "Content-Length" in asked.headers for asked in puts)
    assert registry.largest_piece_bytes == LAYER_BYTES // 2


FOREIGN = {
    "an image": manifest_of(b"{}"),
    "an artifact": {"schemaVersion": 2, "artifactType": "x", "config": {}, "layers": []},
    "schema 1": {"schemaVersion": 1, "fsLayers": []},
    "an empty mark": {**json.loads(manifest_of(b"{}")), "annotations": {WORKLOAD_ANNOTATION: ""}},
    "odd annotations": {**json.loads(manifest_of(b"{}")), "annotations": [WORKLOAD_ANNOTATION]},
}


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_tag_that_is_not_ours_is_never_touched_and_nothing_at_all_is_sent(foreign: str, replace: bool) -> None:
    registry = PushRegistry()
    registry.put("bench/other", "v1", FOREIGN[foreign])
    with pytest.raises(UsageError) as caught:
        push(registry, APP, OTHER, replace=replace)
    assert str(caught.value).startswith("registry.example.com/bench/other:v1 ")
    assert str(caught.value).endswith("nothing was pushed")
    assert registry.sent() == []


def test_another_workloads_tag_is_overwritten_only_when_asked() -> None:
    registry = PushRegistry()
    push(registry, image("app", "old", label="spegel seed 7"), image("other", "older", label="spegel seed 7"))
    registry.asked.clear()
    with pytest.raises(UsageError, match=r"app:v1 \(and 1 more\).*\(spegel seed 7;.*--replace"):
        push(registry, APP, OTHER)
    assert registry.sent() == []
    assert push(registry, APP, replace=True).images[0].outcome == "pushed"
    assert registry.manifests["bench/app", "v1"] == APP.build().tagged.content


def test_a_tag_that_somebody_else_took_meanwhile_is_left_to_them() -> None:
    registry = PushRegistry()

    def take_it(asked: httpx.Request) -> None:
        if asked.method == "PUT" and "uploads" in asked.url.path:
            registry.put("bench/app", "v1", manifest_of(b"{}"))

    registry.fault = take_it
    with pytest.raises(UsageError, match="app:v1 was changed"):
        push(registry, APP)
    assert registry.manifests["bench/app", "v1"] == manifest_of(b"{}")


def test_a_registry_that_states_the_digest_twice_has_stored_it() -> None:
    def twice(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT" or "/manifests/" not in request.url.path:
            return None
        digest = digest_of(request.read())
        return httpx.Response(201, headers={"Docker-Content-Digest": f"{digest}, {digest}"})

    assert [image.outcome for image in push(PushRegistry(fault=twice), APP).images] == ["pushed"]


def test_a_registry_that_stores_other_bytes_is_found_out() -> None:
    altered = httpx.Response(201, headers={"Docker-Content-Digest": digest_of(b"other")})
    registry = PushRegistry(fault=on("PUT", "manifests", lambda: altered))
    with pytest.raises(RegistryError) as caught:
        push(registry, APP)
    assert caught.value.code is ErrorCode.DIGEST_MISMATCH


ENOSPC = {"DriverName": "filesystem", "Enclosed": {"Op": "write", "Path": "/data", "Err": 28}}
REFUSALS: dict[str, tuple[httpx.Response, ErrorCode, str]] = {
    "anonymous": (refusal(401, "UNAUTHORIZED"), ErrorCode.UNAUTHORIZED, "docker login"),
    "quay's namespace": (refusal(401, "UNAUTHORIZED"), ErrorCode.UNAUTHORIZED, "--repository NAMESPACE/"),
    "another's namespace": (refusal(403, "DENIED"), ErrorCode.FORBIDDEN, "--repository NAMESPACE/"),
    "pull only": (refusal(403, "DENIED", "denied"), ErrorCode.FORBIDDEN, "push permission"),
    "harbor's quota": (
        refusal(403, "DENIED", "adding 1.0 MiB of storage resource, which will exceed the configured upper limit"),
        ErrorCode.DISK_FULL,
        "project's quota",
    ),
    "no project": (refusal(404, "NAME_UNKNOWN"), ErrorCode.NOT_FOUND, "(or its project)"),
    "read-only": (refusal(405, "UNSUPPORTED"), ErrorCode.FORBIDDEN, "(read-only, or a mirror)"),
    "immutable": (refusal(412, "PRECONDITION"), ErrorCode.FORBIDDEN, "immutable tag"),
    "nginx": (httpx.Response(413, text="too large"), ErrorCode.TOO_LARGE, "client_max_body_size 0;"),
    "other": (refusal(400, "MANIFEST_INVALID"), ErrorCode.FORBIDDEN, "refuses this image"),
    "full": (refusal(500, "UNKNOWN", "unknown error", detail=ENOSPC), ErrorCode.DISK_FULL, "disk is full"),
    "507": (httpx.Response(507), ErrorCode.DISK_FULL, "disk is full"),
}


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_line_with_a_pushers_remedy(case: str, method: str) -> None:
    answer, code, remedy = REFUSALS[case]
    registry = PushRegistry(fault=on(method, "uploads" if case != "immutable" else "", lambda: answer))
    with pytest.raises(PushError) as caught:
        push(registry, APP, workers=1)
    assert caught.value.code is code
    assert remedy in caught.value.remedy
    assert str(caught.value).endswith(caught.value.remedy)
    assert str(caught.value).startswith(f"{method} {URL}/v2/bench/app/")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("answer", [refusal(404, "BLOB_UPLOAD_UNKNOWN"), refusal(404), httpx.Response(404, text="no")])
def test_an_upload_that_was_opened_and_is_unknown_shows_replicas(answer: httpx.Response) -> None:
    registry = PushRegistry(fault=on("PUT", "uploads", lambda: answer))
    with pytest.raises(PushError) as caught:
        push(registry, APP, workers=1)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert "replicas" in caught.value.remedy and "project" not in caught.value.remedy


@pytest.mark.parametrize("status", [403, 404, 405, 500])
def test_a_tag_that_is_not_ours_is_found_by_get_where_head_is_refused(status: int) -> None:
    registry = PushRegistry(fault=on("HEAD", "manifests", lambda: httpx.Response(status)))
    registry.put("bench/app", "v1", json.loads(manifest_of(config_blob())))
    with pytest.raises(UsageError, match="is not an image of pullbench"):
        push(registry, APP)
    assert registry.sent() == []


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_push_needs_no_head_of_a_manifest(status: int) -> None:
    registry = PushRegistry(fault=on("HEAD", "manifests", lambda: httpx.Response(status)))
    assert push(registry, APP).images[0].outcome == "pushed"
    assert push(registry, APP).images[0].outcome == "there"


def test_an_upload_that_failed_is_taken_back() -> None:
    registry = PushRegistry(fault=on("PUT", "uploads", lambda: refusal(507)))
    with pytest.raises(PushError):
        push(registry, APP, workers=1)
    assert registry.asked[-1] == "DELETE /v2/bench/app/blobs/uploads/1?_state=kX-_1%3D%3D"


def test_what_may_pass_is_tried_again_and_counts_once() -> None:
    registry, left = PushRegistry(), Counter({"POST": 1, "PUT": 1})
    moves: list[int] = []

    def stumble(asked: httpx.Request) -> httpx.Response | None:
        if left[asked.method] == 0:
            return None
        left[asked.method] -= 1
        asked.read()
        return httpx.Response(503, headers={"Retry-After": "0"})

    class Watch:
        def moved(self, size_bytes: int) -> None:
            moves.append(size_bytes)

        def settled(self, image: PushedImage) -> None:
            moves.append(0)

    registry.fault = stumble
    report = push(registry, image("app"), image("app-2"), workers=1, watch=Watch())
    assert report.blobs_sent == 2
    assert sum(moves) == report.bytes_sent
    assert min(moves) < 0


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_a_registry_that_refuses_head_of_blobs_takes_pushes(status: int) -> None:
    registry = PushRegistry()

    def refuse(asked: httpx.Request) -> httpx.Response | None:
        if "/blobs/sha256:" not in asked.url.path:
            return None
        if asked.method == "HEAD":
            return httpx.Response(status)
        digest = asked.url.path.rpartition("/")[2]
        return httpx.Response(206 if any(digest in each for each in registry.blobs.values()) else 404, content=b"x")

    registry.fault = refuse
    first = push(registry, APP)
    assert first.blobs_sent > 0
    registry.manifests.clear()
    assert push(registry, APP).blobs_sent == 0


def test_what_does_not_pass_is_given_up() -> None:
    registry = PushRegistry(fault=on("POST", "", lambda: httpx.Response(503, headers={"Retry-After": "0"})))
    with pytest.raises(RegistryError) as caught:
        push(registry, APP, workers=1)
    assert caught.value.code is ErrorCode.SERVER_ERROR
    assert len(registry.sent("POST")) == 3


def test_the_first_failure_is_told_and_ends_the_others() -> None:
    registry = PushRegistry(fault=on("POST", "app-0/", lambda: refusal(405)))
    with pytest.raises(PushError, match="app-0"):
        push(registry, *[image(f"app-{number}", f"own-{number}") for number in range(50)], workers=1)
    assert all("app-0/" in line for line in registry.sent())


def test_one_token_with_the_push_right_serves_a_repository() -> None:
    registry, given = PushRegistry(), []

    def guard(asked: httpx.Request) -> httpx.Response | None:
        if asked.url.host == "auth.example.com":
            given.append(asked.url.params["scope"])
            return httpx.Response(200, json={"token": f"token-{len(given)}", "expires_in": 300})
        if "Authorization" in asked.headers:
            return None
        challenge = 'Bearer realm="https://auth.example.com/token",service="r",scope="repository:bench/app:pull"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    registry.fault = guard
    push(registry, APP, credentials="env:CI")
    assert given == ["repository:bench/app:pull,push"]
    assert SECRET not in repr(registry.asked)


@pytest.mark.parametrize(
    ("challenged", "asked"),
    [
        ("", ["repository:a/push:pull,push"]),
        ("repository:a/push:pull", ["repository:a/push:pull,push"]),
        ("repository:a/push:pull,push repository:b:pull", ["repository:a/push:pull,push", "repository:b:pull"]),
        ("registry:catalog:*", ["registry:catalog:*", "repository:a/push:pull,push"]),
    ],
)
def test_a_pusher_asks_for_the_push_right_where_the_challenge_does_not(challenged: str, asked: list[str]) -> None:
    challenge = Challenge(scheme="bearer", realm="https://auth.example.com/token", scope=challenged)
    request = token_request(challenge, endpoint_url=URL, repository="a/push", credentials=None, actions="pull,push")
    assert parse_qs(urlsplit(request.url).query)["scope"] == asked


def test_layers_of_words_hash_as_they_say() -> None:
    for one in APP.build().blobs:
        assert f"sha256:{hashlib.sha256(b''.join(one.pieces())).hexdigest()}" == one.descriptor.digest
