"""What several checks ask for is asked once."""

import threading

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.preflight.context import Memo
from pullbench.preflight.parallel import in_parallel
from tests.preflight.contexts import context_over, spec_of
from tests.registry.fake_registry import FakeRegistry, config_blob, index_of, manifest_of

AMD64 = manifest_of(config_blob())


def test_those_who_ask_at_once_share_one_call() -> None:
    shared, calls, gate = Memo[str, int](), [], threading.Event()

    def ask() -> int:
        calls.append(1)
        gate.wait(0.05)
        return 7

    found = in_parallel([lambda: shared.get("a", ask)] * 5, limit=5, name="test")
    assert (found, len(calls)) == ([7] * 5, 1)


def test_a_failure_is_remembered() -> None:
    shared, calls = Memo[str, int](), []

    def ask() -> int:
        calls.append(1)
        raise RegistryError(ErrorCode.CONNECT_TIMEOUT, "HEAD /", "no answer")

    for _ in range(3):
        with pytest.raises(RegistryError):
            shared.get("a", ask)
    assert len(calls) == 1


def test_an_index_its_platforms_and_its_configs_are_asked_for_once() -> None:
    registry = FakeRegistry()
    registry.put_manifest("app", "1.0", index_of(amd64=AMD64))
    registry.put_manifest("app", "x", AMD64)
    registry.put_blob("app", config_blob())
    with context_over(registry, spec_of(images=["app:1.0"])) as context:
        for _ in range(3):
            found = context.platform_image(context.routes[0], "app:1.0", "linux/amd64")
            assert found is not None
            assert str(context.config(context.routes[0], "app:1.0", found.manifest.config).platform) == "linux/amd64"
            assert context.platform_image(context.routes[0], "app:1.0", "linux/s390x") is None
            context.head(context.routes[0], "app:1.0")
    assert len(registry.requests) == len(set(registry.asked)) == 5


def test_an_image_without_an_index_is_of_the_platform_that_its_config_states() -> None:
    registry = FakeRegistry()
    registry.put_manifest("app", "x", AMD64)
    registry.put_blob("app", config_blob())
    with context_over(registry, spec_of(images=["app:x"])) as context:
        assert context.platform_image(context.routes[0], "app:x", "linux/amd64") is not None
        assert context.platform_image(context.routes[0], "app:x", "linux/arm64") is None


def test_a_registry_without_a_way_there_is_tried_for_one_image_alone() -> None:
    registry = FakeRegistry()

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no answer")

    registry.handler = refuse
    with context_over(registry, spec_of(images=["app:1.0", "web:1.0"])) as context:
        for image in context.spec.images:
            with pytest.raises(RegistryError):
                context.head(context.routes[0], image)
    assert len(registry.requests) == 1
