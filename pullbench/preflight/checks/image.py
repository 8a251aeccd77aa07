"""`image`: the image is there, under the very name that the spec gives it, for the credentials that will pull it."""

import difflib
from dataclasses import dataclass, replace
from itertools import islice

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import remedy
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_image, failed, passed
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient

ID = "image"
MAX_TAGS_READ = 2000
TAGS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLookup:
    """What the registry says of the reference; `tags` are those that come closest where it is not there."""

    reference: Reference
    digest: str | None = None
    by_get: bool = False
    """The registry refuses HEAD, so that every look at a tag is a GET, which counts against rate limits."""
    tag_digest: str | None = None
    """What the tag holds today, where the reference has a tag and is held to a digest."""
    fault: ObservedFault | None = None
    tags: tuple[str, ...] | None = None
    """None where the registry would not list them, as for a repository that it does not have."""


def probe(context: CheckContext, target: Target) -> ImageLookup:
    """HEAD, for that costs nothing of a rate limit; GET where a registry refuses HEAD."""
    client, reference = context.client(target.route), Reference.parse(target.image or "")
    try:
        head = context.head(target.route, target.image or "")
    except RegistryError as error:
        tags = _closest_tags(client, reference) if error.code is ErrorCode.NOT_FOUND else None
        return ImageLookup(reference=reference, fault=ObservedFault.of(error), tags=tags)
    return ImageLookup(
        reference=reference, digest=head.digest, by_get=head.by_get, tag_digest=_digest_of_tag(client, reference)
    )


def _digest_of_tag(client: RegistryClient, reference: Reference) -> str | None:
    if reference.tag is None or reference.digest is None:
        return None
    try:
        return client.head_manifest(Reference(repository=reference.repository, tag=reference.tag)).digest
    except RegistryError:
        return None


def _closest_tags(client: RegistryClient, reference: Reference) -> tuple[str, ...] | None:
    try:
        tags = list(islice(client.tags(client.route.repository(reference)), MAX_TAGS_READ))
    except RegistryError:
        return None
    close = difflib.get_close_matches(reference.tag or "", tags, n=TAGS_SHOWN, cutoff=0.3)
    return tuple(close or tags[-TAGS_SHOWN:])


def judge(evidence: ImageLookup, target: Target) -> list[Finding]:
    route, reference, fault = target.route, evidence.reference, evidence.fault
    name = f"{route.host}/{route.repository(reference)}"
    expected = f"{name} has '{reference.locator}'"
    if fault is None and evidence.digest not in (None, reference.digest) and reference.digest is not None:
        text = f"{name}: asked for {reference.digest}, got {evidence.digest}"
        fault = ObservedFault(code=ErrorCode.DIGEST_MISMATCH, text=text)
    if fault is None:
        return [passed(ID, target, _seen(evidence), expected)]
    if fault.code is ErrorCode.NOT_FOUND:
        there = f"tags that are there: {', '.join(evidence.tags)}" if evidence.tags else "no tag is there at all"
        there = "the repository is not there, or not shown to us" if evidence.tags is None else there
        fault = replace(fault, text=f"{fault.text}; {there}")
    return [failed(ID, target, fault, expected, remedy(fault.code, route, reference=reference))]


def _seen(evidence: ImageLookup) -> str:
    seen = evidence.digest or "there (the registry states no digest)"
    if evidence.tag_digest not in (None, evidence.reference.digest):
        seen += f"; the tag '{evidence.reference.tag}' has moved on to {evidence.tag_digest}"
    return (
        f"{seen}; HEAD is refused, so each look at a tag is a GET, which rate limits count" if evidence.by_get else seen
    )


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="`HEAD` of the very reference that the spec names, with the credentials that will pull it; `GET` where "
    "`HEAD` is refused.",
    statuses={
        Status.PASS: "it is there",
        Status.FAIL: "it is not (with the tags that come closest), may not be read, or has another digest than the spec's",
    },
    advice="Push it, or correct the name: `skopeo list-tags docker://HOST/REPOSITORY`.",
    targets=every_image,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
