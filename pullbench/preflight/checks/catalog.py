"""`catalog`: the registry's list of repositories can be read to its end, page by page, without loop or loss."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import look, remedy, skopeo
from pullbench.model.route import DIRECT
from pullbench.model.text import clean
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, skipped, warned
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient
from pullbench.registry.pages import Page

ID = "catalog"
PAGE_SIZE = 100
MOST_PAGES = 20
MOST_NAMES = 20_000
"""Of a registry that ignores `n`."""
MOST_S = 10.0
SHOWN = 3
EXPECTED = "GET /v2/_catalog leads by Link from page to page to the end, each repository once"
_NOT_OFFERED = frozenset({400, 401, 403, 404, 405, 501})


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogListing:
    """What was read of the catalog."""

    page_sizes: tuple[int, ...] = ()
    repositories: int = 0
    """Different names."""
    repeated: tuple[str, ...] = ()
    """Names that came again."""
    unsorted_at: str | None = None
    """The first name that stands before the one that it follows."""
    after_the_end: tuple[str, ...] = ()
    """What `last=` still finds behind a last page without Link: names that a client which follows Link never sees."""
    unlisted: tuple[str, ...] = ()
    """Repositories of the spec that are there, and that a catalog read to its end does not have."""
    ended: bool = False
    """The last page was read; else there is more than is read here, or `fault` came before."""
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> CatalogListing:
    """At most MOST_PAGES pages, and no more after MOST_S: a large registry's catalog is not read whole."""
    client, names, sizes = context.client(target.route), list[str](), list[int]()
    try:
        ended = _read(client.catalog_pages(PAGE_SIZE), names, sizes)
        after = _behind(client, names) if ended and sizes[-1:] == [PAGE_SIZE] else ()
    except RegistryError as error:
        return _listing(names, sizes, fault=ObservedFault.of(error))
    unlisted = () if not ended or after else _unlisted(context, target, frozenset(names))
    return _listing(names, sizes, ended=ended, after=after, unlisted=unlisted)


def _read(pages: Iterator[Page], names: list[str], sizes: list[int]) -> bool:
    """Whether the last page was reached within the bounds."""
    until = time.monotonic() + MOST_S
    for page in pages:
        names += page.entries
        sizes.append(len(page.entries))
        enough = len(sizes) >= MOST_PAGES or len(names) >= MOST_NAMES or time.monotonic() > until
        if page.following is not None and enough:
            return False
    return True


def _behind(client: RegistryClient, names: Sequence[str]) -> tuple[str, ...]:
    """A full page without Link may be the last by chance, or its Link was lost on the way."""
    known = frozenset(names)
    first = next(client.catalog_pages(PAGE_SIZE, after=names[-1]))
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
        reason = f"the registry does not offer its catalog, as many do not: {fault.text}"
        return [skipped(ID, target, reason)]
    if fault is not None and (fault.code is ErrorCode.NOT_A_REGISTRY or evidence.page_sizes):
        told = replace(fault, text=f"{fault.text}, after {_count(evidence)}")
        cure = f"mend the catalog's paging, or the proxy before {route.host} that rewrites it: {see}"
        return [failed(ID, target, told, EXPECTED, cure)]
    if fault is not None:
        return [warned(ID, target, fault, EXPECTED, f"{remedy(fault.code, route)}; {see}")]
    if evidence.after_the_end:
        text = f"{_count(evidence)} and no Link, but `last=` finds more, such as {_some(evidence.after_the_end)}"
        told = ObservedFault(code=ErrorCode.NOT_A_REGISTRY, text=f"the catalog loses repositories: {text}")
        cure = f"let the Link header through where a proxy stands before {route.host}, on its pages too: {see}"
        return [failed(ID, target, told, EXPECTED, cure)]
    return [_of_names(evidence, target, see)]


def _of_names(evidence: CatalogListing, target: Target, see: str) -> Finding:
    route = target.route
    if evidence.repeated:
        text = f"{_count(evidence)}; {len(evidence.repeated)} came more than once, such as {_some(evidence.repeated)}"
        cure = f"whoever reads the catalog must drop what comes twice, or mend its paging: {see}"
        return warned(ID, target, text, EXPECTED, cure)
    if evidence.unlisted and route.proxy == DIRECT:
        text = f"{_count(evidence)}; not among them, and yet there: {_some(evidence.unlisted)}"
        cure = (
            f"do not take the catalog for all that is there: {route.host} shows it by the rights of '{route.credentials}', "
            f"or late after a push; see its tags with `{skopeo('list-tags', route)} docker://{route.host}/{evidence.unlisted[0]}`"
        )
        return warned(ID, target, text, EXPECTED, cure)
    if evidence.unsorted_at is not None and len(evidence.page_sizes) > 1:
        text = f"{_count(evidence)}, not in order: '{clean(evidence.unsorted_at, 120)}' stands behind a later name"
        cure = f"read the catalog by Link alone, never by `last=` of your own: {see}"
        return warned(ID, target, text, EXPECTED, cure)
    more = "" if evidence.ended else f"; more follow, and were not read ({MOST_PAGES} pages, {MOST_S:g} s at most)"
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
    looks_at=f"`GET /v2/_catalog?n={PAGE_SIZE}` and its pages by `Link`, {MOST_PAGES} at most; where a full last page "
    "has no `Link`, also what `last=` finds behind it.",
    statuses={
        Status.PASS: "it was read to its end, or as far as is read here, each repository once and in order",
        Status.WARN: "a repository comes twice or out of order, one of the spec is not listed though it is there, or the "
        "catalog does not answer",
        Status.FAIL: "its pages lead back, are no lists, break off, or end without `Link` before the list does",
        Status.SKIP: "the registry does not offer it (401, 403, 404, 405 …), as Docker Hub and many others do not",
    },
    advice="Let `Link` through where a proxy stands before the registry: `curl -sSi 'URL/v2/_catalog?n=100'`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
