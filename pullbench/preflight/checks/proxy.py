"""`proxy`: a mirror or forward proxy serves the images, has its upstream's digests, and keeps what it fetched."""

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pullbench.errors import NO_WAY_THERE, SILENT, ErrorCode, PullbenchError, RegistryError
from pullbench.model.addresses import image_name
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import route_of
from pullbench.model.reference import Reference
from pullbench.model.remedy import look, remedy
from pullbench.model.route import DIRECT, Route
from pullbench.model.text import clean
from pullbench.preflight.check import Check, ObservedFault, Room, Target, failed, passed, warned
from pullbench.preflight.context import CheckContext

ID = "proxy"
SHOWN = 3
EXPECTED = "it serves the images with the digests of its upstream, and the second request from its cache"
FETCHES = "it fetches from its upstream what it has not kept"
MOST_BLOBS = 500
_CANNOT_FETCH = SILENT | {ErrorCode.SERVER_ERROR, ErrorCode.RESET, ErrorCode.TRUNCATED}
# nginx, squid, Varnish, Artifactory, CloudFront and Fastly, Cloudflare, Dragonfly; Via and Age are RFC 9110 and 9111.
TELLING = (
    *(
        "x-cache",
        "x-cache-status",
        "x-proxy-cache",
        "x-artifactory-cache",
        "cf-cache-status",
        "cache-status",
        "age",
        "via",
    ),
    "x-dragonfly-task-download-finished",
)
_HIT = re.compile(r"\bhit\b", re.IGNORECASE)
_MISS = re.compile(r"\b(miss|bypass|expired|dynamic)\b|fwd=", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedImage:
    """One image by the proxy, and at its upstream."""

    image: str
    digest: str | None = None
    fault: ObservedFault | None = None
    upstream_digest: str | None = None
    upstream_fault: ObservedFault | None = None
    created: datetime | None = None
    """As its config states it; looked up only where the digests differ."""
    upstream_created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlob:
    """A blob of an image that the mirror does not give."""

    image: str
    repository: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedBlobs:
    """What came of a request for a blob that nobody has, and which blobs of the spec's images are there."""

    fault: ObservedFault | None = None
    """What kept the mirror from asking its upstream; None where it says, as it should, that there is no such blob."""
    there: int = 0
    """Blobs of the images that it has; they are asked for only where it cannot fetch, for it would fetch them."""
    lost: MissingBlob | None = None
    """The first that it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyObservation:
    """What the proxy served, and what the headers of a blob that was asked for twice say of its cache."""

    images: tuple[ServedImage, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the second answer: those that speak of caches."""
    same_bytes: bool | None = None
    """Whether both answers had the content that the digest names; None where no blob was asked for."""
    blob_fault: ObservedFault | None = None
    upstream_answers: bool = False
    """Something at the upstream answered from here: an image, or a refusal."""
    kept: CachedBlobs = field(default_factory=CachedBlobs)
    """Of a mirror that serves the images' manifests."""


def targets(context: CheckContext) -> list[Target]:
    """Each way that leads by a proxy."""
    return [Target(route=route) for route in context.routes if route.proxy != DIRECT]


def probe(context: CheckContext, target: Target) -> ProxyObservation:
    """HEAD of each image on both ways, and the config of the first one twice; and whether a mirror can fetch more."""
    route, upstream = target.route, upstream_of(context, target.route)
    seen = ProxyObservation(images=tuple(_served(context, route, upstream, image) for image in context.spec.images))
    faults = [each.upstream_fault for each in seen.images]
    answers = any(fault is None or fault.code not in NO_WAY_THERE for fault in faults)
    seen = replace(seen, upstream_answers=answers)
    if any(each.fault is not None for each in seen.images):
        return seen
    if route.forward_url is None:
        seen = replace(seen, kept=_cached_blobs(context, route))
    return seen if seen.kept.lost else _twice(context, route, seen)


def upstream_of(context: CheckContext, route: Route) -> Route:
    """The registry that the way leads to, asked directly with its own credentials."""
    return route_of(next(entry for entry in context.spec.registries if entry.name == route.registry), None)


def _served(context: CheckContext, route: Route, upstream: Route, image: str) -> ServedImage:
    served = ServedImage(image=image)
    try:
        served = replace(served, digest=context.digest(route, image))
    except PullbenchError as error:
        served = replace(served, fault=ObservedFault.of(error))
    try:
        served = replace(served, upstream_digest=context.digest(upstream, image))
    except PullbenchError as error:
        served = replace(served, upstream_fault=ObservedFault.of(error))
    if served.digest is None or served.upstream_digest in (None, served.digest):
        return served
    return replace(
        served,
        created=context.newest_creation(route, image),
        upstream_created=context.newest_creation(upstream, image),
    )


def _twice(context: CheckContext, route: Route, seen: ProxyObservation) -> ProxyObservation:
    """A config by its digest: what never changes is what a cache may keep."""
    image = seen.images[0].image
    client, repository = context.client(route), route.repository(Reference.parse(image))
    try:
        offers = (context.platform_image(route, image, platform) for platform in context.platforms)
        found = next((offer for offer in offers if offer is not None), None)
        if found is None:
            return seen
        config = found.manifest.config
        client.config(repository, config)
        path = f"/v2/{repository}/blobs/{config.digest}"
        answer = client.ask("GET", path, repository=repository, limit_bytes=config.size_bytes)
    except RegistryError as error:
        return replace(seen, blob_fault=ObservedFault.of(error), same_bytes=False)
    algorithm, _, digest = config.digest.partition(":")
    told = {name: clean(answer.headers[name], 120) for name in TELLING if name in answer.headers}
    return replace(seen, headers=told, same_bytes=hashlib.new(algorithm, answer.body).hexdigest() == digest)


def _cached_blobs(context: CheckContext, route: Route) -> CachedBlobs:
    """One HEAD for a blob that no registry has: who can ask its upstream answers 404, and nothing is fetched."""
    repository = route.repository(Reference.parse(context.spec.images[0]))
    fault = _blob_fault(context, route, repository, f"sha256:{secrets.token_hex(32)}")
    if fault is None or fault.code not in _CANNOT_FETCH:
        return CachedBlobs()
    seen = CachedBlobs(fault=fault)
    for blob in _blobs(context, route):
        if _blob_fault(context, route, blob.repository, blob.digest) is not None:
            return replace(seen, lost=blob)
        seen = replace(seen, there=seen.there + 1)
        if seen.there >= MOST_BLOBS:
            break
    return seen


def _blob_fault(context: CheckContext, route: Route, repository: str, digest: str) -> ObservedFault | None:
    try:
        context.client(route).head_blob(repository, digest)
    except RegistryError as error:
        return ObservedFault.of(error)
    return None


def _blobs(context: CheckContext, route: Route) -> Iterator[MissingBlob]:
    """The config and layers of each image and platform that the way shows; each once."""
    seen: set[tuple[str, str]] = set()
    for image in context.spec.every_image:
        repository = route.repository(Reference.parse(image))
        for platform in context.platforms:
            try:
                found = context.platform_image(route, image, platform)
            except PullbenchError:
                continue
            for blob in () if found is None else found.manifest.blobs:
                if (repository, blob.digest) not in seen:
                    seen.add((repository, blob.digest))
                    yield MissingBlob(image=image, repository=repository, digest=blob.digest)


def judge(evidence: ProxyObservation, target: Target) -> list[Finding]:
    broken = [each for each in evidence.images if each.fault is not None and each.upstream_fault is None]
    unknown = [each for each in evidence.images if each.fault is not None and each.upstream_fault is not None]
    if broken or unknown:
        return [_of_unserved(evidence, (broken or unknown)[0], len(broken) + len(unknown), target)]
    stranded = _of_outage(evidence.kept, target)
    if stranded is not None and evidence.kept.lost:
        return [stranded]
    if evidence.blob_fault is not None or evidence.same_bytes is False:
        default = ObservedFault(
            code=ErrorCode.DIGEST_MISMATCH, text="the second answer has other bytes than its digest names"
        )
        told = evidence.blob_fault or default
        cure = f"{remedy(told.code, target.route)}; empty the cache at {target.route.host}, or go past it"
        return [failed(ID, target, told, EXPECTED, cure)]
    drifted = [each for each in evidence.images if each.upstream_digest not in (None, each.digest)]
    if drifted:
        return [_of_drift(drifted, target)]
    if stranded is not None:
        return [stranded]
    return [_of_cache(evidence, target)]


def _of_outage(kept: CachedBlobs, target: Target) -> Finding | None:
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
        return warned(ID, target, text, FETCHES, cure, cause=kept.fault)
    text = (
        f"it cannot fetch from its upstream, and does not have all of the images: {lost.image} lacks {lost.digest}; "
        f"asked for what nobody has: {kept.fault.text}"
    )
    see = f"`{look(f'{lost.repository}/blobs/{lost.digest}', route, '-sSI')}`"
    return failed(
        ID,
        target,
        replace(kept.fault, text=text, parameters={**kept.fault.parameters, "image": lost.image}),
        FETCHES,
        f"{cure}; see it: {see}",
    )


def _of_unserved(evidence: ProxyObservation, first: ServedImage, count: int, target: Target) -> Finding:
    """Whose fault it is: the proxy's own, its upstream's, or the image's, which neither has."""
    route, fault, upstream = target.route, first.fault, first.upstream_fault
    assert fault is not None
    text = f"{count} of {len(evidence.images)} images are not served, such as {first.image}: {fault.text}"
    answered = fault.code not in NO_WAY_THERE
    if not answered:
        why, cure = "the proxy itself cannot be reached", remedy(fault.code, route)
    elif upstream is None:
        why = "the upstream has it, and the proxy does not pass it on"
        cure = f"check the proxy's own upstream, its credentials there and its rules, then its log: {_see(route, first.image)}"
    elif not evidence.upstream_answers:
        why = f"the proxy answers, but its upstream '{route.registry}' does not (from here: {upstream}), and it has no copy"
        cure = f"bring the upstream back, or pull what is needed while it is up: {_see(route, first.image)}"
    else:
        why = f"the upstream does not have it either ({upstream})"
        cure = remedy(fault.code, route, reference=Reference.parse(first.image))
    return failed(
        ID,
        target,
        replace(fault, text=f"{why}: {text}", parameters={**fault.parameters, "image": first.image}),
        EXPECTED,
        cure,
    )


def _see(route: Route, image: str) -> str:
    reference = Reference.parse(image)
    return f"`{look(f'{route.repository(reference)}/manifests/{reference.locator}', route, '-sSI')}`"


def _of_drift(drifted: list[ServedImage], target: Target) -> Finding:
    route, first = target.route, drifted[0]
    told = "; ".join(
        f"{each.image} is {each.digest}{_dated(each.created)} there, {each.upstream_digest}{_dated(each.upstream_created)} upstream"
        for each in drifted[:SHOWN]
    )
    more = f"; and {len(drifted) - SHOWN} more" if len(drifted) > SHOWN else ""
    dates = [(each.created, each.upstream_created) for each in drifted]
    older = all(here is not None and there is not None and here < there for here, there in dates)
    word = "is older than" if older else "differs from"
    name = image_name(route, Reference.parse(first.image))
    cure = (
        f"have {route.host} ask its upstream again: shorten how long it trusts a tag (docker-registry `proxy.ttl`, Nexus "
        f"`Maximum metadata age`, nginx `proxy_cache_valid` for manifests), or delete {name} there; or hold the spec's image "
        f"to a digest: `{Reference.parse(first.image).pinned(first.upstream_digest or '')}`"
    )
    return warned(ID, target, f"what it serves {word} its upstream's: {told}{more}", EXPECTED, cure)


def _dated(created: datetime | None) -> str:
    return f" of {created:%Y-%m-%d %H:%M:%S}Z" if created else ""


def _of_cache(evidence: ProxyObservation, target: Target) -> Finding:
    route = target.route
    alike = sum(1 for each in evidence.images if each.upstream_digest is not None)
    served = f"{len(evidence.images)} of {len(evidence.images)} images served"
    compared = f"{alike} with the upstream's digest" if alike else f"not compared: {_unseen(evidence)}"
    words = ", ".join(f"{name}: {value}" for name, value in evidence.headers.items())
    hit = _is_hit(evidence.headers)
    if hit is False:
        cure = (
            f"have the cache at {route.forward_url or route.host} keep blobs: squid `maximum_object_size` above the largest "
            "layer, nginx `proxy_cache` with `proxy_cache_valid 200` and no `proxy_no_cache`, and no answer with "
            f"`Cache-Control: no-store`; see it twice: {_see(route, evidence.images[0].image)}"
        )
        text = f"{served}, {compared}; a blob asked for again was fetched again ({words})"
        return warned(ID, target, text, EXPECTED, cure)
    cached = f"the second request was a hit ({words})" if hit else "its headers do not say whether it was a hit"
    if hit is None and route.forward_url and not route.plain_http:
        cached = "through its tunnel nothing is cached, for https is not its to read"
    return passed(ID, target, f"{served}, {compared}; {cached}", EXPECTED)


def _unseen(evidence: ProxyObservation) -> str:
    fault = next(each.upstream_fault for each in evidence.images if each.upstream_fault)
    return f"the upstream does not answer from here ({fault})"


def _is_hit(headers: Mapping[str, str]) -> bool | None:
    """None where nothing is said; several caches in a row say one after the other, and one hit is enough."""
    if headers.get("x-dragonfly-task-download-finished", "").lower() == "true":
        return True
    spoken = [value for name, value in headers.items() if name not in ("age", "via")]
    if any(_HIT.search(value) for value in spoken):
        return True
    if headers.get("age", "").strip() not in ("", "0"):
        return True
    return False if any(_MISS.search(value) for value in spoken) else None


CHECK = Check(
    id=ID,
    room=Room.ROUTE,
    looks_at="`HEAD` of each image by the mirror or forward proxy and at its upstream, and an image's config asked for "
    "twice by its digest: what its headers say of the cache (`X-Cache`, `Cache-Status`, `Age` …). Where digests differ, the "
    "creation dates. A mirror is asked for a blob that nobody has, which shows whether it can fetch; where it cannot, `HEAD` of "
    "each blob of the images shows what it has kept.",
    statuses={
        Status.PASS: "every image is served with the upstream's digest, and the second request was a hit or nothing says "
        "that it was none",
        Status.WARN: "a tag is older than its upstream's (mirror drift), the second request was no hit, or a mirror cannot fetch, "
        "and has kept all of the images",
        Status.FAIL: "an image is not served, with whose fault it is: the proxy's, its upstream's that does not answer, or "
        "neither has the image; a mirror has the manifests, not all of the layers, and cannot fetch them; or other bytes come than "
        "the digest names",
    },
    advice="Bring the upstream back, correct the proxy's credentials and rules for it, shorten the time that it trusts a "
    "tag, or let it keep large objects: `curl -sSI URL/v2/REPOSITORY/manifests/TAG` twice.",
    targets=targets,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
