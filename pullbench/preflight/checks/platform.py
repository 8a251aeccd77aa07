"""`platform`: the image has a manifest for each platform of the matrix, and all the blobs in it."""

from dataclasses import dataclass, field, replace

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.client_rules import TODAY, is_mistyped, refusals
from pullbench.model.facts import PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Descriptor, Manifest
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.remedy import look
from pullbench.model.route import DIRECT
from pullbench.model.text import clean, format_bytes
from pullbench.preflight.check import (
    REPLICAS,
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    engine_clients,
    every_platform,
    failed,
    passed,
    shown_refusals,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.answer import host_of

ID = "platform"
CLIENT_REFUSES = "platform-client-refuses"
PLATFORMS_SHOWN = 12
_STOPS_A_PULL = (ErrorCode.FORBIDDEN, ErrorCode.UNAUTHORIZED, ErrorCode.NOT_FOUND, ErrorCode.DIGEST_MISMATCH)
"""Answers for a blob that a pull meets too; others may pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOffer:
    """The platform's image, or the platforms that exist instead."""

    image: PlatformImage | None = None
    refused_by: dict[str, str] = field(default_factory=dict)
    """Clients that do not pull it, by name, with the reason: the spec's engines, and clients of today."""
    engines: tuple[str, ...] = ()
    """The spec's engines."""
    is_excluded: bool = True
    """Whether a plan leaves out the engines that refuse it: not if only a mirror serves what they refuse."""
    lost: str | None = None
    """The first of its blobs for which the registry answers 404."""
    lost_urls: tuple[str, ...] = ()
    """The other places of the lost blob, if it is a foreign layer."""
    unseen: ObservedFault | None = None
    """Why it is not known whether the registry has one of its blobs."""
    offered: tuple[str, ...] = ()
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> PlatformOffer:
    """Use the facts if they have the image; else fetch the index, once for all its platforms."""
    route, image = target.route, target.image or ""
    try:
        found = context.platform_image(route, image, target.platform or "")
        if found is None:
            return PlatformOffer(offered=_offered(context, target))
        lost, unseen = _look(context, target, found)
        return PlatformOffer(
            image=found,
            refused_by=_refused_by(context, target, found),
            engines=tuple(entry.name for entry in context.engines),
            is_excluded=_is_excluded(context, target, found),
            lost=None if lost is None else lost.digest,
            lost_urls=() if lost is None else lost.urls,
            unseen=unseen,
        )
    except RegistryError as error:
        return PlatformOffer(fault=_read(error, context, target))


def _read(error: RegistryError, context: CheckContext, target: Target) -> ObservedFault:
    """The fault; a manifest that HEAD found and GET does not find shows replicas that differ."""
    fault, reference = ObservedFault.of(error), Reference.parse(target.image or "")
    if error.code is not ErrorCode.NOT_FOUND or not error.where.endswith(f"/manifests/{reference.locator}"):
        return fault
    try:
        context.head(target.route, target.image or "")
    except RegistryError:
        return fault
    cure = f"give the replicas behind the balancer one storage, or empty the cache in front of {target.route.host}"
    return replace(fault, text=f"{fault.text}, but HEAD finds it: {REPLICAS}", remedy=cure)


def _refused_by(context: CheckContext, target: Target, found: PlatformImage) -> dict[str, str]:
    """Each engine of the spec, and each client of today, that does not pull the image; with its first reason."""
    wanted = Platform.parse(target.platform or "")
    reasons = {name: refusals(found, wanted, client) for name, client in {**engine_clients(context), **TODAY}.items()}
    return {name: reason[0] for name, reason in reasons.items() if reason}


def _is_excluded(context: CheckContext, target: Target, found: PlatformImage) -> bool:
    planned = context.facts.platform_image(target.route.registry, target.image or "", target.platform or "")
    return planned is None or planned.served == found.served


def _look(
    context: CheckContext, target: Target, found: PlatformImage
) -> tuple[Descriptor | None, ObservedFault | None]:
    """The first lost blob, and the first fault for which a blob was not seen: a refusal before others.

    Sends HEAD for each blob once, but not to a mirror, which would fetch them (the `proxy` check covers mirrors). After a rate
    limit it looks at no more of them.
    """
    route, unseen = target.route, list[ObservedFault]()
    if route.proxy != DIRECT:
        return None, None
    repository = route.repository(Reference.parse(target.image or ""))
    for blob in found.manifest.blobs:
        try:
            context.look_at_blob(route, repository, blob.digest)
        except RegistryError as error:
            if error.code is ErrorCode.NOT_FOUND and error.answered_by is not Responder.IN_FRONT:
                return blob, None
            unseen.append(ObservedFault.of(error))
            if error.code is ErrorCode.RATE_LIMITED:
                break
    return None, next((fault for fault in unseen if fault.code in _STOPS_A_PULL), unseen[0] if unseen else None)


def _offered(context: CheckContext, target: Target) -> tuple[str, ...]:
    """The existing platforms."""
    route, image = target.route, target.image or ""
    document = context.manifest(route, image).document
    if isinstance(document, Manifest):
        stated = context.config(route, image, document.config).platform
        return () if stated is None else (str(stated),)
    return tuple(str(each) for each in document.platforms)


def judge(evidence: PlatformOffer, target: Target) -> list[Finding]:
    expected, fault = f"{target.image} has {target.platform}", evidence.fault
    if evidence.lost is not None:
        return [_of_lost(evidence.lost, evidence.lost_urls, target, expected)]
    if evidence.image is not None:
        found = _of_image(evidence, evidence.image, target, expected)
        if evidence.unseen is None:
            return [found]
        unseen = _of_unseen(evidence.unseen, target, f"{expected}, with all its blobs")
        return [unseen] if found.status is Status.PASS else [found, unseen]
    if fault is None:
        existing = ", ".join(evidence.offered[:PLATFORMS_SHOWN]) or "no platform listed"
        text = f"{target.image} has no {target.platform}; it has {existing}"
        fault = ObservedFault(code=ErrorCode.PLATFORM_MISSING, text=text)
    return [failed(ID, target, fault, expected, cure_of(fault, target))]


def _of_image(evidence: PlatformOffer, image: PlatformImage, target: Target, expected: str) -> Finding:
    """A pass, unless a client refuses the image: then a warning, or a failure if no engine of the spec pulls it."""
    manifest, refused = image.manifest, evidence.refused_by
    layers = f"{len(manifest.layers)} {'layer' if len(manifest.layers) == 1 else 'layers'}"
    seen = f"{image.digest}, {layers}, {format_bytes(manifest.size_bytes)}"
    if not refused:
        return passed(ID, target, seen, expected)
    shown = shown_refusals(refused)
    own = [name for name in evidence.engines if f"engine '{name}'" in refused]
    text, expected = f"{seen}; {shown}", f"{expected}, and every client pulls it"
    anew = "build and push the image anew"
    if is_mistyped(image):
        anew = (
            "serve each manifest with its own mediaType as Content-Type: check the proxy, the cache or the file server that "
            f"answers for {target.route.host}"
        )
    if own and len(own) == len(evidence.engines):
        return failed(
            ID,
            target,
            text,
            expected,
            f"{anew}, or use other engines: no engine of the spec pulls it",
            kind=CLIENT_REFUSES,
        )
    cure = f"{anew} if users have these clients"
    outcome = "configurations of {} are excluded" if evidence.is_excluded else "pulls of {} by this route fail"
    excluded = f"; the {outcome.format(', '.join(own))}" if own else ""
    return warned(ID, target, text, expected, cure + excluded, kind=CLIENT_REFUSES)


def _of_unseen(fault: ObservedFault, target: Target, expected: str) -> Finding:
    """A failure if a pull is refused the blob too; else a warning that its blobs were not checked."""
    if fault.code in _STOPS_A_PULL:
        fault = replace(fault, text=f"the manifest exists, but a blob of it is refused: {fault.text}")
        return failed(ID, target, fault, expected, cure_of(fault, target))
    cure = cure_of(fault, target)
    fault = replace(fault, text=f"the manifest exists; its blobs were not checked: {fault.text}")
    return warned(ID, target, fault, expected, cure)


def _of_lost(digest: str, urls: tuple[str, ...], target: Target, expected: str) -> Finding:
    route, reference = target.route, Reference.parse(target.image or "")
    if urls:
        text = (
            f"{digest} is a foreign layer at {clean(host_of(urls[0]), 80)}, and the registry does not have it: docker on Linux and wire "
            "download layers only from the registry"
        )
        cure = "push the image with its foreign layers (`allow-nondistributable-artifacts` of dockerd, `crane copy`)"
        return failed(
            ID, target, ObservedFault(code=ErrorCode.NOT_FOUND, text=text), f"{expected}, with all its blobs", cure
        )
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
        Status.WARN: "docker, containerd, podman or skopeo refuses the image or its Content-Type ([which and why](image-kinds.md)); an engine of the spec "
        "that refuses it is excluded; or whether its blobs are there was not checked, because the registry failed or limited requests",
        Status.FAIL: "the image lacks the platform (the existing ones are listed), is no image (a Helm chart, an artifact, schema "
        "1), could not be read, has lost a blob or a foreign layer, refuses a blob, or no engine of the spec pulls it",
    },
    advice="Build and push it (`docker buildx build --platform PLATFORM --tag HOST/IMAGE --push .`), or remove the platform "
    "from the spec. Push an incomplete image again.",
    kinds={
        CLIENT_REFUSES: FindingKind(
            cause="The image has a property that some clients do not accept, such as too many layers, an empty layer, or a Content-Type other than its mediaType. It is a failure if no engine of the spec pulls it.",
            remedy="Build and push the image anew, or serve its manifests with their own Content-Type ([which client refuses what](image-kinds.md)).",
        ),
    },
    targets=every_platform,
    probe=probe,
    judge=judge,
    needs=frozenset({"image"}),
)
