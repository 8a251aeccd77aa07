"""Images are resolved to platforms as docker and containerd do."""

import json

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.client_rules import is_mistyped
from pullbench.model.facts import HeadAnswer
from pullbench.model.manifest import DOCKER_MANIFEST, MAX_NESTED_INDEXES, OCI_INDEX, OCI_MANIFEST, own_media_type
from pullbench.registry.client import image_facts
from tests.registry.fake_registry import FakeRegistry, config_blob, descriptor, digest_of, index_of, manifest_of

AMD64 = manifest_of(config_blob())
ARM64 = manifest_of(config_blob(architecture="arm64"))


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    fake.put_manifest("app", "index", index_of(amd64=AMD64, arm64=ARM64))
    fake.put_manifest("app", "single", AMD64)
    fake.put_manifest("app", "arm", ARM64)
    fake.put_blob("app", config_blob())
    return fake


def test_an_index_gives_each_platforms_manifest_and_leaves_out_what_it_lacks(registry: FakeRegistry) -> None:
    facts = image_facts(registry.client(), "eu", "app:index", ["linux/amd64", "linux/arm64", "linux/s390x"])
    assert facts.is_index
    assert facts.digest == digest_of(index_of(amd64=AMD64, arm64=ARM64))
    assert {name: image.digest for name, image in facts.platforms.items()} == {
        "linux/amd64": digest_of(AMD64),
        "linux/arm64": digest_of(ARM64),
    }
    assert (facts.registry, facts.image, facts.error_code) == ("eu", "app:index", None)


def test_an_image_that_is_no_index_counts_for_the_platform_of_its_config(registry: FakeRegistry) -> None:
    facts = image_facts(registry.client(), "eu", "app:single", ["linux/amd64", "linux/arm64"])
    assert not facts.is_index
    assert list(facts.platforms) == ["linux/amd64"]
    assert facts.platforms["linux/amd64"].digest == facts.digest
    # The manifest, its type by digest and the config, once for all platforms.
    assert [request.method for request in registry.requests] == ["GET", "HEAD", "GET"]


@pytest.mark.parametrize("config", [b"{}", b"[]", b"no json", b'{"os": 1, "architecture": "amd64"}'])
def test_an_image_whose_config_states_no_platform_counts_for_every_one(registry: FakeRegistry, config: bytes) -> None:
    registry.put_manifest("app", "odd", manifest_of(config))
    registry.put_blob("app", config)
    facts = image_facts(registry.client(), "eu", "app:odd", ["linux/amd64", "linux/arm64"])
    assert (list(facts.platforms), facts.error_code) == (["linux/amd64", "linux/arm64"], None)
    assert facts.platforms["linux/amd64"].listing is None


def test_an_image_pinned_to_a_digest_is_asked_for_by_it(registry: FakeRegistry) -> None:
    digest = digest_of(index_of(amd64=AMD64, arm64=ARM64))
    facts = image_facts(registry.client(), "eu", f"app:index@{digest}", ["linux/amd64"])
    assert facts.digest == digest
    assert registry.asked[0].endswith(f"/v2/app/manifests/{digest}")


def by_digest(
    registry: FakeRegistry, content: bytes, given: str, *, methods: tuple[str, ...] = ("GET", "HEAD")
) -> None:
    """The registry answers for this digest with another Content-Type, or none; its tag is fine."""

    def handle(request: httpx.Request) -> httpx.Response:
        answer = registry.serve(request)
        if request.url.path.endswith(digest_of(content)) and request.method in methods:
            answer.headers["Content-Type"] = given
        return answer

    registry.handler = handle


@pytest.mark.parametrize("name", ["single", "index"])
@pytest.mark.parametrize("given", [DOCKER_MANIFEST, "application/octet-stream", ""])
def test_a_type_that_differs_by_digest_is_one_of_those_served(registry: FakeRegistry, name: str, given: str) -> None:
    content = {"single": AMD64, "index": index_of(amd64=AMD64, arm64=ARM64)}[name]
    by_digest(registry, content, given)
    image = image_facts(registry.client(), "eu", f"app:{name}", ["linux/amd64"]).platforms["linux/amd64"]
    assert [served.content_type for served in image.served][:2] == [own_media_type(content), given]
    assert {served.media_type for served in image.served} == {own_media_type(content), OCI_MANIFEST}
    assert is_mistyped(image)


def test_only_head_by_digest_being_odd_harms_no_pull(registry: FakeRegistry) -> None:
    by_digest(registry, AMD64, "text/html", methods=("HEAD",))
    image = image_facts(registry.client(), "eu", "app:single", ["linux/amd64"]).platforms["linux/amd64"]
    assert [served.content_type for served in image.served] == [OCI_MANIFEST]
    assert not is_mistyped(image)


@pytest.mark.parametrize("status", [404, 405, 500])
def test_a_refused_head_by_digest_leaves_the_type_of_the_tag(registry: FakeRegistry, status: int) -> None:
    registry.handler = lambda request: httpx.Response(status) if request.method == "HEAD" else registry.serve(request)
    facts = image_facts(registry.client(), "eu", "app:single", ["linux/amd64"])
    assert (facts.error_code, list(facts.platforms)) == (None, ["linux/amd64"])
    assert [served.content_type for served in facts.platforms["linux/amd64"].served] == [OCI_MANIFEST]


def test_a_missing_image_is_an_error_in_the_facts(registry: FakeRegistry) -> None:
    facts = image_facts(registry.client(), "eu", "app:nope", ["linux/amd64"])
    assert facts.error_code is ErrorCode.NOT_FOUND
    assert facts.error.startswith("GET https://registry.example.com/v2/app/manifests/nope: 404 MANIFEST_UNKNOWN")
    assert facts.digest is None


def test_a_platforms_manifest_that_is_missing_is_an_error_beside_what_was_found(registry: FakeRegistry) -> None:
    del registry.documents[f"app/manifests/{digest_of(ARM64)}"]
    facts = image_facts(registry.client(), "eu", "app:index", ["linux/amd64", "linux/arm64"])
    assert facts.error_code is ErrorCode.NOT_FOUND
    assert list(facts.platforms) == ["linux/amd64"]


def test_an_index_within_an_index_is_followed_and_its_request_counted(registry: FakeRegistry) -> None:
    inner = index_of(amd64=AMD64)
    registry.put_manifest("app", "inner", inner)
    registry.put_manifest("app", "outer", index_of(amd64=inner))
    facts = image_facts(registry.client(), "eu", "app:outer", ["linux/amd64", "linux/arm64"])
    assert (list(facts.platforms), facts.error_code) == (["linux/amd64"], None)
    found = facts.platforms["linux/amd64"]
    assert (found.digest, found.manifest_requests) == (digest_of(AMD64), 3)
    assert found.listing is not None and found.listing.containers_digest == digest_of(inner)


def test_indexes_in_each_other_without_end_are_no_image(registry: FakeRegistry) -> None:
    inner = index_of(amd64=AMD64)
    for number in range(MAX_NESTED_INDEXES):
        registry.put_manifest("app", str(number), inner)
        inner = index_of(amd64=inner)
    registry.put_manifest("app", "outer", inner)
    facts = image_facts(registry.client(), "eu", "app:outer", ["linux/amd64"])
    assert (facts.platforms, facts.error_code) == ({}, None)


@pytest.mark.parametrize(
    ("architecture", "found"), [("amd64", True), (None, True), ("x86_64", True), ("s390x", False), ("", True)]
)
def test_an_entry_without_a_platform_counts_for_that_of_its_config(
    registry: FakeRegistry, architecture: str | None, found: bool
) -> None:
    config = json.dumps({"os": "linux"} | ({} if architecture is None else {"architecture": architecture})).encode()
    manifest = manifest_of(config)
    entries = [descriptor(manifest, OCI_MANIFEST)]
    registry.put_manifest("app", "child", manifest)
    registry.put_blob("app", config)
    registry.put_manifest("app", "odd", json.dumps({"mediaType": OCI_INDEX, "manifests": entries}).encode())
    facts = image_facts(registry.client(), "eu", "app:odd", ["linux/amd64"])
    assert ("linux/amd64" in facts.platforms, facts.error_code) == (found, None)


@pytest.mark.parametrize("config", [b'{"os": "linux", "architecture": "s390x"}', b'{"os": "linux"}', b"{}"])
def test_an_entry_s_platform_counts_and_not_its_config_s(registry: FakeRegistry, config: bytes) -> None:
    manifest = manifest_of(config)
    registry.put_manifest("app", "child", manifest)
    registry.put_manifest("app", "odd", index_of(amd64=manifest))  # the config is not even read
    facts = image_facts(registry.client(), "eu", "app:odd", ["linux/amd64"])
    assert facts.platforms["linux/amd64"].digest == digest_of(manifest)


def test_what_is_no_image_says_what_it_is(registry: FakeRegistry) -> None:
    chart = manifest_of(b"{}").replace(b"application/vnd.oci.image.config.v1", b"application/vnd.cncf.helm.config.v1")
    registry.put_manifest("app", "chart", chart)
    facts = image_facts(registry.client(), "eu", "app:chart", ["linux/amd64"])
    assert (facts.platforms, facts.error_code) == ({}, ErrorCode.PLATFORM_MISSING)
    assert "a Helm chart, not an image" in facts.error


def test_a_source_of_credentials_that_fails_is_an_error_in_the_facts(registry: FakeRegistry) -> None:
    registry.handler = lambda request: httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    facts = image_facts(registry.client("env:ABSENT"), "eu", "app:single", ["linux/amd64"])
    assert facts.error_code is ErrorCode.UNAUTHORIZED
    assert "ABSENT_USERNAME" in facts.error


def facts_by_head(registry: FakeRegistry, statuses: list[int], name: str = "app:single") -> HeadAnswer | None:
    """The answer to HEAD in the facts; it has these statuses, one after the other, and then that of the registry."""
    left = list(statuses)

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(left.pop(0)) if request.method == "HEAD" and left else registry.serve(request)

    registry.handler = handle
    return image_facts(registry.client(), "eu", name, ["linux/amd64"]).head


def test_the_facts_have_the_answer_to_head_of_the_digest(registry: FakeRegistry) -> None:
    found = facts_by_head(registry, [])
    assert found == HeadAnswer(status=200, content_type=OCI_MANIFEST, size_bytes=len(AMD64))
    assert [asked for asked in registry.asked if asked.startswith("HEAD")] == [
        f"HEAD https://registry.example.com/v2/app/manifests/{digest_of(AMD64)}"
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 405, 404, 500])
def test_a_head_that_stays_refused_is_a_fact(registry: FakeRegistry, status: int) -> None:
    assert facts_by_head(registry, [status] * 9) == HeadAnswer(status=status)


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_head_that_is_refused_once_is_no_fact(registry: FakeRegistry, status: int) -> None:
    assert facts_by_head(registry, [status]) is None


@pytest.mark.parametrize("status", [407, 429])
def test_a_head_that_meets_a_limit_or_a_proxy_is_no_fact(registry: FakeRegistry, status: int) -> None:
    assert facts_by_head(registry, [status] * 9) is None


def test_an_image_that_is_missing_gets_no_head(registry: FakeRegistry) -> None:
    assert facts_by_head(registry, [], "app:nope") is None
    assert not any(asked.startswith("HEAD") for asked in registry.asked)
