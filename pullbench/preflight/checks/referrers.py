"""`referrers`: the registry says what refers to an image (signatures, SBOMs), or that it has no such API, as clients expect."""

from collections import Counter
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode, PullbenchError, RegistryError
from pullbench.model.client_rules import asks_for_referrers
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Index
from pullbench.model.reference import Reference
from pullbench.model.remedy import look
from pullbench.preflight.check import (
    Check,
    ObservedFault,
    Room,
    Target,
    engine_clients,
    every_route,
    failed,
    passed,
    skipped,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry import referrers
from pullbench.registry.referrers import Referrers

ID = "referrers"
EXPECTED = (
    "GET /v2/NAME/referrers/DIGEST is answered with an OCI index, or with 404; then the fall-back tag is there or 404"
)
TYPES_SHOWN = 4
_DOCKER = "docker from 29.1 on with containerd's store does not pull an image with attestations"
_TOOLS = "oras, cosign and notation cannot list signatures and SBOMs"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferrersLookup:
    """What refers to the first image that exists; `digest` is empty if none does."""

    image: str = ""
    digest: str = ""
    by_api: Referrers | None = None
    by_tag: Referrers | None = None
    """None also if the fall-back tag does not exist, or was not asked for because the API answered."""
    fault: ObservedFault | None = None
    """The answer of the API, or of the fall-back tag without an API, if it is neither a list nor 404."""
    engines: tuple[str, ...] = ()
    """The spec's engines."""
    stopped: tuple[str, ...] = ()
    """Those that do not pull this image after the fault: it has attestations, and their clients ask what refers to these."""


def probe(context: CheckContext, target: Target) -> ReferrersLookup:
    """Ask for the list of one image; the registry answers for another in the same way."""
    for image in context.spec.images:
        try:
            digest = context.digest(target.route, image)
        except PullbenchError:
            continue
        return _looked_up(context, target, image, digest)
    return ReferrersLookup()


def _looked_up(context: CheckContext, target: Target, image: str, digest: str) -> ReferrersLookup:
    client, reference = context.client(target.route), Reference.parse(image)
    try:
        return ReferrersLookup(image=image, digest=digest, by_api=referrers.listed(client, reference, digest))
    except RegistryError as error:
        if error.status != 404:
            return _faulty(context, target, image, digest, error)
    try:
        return ReferrersLookup(image=image, digest=digest, by_tag=referrers.tagged(client, reference, digest))
    except RegistryError as error:
        return _faulty(context, target, image, digest, error)


def _faulty(context: CheckContext, target: Target, image: str, digest: str, error: RegistryError) -> ReferrersLookup:
    """The fault of an answer; a request without one, or a rate limit, shows nothing about referrers."""
    if error.status is None or error.code in (ErrorCode.RATE_LIMITED, ErrorCode.PROXY):
        raise error
    document = context.manifest(target.route, image).document
    is_attested = isinstance(document, Index) and document.has_attestations
    clients = engine_clients(context)
    return ReferrersLookup(
        image=image,
        digest=digest,
        fault=ObservedFault.of(error),
        engines=tuple(clients),
        stopped=tuple(name for name in clients if is_attested and asks_for_referrers(clients[name])),
    )


def judge(evidence: ReferrersLookup, target: Target) -> list[Finding]:
    if not evidence.digest:
        return [skipped(ID, target, "not run: the registry has no image of the spec")]
    tag = referrers.fallback_tag(evidence.digest)
    if evidence.fault is not None:
        return [_of_fault(evidence, evidence.fault, target)]
    if evidence.by_api is not None:
        return [passed(ID, target, f"the referrers API answers; {_shown(evidence.by_api, evidence.image)}", EXPECTED)]
    told = "no referrers API (404), so clients use the fall-back tag"
    found = "which does not exist: nothing refers to it" if evidence.by_tag is None else ""
    found = found or f"which exists: {_shown(evidence.by_tag, evidence.image)}"
    return [passed(ID, target, f"{evidence.image}: {told} {tag}, {found}", EXPECTED)]


def _of_fault(evidence: ReferrersLookup, fault: ObservedFault, target: Target) -> Finding:
    path = f"{target.route.repository(Reference.parse(evidence.image))}/referrers/{evidence.digest}"
    cure = (
        "let the registry, or the proxy in front of it, answer this path as the OCI distribution spec says: 200 with an index "
        f"(empty if nothing refers to the image), or 404: `{look(path, target.route)}`"
    )
    text = f"{fault.text}: {_DOCKER}; {_TOOLS}"
    if evidence.stopped:
        text += f"; {evidence.image} has attestations, so {', '.join(evidence.stopped)} does not pull it"
    if evidence.stopped and len(evidence.stopped) == len(evidence.engines):
        return failed(ID, target, replace(fault, text=text), EXPECTED, cure)
    return warned(ID, target, text, EXPECTED, cure, cause=fault)


def _shown(found: Referrers | None, image: str) -> str:
    types = () if found is None else found.artifact_types
    if not types:
        return f"nothing refers to {image}"
    counts = Counter(types)
    more = f" and {len(counts) - TYPES_SHOWN} more types" if len(counts) > TYPES_SHOWN else ""
    each = ", ".join(f"{number} × {name}" for name, number in counts.most_common(TYPES_SHOWN))
    return f"{len(types)} {'artifact refers' if len(types) == 1 else 'artifacts refer'} to {image} ({each}{more})"


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="Asks what refers to the first existing image: signatures, SBOMs, attestations. It sends `GET` to the referrers API of the OCI "
    "distribution spec 1.1; after a 404 it looks for the fall-back tag `sha256-…`.",
    statuses={
        Status.PASS: "the API answers with an OCI index, or with 404; the finding lists the types of the artifacts",
        Status.WARN: "the API, or without an API the fall-back tag, gives another answer: docker from 29.1 on with containerd's store does "
        "not pull images with attestations, and oras, cosign and notation cannot list artifacts",
        Status.FAIL: "the same, where the image has attestations and every engine of the spec is such a docker",
        Status.SKIP: "the registry has no image of the spec",
    },
    advice="Let the registry, or the proxy in front of it, answer with an index or with 404. [Image kinds](image-kinds.md#what-refers-to-an-image) lists the clients that ask.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
