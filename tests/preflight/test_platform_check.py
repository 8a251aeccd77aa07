"""platform: the manifest is there, and all that it names."""

import json

import httpx
import pytest

from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import DOCKER_MANIFEST, MAX_MANIFEST_BYTES, OCI_CONFIG, OCI_INDEX
from pullbench.preflight.checks import platform
from pullbench.registry.client import image_facts
from tests.preflight.content import Image, context_of, findings_of, holding, index_over, spec_over
from tests.registry.fake_registry import FakeRegistry, descriptor, digest_of

IMAGE = Image(layers=(b"base", b"app"))
LOST = digest_of(b"app")
LAYERS = (digest_of(b"base"), LOST)


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


@pytest.mark.parametrize(
    ("status", "found", "code"),
    [
        (401, Status.FAIL, "unauthorized"),
        (403, Status.FAIL, "forbidden"),
        (451, Status.FAIL, "forbidden"),
        (429, Status.WARN, "rate_limited"),
        (500, Status.WARN, "server_error"),
        (503, Status.WARN, "server_error"),
    ],
)
@pytest.mark.parametrize("last", [True, False], ids=["last layer", "all layers"])
def test_a_blob_that_could_not_be_seen_is_no_pass(status: int, found: Status, code: str, last: bool) -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        is_refused = path.endswith(LOST if last else LAYERS)
        return httpx.Response(status) if is_refused else registry.serve(request)

    registry.handler = handle
    seen = found_over(registry)
    assert (seen.status, seen.code) == (found, code)


def test_a_refused_layer_counts_more_than_one_that_a_failure_hides() -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith(LAYERS):
            return registry.serve(request)
        return httpx.Response(403 if request.url.path.endswith(LOST) else 500)

    registry.handler = handle
    assert (found_over(registry).status, found_over(registry).code) == (Status.FAIL, "forbidden")


def test_a_blob_page_of_the_box_in_front_is_not_a_lost_blob() -> None:
    registry = holding("app", "1.0", IMAGE)
    page = b"<html><head><title>404 Not Found</title></head><center>nginx</center></html>"

    def handle(request: httpx.Request) -> httpx.Response:
        if "/blobs/" not in request.url.path:
            return registry.serve(request)
        return httpx.Response(404, headers={"Content-Type": "text/html", "Server": "nginx"}, content=page)

    registry.handler = handle
    found = found_over(registry)
    assert (found.status, found.code, found.parameters["answered_by"]) == (Status.FAIL, "not_found", "in_front")
    assert "garbage" not in found.remedy


def test_a_blob_that_neither_head_nor_get_finds_is_lost_and_get_decides() -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        is_look = request.method == "HEAD" and "/blobs/" in request.url.path
        return httpx.Response(404) if is_look else registry.serve(request)

    registry.handler = handle
    assert found_over(registry).status is Status.PASS
    del registry.documents[f"app/blobs/{LOST}"]
    assert found_over(registry).status is Status.FAIL


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
def test_a_manifest_of_a_type_that_clients_refuse_is_not_for_pushing_again(content_type: str) -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        if "/manifests/" in request.url.path:
            del given.headers["Content-Type"]
            if content_type:
                given.headers["Content-Type"] = content_type
        return given

    registry.handler = handle
    found = found_over(registry)
    assert found.status is Status.WARN
    assert all(client in found.observed for client in ("docker with overlay2", "ctr", "podman", "skopeo"))
    assert "mediaType as Content-Type" in found.remedy and "push" not in found.remedy
    only = {"platforms": ["linux/amd64"], "engines": ["skopeo"]}
    assert found_over(registry, matrix=only).status is Status.FAIL


@pytest.mark.parametrize("parameter", ["; charset=utf-8", ";charset=UTF-8", " ; q=1"])
def test_a_parameter_of_the_type_of_a_manifest_is_no_other_type(parameter: str) -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        if "/manifests/" in request.url.path:
            given.headers["Content-Type"] += parameter
        return given

    registry.handler = handle
    assert found_over(registry).status is Status.PASS


def test_a_type_that_only_the_digest_has_fails_as_pulls_go_by_digest() -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        if "/manifests/sha256:" in request.url.path:
            given.headers["Content-Type"] = DOCKER_MANIFEST
        return given

    registry.handler = handle
    found = found_over(registry)
    assert (found.status, DOCKER_MANIFEST in found.observed) == (Status.WARN, True)
    assert found_over(registry, matrix={"platforms": ["linux/amd64"], "engines": ["podman"]}).status is Status.FAIL


def test_a_manifest_that_head_finds_and_get_does_not_shows_replicas() -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        is_get = request.method == "GET" and "/manifests/" in request.url.path
        return httpx.Response(404) if is_get else registry.serve(request)

    registry.handler = handle
    found = found_over(registry)
    assert (found.status, found.code, "answers differ" in found.observed) == (Status.FAIL, "not_found", True)


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


def nested(*images: Image) -> FakeRegistry:
    """An index in an index."""
    registry = holding("app", "inner", *images, index=True)
    inner = index_over(*images)
    entry = descriptor(inner, OCI_INDEX, platform={"os": "linux", "architecture": "amd64"})
    outer = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    registry.put_manifest("app", "1.0", outer)
    return registry


def test_an_image_that_clients_of_users_refuse_is_a_warning_that_names_them() -> None:
    found = found_over(nested(IMAGE), matrix={"engines": ["wire"], "platforms": ["linux/amd64"]})
    assert (found.status, found.code) == (Status.WARN, None)
    assert "refused by podman, skopeo: " in found.observed
    assert "ctr" not in found.observed


def test_an_engine_that_refuses_the_image_is_named_as_excluded_while_another_pulls_it() -> None:
    found = found_over(nested(IMAGE), matrix={"engines": ["wire", "podman"], "platforms": ["linux/amd64"]})
    assert (found.status, "engine 'podman'" in found.observed) == (Status.WARN, True)
    assert "podman are excluded" in found.remedy


def test_an_engine_that_only_a_mirror_stops_is_not_excluded() -> None:
    registry = holding("app", "1.0", IMAGE)

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        if request.url.host == "cache.example" and "/manifests/" in request.url.path:
            given.headers["Content-Type"] = DOCKER_MANIFEST
        return given

    registry.handler = handle
    proxies = [{"name": "cache", "kind": "mirror", "upstream": "eu", "url": "https://cache.example"}]
    matrix = {"engines": ["wire", "podman"], "platforms": ["linux/amd64"], "proxies": ["direct", "cache"]}
    spec = spec_over("eu", proxies=proxies, matrix=matrix)
    images = {("eu", "app:1.0"): image_facts(registry.client(), "eu", "app:1.0", ["linux/amd64"])}
    facts = Facts(host_platform="linux/amd64", images=images)
    context = context_of({"eu": registry, "cache": registry}, spec, facts=facts)
    direct, mirrored = findings_of(platform.CHECK, context)
    assert (direct.status, mirrored.status) == (Status.PASS, Status.WARN)
    assert "engine 'podman'" in mirrored.observed and "excluded" not in mirrored.remedy


def test_an_image_that_no_engine_of_the_spec_pulls_fails() -> None:
    found = found_over(nested(IMAGE), matrix={"engines": ["podman", "skopeo"], "platforms": ["linux/amd64"]})
    assert (found.status, found.code) == (Status.FAIL, None)


@pytest.mark.parametrize(
    ("config_type", "named"),
    [
        ("application/vnd.cncf.helm.config.v1+json", "a Helm chart, not an image"),
        ("application/vnd.oci.empty.v1+json", "an artifact of type application/vnd.oci.empty.v1+json, not an image"),
    ],
)
def test_what_is_no_image_is_named_and_nobody_is_told_to_build_it(config_type: str, named: str) -> None:
    registry = holding("app", "1.0", IMAGE)
    registry.put_manifest("app", "1.0", IMAGE.manifest.replace(OCI_CONFIG.encode(), config_type.encode()))
    found = found_over(registry)
    assert (found.status, found.code, named in found.observed) == (Status.FAIL, "platform_missing", True)
    assert "build" not in found.remedy


def test_a_manifest_of_schema_1_is_to_be_pushed_anew() -> None:
    registry = holding("app", "1.0", IMAGE)
    registry.put_manifest("app", "1.0", json.dumps({"schemaVersion": 1, "fsLayers": []}).encode())
    found = found_over(registry)
    assert (found.status, found.code, "schema 1" in found.observed) == (Status.FAIL, "platform_missing", True)
    assert "captive" not in found.remedy and "anew" in found.remedy


def test_a_foreign_layer_that_the_registry_lacks_fails_with_its_host_and_no_secret() -> None:
    registry = holding("app", "1.0", IMAGE)
    document = json.loads(IMAGE.manifest)
    document["layers"][1]["urls"] = ["https://cdn.example/layer?sig=s3cr3t"]
    registry.put_manifest("app", "1.0", json.dumps(document).encode())
    assert found_over(registry).status is Status.PASS  # the registry has it as well
    del registry.documents[f"app/blobs/{LOST}"]
    found = found_over(registry)
    assert (found.status, found.code, "cdn.example" in found.observed) == (Status.FAIL, "not_found", True)
    assert "s3cr3t" not in str(found)
    assert "allow-nondistributable-artifacts" in found.remedy


def test_a_manifest_over_4_mib_names_the_client_that_would_pull_it() -> None:
    registry = holding("app", "1.0", IMAGE)
    large = {**json.loads(IMAGE.manifest), "annotations": {"note": "x" * MAX_MANIFEST_BYTES}}
    registry.put_manifest("app", "1.0", json.dumps(large).encode())
    found = found_over(registry)
    assert (found.status, found.code) == (Status.FAIL, "too_large")
    assert "docker with overlay2" in found.observed
