import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.registry.client import image_facts
from tests.registry.fake_registry import FakeRegistry, config_blob, digest_of, index_of, manifest_of

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
    assert len(registry.requests) == 2  # manifest and config, once for all platforms


@pytest.mark.parametrize("config", [b"{}", b"[]", b"no json", b'{"os": 1, "architecture": "amd64"}'])
def test_an_image_whose_config_states_no_platform_counts_for_none(registry: FakeRegistry, config: bytes) -> None:
    registry.put_manifest("app", "odd", manifest_of(config))
    registry.put_blob("app", config)
    facts = image_facts(registry.client(), "eu", "app:odd", ["linux/amd64"])
    assert (facts.platforms, facts.error_code) == ({}, None)


def test_an_image_pinned_to_a_digest_is_asked_for_by_it(registry: FakeRegistry) -> None:
    digest = digest_of(index_of(amd64=AMD64, arm64=ARM64))
    facts = image_facts(registry.client(), "eu", f"app:index@{digest}", ["linux/amd64"])
    assert facts.digest == digest
    assert registry.asked[0].endswith(f"/v2/app/manifests/{digest}")


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


def test_an_index_within_an_index_is_no_image(registry: FakeRegistry) -> None:
    inner = index_of(amd64=AMD64)
    registry.put_manifest("app", "inner", inner)
    registry.put_manifest("app", "outer", index_of(amd64=inner))
    facts = image_facts(registry.client(), "eu", "app:outer", ["linux/amd64"])
    assert facts.error_code is ErrorCode.NOT_A_REGISTRY
    assert "linux/amd64" in facts.error


def test_a_source_of_credentials_that_fails_is_an_error_in_the_facts(registry: FakeRegistry) -> None:
    registry.handler = lambda request: httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    facts = image_facts(registry.client("env:ABSENT"), "eu", "app:single", ["linux/amd64"])
    assert facts.error_code is ErrorCode.UNAUTHORIZED
    assert "ABSENT_USERNAME" in facts.error
