"""Resolves an image: its manifests for the platforms of a plan, and the types and answers that clients judge it by."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from pullbench.errors import ROUTE_FAILURES, ErrorCode, RegistryError, UsageError
from pullbench.model.facts import HeadAnswer, ImageFacts, Listing, PlatformImage, ServedType
from pullbench.model.image_config import parse_image_config
from pullbench.model.manifest import MAX_NESTED_INDEXES, Descriptor, Index
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.registry.client import FetchedManifest, NoImageError, RegistryClient, is_refused_head


def image_facts(
    client: RegistryClient, registry: str, image: str, platforms: Sequence[str], *, for_clients: bool = False
) -> ImageFacts:
    """An image on the client's route, for each of the platforms; missing content raises nothing.

    A platform that the image lacks is left out. A failure is in `error_code` and `error`, next to the results before it.
    `for_clients` also asks for the answers by digest, which other clients than wire judge.
    """
    facts = ImageFacts(registry=registry, image=image)
    found: dict[str, PlatformImage] = {}
    try:
        reference = Reference.parse(image)
        top = client.manifest(reference)
        facts = replace(facts, digest=top.digest, is_index=isinstance(top.document, Index), platforms=found)
        fetch = cache(lambda digest: client.manifest(reference.pinned(digest)))
        stated = cache(lambda config: stated_platform(client, reference, config))
        for text in platforms:
            chosen = find_platform(top, Platform.parse(text), fetch=fetch, stated=stated)
            if chosen is not None:
                found[text] = chosen
        if for_clients:
            head = head_answer(client, reference.pinned(top.digest))
            facts = replace(facts, head=head)
            if (retyped := _retyped(client, reference.pinned(top.digest), top.served, head)) is not None:
                found.update({text: replace(each, served=(*each.served, retyped)) for text, each in found.items()})
    except RegistryError as error:
        return replace(facts, error_code=error.code, error=f"{_place(error)}: {error.detail}")
    except UsageError as error:  # the credentials source failed
        return replace(facts, error_code=ErrorCode.UNAUTHORIZED, error=str(error))
    return facts


def head_answer(client: RegistryClient, reference: Reference) -> HeadAnswer | None:
    """The answer to HEAD of a manifest that GET finds; None if there is none, or if answers differ between requests."""
    refused = None
    try:
        head = client.head_manifest(reference)
    except RegistryError as error:
        if not is_refused_head(error):
            return None
        refused = error.status
    else:
        return head.answer
    if may_differ(refused):
        with contextlib.suppress(RegistryError):
            client.head_manifest(reference)
            return None
    return HeadAnswer(status=refused or 0)


def served_by_digest(client: RegistryClient, pinned: Reference, by_tag: ServedType) -> ServedType | None:
    """The type of a manifest by its digest, as a run and many users pull it; None if it is that of the tag, or not known.

    Some caches forget the type. HEAD is asked first, and GET decides: HEAD may have another type than GET.
    """
    return _retyped(client, pinned, by_tag, head_answer(client, pinned))


def _retyped(
    client: RegistryClient, pinned: Reference, by_tag: ServedType, head: HeadAnswer | None
) -> ServedType | None:
    if head is None or head.status >= 300 or head.content_type == by_tag.content_type:
        return None
    with contextlib.suppress(RegistryError):
        found = client.manifest(pinned).served
        return None if found == by_tag else found
    return None


def may_differ(status: int | None) -> bool:
    """Whether another replica may answer a HEAD that was refused so; a 403 or 405 is a rule of all of them."""
    return status is not None and (status == 404 or status >= 500)


def _place(error: RegistryError) -> str:
    """Where an exchange failed; only the server if it cannot be reached, since that concerns no image."""
    method, _, url = error.where.partition(" ")
    if error.code not in ROUTE_FAILURES or "://" not in url:
        return error.where
    return f"{method} {'/'.join(url.split('/', 3)[:3])}"


def find_platform(
    top: FetchedManifest,
    wanted: Platform,
    *,
    fetch: Callable[[str], FetchedManifest],
    stated: Callable[[Descriptor], Platform | None],
) -> PlatformImage | None:
    """The image for a platform, through the index or an index in it, as docker and containerd find it; None if it lacks it.

    An index's entry decides. Only where nothing names a platform, the config's counts, and a config without one fits. `fetch`
    returns a manifest by digest, `stated` the platform in a config. Raises RegistryError if the image is no image.
    """
    found, depth, entry, served = top, 0, None, [top.served]
    while isinstance(found.document, Index):
        if depth == MAX_NESTED_INDEXES or (entry := found.document.select(wanted)) is None:
            return None
        found, depth = fetch(entry.digest), depth + 1
        served.append(found.served)
    if (artifact := found.document.artifact) is not None:
        where = f"manifest {found.digest}"
        raise NoImageError(
            where, f"it is {artifact}, not an image", "remove it from `images`, or name the image that it deploys"
        )
    if entry is None or entry.platform is None:
        named = stated(found.document.config)
        if named is not None and not wanted.accepts_unlisted(named):
            return None
    listing = None
    if isinstance(top.document, Index) and entry is not None:
        other = top.document.containers_select(wanted)
        listing = Listing(
            platform=entry.platform, depth=depth, containers_digest=None if other is None else other.digest
        )
    return PlatformImage(digest=found.digest, manifest=found.document, listing=listing, served=tuple(served))


def stated_platform(client: RegistryClient, reference: Reference, config: Descriptor) -> Platform | None:
    """The platform in an image's config (OCI image spec, config); None if it has none."""
    return parse_image_config(client.config(client.route.repository(reference), config)).platform
