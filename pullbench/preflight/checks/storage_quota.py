"""`storage-quota`: the registry has free storage, as its product's own API reports."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec_fields import ProductName
from pullbench.model.text import format_bytes
from pullbench.preflight.check import Check, FindingKind, Room, Target, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.registry.answer import is_untaken
from pullbench.registry.products import harbor, nexus, pulp, quay
from pullbench.registry.products.api import OAUTH_USERNAME, Product, ProductApi, product_of
from pullbench.registry.products.storage import Space, Storage

ID = "storage-quota"
NOT_HEALTHY = "storage-quota-not-healthy"
READ_ONLY = "storage-quota-read-only"
OVER_QUOTA = "storage-quota-over-quota"
FULL = "storage-quota-full"
TOO_SMALL = "storage-quota-too-small"
NEARLY_FULL = "storage-quota-nearly-full"
EXPECTED = "the registry is healthy, accepts writes, and uses under 80% of its storage"
WARN_SHARE, FULL_SHARE = 0.8, 0.95
_READ = "not supported by pullbench, which reads the storage of Harbor, Nexus, Pulp and Quay"
_NO_API = {
    "distribution": f"{_READ}: check the registry's disk (`df -h` there), its bucket, its console or its own quota API",
    "none": f"{_READ}; if it is one of them, set `product: harbor`, `nexus`, `pulp` or `quay`",
    "quay": "not supported by pullbench with these credentials: Quay shows its quotas only to an OAuth token; set `credentials` to the "
    f"user `{OAUTH_USERNAME}` with a token of the scope `org:admin` as the password (`docker login` takes it too)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageReport:
    """The registry's product and storage. `fills_bytes` is what the run's pulls add to it; None if unknown."""

    product: Product
    storage: Storage | None = None
    silent: str = ""
    """Why the product's API did not answer."""
    is_cache: bool = False
    """Whether pulls write to it, as to a pull-through cache."""
    fills_bytes: int | None = None


def every_storage(context: CheckContext) -> list[Target]:
    """Each endpoint once: routes through forward proxies use the same storage."""
    found: dict[tuple[str, str], Route] = {}
    for route in context.routes:
        kept = found.get((route.url, route.prefix))
        if kept is None or kept.forward_url is not None:
            found[route.url, route.prefix] = route
    return [Target(route=route) for route in found.values()]


def probe(context: CheckContext, target: Target) -> StorageReport:
    route = target.route
    is_cache = route.proxy != DIRECT and route.forward_url is None
    fills = fills_bytes(context.facts, route, context.spec.images, context.platforms)
    named, url = _named(context, route)
    asked = route if url is None else replace(route, url=url, prefix="", headers={}, credentials=_for(url, route))
    with ProductApi(asked, context.keychain) as api:
        product = named if named != "auto" else product_of(api, context.client(route).ping(authenticate=False))
        storage: Storage | None = None
        try:
            if product == "harbor":
                storage = harbor.read_storage(api, _namespaces(context, route))
            elif product == "quay" and api.has_oauth_token:
                storage = quay.read_storage(api, _namespaces(context, route))
            elif product == "nexus":
                storage = nexus.read_storage(api)
            elif product == "pulp":
                storage = pulp.read_storage(api)
        except RegistryError as error:
            if error.code not in (ErrorCode.NOT_FOUND, ErrorCode.NOT_A_REGISTRY) and not is_untaken(error):
                raise
            return StorageReport(product=product, silent=f"{error.where}: {error.detail}")
    is_cache = is_cache or (storage is not None and storage.fills_by_pulls)
    return StorageReport(product=product, storage=storage, is_cache=is_cache, fills_bytes=fills)


def _namespaces(context: CheckContext, route: Route) -> list[str]:
    """The first parts of the names of the spec's repositories: projects of Harbor, organizations of Quay."""
    names = (route.repository(Reference.parse(image)) for image in context.spec.images)
    return list(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))


def _named(context: CheckContext, route: Route) -> tuple[ProductName, str | None]:
    """The product and the URL of its API in the spec."""
    mirror = next(
        (entry for entry in context.spec.proxies if entry.name == route.proxy and entry.kind == "mirror"), None
    )
    entry = mirror or next(entry for entry in context.spec.registries if entry.name == route.registry)
    return entry.product, entry.product_url


def _for(url: str, route: Route) -> str:
    """The credentials for an API at another URL: Docker's for that host; others only if the host is the same."""
    same = urlsplit(url).hostname == urlsplit(route.url).hostname
    return route.credentials if same or route.credentials == "docker" else "anonymous"


def fills_bytes(facts: Facts, route: Route, images: list[str], platforms: tuple[str, ...]) -> int | None:
    """The bytes of all images for all platforms, shared layers counted once; None if one image is unknown."""
    blobs: dict[str, int] = {}
    for image in images:
        for platform in platforms:
            found = facts.platform_image(route.registry, image, platform)
            if found is None:
                return None
            blobs |= {blob.digest: blob.size_bytes for blob in found.manifest.blobs}
    return sum(blobs.values())


def judge(evidence: StorageReport, target: Target) -> list[Finding]:
    storage = evidence.storage
    if storage is None:
        return [Finding(check=ID, target=target.name, status=Status.SKIP, observed=_why_not(evidence))]
    found = [*_parts(storage, target)]
    found += [finding for space in storage.spaces for finding in _room(space, storage, evidence, target)]
    shown = "; ".join(_shown(space) for space in storage.spaces)
    unknown = f"; unknown: {'; '.join(storage.hidden)}" if storage.hidden else ""
    if not found and not storage.spaces:
        observed = f"{storage.name} does not report its storage{unknown}"
        return [Finding(check=ID, target=target.name, status=Status.SKIP, observed=observed, expected=EXPECTED)]
    return found or [passed(ID, target, f"{storage.name}: {shown}{unknown}", EXPECTED)]


def _why_not(evidence: StorageReport) -> str:
    if evidence.silent:
        cure = "set `product_url` to the URL of its UI and REST API, or `product: none`"
        return f"the API of {evidence.product.capitalize()} does not answer ({evidence.silent}); {cure}"
    return _NO_API[evidence.product]


def _parts(storage: Storage, target: Target) -> Iterator[Finding]:
    for ailment in storage.ailments:
        text = f"{storage.name}: {ailment.name} is not healthy: {ailment.text}"
        yield failed(ID, target, text, EXPECTED, ailment.remedy, kind=NOT_HEALTHY)
    if storage.read_only:
        text = f"{storage.name} is in read-only mode: it refuses pushes, and a pull-through cache stores nothing"
        yield warned(ID, target, text, EXPECTED, storage.read_only_remedy, kind=READ_ONLY)


def _room(space: Space, storage: Storage, evidence: StorageReport, target: Target) -> Iterator[Finding]:
    """Fail if a cache cannot store the run's images, because pulls write to it; elsewhere only pushes are at risk."""
    share, text = space.used_share, f"{storage.name}: {_shown(space)}"
    need = evidence.fills_bytes or 0
    if space.over_quota:
        yield warned(ID, target, f"{storage.name}: {space.over_quota}", EXPECTED, space.remedy, kind=OVER_QUOTA)
    if space.free_bytes is None or share is None:
        return
    if space.free_bytes == 0:
        yield failed(ID, target, f"{text}: it is full", EXPECTED, space.remedy, kind=FULL)
    elif evidence.is_cache and need > space.free_bytes:
        text = f"{text}: the run's images need {format_bytes(need)} in this cache"
        yield failed(ID, target, text, EXPECTED, space.remedy, kind=TOO_SMALL)
    elif share > FULL_SHARE and evidence.is_cache:
        yield failed(
            ID, target, f"{text}: a cache this full evicts or refuses images", EXPECTED, space.remedy, kind=NEARLY_FULL
        )
    elif share > FULL_SHARE:
        yield warned(
            ID, target, f"{text}: pulls work, but pushes will soon fail", EXPECTED, space.remedy, kind=NEARLY_FULL
        )
    elif share > WARN_SHARE:
        yield warned(ID, target, text, EXPECTED, space.remedy, kind=NEARLY_FULL)


def _shown(space: Space) -> str:
    used = "" if space.used_bytes is None else f"{format_bytes(space.used_bytes)} used"
    if space.free_bytes is None:
        return f"{space.name}: {used}, no limit".replace(": ,", ":")
    share = space.used_share
    percent = "" if share is None else f" ({share:.0%})"
    return f"{space.name}: {used}{percent}, {format_bytes(space.free_bytes)} free"


CHECK = Check(
    id=ID,
    room=Room.STORAGE,
    looks_at="Detects the product of the registry or mirror (or takes it from `product`), and queries its own API: Harbor's "
    "health, read-only mode, volumes and the quota of each project in the spec; Nexus's blob stores, their soft quotas and "
    "whether it accepts writes; the disk in Pulp's status; the quotas of Quay's organizations, with an OAuth token. It sends the spec's credentials, only over https or to this machine. Values that they may not "
    "see are listed with the missing permission.",
    statuses={
        Status.PASS: "everything visible is healthy, and at most 80% is used or there is no limit",
        Status.WARN: "over 80% is used (of a cache: up to 95%), a soft quota is exceeded, or the registry is read-only",
        Status.FAIL: "a component is not healthy; no storage is free; or, in a cache, over 95% is used or the run's images do not "
        "fit",
        Status.SKIP: "pullbench does not support the product (CNCF distribution, hosted services, Quay without an OAuth token), or the product does not show its storage to these "
        "credentials",
    },
    advice="Raise the quota or run garbage collection; the finding gives the path in the product's UI and the `curl` command. Use "
    "credentials of a system administrator, or a robot account with the listed permission.",
    kinds={
        NOT_HEALTHY: FindingKind(
            cause="A component of the registry reports that it does not work, such as its database, its cache or its storage.",
            remedy="Look at the component's log; the finding names it and gives the command.",
        ),
        READ_ONLY: FindingKind(
            cause="An administrator or a maintenance task has made the registry read-only. Pushes fail, and a pull-through cache stores nothing.",
            remedy="End the read-only mode; the finding gives the path in the product's UI.",
        ),
        OVER_QUOTA: FindingKind(
            cause="The content of the project or blob store is larger than its soft quota. Pushes still work.",
            remedy="Raise the quota, or delete images and run garbage collection.",
        ),
        FULL: FindingKind(
            cause="The quota or the disk has no byte left. Pushes fail, and a cache stores nothing.",
            remedy="Raise the quota or add storage; delete images and run garbage collection.",
        ),
        TOO_SMALL: FindingKind(
            cause="The images of the run need more than is free in this cache, so it evicts them or does not store them.",
            remedy="Raise the cache's quota, or measure fewer images.",
        ),
        NEARLY_FULL: FindingKind(
            cause="Images were added and never deleted, or deleted without garbage collection. Over 95% is a failure in a cache.",
            remedy="Raise the quota, or run garbage collection; the finding gives the path in the product's UI.",
        ),
    },
    targets=every_storage,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "credentials", "auth"}),
)
