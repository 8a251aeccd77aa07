"""referrers: what refers to an image can be asked for, or the registry says that it has no such API."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import EngineFacts, Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import OCI_INDEX, OCI_MANIFEST
from pullbench.preflight.checks import referrers
from pullbench.registry.referrers import fallback_tag
from tests.preflight.content import Image, context_of, findings_of, holding, index_over, spec_over
from tests.preflight.contexts import context_over, spec_of
from tests.registry.fake_registry import FakeRegistry, descriptor, digest_of

IMAGE = Image("2026-01-01T10:00:00Z")
SIGNATURE, SBOM = "application/vnd.dev.cosign.artifact.sig.v1+json", "application/spdx+json"
HTML = {"Content-Type": "text/html"}
Answer = httpx.Response | None


def list_of(*types: str) -> bytes:
    entries = [descriptor(kind.encode(), OCI_MANIFEST, artifactType=kind) for kind in types]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def answered(content: bytes, content_type: str = OCI_INDEX) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": content_type}, content=content)


def registry_with(
    by_api: Callable[[], Answer], by_tag: Callable[[], Answer] = lambda: None, *, attested: bool = False
) -> FakeRegistry:
    """A registry whose referrers API and whose fall-back tag answer so; None is its own answer, a 404."""
    registry = holding("app", "1.0", IMAGE)
    if attested:
        entry = descriptor(b"{}", OCI_MANIFEST, platform={"os": "unknown", "architecture": "unknown"})
        index = json.loads(index_over(IMAGE))
        registry.put_manifest("app", "1.0", json.dumps(index | {"manifests": [*index["manifests"], entry]}).encode())

    def handle(request: httpx.Request) -> httpx.Response:
        given = None
        if "/referrers/" in request.url.path:
            given = by_api()
        elif "/manifests/sha256-" in request.url.path:
            given = by_tag()
        return given or registry.serve(request)

    registry.handler = handle
    return registry


def found_over(registry: FakeRegistry, *engines: EngineFacts) -> Finding:
    known = Facts(host_platform="linux/amd64", engines={each.name: each for each in engines}, offline=True)
    matrix = {"platforms": ["linux/amd64"], "engines": [each.name for each in engines] or ["wire"]}
    (found,) = findings_of(referrers.CHECK, context_of({"eu": registry}, spec_over("eu", matrix=matrix), facts=known))
    return found


@pytest.mark.parametrize(
    ("types", "shown"),
    [
        ((), "nothing refers to app:1.0"),
        ((SBOM,), f"1 artifact refers to app:1.0 (1 × {SBOM})"),
        ((SIGNATURE, SBOM, SIGNATURE), f"3 artifacts refer to app:1.0 (2 × {SIGNATURE}, 1 × {SBOM})"),
    ],
)
def test_a_list_passes_and_is_shown_by_its_types(types: tuple[str, ...], shown: str) -> None:
    registry = registry_with(lambda: answered(list_of(*types)))
    found = found_over(registry)
    assert (found.status, shown in found.observed) == (Status.PASS, True)
    assert not any("sha256-" in asked for asked in registry.asked)


def test_without_the_api_and_the_tag_nothing_refers_to_the_image() -> None:
    registry = registry_with(lambda: None)
    found = found_over(registry)
    assert (found.status, f"sha256-{IMAGE.digest[7:]}" in found.observed) == (Status.PASS, True)
    assert len([asked for asked in registry.asked if "sha256-" in asked]) == 1


@pytest.mark.parametrize("types", [(), (SIGNATURE,), (SIGNATURE, SBOM)])
def test_without_the_api_the_tag_has_the_list(types: tuple[str, ...]) -> None:
    found = found_over(registry_with(lambda: None, lambda: answered(list_of(*types))))
    assert found.status is Status.PASS
    assert all(kind in found.observed for kind in types)


@pytest.mark.parametrize(
    ("by_api", "code"),
    [
        (lambda: httpx.Response(400), ErrorCode.SERVER_ERROR),
        (lambda: httpx.Response(403), ErrorCode.FORBIDDEN),
        (lambda: httpx.Response(405), ErrorCode.SERVER_ERROR),
        (lambda: httpx.Response(500), ErrorCode.SERVER_ERROR),
        (lambda: httpx.Response(200, headers=HTML, content=b"<html>"), ErrorCode.NOT_A_REGISTRY),
        (lambda: answered(list_of(SBOM), "application/json"), ErrorCode.NOT_A_REGISTRY),
        (lambda: answered(b"[]"), ErrorCode.NOT_A_REGISTRY),
        (lambda: answered(b'{"manifests": 3}'), ErrorCode.NOT_A_REGISTRY),
    ],
)
def test_another_answer_warns_with_who_is_stopped(by_api: Callable[[], Answer], code: ErrorCode) -> None:
    found = found_over(registry_with(by_api))
    assert (found.status, found.code) == (Status.WARN, code)
    assert "docker from 29.1" in found.observed and "cosign" in found.observed
    assert f"/v2/app/referrers/{IMAGE.digest}`" in found.remedy


@pytest.mark.parametrize("status", [400, 403, 500])
def test_without_the_api_a_tag_that_is_refused_warns(status: int) -> None:
    found = found_over(registry_with(lambda: None, lambda: httpx.Response(status)))
    assert (found.status, "/manifests/sha256-" in found.observed) == (Status.WARN, True)


NEWEST = EngineFacts(name="docker", kind="docker", version="29.7.2", image_store="containerd (overlayfs)")
WIRE = EngineFacts(name="wire", kind="wire")


@pytest.mark.parametrize(
    ("attested", "engines", "status"),
    [
        (True, (NEWEST,), Status.FAIL),
        (True, (NEWEST, WIRE), Status.WARN),
        (False, (NEWEST,), Status.WARN),
        (True, (EngineFacts(name="docker", kind="docker", version="28.5.2", image_store="containerd"),), Status.WARN),
        (True, (EngineFacts(name="docker", kind="docker", version="29.7.2", image_store="overlay2"),), Status.WARN),
        (True, (EngineFacts(name="containerd", kind="containerd", version="2.1.9"),), Status.WARN),
    ],
)
def test_it_fails_where_no_engine_of_the_spec_pulls_an_image_with_attestations(
    attested: bool, engines: tuple[EngineFacts, ...], status: Status
) -> None:
    registry = registry_with(lambda: httpx.Response(500), attested=attested)
    found = found_over(registry, *engines)
    assert found.status is status
    assert ("has attestations" in found.observed) is (attested and NEWEST in engines)


@pytest.mark.parametrize("status", [429, 407])
def test_a_limit_or_a_proxy_shows_nothing_about_referrers(status: int) -> None:
    with pytest.raises(RegistryError):
        found_over(registry_with(lambda: httpx.Response(status)))


def test_no_image_is_not_run() -> None:
    assert found_over(FakeRegistry()).status is Status.SKIP


def test_the_first_image_that_exists_is_taken() -> None:
    registry = registry_with(lambda: answered(list_of()))
    spec = spec_over("eu", images=["gone:1.0", "app:1.0", "app:2.0"])
    (found,) = findings_of(referrers.CHECK, context_of({"eu": registry}, spec))
    assert "app:1.0" in found.observed


@pytest.mark.parametrize(
    ("digest", "tag"),
    [
        (digest_of(b"x"), f"sha256-{digest_of(b'x')[7:]}"),
        (f"sha512:{'a' * 128}", f"sha512-{'a' * 64}"),
    ],
)
def test_the_fall_back_tag_is_a_tag(digest: str, tag: str) -> None:
    assert fallback_tag(digest) == tag


@pytest.mark.parametrize(("length", "status"), [(500, Status.PASS), (9000, Status.WARN)])
def test_what_a_hostile_list_says_is_bounded_and_clean(length: int, status: Status) -> None:
    entries: list[Any] = [{"artifactType": "evil\x1b[31m" + "x" * length}] * 5000
    body = json.dumps({"manifests": entries}).encode()
    found = found_over(registry_with(lambda: answered(body)))
    assert found.status is status
    assert len(found.observed) < 1000 and "\x1b" not in found.observed


def test_a_registry_that_redirects_the_request_elsewhere_gets_no_credentials_there() -> None:
    registry = registry_with(lambda: httpx.Response(307, headers={"Location": "https://elsewhere.example/x"}))
    inner = registry.handler
    elsewhere: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "elsewhere.example":
            elsewhere.append(request)
            return answered(list_of(SBOM))
        return inner(request)

    registry.handler = handle
    context = context_over(registry, spec_of(credentials="env:CI"))
    (found,) = findings_of(referrers.CHECK, context)
    assert found.status is Status.PASS
    assert [request.headers.get("Authorization") for request in elsewhere] == [None]
