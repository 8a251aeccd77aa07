"""What a mirror has kept, where it cannot fetch: a manifest whose layers it lacks is no image that anybody can pull."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pullbench.errors import SILENT, ErrorCode, PullbenchError, RegistryError
from pullbench.model.finding import Finding
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.preflight.check import Fault, Target, failed, warned
from pullbench.preflight.remedy import look as look_at
from pullbench.preflight.world import World

MOST_BLOBS = 500
EXPECTED = "it fetches from its upstream what it has not kept"
_CANNOT_FETCH = SILENT | {ErrorCode.SERVER_ERROR, ErrorCode.RESET, ErrorCode.TRUNCATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A blob of an image that the mirror does not give."""

    image: str
    repository: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What came of a request for a blob that nobody has, and which blobs of the spec's images are there."""

    fault: Fault | None = None
    """What kept the mirror from asking its upstream; None where it says, as it should, that there is no such blob."""
    there: int = 0
    """Blobs of the images that it has; they are asked for only where it cannot fetch, for it would fetch them."""
    lost: Lost | None = None
    """The first that it lacks."""


def look(world: World, route: Route) -> Kept:
    """One HEAD for a blob that no registry has: who can ask its upstream answers 404, and nothing is fetched."""
    repository = route.repository(Reference.parse(world.spec.images[0]))
    fault = _fault(world, route, repository, f"sha256:{secrets.token_hex(32)}")
    if fault is None or fault.code not in _CANNOT_FETCH:
        return Kept()
    seen = Kept(fault=fault)
    for blob in _blobs(world, route):
        if _fault(world, route, blob.repository, blob.digest) is not None:
            return replace(seen, lost=blob)
        seen = replace(seen, there=seen.there + 1)
        if seen.there >= MOST_BLOBS:
            break
    return seen


def _fault(world: World, route: Route, repository: str, digest: str) -> Fault | None:
    try:
        world.client(route).head_blob(repository, digest)
    except RegistryError as error:
        return Fault.of(error)
    return None


def _blobs(world: World, route: Route) -> Iterator[Lost]:
    """The config and layers of each image and platform that the way shows; each once."""
    seen: set[tuple[str, str]] = set()
    for image in world.spec.every_image:
        repository = route.repository(Reference.parse(image))
        for platform in world.platforms:
            try:
                found = world.platform_image(route, image, platform)
            except PullbenchError:
                continue
            for blob in () if found is None else found.manifest.blobs:
                if (repository, blob.digest) not in seen:
                    seen.add((repository, blob.digest))
                    yield Lost(image=image, repository=repository, digest=blob.digest)


def judge(check: str, kept: Kept, target: Target) -> Finding | None:
    """None where the mirror can fetch. It fails where a pull would: a blob is neither kept nor to be had."""
    if kept.fault is None:
        return None
    route, lost = target.route, kept.lost
    cure = (
        f"bring the upstream '{route.registry}' back, or let {route.host} reach it: its network, its proxy, its credentials "
        "there; the mirror's log says why"
    )
    if lost is None:
        text = f"it cannot fetch from its upstream ({kept.fault}); it has all {kept.there} blobs of the images"
        return warned(check, target, text, EXPECTED, cure)
    text = (
        f"it cannot fetch from its upstream, and does not have all of the images: {lost.image} lacks {lost.digest}; "
        f"asked for what nobody has: {kept.fault.text}"
    )
    see = f"`{look_at(f'{lost.repository}/blobs/{lost.digest}', route, '-sSI')}`"
    return failed(check, target, Fault(code=kept.fault.code, text=text), EXPECTED, f"{cure}; see it: {see}")
