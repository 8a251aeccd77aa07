"""range: a part of a blob can be had."""

import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Descriptor
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import range as byte_range
from pullbench.preflight.checks.range import RangeAnswer
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.preflight.contexts import ROUTE
from tests.registry.fake_registry import FakeRegistry, digest_of

GOOD = RangeAnswer(
    repository="app",
    digest="sha256:c",
    size_bytes=99,
    status=206,
    content_range="bytes 1-16/99",
    body=b"x" * 16,
    promised=b"x" * 16,
)


def judged(**changes: Any) -> Finding:
    fields = {name: getattr(GOOD, name) for name in RangeAnswer.__slots__} | changes
    (found,) = byte_range.judge(RangeAnswer(**fields), Target(route=ROUTE))
    return found


def test_the_right_part_passes() -> None:
    assert (judged().status, judged(content_range="bytes 1-16/*").status) == (Status.PASS, Status.PASS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": 200, "body": b"x" * 99, "content_range": ""}, "200 with 99 bytes"),
        ({"content_range": "bytes 0-15/99"}, "206 with bytes 0-15/99 instead of 1-16/99"),
        ({"content_range": "bytes 1-16/7"}, "206 with bytes 1-16/7"),
        ({"content_range": ""}, "206 with the Content-Range ''"),
        ({"body": b"y" * 16}, "[digest_mismatch] 206 with bytes 1-16/99"),
        ({"body": b"x" * 15}, "[digest_mismatch] 206"),
        ({"content_range": "bytes 0-15/99", "body": b"y" * 16, "status": 206}, "206 with bytes 0-15/99"),
        ({"fault": ObservedFault(code=ErrorCode.NOT_A_REGISTRY, text="no", status=416)}, "416: no"),
    ],
)
def test_anything_else_is_a_warning_with_the_command_that_shows_it(changes: dict[str, Any], says: str) -> None:
    found = judged(**changes)
    assert found.status is Status.WARN
    assert found.observed.startswith(says)
    assert found.code == (ErrorCode.DIGEST_MISMATCH if "body" in changes and "status" not in changes else None)
    assert f"-r 1-16 {ROUTE.url}/v2/app/blobs/sha256:c" in found.remedy


def compressing(registry: FakeRegistry, *, when: Callable[[str | None], bool]) -> FakeRegistry:
    """The registry behind a proxy that compresses answers by Accept-Encoding."""
    serve = registry.handler

    def handle(request: httpx.Request) -> httpx.Response:
        answer = serve(request)
        if request.method != "GET" or request.url.path == "/v2/" or not when(request.headers.get("Accept-Encoding")):
            return answer
        content = gzip.compress(answer.content)
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(content))

    registry.handler = handle
    return registry


def test_a_proxy_that_compresses_unasked_is_told() -> None:
    registry = compressing(with_ranges(holding("app", "1.0", Image())), when=lambda asked: asked is None)
    (found,) = findings_of(byte_range.CHECK, context_of({"eu": registry}, spec_over("eu")))
    assert found.status is Status.WARN and "Content-Encoding: gzip" in found.observed
    assert "gzip off" in found.remedy


def test_a_proxy_that_compresses_only_for_those_who_ask_passes() -> None:
    registry = compressing(with_ranges(holding("app", "1.0", Image())), when=lambda asked: "gzip" in (asked or ""))
    (found,) = findings_of(byte_range.CHECK, context_of({"eu": registry}, spec_over("eu")))
    assert found.status is Status.PASS, found.observed


def test_a_proxy_that_compresses_whatever_is_asked_is_named_beside_the_digest() -> None:
    registry = compressing(FakeRegistry(), when=lambda asked: True)
    config = Image().config
    registry.put_blob("app", config)
    descriptor = Descriptor(media_type="", digest=digest_of(config), size_bytes=len(config) + 100)
    with registry.client() as client, pytest.raises(RegistryError, match=r"compressed them \(gzip\)") as caught:
        client.config("app", descriptor)
    assert caught.value.code is ErrorCode.DIGEST_MISMATCH


def test_a_blob_that_cannot_be_had_fails() -> None:
    found = judged(fault=ObservedFault(code=ErrorCode.CONNECT_TIMEOUT, text="GET https://storage.example/: no answer"))
    assert (found.status, found.observed[:17]) == (Status.FAIL, "[connect_timeout]")


def test_no_image_is_not_run() -> None:
    assert byte_range.judge(None, Target(route=ROUTE))[0].status is Status.SKIP


def with_ranges(registry: FakeRegistry) -> FakeRegistry:
    def handle(request: httpx.Request) -> httpx.Response:
        whole = registry.serve(request)
        if "range" not in request.headers:
            return whole
        first, last = (int(part) for part in request.headers["range"].removeprefix("bytes=").split("-"))
        told = {"Content-Range": f"bytes {first}-{last}/{len(whole.content)}"}
        return httpx.Response(206, headers=told, content=whole.content[first : last + 1])

    registry.handler = handle
    return registry


def test_the_config_is_asked_for_and_no_layer() -> None:
    registry = holding("app", "1.0", Image())
    with_ranges(registry)
    (found,) = findings_of(byte_range.CHECK, context_of({"eu": registry}, spec_over("eu")))
    assert (found.status, found.observed[:15]) == (Status.PASS, "206, bytes 1-16")
    assert not [line for line in registry.asked if line.endswith(digest_of(b"layer"))]


def test_a_registry_that_sends_all_is_a_warning() -> None:
    (found,) = findings_of(byte_range.CHECK, context_of({"eu": holding("app", "1.0", Image())}, spec_over("eu")))
    assert (found.status, found.observed[:8]) == (Status.WARN, "200 with")


def test_the_first_image_that_is_there_is_taken() -> None:
    registry = holding("app", "1.0", Image())
    with_ranges(registry)
    spec = spec_over("eu", images=["nope:1", "app:1.0"])
    (found,) = findings_of(byte_range.CHECK, context_of({"eu": registry}, spec))
    assert found.status is Status.PASS
