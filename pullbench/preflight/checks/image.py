"""`image`: the image exists under the spec's name, and the run's credentials can see it."""

import difflib
from dataclasses import dataclass, replace
from itertools import islice

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.addresses import official_name
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
    """The registry's answer for the reference; `tags` are the closest ones if the reference does not exist."""

    reference: Reference
    digest: str | None = None
    by_get: bool = False
    """The registry refuses HEAD, so every lookup of a tag is a GET, which counts against rate limits."""
    tag_digest: str | None = None
    """The tag's current digest, if the reference has both a tag and a digest."""
    fault: ObservedFault | None = None
    tags: tuple[str, ...] | None = None
    """None if the registry did not list them, as for a repository that does not exist."""


def probe(context: CheckContext, target: Target) -> ImageLookup:
    """Send HEAD, which does not count against rate limits; GET if the registry refuses HEAD."""
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
        text = f"{name}: requested {reference.digest}, received {evidence.digest}"
        fault = ObservedFault(code=ErrorCode.DIGEST_MISMATCH, text=text)
    if fault is None:
        return [passed(ID, target, _seen(evidence), expected)]
    if fault.code is ErrorCode.NOT_FOUND:
        tags = f"existing tags: {', '.join(evidence.tags)}" if evidence.tags else "the repository has no tags"
        tags = "the repository does not exist, or these credentials may not see it" if evidence.tags is None else tags
        fault = replace(fault, text=f"{fault.text}; {tags}")
    cure = fault.remedy or remedy(fault.code, route, reference=reference)
    official = official_name(route, route.repository(reference))
    if official is not None and fault.code in (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND):
        cure = f"write {official}: Docker Hub's official images are under library/; else {cure}"
    return [failed(ID, target, fault, expected, cure)]


def _seen(evidence: ImageLookup) -> str:
    seen = evidence.digest or "it exists (the registry sends no digest)"
    if evidence.tag_digest not in (None, evidence.reference.digest):
        seen += f"; the tag '{evidence.reference.tag}' now points to {evidence.tag_digest}"
    return (
        f"{seen}; the registry refuses HEAD, so each lookup is a GET and counts against rate limits"
        if evidence.by_get
        else seen
    )


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="Sends `HEAD` for the spec's reference with the run's credentials; `GET` if the registry refuses `HEAD`.",
    statuses={
        Status.PASS: "the image exists",
        Status.FAIL: "the image does not exist (the closest tags are listed), may not be read, or has a digest other than the spec's",
    },
    advice="Push the image, or fix its name: `skopeo list-tags docker://HOST/REPOSITORY`.",
    targets=every_image,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
