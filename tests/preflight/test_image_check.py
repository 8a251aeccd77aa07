"""image: what is said beside that it is there."""

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
