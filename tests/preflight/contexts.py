"""Worlds of a few lines for checks: a spec, and clients over a fake registry."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from pullbench.model.facts import Facts
from pullbench.model.route import Route
from pullbench.model.spec import Spec, read_spec
from pullbench.preflight.check import Target
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.registry.fake_registry import ENVIRON, URL, FakeRegistry

NOW = datetime(2026, 11, 23, 16, 15, tzinfo=UTC)
ROUTE = Route(registry="eu", url=URL)


def spec_of(url: str = URL, **changes: Any) -> Spec:
    entry = {"name": "eu", "url": url, "credentials": changes.pop("credentials", "anonymous")}
    document: dict[str, Any] = {
        "name": "ready",
        "registries": [entry],
        "images": ["app:1.0"],
        "matrix": {"platforms": ["linux/amd64"]},
    }
    return read_spec({**document, **changes})


def context_over(
    registry: FakeRegistry,
    spec: Spec | None = None,
    facts: Facts | None = None,
    environ: Mapping[str, str] = ENVIRON,
) -> CheckContext:
    """A context whose clients ask the fake registry, whatever the route."""

    def client(route: Route, keychain: Keychain, actions: str = "pull") -> RegistryClient:
        return RegistryClient(route, keychain, transport=httpx.MockTransport(registry), actions=actions)

    known = facts or Facts(host_platform="linux/amd64", offline=True)
    return CheckContext(spec or spec_of(), known, Keychain(environ=environ), client=client, now=lambda: NOW)


def target_of(context: CheckContext, image: str | None = None, platform: str | None = None) -> Target:
    return Target(route=context.routes[0], image=image, platform=platform)
