"""`catalog`: the registry's list of repositories can be read page by page to the end, without loops or gaps."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import look, skopeo
from pullbench.model.route import DIRECT
from pullbench.model.text import clean
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    every_route,
    passed,
    skipped,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient
from pullbench.registry.pages import Page

ID = "catalog"
LISTED_TWICE = "catalog-listed-twice"
NOT_LISTED = "catalog-not-listed"
NOT_SORTED = "catalog-not-sorted"
PAGE_SIZE = 100
MOST_PAGES = 20
MOST_NAMES = 20_000
"""The limit for registries that ignore `n`."""
MOST_S = 10.0
SHOWN = 3
EXPECTED = "the Link headers of GET /v2/_catalog lead through all pages, and each repository is listed once"
_NOT_OFFERED = frozenset({400, 401, 403, 404, 405, 501})


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogListing:
    """The part of the catalog that was read."""

    page_sizes: tuple[int, ...] = ()
    repositories: int = 0
    """The number of distinct names."""
    repeated: tuple[str, ...] = ()
    """Names that were listed more than once."""
    unsorted_at: str | None = None
    """The first name that is out of order."""
    after_the_end: tuple[str, ...] = ()
    """Names that `last=` finds after a last page without Link; a client that follows Link never sees them."""
    unlisted: tuple[str, ...] = ()
    """Repositories of the spec that exist but are missing from the complete catalog."""
    ended: bool = False
    """Whether the last page was read; else a limit was reached, or `fault` ended the reading."""
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> CatalogListing:
    """Read at most MOST_PAGES pages for at most MOST_S: a large catalog is not read completely."""
    client, names, sizes = context.client(target.route), list[str](), list[int]()
    try:
        last = _read(client.catalog_pages(PAGE_SIZE), names, sizes)
        after = _behind(client, names, last.size) if last and last.size and last.size == len(last.entries) else ()
    except RegistryError as error:
        return _listing(names, sizes, fault=ObservedFault.of(error))
    unlisted = () if last is None or after else _unlisted(context, target, frozenset(names))
    return _listing(names, sizes, ended=last is not None, after=after, unlisted=unlisted)


def _read(pages: Iterator[Page], names: list[str], sizes: list[int]) -> Page | None:
    """Read pages up to the limits; return the last page, or None if it was not reached."""
    page = None
    until = time.monotonic() + MOST_S
    for page in pages:
        names += page.entries
        sizes.append(len(page.entries))
        enough = len(sizes) >= MOST_PAGES or len(names) >= MOST_NAMES or time.monotonic() > until
        if page.following is not None and enough:
            return None
    return page


def _behind(client: RegistryClient, names: Sequence[str], size: int) -> tuple[str, ...]:
    """Names after a full page without Link: the page may be the last, or a proxy may have removed its Link."""
    known = frozenset(names)
    first = next(client.catalog_pages(size, after=names[-1]))
    return tuple(name for name in first.entries if name not in known)


def _unlisted(context: CheckContext, target: Target, listed: frozenset[str]) -> tuple[str, ...]:
    route, missing = target.route, list[str]()
    for image in context.spec.images:
        repository = route.repository(Reference.parse(image))
        if repository in listed or repository in missing:
            continue
        try:
            context.head(route, image)
        except RegistryError:
            continue
        missing.append(repository)
    return tuple(missing)


def _listing(
    names: Sequence[str],
    sizes: Sequence[int],
    *,
    ended: bool = False,
    after: tuple[str, ...] = (),
    unlisted: tuple[str, ...] = (),
    fault: ObservedFault | None = None,
) -> CatalogListing:
    seen: set[str] = set()
    repeated: dict[str, None] = {}
    for name in names:
        if name in seen:
            repeated[name] = None
        seen.add(name)
    disordered = (name for before, name in itertools.pairwise(names) if name < before)
    return CatalogListing(
        page_sizes=tuple(sizes),
        repositories=len(seen),
        repeated=tuple(repeated),
        unsorted_at=next(disordered, None),
        after_the_end=after,
        unlisted=unlisted,
        ended=ended,
        fault=fault,
    )


def judge(evidence: CatalogListing, target: Target) -> list[Finding]:
    route, fault = target.route, evidence.fault
    see = f"`{look(f'_catalog?n={PAGE_SIZE}', route)}`"
    if fault is not None and not evidence.page_sizes and fault.status in _NOT_OFFERED:
        reason = f"the registry does not offer its catalog (many do not): {fault.text}"
        return [skipped(ID, target, reason)]
    if fault is not None and (fault.code is ErrorCode.NOT_A_REGISTRY or evidence.page_sizes):
        fault = replace(fault, text=f"{fault.text}, after {_count(evidence)}")
        cure = f"fix the catalog's paging, or the proxy in front of {route.host} that changes it: {see}"
        return [warned(ID, target, fault, EXPECTED, cure)]
    if fault is not None:
        return [warned(ID, target, fault, EXPECTED, f"{cure_of(fault, target)}; {see}")]
    if evidence.after_the_end:
        text = f"{_count(evidence)} and no Link, but `last=` finds more, such as {_some(evidence.after_the_end)}"
        fault = ObservedFault(code=ErrorCode.NOT_A_REGISTRY, text=f"the catalog is incomplete: {text}")
        cure = f"pass the Link header through the proxy in front of {route.host}, on every page: {see}"
        return [warned(ID, target, fault, EXPECTED, cure)]
    return [_of_names(evidence, target, see)]


def _of_names(evidence: CatalogListing, target: Target, see: str) -> Finding:
    route = target.route
    if evidence.repeated:
        text = f"{_count(evidence)}; {len(evidence.repeated)} listed more than once, such as {_some(evidence.repeated)}"
        cure = f"fix the catalog's paging, or remove duplicates where you read it: {see}"
        return warned(ID, target, text, EXPECTED, cure, kind=LISTED_TWICE)
    if evidence.unlisted and route.proxy == DIRECT:
        text = f"{_count(evidence)}; these exist but are not listed: {_some(evidence.unlisted)}"
        cure = (
            f"do not rely on the catalog of {route.host}: it may depend on the permissions of '{route.credentials}', or lag "
            f"after a push; list the tags with `{skopeo('list-tags', route)} docker://{route.host}/{evidence.unlisted[0]}`"
        )
        return warned(ID, target, text, EXPECTED, cure, kind=NOT_LISTED)
    if evidence.unsorted_at is not None and len(evidence.page_sizes) > 1:
        text = f"{_count(evidence)}, not sorted: '{clean(evidence.unsorted_at, 120)}' follows a later name"
        cure = f"read the catalog only by its Link headers, not with your own `last=`: {see}"
        return warned(ID, target, text, EXPECTED, cure, kind=NOT_SORTED)
    more = "" if evidence.ended else f"; there are more, not read (the limit is {MOST_PAGES} pages or {MOST_S:g} s)"
    return passed(ID, target, f"{_count(evidence)}{more}", EXPECTED)


def _count(evidence: CatalogListing) -> str:
    pages, found = len(evidence.page_sizes), evidence.repositories
    names = "1 repository" if found == 1 else f"{found} repositories"
    return f"{names} on {'1 page' if pages == 1 else f'{pages} pages'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(clean(name, 120) for name in names[:SHOWN]) + (
        f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    )


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at=f"Reads `GET /v2/_catalog?n={PAGE_SIZE}` and follows `Link` for at most {MOST_PAGES} pages. If a full last page "
    "has no `Link`, it also looks for more names with `last=`. If the registry refuses the page size, it requests 50 names.",
    statuses={
        Status.PASS: "the catalog was read to its end or to the limit, with each repository once and in order",
        Status.WARN: "the pages form a loop, are no lists, break off, or end without `Link` before the list ends; a repository is "
        "listed twice or out of order, or one of the spec exists but is not listed; or the catalog does not answer. No pull uses "
        "the catalog, so nothing of it stops a run",
        Status.SKIP: "the registry does not offer its catalog (401, 403, 404, 405 …), as Docker Hub and many others",
    },
    advice="Pass `Link` through the proxy in front of the registry: `curl -sSi 'URL/v2/_catalog?n=100'`.",
    kinds={
        LISTED_TWICE: FindingKind(
            cause="Pages of the catalog overlap, because the registry sorts or counts them in another order than it reads them.",
            remedy="Fix the catalog's paging, or remove duplicates where you read it.",
        ),
        NOT_LISTED: FindingKind(
            cause="The catalog depends on the permissions of the login, or lags after a push.",
            remedy="Do not rely on the catalog; list the tags of a repository: `skopeo list-tags docker://HOST/REPOSITORY`.",
        ),
        NOT_SORTED: FindingKind(
            cause="The registry lists repositories in the order of its database. A reader that continues with `last=` then misses some.",
            remedy="Read the catalog only by its `Link` headers.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
