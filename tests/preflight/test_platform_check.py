"""platform: the manifest is there, and all that it names."""

import httpx
import pytest

from pullbench.model.finding import Finding, Status
from pullbench.preflight.checks import platform
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.registry.fake_registry import FakeRegistry, digest_of

IMAGE = Image(layers=(b"base", b"app"))
LOST = digest_of(b"app")


def found_over(registry: FakeRegistry, **changes: object) -> Finding:
    (found,) = findings_of(platform.CHECK, context_of({"eu": registry, "cache": registry}, spec_over("eu", **changes)))
    return found


def test_a_layer_that_the_registry_has_lost_fails_though_the_manifest_is_there() -> None:
    registry = holding("app", "1.0", IMAGE)
    assert found_over(registry).status is Status.PASS
    del registry.documents[f"app/blobs/{LOST}"]
    found = found_over(registry)
    assert found.status is Status.FAIL
    assert (found.code, LOST in found.observed) == ("not_found", True)
    assert "push" in found.remedy
    assert f"`curl -sSI https://eu.example/v2/app/blobs/{LOST}`" in found.remedy


@pytest.mark.parametrize("status", [403, 405, 500])
def test_a_registry_that_will_not_say_whether_a_blob_is_there_has_not_lost_it(status: int) -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        is_look = request.method == "HEAD" and "/blobs/" in request.url.path
        return httpx.Response(status) if is_look else registry.serve(request)

    registry.handler = handle
    assert found_over(registry).status is Status.PASS


def test_a_mirror_is_asked_for_no_blob_for_it_would_fetch_it() -> None:
    registry = holding("app", "1.0", IMAGE)
    proxies = [{"name": "cache", "kind": "mirror", "upstream": "eu", "url": "https://cache.example"}]
    found_over(registry, proxies=proxies, matrix={"platforms": ["linux/amd64"], "proxies": ["cache"]})
    assert not [line for line in registry.asked if line.startswith("HEAD") and "/blobs/" in line]


def test_a_blob_that_images_share_is_asked_for_once() -> None:
    registry = holding("app", "1.0", IMAGE)
    registry.put_manifest("app", "2.0", IMAGE.manifest)
    context = context_of({"eu": registry}, spec_over("eu", images=["app:1.0", "app:2.0"]))
    assert [found.status for found in findings_of(platform.CHECK, context)] == [Status.PASS] * 2
    looks = [line for line in registry.asked if line.startswith("HEAD") and "/blobs/" in line]
    assert len(looks) == len(set(looks)) == 3
