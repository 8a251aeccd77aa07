"""image: what is said beside that it is there."""

import json
from collections.abc import Callable

import httpx
import pytest

from pullbench.model.finding import Finding, Status
from pullbench.preflight.checks import image
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.preflight.contexts import context_over, spec_of, target_of
from tests.registry.fake_registry import FakeRegistry

OLD, NEW = Image("2026-01-01T10:00:00Z"), Image("2026-11-01T10:00:00Z")


def found_over(registry: FakeRegistry, name: str) -> Finding:
    (found,) = findings_of(image.CHECK, context_of({"eu": registry}, spec_over("eu", images=[name])))
    return found


def test_a_pinned_image_whose_tag_has_moved_on_passes_and_says_so() -> None:
    registry = holding("app", "1.0", NEW)
    registry.put_manifest("app", "old", OLD.manifest)
    found = found_over(registry, f"app:1.0@{OLD.digest}")
    assert found.status is Status.PASS
    assert found.observed.startswith(f"{OLD.digest}; the tag '1.0'")
    assert found.observed.endswith(NEW.digest)
    assert found_over(registry, f"app:1.0@{NEW.digest}").observed == NEW.digest


def test_a_pinned_image_whose_tag_is_gone_passes() -> None:
    registry = holding("app", "1.0", NEW)
    assert found_over(registry, f"app:gone@{NEW.digest}").observed == NEW.digest


def test_a_registry_that_refuses_head_is_said_to_cost_a_get_each_time() -> None:
    registry = holding("app", "1.0", NEW)
    registry.handler = lambda request: httpx.Response(405) if request.method == "HEAD" else registry.serve(request)
    found = found_over(registry, "app:1.0")
    assert (found.status, "refuses HEAD" in found.observed) == (Status.PASS, True)


def with_head(registry: FakeRegistry, change: Callable[[httpx.Response], httpx.Response | None]) -> None:
    """The registry, but with another answer to HEAD of a manifest."""

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        if request.method != "HEAD" or "/manifests/" not in request.url.path:
            return given
        return change(given) or given

    registry.handler = handle


@pytest.mark.parametrize(
    ("header", "value", "refusing", "pulling"),
    [
        ("Content-Length", None, "docker with overlay2", "ctr"),
        ("Content-Length", "0", "ctr", "docker with overlay2"),
        ("Content-Type", None, "docker with overlay2", "podman"),
        ("Content-Type", "text/plain", "docker with containerd's store", "docker with overlay2"),
        ("Content-Type", "application/octet-stream", "ctr", "skopeo"),
    ],
)
def test_a_head_that_a_client_cannot_use_warns_and_names_the_client(
    header: str, value: str | None, refusing: str, pulling: str
) -> None:
    registry = holding("app", "1.0", NEW)

    def change(given: httpx.Response) -> None:
        del given.headers[header]
        if value is not None:
            given.headers[header] = value

    with_head(registry, change)
    found = found_over(registry, "app:1.0")
    assert (found.status, refusing in found.observed, pulling in found.observed) == (Status.WARN, True, False)


def test_docker_sends_no_head_of_a_digest_so_none_stops_it() -> None:
    registry = holding("app", "1.0", NEW)

    def change(given: httpx.Response) -> None:
        del given.headers["Content-Length"]

    with_head(registry, change)
    assert found_over(registry, "app:1.0").status is Status.WARN
    assert found_over(registry, f"app@{NEW.digest}").status is Status.PASS


def test_a_head_without_a_digest_is_fine_because_clients_then_send_get() -> None:
    registry = holding("app", "1.0", NEW)

    def change(given: httpx.Response) -> None:
        del given.headers["Docker-Content-Digest"], given.headers["Content-Length"]

    with_head(registry, change)
    assert found_over(registry, "app:1.0").status is Status.PASS


def without_length(given: httpx.Response) -> httpx.Response:
    del given.headers["Content-Length"]
    return given


def packed(given: httpx.Response) -> httpx.Response:
    given.headers["Content-Encoding"] = "gzip"
    return given


@pytest.mark.parametrize("spoil", [without_length, packed])
@pytest.mark.parametrize("status", [200, 405, 403])
def test_a_get_whose_length_docker_does_not_see_stops_docker_where_it_falls_back_to_get(
    status: int, spoil: Callable[[httpx.Response], httpx.Response]
) -> None:
    registry = holding("app", "1.0", NEW)

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        if "/manifests/" not in request.url.path:
            return given
        if request.method == "HEAD":
            del given.headers["Docker-Content-Digest"]
            return given if status == 200 else httpx.Response(status)
        return spoil(given) if "gzip" in request.headers["Accept-Encoding"] else given

    registry.handler = handle
    found = found_over(registry, "app:1.0")
    assert (found.status, "docker with overlay2" in found.observed) == (Status.WARN, True)
    spec = spec_over("eu", matrix={"platforms": ["linux/amd64"], "engines": ["docker"]})
    (found,) = findings_of(image.CHECK, context_of({"eu": registry}, spec))
    assert (found.status, found.kind) == (Status.FAIL, image.HEAD_REFUSED)


def test_a_get_without_a_length_does_no_harm_where_head_suffices_or_get_has_no_digest() -> None:
    registry = holding("app", "1.0", NEW)
    bare = {"HEAD": (), "GET": ("Content-Length",)}

    def handle(request: httpx.Request) -> httpx.Response:
        given = registry.serve(request)
        for name in bare[request.method] if "/manifests/" in request.url.path else ():
            given.headers.pop(name, None)
        return given

    registry.handler = handle
    assert found_over(registry, "app:1.0").status is Status.PASS
    bare |= {"HEAD": ("Docker-Content-Digest",), "GET": ("Content-Length", "Docker-Content-Digest")}
    assert found_over(registry, "app:1.0").status is Status.PASS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 423, 500, 501])
def test_a_refused_head_warns_where_the_engines_of_the_spec_do_without(status: int) -> None:
    registry = holding("app", "1.0", NEW)
    with_head(registry, lambda given: httpx.Response(status))
    found = found_over(registry, "app:1.0")
    assert (found.status, "ctr" in found.observed) == (Status.WARN, True)
    assert "docker with overlay2" not in found.observed and "not found" not in found.observed


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_refused_head_fails_where_no_engine_of_the_spec_can_do_without(status: int) -> None:
    registry = holding("app", "1.0", NEW)
    with_head(registry, lambda given: httpx.Response(status))
    spec = spec_over("eu", matrix={"platforms": ["linux/amd64"], "engines": ["containerd"]})
    (found,) = findings_of(image.CHECK, context_of({"eu": registry}, spec))
    assert found.status is Status.FAIL


@pytest.mark.parametrize(("status", "is_excluded"), [(403, True), (405, False)])
def test_an_engine_that_a_refused_head_stops_is_named_as_excluded(status: int, is_excluded: bool) -> None:
    registry = holding("app", "1.0", NEW)
    with_head(registry, lambda given: httpx.Response(status))
    spec = spec_over("eu", matrix={"platforms": ["linux/amd64"], "engines": ["wire", "containerd"]})
    (found,) = findings_of(image.CHECK, context_of({"eu": registry}, spec))
    assert found.status is (Status.WARN if is_excluded else Status.PASS)
    assert ("engine 'containerd' are excluded" in found.remedy) is is_excluded


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_head_that_is_refused_once_and_then_answered_shows_replicas(status: int) -> None:
    registry, seen = holding("app", "1.0", NEW), list[str]()

    def change(given: httpx.Response) -> httpx.Response | None:
        seen.append("HEAD")
        return httpx.Response(status) if len(seen) == 1 else None

    with_head(registry, change)
    found = found_over(registry, "app:1.0")
    assert (found.status, "answers differ between requests" in found.observed) == (Status.WARN, True)


PAGE = httpx.Response(
    404,
    headers={"Content-Type": "text/html", "Server": "nginx"},
    content=b"<html><head><title>404 Not Found</title></head><center>nginx</center></html>",
)


@pytest.mark.parametrize(
    ("missed", "by_front", "differ", "by"),
    [(2, False, True, "registry"), (99, False, False, "registry"), (99, True, False, "in_front")],
    ids=["found later", "never found", "a page of nginx"],
)
def test_a_tag_that_is_listed_and_not_found_shows_replicas_only_if_answers_differ(
    missed: int, by_front: bool, differ: bool, by: str
) -> None:
    registry, asked = holding("app", "1.0", NEW), list[str]()
    registry.documents["app/tags/list"] = json.dumps({"tags": ["1.0", "0.9"]}).encode()

    def handle(request: httpx.Request) -> httpx.Response:
        if "/manifests/" not in request.url.path:
            return registry.serve(request)
        asked.append(request.method)
        lost = PAGE if by_front else httpx.Response(404)
        return lost if len(asked) <= missed else registry.serve(request)

    registry.handler = handle
    found = found_over(registry, "app:1.0")
    assert (found.status, found.code, "answers differ" in found.observed) == (Status.FAIL, "not_found", differ)
    assert (found.parameters["answered_by"], "replicas" in found.remedy) == (by, not by_front)


@pytest.mark.parametrize("status", [402, 412, 423, 451])
def test_a_policy_is_told_in_the_words_that_only_get_has(status: int) -> None:
    registry = holding("app", "1.0", NEW)
    body = {"errors": [{"code": "PROJECTPOLICYVIOLATION", "message": "current image with 5 vulnerabilities"}]}

    def handle(request: httpx.Request) -> httpx.Response:
        if "/manifests/" not in request.url.path:
            return registry.serve(request)
        return httpx.Response(status) if request.method == "HEAD" else httpx.Response(status, json=body)

    registry.handler = handle
    found = found_over(registry, "app:1.0")
    assert (found.status, found.code) == (Status.FAIL, "forbidden")
    assert "PROJECTPOLICYVIOLATION: current image with 5 vulnerabilities" in found.observed


@pytest.mark.parametrize(
    ("url", "name", "status", "is_told"),
    [
        ("https://registry-1.docker.io", "alpine:3", 401, True),
        ("https://registry-1.docker.io", "alpine:3", 404, True),
        ("https://registry-1.docker.io", "team/app:3", 401, False),
        ("https://registry.example.com", "alpine:3", 401, False),
    ],
)
def test_a_bare_name_at_docker_hub_is_named_with_its_namespace(url: str, name: str, status: int, is_told: bool) -> None:
    registry = FakeRegistry()
    registry.handler = lambda _request: httpx.Response(status)
    context = context_over(registry, spec_of(url, images=[name]))
    target = target_of(context, name)
    (found,) = image.judge(image.probe(context, target), target)
    assert (found.status, "write library/alpine" in found.remedy) == (Status.FAIL, is_told)
