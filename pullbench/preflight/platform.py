"""`platform`: the image has a manifest for each platform of the matrix."""

from dataclasses import dataclass

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Manifest
from pullbench.model.reference import Reference
from pullbench.model.sizes import format_bytes
from pullbench.preflight.check import Check, Fault, Room, Target, failed, passed
from pullbench.preflight.remedy import remedy
from pullbench.preflight.targets import every_platform
from pullbench.preflight.world import World

ID = "platform"
PLATFORMS_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The platform's image, or the platforms that there are instead."""

    image: PlatformImage | None = None
    offered: tuple[str, ...] = ()
    fault: Fault | None = None


def probe(world: World, target: Target) -> Offer:
    """From the facts where they hold it; else the index is fetched, once for all its platforms."""
    route, image = target.route, target.image or ""
    try:
        found = world.platform_image(route, image, target.platform or "")
        return Offer(image=found) if found is not None else Offer(offered=_offered(world, target))
    except RegistryError as error:
        return Offer(fault=Fault.of(error))


def _offered(world: World, target: Target) -> tuple[str, ...]:
    """What there is instead; an index's attestations, of platform unknown/unknown, are no images."""
    route, image = target.route, target.image or ""
    document = world.manifest(route, image).document
    if isinstance(document, Manifest):
        stated = world.config(route, image, document.config).platform
        return () if stated is None else (str(stated),)
    return tuple(dict.fromkeys(str(each) for each in document.platforms if each.os != "unknown"))


def judge(evidence: Offer, target: Target) -> list[Finding]:
    expected, fault = f"{target.image} has {target.platform}", evidence.fault
    if evidence.image is not None:
        manifest = evidence.image.manifest
        layers = f"{len(manifest.layers)} {'layer' if len(manifest.layers) == 1 else 'layers'}"
        size = format_bytes(manifest.size_bytes)
        return [passed(ID, target, f"{evidence.image.digest}, {layers}, {size}", expected)]
    if fault is None:
        there = ", ".join(evidence.offered[:PLATFORMS_SHOWN]) or "none that it states"
        text = f"{target.image} lacks {target.platform}; it has {there}"
        fault = Fault(code=ErrorCode.PLATFORM_MISSING, text=text)
    reference = Reference.parse(target.image or "")
    cure = remedy(fault.code, target.route, reference=reference, platform=target.platform)
    return [failed(ID, target, fault, expected, cure)]


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="The image's index, or the configuration of an image without one, for each platform of the matrix.",
    statuses={
        Status.PASS: "there is a manifest for the platform",
        Status.FAIL: "there is none (with the platforms that there are), or it could not be read",
    },
    advice="Build and push it (`docker buildx build --platform PLATFORM --tag HOST/IMAGE --push .`), or take the "
    "platform out of the spec.",
    targets=every_platform,
    probe=probe,
    judge=judge,
    needs=frozenset({"image"}),
)
