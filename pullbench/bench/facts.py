"""Gathers the facts for a plan: the registries' images, and the engines that can be used here."""

import dataclasses
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pullbench.engines.base import Engine
from pullbench.errors import RETRYABLE, ROUTE_FAILURES, SILENT, ErrorCode
from pullbench.model.facts import EngineFacts, Facts, ImageFacts
from pullbench.model.plan import routes
from pullbench.model.platform import Platform
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import Spec
from pullbench.preflight.parallel import in_parallel, with_timeout
from pullbench.registry.client import image_facts, quick_client
from pullbench.registry.keychain import Keychain

_LOOKUPS_AT_ONCE = 8
REGISTRY_S = 180.0
"""The time limit for all images of one registry."""


def host_platform() -> str:
    """The platform of this machine's images."""
    return str(Platform.of_machine(platform.machine()))


def offline_facts() -> Facts:
    """Facts for a plan without network access: sizes and engines are unknown, and nothing is excluded for that."""
    return Facts(host_platform=host_platform(), offline=True)


def gather_facts(
    spec: Spec, engines: Mapping[str, Engine], *, keychain: Keychain, brought: Callable[[str], frozenset[str]]
) -> Facts:
    """Request every image from every registry, and query every engine; failures are facts, not exceptions.

    `brought` returns the images that earlier runs left in a store, by the store's ID: runs may remove them, so they do not
    count as present.
    """
    platforms = spec.matrix.platforms or [host_platform()]
    routes = list(_first_routes(spec).values())
    asked: list[Callable[[], EngineFacts | list[ImageFacts]]] = [
        *(partial(_engine_facts, engine, brought) for engine in engines.values()),
        *(partial(_images_of, route, spec.every_image, platforms, keychain) for route in routes),
    ]
    found = in_parallel(asked, limit=_LOOKUPS_AT_ONCE, name="facts")
    return Facts(
        host_platform=host_platform(),
        engines={entry.name: entry for entry in found if isinstance(entry, EngineFacts)},
        images={(entry.registry, entry.image): entry for each in found if isinstance(each, list) for entry in each},
    )


def _first_routes(spec: Spec) -> dict[str, Route]:
    """One route to each registry: without a proxy if the matrix has that, else through its first proxy."""
    chosen: dict[str, Route] = {}
    for (registry, proxy), route in routes(spec).items():
        if registry not in chosen or proxy == DIRECT:
            chosen[registry] = route
    return chosen


def _images_of(route: Route, images: Sequence[str], platforms: list[str], keychain: Keychain) -> list[ImageFacts]:
    """The images within REGISTRY_S: a registry that answers very slowly must not block everything."""
    try:
        return with_timeout(partial(_gathered, route, images, platforms, keychain), REGISTRY_S, name="facts")
    except TimeoutError:
        untold = ImageFacts(
            registry=route.registry,
            image=images[0],
            error_code=ErrorCode.STALLED,
            error=f"{route.url}: its images could not be read within {REGISTRY_S:g} s",
        )
        return _copies(untold, images)


def _gathered(route: Route, images: Sequence[str], platforms: list[str], keychain: Keychain) -> list[ImageFacts]:
    """The first images show whether the registry can be reached and answers; then the others follow concurrently."""
    with quick_client(route, keychain) as client:

        def ask(image: str) -> ImageFacts:
            found = image_facts(client, route.registry, image, platforms)
            if (
                found.error_code in RETRYABLE - ROUTE_FAILURES - SILENT
            ):  # retry: one bad answer is no fact about an image
                found = image_facts(client, route.registry, image, platforms)
            return found

        first = [ask(images[0])]
        if first[0].error_code in ROUTE_FAILURES:
            return _copies(first[0], images)
        if first[0].error_code in SILENT and len(images) > 1:
            first.append(ask(images[1]))
            if first[1].error_code in SILENT:
                return [first[0], *_copies(first[1], images[1:])]
        rest = [partial(ask, image) for image in images[len(first) :]]
        return [*first, *in_parallel(rest, limit=_LOOKUPS_AT_ONCE, name="images")]


def _copies(found: ImageFacts, images: Sequence[str]) -> list[ImageFacts]:
    return [dataclasses.replace(found, image=image) for image in images]


def _engine_facts(engine: Engine, brought: Callable[[str], frozenset[str]]) -> EngineFacts:
    facts = engine.facts()
    if facts.store_id is None:
        return facts
    return dataclasses.replace(facts, present=facts.present - brought(facts.store_id))
