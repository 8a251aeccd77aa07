"""`platform`: the image has a manifest for each platform of the matrix, and all the blobs in it."""

import re
from dataclasses import dataclass

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Manifest
from pullbench.model.reference import Reference
from pullbench.model.remedy import look, remedy
from pullbench.model.route import DIRECT
from pullbench.model.text import format_bytes
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_platform, failed, passed
from pullbench.preflight.context import CheckContext

ID = "platform"
PLATFORMS_SHOWN = 12
_ELSEWHERE = re.compile(r"foreign|nondistributable")
"""Layers that a registry need not store, such as those of Windows (OCI image spec, "Non-Distributable Layers")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOffer:
    """The platform's image, or the platforms that exist instead."""

    image: PlatformImage | None = None
    lost: str | None = None
    """The first of its blobs for which the registry answers 404."""
    offered: tuple[str, ...] = ()
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> PlatformOffer:
    """Use the facts if they have the image; else fetch the index, once for all its platforms."""
    route, image = target.route, target.image or ""
    try:
        found = context.platform_image(route, image, target.platform or "")
        if found is None:
            return PlatformOffer(offered=_offered(context, target))
        return PlatformOffer(image=found, lost=_lost(context, target, found))
    except RegistryError as error:
        return PlatformOffer(fault=ObservedFault.of(error))


def _lost(context: CheckContext, target: Target, found: PlatformImage) -> str | None:
    """Send HEAD for each blob once, but not to a mirror, which would fetch them (the `proxy` check covers mirrors)."""
    route = target.route
    if route.proxy != DIRECT:
        return None
    repository = route.repository(Reference.parse(target.image or ""))
    digests = (blob.digest for blob in found.manifest.blobs if not _ELSEWHERE.search(blob.media_type))
    return next((digest for digest in digests if context.has_lost(route, repository, digest)), None)


def _offered(context: CheckContext, target: Target) -> tuple[str, ...]:
    """The existing platforms, without attestations (platform unknown/unknown), which are no images."""
    route, image = target.route, target.image or ""
    document = context.manifest(route, image).document
    if isinstance(document, Manifest):
        stated = context.config(route, image, document.config).platform
        return () if stated is None else (str(stated),)
    return tuple(dict.fromkeys(str(each) for each in document.platforms if each.os != "unknown"))


def judge(evidence: PlatformOffer, target: Target) -> list[Finding]:
    expected, fault = f"{target.image} has {target.platform}", evidence.fault
    if evidence.lost is not None:
        return [_of_lost(evidence.lost, target, expected)]
    if evidence.image is not None:
        manifest = evidence.image.manifest
        layers = f"{len(manifest.layers)} {'layer' if len(manifest.layers) == 1 else 'layers'}"
        size = format_bytes(manifest.size_bytes)
        return [passed(ID, target, f"{evidence.image.digest}, {layers}, {size}", expected)]
    if fault is None:
        existing = ", ".join(evidence.offered[:PLATFORMS_SHOWN]) or "no platform listed"
        text = f"{target.image} has no {target.platform}; it has {existing}"
        fault = ObservedFault(code=ErrorCode.PLATFORM_MISSING, text=text)
    reference = Reference.parse(target.image or "")
    cure = remedy(fault.code, target.route, reference=reference, platform=target.platform)
    return [failed(ID, target, fault, expected, cure)]


def _of_lost(digest: str, target: Target, expected: str) -> Finding:
    route, reference = target.route, Reference.parse(target.image or "")
    see = look(f"{route.repository(reference)}/blobs/{digest}", route, "-sSI")
    cure = (
        f"push the complete image again, and find why {route.host} lost the blob (garbage collection during a push, or a "
        f"bucket's lifecycle rule): `{see}`"
    )
    fault = ObservedFault(
        code=ErrorCode.NOT_FOUND, text=f"the manifest exists, but its blob {digest} is missing: every pull fails"
    )
    return failed(ID, target, fault, f"{expected}, with all its blobs", cure)


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="Reads the image's index (or its config if there is no index) for each platform of the matrix. Without a proxy, it "
    "also sends `HEAD` for each blob in the manifest.",
    statuses={
        Status.PASS: "the image has a manifest for the platform, and all the blobs in it",
        Status.FAIL: "the image lacks the platform (the existing ones are listed), could not be read, or has lost a blob",
    },
    advice="Build and push it (`docker buildx build --platform PLATFORM --tag HOST/IMAGE --push .`), or remove the platform "
    "from the spec. Push an incomplete image again.",
    targets=every_platform,
    probe=probe,
    judge=judge,
    needs=frozenset({"image"}),
)
