"""`image`: the image exists under the spec's name, and the run's credentials can see it."""

import difflib
from dataclasses import dataclass, field, replace
from itertools import islice

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.addresses import official_name
from pullbench.model.client_rules import TODAY, head_refusals
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import look
from pullbench.preflight.check import (
    REPLICAS,
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    engine_clients,
    every_image,
    failed,
    passed,
    shown_refusals,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient

ID = "image"
ANSWERS_DIFFER = "image-answers-differ"
HEAD_REFUSED = "image-head-refused"
MAX_TAGS_READ = 2000
TAGS_SHOWN = 5
_MORE_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLookup:
    """The registry's answer for the reference; `tags` are the closest ones if the reference does not exist."""

    reference: Reference
    digest: str | None = None
    by_get: bool = False
    """The registry refuses HEAD, so every lookup of a tag is a GET, which counts against rate limits."""
    differs: bool = False
    """Whether the same request was refused once and answered once."""
    refused_by: dict[str, str] = field(default_factory=dict)
    """Clients that do not pull after this HEAD, by name, with the reason: the spec's engines, and clients of today."""
    engines: tuple[str, ...] = ()
    """The spec's engines."""
    excluded: tuple[str, ...] = ()
    """Those that do not pull by digest after this HEAD either, so that the plan excludes them; as in `refused_by`."""
    tag_digest: str | None = None
    """The tag's current digest, if the reference has both a tag and a digest."""
    fault: ObservedFault | None = None
    tags: tuple[str, ...] | None = None
    """None if the registry did not list them, as for a repository that does not exist."""


def probe(context: CheckContext, target: Target) -> ImageLookup:
    """Send HEAD, which does not count against rate limits; GET if the registry refuses HEAD, and GET decides."""
    client, reference = context.client(target.route), Reference.parse(target.image or "")
    try:
        head = context.head(target.route, target.image or "")
    except RegistryError as error:
        tags = _closest_tags(client, reference) if error.code is ErrorCode.NOT_FOUND else None
        differs = reference.tag in (tags or ()) and _answers_again(client, reference)
        return ImageLookup(reference=reference, fault=ObservedFault.of(error), tags=tags, differs=differs)
    own, answer = engine_clients(context), head.answer
    lacks = (head.digest is None or head.by_get) and _lacks_length(client, reference)
    clients = {} if head.differs else {**own, **TODAY}
    pinned = reference.digest is not None
    reasons = {
        name: head_refusals(answer, each, by_digest=pinned, get_lacks_length=lacks) for name, each in clients.items()
    }
    return ImageLookup(
        reference=reference,
        digest=head.digest,
        by_get=head.by_get,
        differs=head.differs,
        refused_by={name: reason[0] for name, reason in reasons.items() if reason},
        engines=tuple(entry.name for entry in context.engines),
        excluded=tuple(name for name in own if name in reasons and head_refusals(answer, own[name], by_digest=True)),
        tag_digest=_digest_of_tag(client, reference),
    )


def _lacks_length(client: RegistryClient, reference: Reference) -> bool:
    try:
        return client.get_lacks_length(reference)
    except RegistryError:
        return False


def _answers_again(client: RegistryClient, reference: Reference) -> bool:
    """Whether one of a few more requests finds what the first did not."""
    for _ in range(_MORE_TRIES):
        try:
            client.head_manifest(reference)
        except RegistryError:
            continue
        return True
    return False


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
        return [_of_found(evidence, target, expected)]
    if fault.code is ErrorCode.NOT_FOUND and reference.tag in (evidence.tags or ()) and reference.digest is None:
        return [_of_listed(fault, evidence, target, expected)]
    if fault.code is ErrorCode.NOT_FOUND:
        tags = f"existing tags: {', '.join(evidence.tags)}" if evidence.tags else "the repository has no tags"
        tags = "the repository does not exist, or these credentials may not see it" if evidence.tags is None else tags
        fault = replace(fault, text=f"{fault.text}; {tags}")
    cure = fault.remedy or cure_of(fault, target)
    official = official_name(route, route.repository(reference))
    if official is not None and fault.code in (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND):
        cure = f"write {official}: Docker Hub's official images are under library/; else {cure}"
    return [failed(ID, target, fault, expected, cure)]


def _of_listed(fault: ObservedFault, evidence: ImageLookup, target: Target, expected: str) -> Finding:
    """The tag is listed and was not found: by some requests, by the box in front, or by the registry, which lost the manifest."""
    if evidence.differs:
        fault = replace(fault, text=f"{fault.text}; the same request was answered later: {REPLICAS}")
        return failed(ID, target, fault, expected, _cure_of_replicas(target, evidence.reference))
    fault = replace(fault, text=f"{fault.text}; its tag is listed")
    if fault.answered_by is not Responder.REGISTRY:
        return failed(ID, target, fault, expected, cure_of(fault, target))
    cure = (
        "the registry lists the tag and does not have its manifest: push the image again; if the registry has replicas, check that "
        "they share one storage"
    )
    return failed(ID, target, fault, expected, cure)


def _of_found(evidence: ImageLookup, target: Target, expected: str) -> Finding:
    """A pass, unless answers differ, or HEAD or its headers stop a client: a failure if they stop every engine of the spec."""
    seen = _seen(evidence)
    if evidence.differs:
        text = f"{seen}; HEAD was refused once and then answered: {REPLICAS}"
        return warned(ID, target, text, expected, _cure_of_replicas(target, evidence.reference), kind=ANSWERS_DIFFER)
    if not evidence.refused_by:
        return passed(ID, target, seen, expected)
    text, expected = f"{seen}; {shown_refusals(evidence.refused_by)}", f"{expected}, and every client finds it"
    see = look(
        f"{target.route.repository(evidence.reference)}/manifests/{evidence.reference.locator}", target.route, "-sSI"
    )
    cure = (
        "let the registry, or the proxy in front of it, answer HEAD of a manifest as GET, with Content-Type, Content-Length and "
        f"Docker-Content-Digest: `{see}`"
    )
    own = [name for name in evidence.engines if f"engine '{name}'" in evidence.refused_by]
    stop = own and len(own) == len(evidence.engines)
    if evidence.excluded and not stop:
        cure += f"; the configurations of {', '.join(evidence.excluded)} are excluded"
    return (failed if stop else warned)(ID, target, text, expected, cure, kind=HEAD_REFUSED)


def _cure_of_replicas(target: Target, reference: Reference) -> str:
    path = f"{target.route.repository(reference)}/manifests/{reference.locator}"
    return (
        "give the replicas behind the balancer one storage, or empty the cache in front of the registry; repeat "
        f"`{look(path, target.route, '-sSI')}` and compare the answers"
    )


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
    looks_at="Sends `HEAD` for the spec's reference with the run's credentials; `GET` if the registry refuses `HEAD`, and then "
    "`GET` decides.",
    statuses={
        Status.PASS: "the image exists",
        Status.WARN: "docker or containerd does not find its tag, because `HEAD` is refused or lacks a header; or the answers differ "
        "between requests (replicas without shared storage, or a cache)",
        Status.FAIL: "the image does not exist (the closest tags are listed), may not be read, has a digest other than the spec's, "
        "is not found although its tag is listed, or no engine of the spec finds it",
    },
    advice="Push the image, or fix its name: `skopeo list-tags docker://HOST/REPOSITORY`. Let the registry answer `HEAD` as `GET`.",
    kinds={
        ANSWERS_DIFFER: FindingKind(
            cause="Several replicas behind one name do not share their storage, or a cache in front of the registry keeps old answers.",
            remedy="Give the replicas one storage, or empty the cache; repeat `curl -sSI URL/v2/REPOSITORY/manifests/TAG` and compare the answers.",
        ),
        HEAD_REFUSED: FindingKind(
            cause="The registry, or a proxy or file server in front of it, refuses `HEAD`, or leaves out Content-Type, Content-Length or Docker-Content-Digest. It is a failure if no engine of the spec finds the image.",
            remedy="Let it answer `HEAD` of a manifest as it answers `GET`.",
        ),
    },
    targets=every_image,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
