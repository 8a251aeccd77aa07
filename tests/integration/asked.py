"""Requests for images that were pushed to a real registry, as a trial hands them to an engine."""

from typing import Any

from benchmarks.debian_images import BuiltIndex, DebianImage
from pullbench.engines.base import PullRequest
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import Manifest, parse_manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from tests.integration.real_registry import PASSWORD, USERNAME

ENVIRON = {
    "BAD_USERNAME": USERNAME,
    "BAD_PASSWORD": "wrong-password",
    "GOOD_USERNAME": USERNAME,
    "GOOD_PASSWORD": PASSWORD,
}
"""For credentials `env:GOOD` and `env:BAD`."""


def manifest_of(image: DebianImage) -> Manifest:
    found = parse_manifest(image.manifest.content)
    assert isinstance(found, Manifest)
    return found


def request(
    repository: str,
    image: DebianImage | BuiltIndex,
    url: str,
    *,
    pull: int = 0,
    platform: str = "linux/amd64",
    timeout_s: float = 60.0,
    retries: int = 0,
    **route: Any,
) -> PullRequest:
    chosen = image.platforms.get(platform) if isinstance(image, BuiltIndex) else image
    if chosen is None:  # the registry lacks it, which an engine has to find out
        assert isinstance(image, BuiltIndex)
        chosen = next(iter(image.platforms.values()))
    top = image.index if isinstance(image, BuiltIndex) else image.manifest
    return PullRequest(
        pull=pull,
        image=f"{repository}:1.0",
        reference=Reference(repository=repository, tag="1.0", digest=top.digest),
        is_index=isinstance(image, BuiltIndex),
        expected=PlatformImage(digest=chosen.manifest.digest, manifest=manifest_of(chosen)),
        platform=platform,
        route=Route(registry="r", url=url, **route),
        auth="persisted",
        timeout_s=timeout_s,
        retries=retries,
    )
