"""`proxy`: a mirror or forward proxy serves the images with its upstream's digests, and caches them."""

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pullbench.errors import ROUTE_FAILURES, SILENT, ErrorCode, PullbenchError, RegistryError, UsageError
from pullbench.model.addresses import image_name
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import push_route
from pullbench.model.reference import Reference
from pullbench.model.remedy import look
from pullbench.model.route import DIRECT, Route
from pullbench.model.text import clean
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    failed,
    name_the_registry,
    passed,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.push import try_push

ID = "proxy"
DRIFT = "proxy-drift"
NOT_CACHED = "proxy-not-cached"
SHOWN = 3
EXPECTED = "the proxy serves the images with its upstream's digests, and the second request from its cache"
FETCHES = "the mirror fetches from its upstream what it does not have"
MOST_BLOBS = 500
_CANNOT_FETCH = SILENT | {ErrorCode.SERVER_ERROR, ErrorCode.RESET, ErrorCode.TRUNCATED}
# nginx, squid, Varnish, Artifactory, CloudFront and Fastly, Cloudflare, Dragonfly; Via and Age are RFC 9110 and 9111.
CACHE_HEADERS = (
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
    """One image at the proxy and at its upstream."""

    image: str
    digest: str | None = None
    fault: ObservedFault | None = None
    upstream_digest: str | None = None
    upstream_fault: ObservedFault | None = None
    created: datetime | None = None
    """The creation time in its config; read only if the digests differ."""
    upstream_created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlob:
    """A blob of an image that the mirror does not have."""

    image: str
    repository: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedBlobs:
    """The answer for a blob that does not exist, and the blobs of the spec's images that the mirror has."""

    fault: ObservedFault | None = None
    """Why the mirror could not reach its upstream; None if it answers 404, as it should."""
    there: int = 0
    """The number of the images' blobs that it has. Counted only if it cannot fetch; else the request would fetch them."""
    lost: MissingBlob | None = None
    """The first blob that it lacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAttempt:
    """An upload for the synthetic images of cold trials, opened at the mirror's upstream and cancelled."""

    route: Route
    repository: str
    fault: ObservedFault | None = None
    cure: str = ""
    """The remedy of the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyObservation:
    """The images that the proxy served, and the cache headers of a blob that was requested twice."""

    images: tuple[ServedImage, ...]
    headers: Mapping[str, str] = field(default_factory=dict)
    """The cache headers of the second answer."""
    same_bytes: bool | None = None
    """Whether both answers match the digest; None if no blob was requested."""
    blob_fault: ObservedFault | None = None
    upstream_answers: bool = False
    """Whether the upstream answered from here, with an image or a refusal."""
    namespace: str | None = None
    """The registry's host, if the mirror lacks an image and serves it to a request that names this host as ?ns=HOST."""
    kept: CachedBlobs = field(default_factory=CachedBlobs)
    """The cached blobs of a mirror that serves the images' manifests."""
    push: PushAttempt | None = None
    """None if the run pushes nothing to the mirror's upstream."""


def targets(context: CheckContext) -> list[Target]:
    """Each route through a proxy."""
    return [Target(route=route) for route in context.routes if route.proxy != DIRECT]


def probe(context: CheckContext, target: Target) -> ProxyObservation:
    """Send HEAD for each image on both routes, request the first config twice, and test whether a mirror can fetch."""
    route, upstream = target.route, upstream_of(context, target.route)
    seen = ProxyObservation(
        images=tuple(_served(context, route, upstream, image) for image in context.spec.images),
        push=_pushed(context, route),
    )
    faults = [each.upstream_fault for each in seen.images]
    answers = any(fault is None or fault.code not in ROUTE_FAILURES for fault in faults)
    seen = replace(seen, upstream_answers=answers)
    if lacking := [each for each in seen.images if each.fault is not None]:
        return replace(seen, namespace=_namespace(context, route, lacking[0]))
    if route.forward_url is None:
        seen = replace(seen, kept=_cached_blobs(context, route))
    return seen if seen.kept.lost else _twice(context, route, seen)


def _pushed(context: CheckContext, route: Route) -> PushAttempt | None:
    """Open an upload and cancel it, if the run pushes images to make this mirror cold."""
    spec, plan = context.spec, context.plan
    proxy = next(entry for entry in spec.proxies if entry.name == route.proxy)
    if proxy.cold is None or proxy.cold.push is None:
        return None
    states = (
        spec.matrix.proxy_cache
        if plan is None
        else {cell.proxy_cache for cell in plan.cells if cell.proxy == proxy.name}
    )
    if "cold" not in states:
        return None
    attempt = PushAttempt(route=push_route(spec, proxy), repository=proxy.cold.push)
    try:
        try_push(context.client(attempt.route, "pull,push"), attempt.repository)
    except RegistryError as error:
        return replace(attempt, fault=ObservedFault.of(error), cure=error.remedy)
    except UsageError as error:
        return replace(attempt, fault=ObservedFault.of(error), cure="fix `credentials` of `cold`")
    return attempt


def upstream_of(context: CheckContext, route: Route) -> Route:
    """The route to the same registry without a proxy, with the registry's own credentials."""
    return context.upstream(route)


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


def _namespace(context: CheckContext, route: Route, lacking: ServedImage) -> str | None:
    refused = lacking.fault is not None and lacking.fault.status in (400, 403, 404)
    return context.needed_namespace(route, lacking.image) if refused else None


def _twice(context: CheckContext, route: Route, seen: ProxyObservation) -> ProxyObservation:
    """Request a config by its digest twice: a cache may keep content that never changes."""
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
    headers = {name: clean(answer.headers[name], 120) for name in CACHE_HEADERS if name in answer.headers}
    return replace(seen, headers=headers, same_bytes=hashlib.new(algorithm, answer.body).hexdigest() == digest)


def _cached_blobs(context: CheckContext, route: Route) -> CachedBlobs:
    """Ask for a blob that does not exist: a mirror that can reach its upstream answers 404 and fetches nothing.

    After another refusal of HEAD a GET of one byte decides, which a mirror that cannot fetch answers from its store or not at all.
    """
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
        context.client(route).find_blob(repository, digest, get_after_404=False)
    except RegistryError as error:
        return ObservedFault.of(error)
    return None


def _blobs(context: CheckContext, route: Route) -> Iterator[MissingBlob]:
    """The config and layers of each image and platform on the route; each once."""
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
    """How the proxy serves the images, and a failure if the pushes that a cold mirror needs are refused."""
    return [_of_images(evidence, target), *_of_push(evidence.push, target)]


def _of_push(push: PushAttempt | None, target: Target) -> list[Finding]:
    if push is None or push.fault is None:
        return []
    place = f"{push.route.registry}/{push.repository}"
    text = f"cold trials push synthetic images to {place}, with the credentials '{push.route.credentials}': {push.fault.text}"
    cure = f"{push.cure}; or name another repository or `credentials` in `cold`, or remove `cold` from `matrix.proxy_cache`"
    expected = f"{push.route.host} accepts pushes to {push.repository}"
    upstream = replace(target, route=replace(push.route, proxy=target.route.proxy))
    return [failed(ID, upstream, replace(push.fault, text=text), expected, cure)]


def _of_images(evidence: ProxyObservation, target: Target) -> Finding:
    broken = [each for each in evidence.images if each.fault is not None and each.upstream_fault is None]
    unknown = [each for each in evidence.images if each.fault is not None and each.upstream_fault is not None]
    if broken or unknown:
        return _of_unserved(evidence, (broken or unknown)[0], len(broken) + len(unknown), target)
    stranded = _of_outage(evidence.kept, target)
    if stranded is not None and evidence.kept.lost:
        return stranded
    if evidence.blob_fault is not None or evidence.same_bytes is False:
        default = ObservedFault(
            code=ErrorCode.DIGEST_MISMATCH, text="the content of the second answer does not match its digest"
        )
        fault = evidence.blob_fault or default
        cure = f"{cure_of(fault, target)}; empty the cache at {target.route.host}, or pull without the proxy"
        return failed(ID, target, fault, EXPECTED, cure)
    drifted = [each for each in evidence.images if each.upstream_digest not in (None, each.digest)]
    if drifted:
        return _of_drift(drifted, target)
    if stranded is not None:
        return stranded
    return _of_cache(evidence, target)


def _of_outage(kept: CachedBlobs, target: Target) -> Finding | None:
    """The finding of a mirror that cannot fetch: fail if it lacks a blob of the images, else warn. None if it can fetch."""
    if kept.fault is None:
        return None
    route, lost = target.route, kept.lost
    cure = (
        f"restore the upstream '{route.registry}', or fix how {route.host} reaches it: its network, proxy and credentials; "
        "the mirror's log has the reason"
    )
    if lost is None:
        text = f"the mirror cannot fetch from its upstream ({kept.fault}); it has all {kept.there} blobs of the images"
        return warned(ID, target, text, FETCHES, cure, cause=kept.fault)
    text = (
        f"the mirror cannot fetch from its upstream, and its copies are incomplete: {lost.image} lacks {lost.digest}; "
        f"answer for a blob that does not exist: {kept.fault.text}"
    )
    see = f"`{look(f'{lost.repository}/blobs/{lost.digest}', route, '-sSI')}`"
    return failed(
        ID,
        target,
        replace(kept.fault, text=text, parameters={**kept.fault.parameters, "image": lost.image}),
        FETCHES,
        f"{cure}; check with {see}",
    )


def _of_unserved(evidence: ProxyObservation, first: ServedImage, count: int, target: Target) -> Finding:
    """The finding for images that are not served, with the cause: the proxy, its upstream, or a missing image."""
    route, fault, upstream = target.route, first.fault, first.upstream_fault
    assert fault is not None
    text = f"{count} of {len(evidence.images)} images fail, such as {first.image}: {fault.text}"
    answered = fault.code not in ROUTE_FAILURES
    if evidence.namespace is not None:
        why = "the mirror serves several registries, and serves the image to a request that names its registry"
        cure = name_the_registry(route, evidence.namespace)
    elif not answered:
        why, cure = "the proxy itself is unreachable", cure_of(fault, target)
    elif upstream is None:
        why = "the upstream has the image, but the proxy does not serve it"
        cure = f"check the proxy's upstream URL, credentials and rules, then its log: {_see(route, first.image)}"
    elif not evidence.upstream_answers:
        why = f"the proxy answers, but its upstream '{route.registry}' does not (from here: {upstream}), and the proxy has no copy"
        cure = f"restore the upstream, or pull the images once while it is up: {_see(route, first.image)}"
    else:
        why = f"the upstream does not have the image either ({upstream})"
        cure = cure_of(fault, replace(target, image=first.image))
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
    shown = "; ".join(
        f"{each.image} is {each.digest}{_dated(each.created)} at the proxy, {each.upstream_digest}{_dated(each.upstream_created)} upstream"
        for each in drifted[:SHOWN]
    )
    more = f"; and {len(drifted) - SHOWN} more" if len(drifted) > SHOWN else ""
    dates = [(each.created, each.upstream_created) for each in drifted]
    older = all(here is not None and there is not None and here < there for here, there in dates)
    word = "is older than at" if older else "differs from"
    name = image_name(route, Reference.parse(first.image))
    cure = (
        f"shorten how long {route.host} caches tags (docker-registry `proxy.ttl`, Nexus `Maximum metadata age`, nginx "
        f"`proxy_cache_valid` for manifests), or delete {name} there; or use a digest in the spec: "
        f"`{Reference.parse(first.image).pinned(first.upstream_digest or '')}`"
    )
    return warned(ID, target, f"the proxy's image {word} its upstream: {shown}{more}", EXPECTED, cure, kind=DRIFT)


def _dated(created: datetime | None) -> str:
    return f" of {created:%Y-%m-%d %H:%M:%S}Z" if created else ""


def _of_cache(evidence: ProxyObservation, target: Target) -> Finding:
    route = target.route
    alike = sum(1 for each in evidence.images if each.upstream_digest is not None)
    served = f"the proxy serves {len(evidence.images)} of {len(evidence.images)} images"
    compared = f"{alike} with the upstream's digest" if alike else f"not compared: {_unseen(evidence)}"
    words = ", ".join(f"{name}: {value}" for name, value in evidence.headers.items())
    hit = _is_hit(evidence.headers)
    if hit is False:
        cure = (
            f"make the cache at {route.forward_url or route.host} keep blobs: squid `maximum_object_size` above the largest "
            "layer; nginx `proxy_cache` with `proxy_cache_valid 200` and no `proxy_no_cache`; no answer with "
            f"`Cache-Control: no-store`; check by running this twice: {_see(route, evidence.images[0].image)}"
        )
        text = f"{served}, {compared}; the second request for a blob was not a cache hit ({words})"
        return warned(ID, target, text, EXPECTED, cure, kind=NOT_CACHED)
    cached = f"the second request was a hit ({words})" if hit else "its headers do not show whether it was a hit"
    if hit is None and route.forward_url and not route.plain_http:
        cached = "it cannot cache https, which it passes through a tunnel"
    return passed(ID, target, f"{served}, {compared}; {cached}", EXPECTED)


def _unseen(evidence: ProxyObservation) -> str:
    fault = next(each.upstream_fault for each in evidence.images if each.upstream_fault)
    return f"the upstream does not answer from here ({fault})"


def _is_hit(headers: Mapping[str, str]) -> bool | None:
    """Whether any cache on the route reports a hit; None if the headers do not show it."""
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
    looks_at="Sends `HEAD` for each image to the mirror or forward proxy and to its upstream. Requests one config twice and "
    "reads the cache headers (`X-Cache`, `Cache-Status`, `Age` …). If digests differ, it compares creation dates. A request for "
    "a blob that does not exist shows whether a mirror can fetch; if it cannot, `HEAD` for each blob shows what it has. If cold "
    "trials push images to the upstream, it opens an upload there and cancels it.",
    statuses={
        Status.PASS: "the proxy serves every image with the upstream's digest, and no header reports a miss for the second request",
        Status.WARN: "a tag is older than its upstream's (mirror drift); the second request was not a hit; or a mirror cannot "
        "fetch, but has all blobs of the images",
        Status.FAIL: "the proxy does not serve an image (the finding names the cause: the proxy, its upstream, or a missing "
        "image); a mirror lacks layers and cannot fetch them; content does not match its digest; or the upstream refuses the pushes "
        "of cold trials",
    },
    advice="Restore the upstream, fix the proxy's credentials and rules for it, shorten how long it caches tags, or let it cache "
    "large objects. Grant the permission to push to the repository of `cold`. Run this twice: `curl -sSI URL/v2/REPOSITORY/manifests/TAG`.",
    kinds={
        DRIFT: FindingKind(
            cause="The tag was pushed again, and the proxy serves the manifest that it has cached until its time is over.",
            remedy="Shorten how long the proxy caches tags, delete the image there, or use a digest in the spec.",
        ),
        NOT_CACHED: FindingKind(
            cause="The object is larger than the cache keeps, the answer forbids caching, or the cache is full.",
            remedy="Let it keep blobs: squid `maximum_object_size`, nginx `proxy_cache_valid 200`, no answer with `Cache-Control: no-store`.",
        ),
    },
    targets=targets,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
