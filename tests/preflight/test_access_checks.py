"""image and platform."""

from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.facts import Facts, ImageFacts, PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import parse_manifest
from pullbench.preflight.checks import image, platform
from pullbench.preflight.context import CheckContext
from pullbench.registry.auth import Credentials, basic_header
from tests.preflight.contexts import context_over, spec_of, target_of
from tests.registry.fake_registry import (
    SECRET,
    FakeRegistry,
    config_blob,
    digest_of,
    index_of,
    manifest_of,
)

AMD64 = manifest_of(config_blob())
ARM64 = manifest_of(config_blob(architecture="arm64"))
BASIC = basic_header(Credentials(username="ann", password=SECRET))


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    fake.put_manifest("app", "1.0", index_of(amd64=AMD64, arm64=ARM64))
    fake.put_manifest("app", "single", AMD64)
    fake.put_manifest("app", "x", AMD64)
    fake.put_manifest("app", "y", ARM64)
    for blob in (config_blob(), config_blob(architecture="arm64"), b"layer"):
        fake.put_blob("app", blob)
    return fake


def found_by(check: Any, context: CheckContext, *parts: str) -> Finding:
    target = target_of(context, *parts)
    findings = check.judge(check.probe(context, target), target)
    assert len(findings) == 1
    return findings[0]


def image_of(registry: FakeRegistry, name: str) -> Finding:
    with context_over(registry, spec_of(images=[name])) as context:
        return found_by(image, context, name)


def test_an_image_that_is_there_passes_with_its_digest_by_a_head_alone(registry: FakeRegistry) -> None:
    found = image_of(registry, "app:1.0")
    assert (found.status, found.observed) == (Status.PASS, digest_of(index_of(amd64=AMD64, arm64=ARM64)))
    assert registry.asked == ["HEAD https://registry.example.com/v2/app/manifests/1.0"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 412, 500, 501])
def test_a_registry_that_refuses_head_is_asked_by_get(registry: FakeRegistry, status: int) -> None:
    registry.handler = lambda request: httpx.Response(status) if request.method == "HEAD" else registry.serve(request)
    found = image_of(registry, "app:1.0")
    assert found.status is (
        Status.PASS if status == 405 else Status.WARN
    )  # containerd takes a 405, and no other refusal
    assert ("ctr" in found.observed) is (status != 405) and "skopeo" not in found.observed


def test_a_missing_tag_fails_with_the_tags_that_come_closest(registry: FakeRegistry) -> None:
    registry.documents["app/tags/list"] = b'{"tags": ["latest", "1.26", "1.27.1", "nightly"]}'
    found = image_of(registry, "app:1.27")
    assert found.status is Status.FAIL
    assert found.observed.startswith("[not_found] GET https://registry.example.com/v2/app/manifests/1.27: 404")
    assert "1.27.1, 1.26" in found.observed
    assert "`skopeo list-tags docker://registry.example.com/app`" in found.remedy


def test_a_missing_repository_fails_and_says_so(registry: FakeRegistry) -> None:
    found = image_of(registry, "nope:1")
    assert (found.status, found.code) == (Status.FAIL, "not_found")
    assert "tags" not in found.observed


def test_a_pinned_digest_that_the_registry_answers_with_another_fails_as_a_mismatch(registry: FakeRegistry) -> None:
    asked = digest_of(b"asked")
    registry.handler = lambda request: httpx.Response(200, headers={"Docker-Content-Digest": digest_of(AMD64)})
    found = image_of(registry, f"app@{asked}")
    assert (found.status, found.observed[:17]) == (Status.FAIL, "[digest_mismatch]")


def platform_of(registry: FakeRegistry, name: str, wanted: str, facts: Facts | None = None) -> Finding:
    with context_over(registry, spec_of(images=[name]), facts) as context:
        return found_by(platform, context, name, wanted)


def test_a_platform_of_an_index_passes_with_its_layers_and_size(registry: FakeRegistry) -> None:
    found = platform_of(registry, "app:1.0", "linux/arm64")
    assert found.status is Status.PASS
    assert found.observed.startswith(f"{digest_of(ARM64)}, 1 layer, ")


@pytest.mark.parametrize(("name", "there"), [("app:1.0", "linux/amd64, linux/arm64"), ("app:single", "linux/amd64")])
def test_a_missing_platform_fails_with_what_there_is_and_how_to_build_it(
    registry: FakeRegistry, name: str, there: str
) -> None:
    found = platform_of(registry, name, "linux/s390x")
    assert found.code == "platform_missing"
    assert found.observed.endswith(there)
    command = f"docker buildx build --platform linux/s390x --tag registry.example.com/{name} --push ."
    assert command in found.remedy


def test_the_platforms_of_one_index_are_read_from_one_request(registry: FakeRegistry) -> None:
    with context_over(registry) as context:
        for wanted in ("linux/amd64", "linux/s390x", "linux/riscv64"):
            found_by(platform, context, "app:1.0", wanted)
    assert [entry for entry in registry.asked if entry.endswith("/1.0")] == [
        "GET https://registry.example.com/v2/app/manifests/1.0"
    ]


def test_what_the_facts_hold_is_not_fetched_again(registry: FakeRegistry) -> None:
    manifest = parse_manifest(AMD64)
    known = ImageFacts(
        registry="eu",
        image="app:1.0",
        platforms={"linux/amd64": PlatformImage(digest=digest_of(AMD64), manifest=manifest)},  # type: ignore[arg-type]
    )
    facts = Facts(host_platform="linux/amd64", images={("eu", "app:1.0"): known})
    assert platform_of(registry, "app:1.0", "linux/amd64", facts).status is Status.PASS
    assert [line for line in registry.asked if "/manifests/" in line] == []
    assert platform_of(registry, "app:1.0", "linux/s390x", facts).status is Status.FAIL


def test_a_manifest_that_the_index_promises_and_the_registry_lacks_fails(registry: FakeRegistry) -> None:
    del registry.documents[f"app/manifests/{digest_of(ARM64)}"]
    found = platform_of(registry, "app:1.0", "linux/arm64")
    assert (found.status, found.observed[:11]) == (Status.FAIL, "[not_found]")


def test_every_failing_code_of_these_checks_has_a_remedy_with_the_host(registry: FakeRegistry) -> None:
    for status, code in ((401, ErrorCode.UNAUTHORIZED), (429, ErrorCode.RATE_LIMITED), (503, ErrorCode.SERVER_ERROR)):
        registry.handler = lambda request, status=status: httpx.Response(status)
        found = image_of(registry, "app:1.0")
        assert found.observed.startswith(f"[{code}]")
        assert "registry.example.com" in found.remedy
