"""proxy: serves the images, as its upstream has them, from its cache the second time."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import look
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import api, proxy
from pullbench.preflight.checks.proxy import ProxyObservation, ServedImage
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.registry.fake_registry import FakeRegistry, digest_of

OLD, NEW = Image("2026-01-01T10:00:00Z"), Image("2026-11-01T10:00:00Z")
ARM = Image("2026-11-01T10:00:00Z", architecture="arm64")
MIRROR = Route(registry="eu", proxy="cache", url="https://cache.example", prefix="hub")
FORWARD = Route(registry="eu", proxy="squid", url="http://eu.example", forward_url="http://squid.example:3128")
SAME = ServedImage(image="app:1.0", digest="sha256:a", upstream_digest="sha256:a")
SPEC: dict[str, Any] = {
    "proxies": [{"name": "cache", "kind": "mirror", "upstream": "eu", "url": "https://cache.example", "prefix": "hub"}],
    "matrix": {"platforms": ["linux/amd64"], "proxies": ["cache"]},
}


def judged(*images: ServedImage, route: Route = MIRROR, **fields: Any) -> Finding:
    (found,) = proxy.judge(
        ProxyObservation(images=images or (SAME,), **{"same_bytes": True, **fields}), Target(route=route)
    )
    return found


def found_over(registries: Mapping[str, FakeRegistry]) -> Finding:
    (found,) = findings_of(proxy.CHECK, context_of(registries, spec_over("eu", **SPEC)))
    return found


def fault(code: ErrorCode, text: str = "HEAD x: no") -> ObservedFault:
    return ObservedFault(code=code, text=text)


def test_only_ways_by_a_proxy_are_looked_at() -> None:
    matrix = {"proxies": ["direct", "cache"]}
    with context_of({}, spec_over("eu", **{**SPEC, "matrix": matrix})) as context:
        assert [target.name for target in proxy.targets(context)] == ["eu via cache"]


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"x-cache": "HIT from squid"}, Status.PASS, "was a hit (x-cache: HIT from squid)"),
        ({"x-cache": "MISS, HIT"}, Status.PASS, "was a hit"),
        ({"age": "12", "via": "1.1 varnish"}, Status.PASS, "was a hit"),
        ({"cache-status": "edge; hit"}, Status.PASS, "was a hit"),
        ({"x-dragonfly-task-download-finished": "true"}, Status.PASS, "was a hit"),
        ({"x-cache-status": "MISS"}, Status.WARN, "(x-cache-status: MISS)"),
        ({"cf-cache-status": "DYNAMIC"}, Status.WARN, "(cf-cache-status: DYNAMIC)"),
        ({"age": "0", "via": "1.1 squid"}, Status.PASS, "do not show"),
        ({}, Status.PASS, "do not show"),
    ],
)
def test_the_headers_of_the_second_request_tell_a_hit(headers: dict[str, str], status: Status, says: str) -> None:
    found = judged(headers=headers)
    assert (found.status, says in found.observed) == (status, True), found.observed


def test_a_miss_is_told_where_to_mend_it_with_the_proxy_s_own_address() -> None:
    found = judged(route=FORWARD, headers={"x-cache": "MISS from squid"})
    assert "http://squid.example:3128" in found.remedy
    assert "`curl -x http://squid.example:3128 -sSI -H 'Accept: " in found.remedy
    assert " http://eu.example/v2/app/manifests/1.0`" in found.remedy


def test_https_through_a_tunnel_is_not_expected_to_be_cached() -> None:
    tunnel = Route(registry="eu", proxy="squid", url="https://eu.example", forward_url="http://squid.example:3128")
    assert "tunnel" in judged(route=tunnel).observed


def test_an_image_that_the_upstream_has_and_the_proxy_refuses_is_the_proxy_s_fault() -> None:
    broken = ServedImage(image="app:1.0", fault=fault(ErrorCode.UNAUTHORIZED), upstream_digest="sha256:a")
    found = judged(SAME, broken, upstream_answers=True)
    assert found.status is Status.FAIL
    assert (found.code, "1 of 2 images" in found.observed) == ("unauthorized", True)
    assert f"`{look('hub/app/manifests/1.0', MIRROR, '-sSI')}`" in found.remedy


def test_a_pull_through_whose_upstream_is_down_is_told_from_a_broken_one() -> None:
    refused = fault(ErrorCode.CONNECT_REFUSED, "HEAD https://eu.example: refused")
    lost = ServedImage(image="app:1.0", fault=fault(ErrorCode.NOT_FOUND), upstream_fault=refused)
    found = judged(lost)
    assert (found.code, "[connect_refused]" in found.observed) == ("not_found", True)
    assert "restore the upstream" in found.remedy


def test_a_proxy_that_cannot_be_reached_is_just_that() -> None:
    gone = ServedImage(image="app:1.0", fault=fault(ErrorCode.CONNECT_REFUSED), upstream_digest="sha256:a")
    assert judged(gone).code == "connect_refused"


def test_an_image_that_neither_has_is_no_fault_of_the_proxy() -> None:
    nowhere = ServedImage(image="app:1.0", fault=fault(ErrorCode.NOT_FOUND), upstream_fault=fault(ErrorCode.NOT_FOUND))
    found = judged(nowhere, upstream_answers=True)
    assert (found.code, "upstream" in found.observed) == ("not_found", True)


def spegel(namespace: str) -> FakeRegistry:
    """A mirror of several registries: it serves only requests that name one."""
    mirror = holding("hub/app", "1.0", NEW)
    serve = mirror.handler

    def handle(request: httpx.Request) -> httpx.Response:
        named = request.url.params.get("ns") == namespace or request.url.path == "/v2/"
        return serve(request) if named else httpx.Response(404)

    mirror.handler = handle
    return mirror


@pytest.mark.parametrize("upstream", [{"eu": holding("app", "1.0", NEW)}, {}])
def test_a_mirror_that_needs_a_namespace_is_found_and_named(upstream: dict[str, FakeRegistry]) -> None:
    found = found_over({"cache": spegel("eu.example"), **upstream})
    assert (found.status, found.code) == (Status.FAIL, "not_found")
    assert "`namespace: eu.example`" in found.remedy and "'cache'" in found.remedy


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_mirror_that_refuses_head_and_needs_a_namespace_is_found_too(status: int) -> None:
    mirror = spegel("eu.example")
    inner = mirror.handler
    mirror.handler = lambda request: httpx.Response(status) if request.method == "HEAD" else inner(request)
    found = found_over({"cache": mirror, "eu": holding("app", "1.0", NEW)})
    assert found.status is Status.FAIL and "`namespace: eu.example`" in found.remedy


@pytest.mark.parametrize("status", [403, 405, 500, 501])
def test_a_mirror_that_refuses_head_of_blobs_lacks_none(status: int) -> None:
    cache = holding("hub/app", "1.0", NEW)

    def handle(request: httpx.Request) -> httpx.Response:
        is_look = request.method == "HEAD" and "/blobs/" in request.url.path
        return httpx.Response(status) if is_look else cache.serve(request)

    cache.handler = handle
    found = found_over({"eu": holding("app", "1.0", NEW), "cache": cache})
    assert found.status is Status.PASS, found.observed
    assert not [line for line in cache.asked if digest_of(b"layer") in line]


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize("pings", [True, False])
def test_a_mirror_that_answers_nothing_without_a_namespace_is_no_captive_portal(status: int, pings: bool) -> None:
    mirror = holding("hub/app", "1.0", NEW)

    def handle(request: httpx.Request) -> httpx.Response:
        named = request.url.params.get("ns") == "eu.example" and (pings or request.url.path != "/v2/")
        return mirror.serve(request) if named else httpx.Response(status)

    mirror.handler = handle
    context = context_of({"cache": mirror, "eu": holding("app", "1.0", NEW)}, spec_over("eu", **SPEC))
    found = next(each for each in findings_of(api.CHECK, context) if "cache" in each.target)
    assert (found.status, "`namespace: eu.example`" in found.remedy, "portal" in found.remedy) == (
        Status.FAIL,
        True,
        False,
    )


def test_a_mirror_with_its_namespace_passes() -> None:
    document = {**SPEC, "proxies": [{**SPEC["proxies"][0], "namespace": "EU.example"}]}
    context = context_of({"cache": spegel("eu.example"), "eu": holding("app", "1.0", NEW)}, spec_over("eu", **document))
    (found,) = findings_of(proxy.CHECK, context)
    assert found.status is Status.PASS, found.observed


def test_a_mirror_that_lacks_the_image_under_every_namespace_is_told_so() -> None:
    found = found_over({"cache": spegel("other.example"), "eu": holding("app", "1.0", NEW)})
    assert found.status is Status.FAIL and "namespace" not in found.remedy


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://m.example/v2/app/manifests/1", "https://m.example/v2/app/manifests/1?ns=docker.io"),
        ("https://m.example/v2/app/tags/list?n=9", "https://m.example/v2/app/tags/list?n=9&ns=docker.io"),
        (
            "https://m.example/v2/app/tags/list?ns=docker.io&last=b",
            "https://m.example/v2/app/tags/list?last=b&ns=docker.io",
        ),
        ("https://m.example/token?service=m", "https://m.example/token?service=m"),
        ("https://store.example/v2/blob", "https://store.example/v2/blob"),
    ],
)
def test_only_the_registry_api_of_the_mirror_gets_the_namespace(url: str, sent: str) -> None:
    assert Route(registry="eu", url="https://m.example", namespace="docker.io").named(url) == sent


def test_a_port_in_a_namespace_is_written_as_containerd_writes_it() -> None:
    route = Route(registry="eu", url="https://m.example", namespace="eu.example:8443")
    assert route.named("https://m.example/v2/") == "https://m.example/v2/?ns=eu.example%3A8443"


def test_drift_is_a_warning_with_both_dates_and_a_digest_to_hold_to() -> None:
    found = found_over({"eu": holding("app", "1.0", NEW), "cache": holding("hub/app", "1.0", OLD)})
    assert found.status is Status.WARN
    for part in (f"{OLD.digest} of 2026-01-01 10:00:00Z", f"{NEW.digest} of 2026-11-01 10:00:00Z upstream"):
        assert part in found.observed
    assert f"`app:1.0@{NEW.digest}`" in found.remedy


def test_drift_without_dates_does_not_say_which_is_older() -> None:
    drifted = ServedImage(image="app:1.0", digest="sha256:a", upstream_digest="sha256:" + "b" * 64)
    assert "differs from" in judged(drifted).observed
    dated = ServedImage(
        image="app:1.0",
        digest="sha256:a",
        upstream_digest="sha256:" + "b" * 64,
        created=datetime(2026, 2, 1, tzinfo=UTC),
        upstream_created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert "differs from" in judged(dated).observed
    older = replace(dated, created=datetime(2025, 1, 1, tzinfo=UTC))
    assert "is older than" in judged(older).observed
    assert "differs from" in judged(older, dated).observed


def test_a_mirror_that_changes_bytes_fails() -> None:
    assert judged(same_bytes=False).observed.startswith("[digest_mismatch]")
    found = judged(blob_fault=fault(ErrorCode.DIGEST_MISMATCH), same_bytes=False)
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.DIGEST_MISMATCH)


def test_an_upstream_that_is_out_of_reach_from_here_does_not_spoil_a_mirror_that_serves() -> None:
    found = found_over({"cache": holding("hub/app", "1.0", NEW)})
    assert found.status is Status.PASS
    assert "[connect_refused]" in found.observed


def test_the_second_answer_is_what_tells() -> None:
    cache, asked = holding("hub/app", "1.0", NEW, ARM, index=True), list[str]()

    def handle(request: httpx.Request) -> httpx.Response:
        answer = cache.serve(request)
        if request.method == "GET" and "/blobs/" in request.url.path:
            asked.append(request.url.path)
            answer.headers["X-Cache"] = "MISS" if len(asked) == 1 else "HIT"
        return answer

    cache.handler = handle
    found = found_over({"eu": holding("app", "1.0", NEW, ARM, index=True), "cache": cache})
    assert (found.status, "x-cache: HIT" in found.observed) == (Status.PASS, True)
    assert len(asked) == 2
    assert "1 with the upstream's" in found.observed


def mirror_that_cannot_fetch(*kept: bytes) -> FakeRegistry:
    """It has the manifest, the config and these layers of an image; of all else it has to ask its upstream, in vain."""
    cache = holding("hub/app", "1.0", Image(layers=(b"base", b"app")))
    for layer in {b"base", b"app"} - set(kept):
        del cache.documents[f"hub/app/blobs/{digest_of(layer)}"]

    def handle(request: httpx.Request) -> httpx.Response:
        answer = cache.serve(request)
        if "/blobs/" in request.url.path and answer.status_code == 404:
            return httpx.Response(500, json={"errors": [{"code": "UNKNOWN", "message": "unknown error"}]})
        return answer

    cache.handler = handle
    return cache


def test_a_mirror_that_has_the_manifest_and_not_the_layers_fails_where_it_cannot_fetch_them() -> None:
    upstream = holding("app", "1.0", Image(layers=(b"base", b"app")))
    for registries in ({}, {"eu": upstream}):  # from here the upstream may well answer
        found = found_over({**registries, "cache": mirror_that_cannot_fetch(b"base")})
        assert found.status is Status.FAIL
        assert found.code == "server_error"
        assert f"app:1.0 lacks {digest_of(b'app')}" in found.observed
        assert f"`curl -sSI https://cache.example/v2/hub/app/blobs/{digest_of(b'app')}`" in found.remedy


def test_a_mirror_that_cannot_fetch_and_has_all_that_is_pulled_is_a_warning() -> None:
    found = found_over({"cache": mirror_that_cannot_fetch(b"base", b"app")})
    assert (found.status, found.code) == (Status.WARN, ErrorCode.SERVER_ERROR)
    assert "all 3 blobs" in found.observed


def test_a_mirror_is_asked_for_no_layer_while_it_can_fetch() -> None:
    cache = holding("hub/app", "1.0", NEW)
    found = found_over({"eu": holding("app", "1.0", NEW), "cache": cache})
    assert found.status is Status.PASS
    assert not [line for line in cache.asked if digest_of(b"layer") in line]


def test_a_mirror_that_falls_silent_is_not_waited_for_layer_by_layer() -> None:
    cache, waited = holding("hub/app", "1.0", Image(layers=(b"base", b"app"))), list[str]()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD" and "/blobs/" in request.url.path:
            waited.append(request.url.path)
            raise httpx.ReadTimeout("no byte", request=request)
        return cache.serve(request)

    cache.handler = handle
    found = found_over({"cache": cache})
    assert (found.status, found.observed.startswith("[stalled]")) == (Status.FAIL, True)
    assert len(waited) == 2


COLD: dict[str, Any] = {
    "proxies": [{**SPEC["proxies"][0], "cold": {"push": "pullbench/cold"}}],
    "matrix": {**SPEC["matrix"], "proxy_cache": ["cold"]},
}


def taking_pushes(registry: FakeRegistry, status: int = 202) -> FakeRegistry:
    """The registry answers a new upload with this status."""

    def handle(request: httpx.Request) -> httpx.Response:
        if "/blobs/uploads/" not in request.url.path:
            return registry.serve(request)
        headers = {"Location": f"{request.url.path}session?state=1"}
        headers |= {"WWW-Authenticate": 'Basic realm="r"'} if status == 401 else {}
        return httpx.Response(status, headers=headers) if request.method == "POST" else httpx.Response(204)

    registry.handler = handle
    return registry


def push_findings(upstream: FakeRegistry, **changes: Any) -> list[Finding]:
    registries = {"eu": upstream, "cache": holding("hub/app", "1.0", NEW)}
    return findings_of(proxy.CHECK, context_of(registries, spec_over("eu", **{**COLD, **changes})))


def changed(registry: FakeRegistry) -> list[str]:
    return [line for line in registry.asked if line.partition(" ")[0] not in ("GET", "HEAD")]


def test_the_push_of_a_cold_mirror_is_tried_with_an_upload_that_is_cancelled() -> None:
    upstream = taking_pushes(holding("app", "1.0", NEW))
    assert [found.status for found in push_findings(upstream)] == [Status.PASS]
    uploads = "https://eu.example/v2/pullbench/cold/blobs/uploads/"
    assert changed(upstream) == [f"POST {uploads}", f"DELETE {uploads}session?state=1"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (405, "forbidden"),
        (501, "forbidden"),
        (503, "server_error"),
    ],
)
def test_an_upstream_that_refuses_the_pushes_of_a_cold_mirror_fails_the_check(status: int, code: str) -> None:
    served, refused = push_findings(taking_pushes(holding("app", "1.0", NEW), status))
    assert served.status is Status.PASS
    assert (refused.check, refused.target, refused.status, refused.code) == ("proxy", "eu via cache", Status.FAIL, code)
    assert refused.parameters["status"] == str(status)
    assert "eu.example" in refused.expected


def test_a_push_s_credentials_that_cannot_be_read_fail_the_check() -> None:
    mirror = {**COLD["proxies"][0], "cold": {"push": "pullbench/cold", "credentials": "env:NOBODY"}}
    _, refused = push_findings(taking_pushes(holding("app", "1.0", NEW), 401), proxies=[mirror])
    assert (refused.status, refused.code, "NOBODY_" in refused.observed) == (Status.FAIL, "unauthorized", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"matrix": {**COLD["matrix"], "proxy_cache": ["any", "warm"]}},
        {"proxies": [{**COLD["proxies"][0], "cold": {"reset": ["true"]}}]},
    ],
)
def test_nothing_is_pushed_for_a_run_that_pushes_nothing(changes: dict[str, Any]) -> None:
    upstream = holding("app", "1.0", NEW)
    assert [found.status for found in push_findings(upstream, **changes)] == [Status.PASS]
    assert changed(upstream) == []
