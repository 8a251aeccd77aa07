"""Turns a spec and the facts into routes, configurations, trials, and excluded configurations with their reasons.

Pure: the same input gives the same plan.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pullbench.errors import UsageError
from pullbench.model.capability import CAPABILITIES, AuthMode, CacheState, ProxyCacheState
from pullbench.model.client_rules import Client, head_refusals, refusals
from pullbench.model.factor_words import factor_text
from pullbench.model.facts import EngineFacts, Facts, PlatformImage
from pullbench.model.platform import Platform
from pullbench.model.ramp import Stage
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import Load, ProxyEntry, RegistryEntry, Spec
from pullbench.model.text import count
from pullbench.model.workload import SourceImage, workload_like

FACTORS = ("engine", "registry", "proxy", "platform", "concurrency", "cache", "proxy_cache", "auth")
"""The factors of a configuration, in the order of the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination of the factors."""

    engine: str
    engine_kind: str
    registry: str
    region: str
    proxy: str
    platform: str
    concurrency: int
    cache: CacheState
    proxy_cache: ProxyCacheState
    auth: AuthMode

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        """The configuration as a person reads it; what a factor usually is, is left out."""
        return " · ".join(filter(None, (factor_text(name, getattr(self, name)) for name in FACTORS)))


def pulls_once(spec: Spec, cell: Cell) -> str | None:
    """Why a trial pulls an image at most once: a store that has it after the first pull. None if there is none."""
    if CAPABILITIES[cell.engine_kind].has_store:
        return f"engine '{cell.engine}' pulls an image at most once a trial"
    if cell.proxy_cache == "cold" and any(entry.cold and entry.cold.reset for entry in _proxy_of(spec, cell)):
        return f"proxy '{cell.proxy}' has an image after one pull, so a cold trial pulls it only once"
    return None


def _proxy_of(spec: Spec, cell: Cell) -> list[ProxyEntry]:
    return [entry for entry in spec.proxies if entry.name == cell.proxy]


def trial_images(spec: Spec, cell: Cell) -> tuple[str, ...]:
    """The images of a trial, one entry per pull; an image occurs once if a second pull would differ."""
    pulls = spec.pulls_per_trial or max(len(spec.images), *spec.matrix.concurrency)
    if pulls_once(spec, cell) is not None:
        pulls = min(pulls, len(spec.images))
    return tuple(itertools.islice(itertools.cycle(spec.images), pulls))


def expected_image(facts: Facts, cell: Cell, image: str) -> PlatformImage:
    """The manifest expected for a pull; KeyError for images that `unknown_image` reports."""
    found = facts.platform_image(cell.registry, image, cell.platform)
    if found is None:
        raise KeyError(f"{image} for {cell.platform} at {cell.registry}")
    return found


def routes(spec: Spec) -> dict[tuple[str, str], Route]:
    """All valid routes of the matrix, by (registry, proxy); a mirror only leads to its upstream."""
    registries = [entry for entry in spec.registries if entry.name in (spec.matrix.registries or [entry.name])]
    proxies = {entry.name: entry for entry in spec.proxies}
    return {
        (registry.name, proxy): route_of(registry, proxies.get(proxy))
        for registry in registries
        for proxy in spec.matrix.proxies
        if proxy == DIRECT or proxies[proxy].upstream in (None, registry.name)
    }


def route_of(registry: RegistryEntry, proxy: ProxyEntry | None) -> Route:
    """The route to a registry through a proxy; None is without a proxy."""
    if proxy is None or proxy.kind == "forward":
        return Route(
            registry=registry.name,
            proxy=DIRECT if proxy is None else proxy.name,
            region=registry.region,
            url=registry.url,
            forward_url=None if proxy is None else proxy.url,
            forward_credentials=_forward_credentials(proxy),
            forward_sends_in_clear=proxy is not None and proxy.plain_http_credentials == "send",
            ca_file=registry.ca_file,
            credentials=registry.credentials,
            sends_in_clear=registry.plain_http_credentials == "send",
        )
    return Route(
        registry=registry.name,
        proxy=proxy.name,
        region=registry.region,
        url=proxy.url,
        prefix=proxy.prefix.strip("/"),
        ca_file=proxy.ca_file,
        credentials=proxy.credentials,
        sends_in_clear=proxy.plain_http_credentials == "send",
        headers=proxy.headers,
        namespace=proxy.namespace or "",
    )


def _forward_credentials(proxy: ProxyEntry | None) -> str:
    """A forward proxy's credentials must be named in the spec: Docker's config.json only has logins for registries."""
    named = proxy is not None and proxy.credentials.startswith(("env:", "block:"))
    return proxy.credentials if proxy is not None and named else "anonymous"


def refusal(cell: Cell, spec: Spec, facts: Facts) -> str | None:
    """Why a configuration is excluded; None if it is not."""
    capability = CAPABILITIES[cell.engine_kind]
    proxy = next((entry for entry in spec.proxies if entry.name == cell.proxy), None)
    if proxy is not None and proxy.upstream not in (None, cell.registry):
        return f"proxy '{proxy.name}' is a mirror of '{proxy.upstream}', not of '{cell.registry}'"
    if proxy is not None and (reason := spec.engine(cell.engine).refuses_proxy(proxy.kind, proxy.url)) is not None:
        return f"engine '{cell.engine}': {reason}"
    registry = next(entry for entry in spec.registries if entry.name == cell.registry)
    for demand in route_of(registry, proxy).demands:
        if (reason := capability.refusal("proxy", demand)) is not None:
            return f"engine '{cell.engine}': {reason}"
    for factor in ("cache", "proxy_cache", "auth"):
        if (reason := capability.refusal(factor, getattr(cell, factor))) is not None:
            return f"engine '{cell.engine}': {reason}"
    if (reason := _proxy_cache_refusal(cell, spec, proxy)) is not None:
        return reason
    pulls = len(trial_images(spec, cell))
    if cell.concurrency > pulls:
        workers = f"cannot keep {cell.concurrency} workers busy"
        if (once := pulls_once(spec, cell)) is not None and pulls == len(spec.images):
            return f"{once}: {count(pulls, 'image')} {workers}; add images or lower the concurrency"
        return f"{count(pulls, 'pull')} per trial {workers}; raise `pulls_per_trial` or lower the concurrency"
    return _refused_by_facts(cell, spec, facts)


def _proxy_cache_refusal(cell: Cell, spec: Spec, proxy: ProxyEntry | None) -> str | None:
    """Why the proxy's store cannot have the required state, or the state has no effect."""
    state = cell.proxy_cache
    if state == "any":
        return None
    if proxy is None:
        return f"direct has no cache, so cold and warm do not apply: {_measured_as_any(spec)}"
    if proxy.kind == "forward":
        return (
            f"proxy '{proxy.name}' is a forward proxy, and pullbench cannot make its cache cold or warm: "
            f"{_measured_as_any(spec)}"
        )
    if cell.cache == "warm":
        return f"a client with a warm cache requests no layer from proxy '{proxy.name}': use `cache: [cold]`"
    if state == "warm":
        return None
    if proxy.cold is None:
        return (
            f"the spec does not say how to make proxy '{proxy.name}' cold: add `cold: {{push: REPOSITORY}}` (synthetic images, "
            f"pushed to '{proxy.upstream}') or `cold: {{reset: [COMMAND]}}`"
        )
    if proxy.cold.push is not None and spec.engine(cell.engine).base_images:
        return (
            f"engine '{cell.engine}' pulls `base_images`, which proxy '{proxy.name}' already has: "
            "remove `strategy: base-first`, or set `cold: {reset: [COMMAND]}` for the proxy"
        )
    return None


def _measured_as_any(spec: Spec) -> str:
    """Where a route is measured whose cache has no state that pullbench can set."""
    states = spec.matrix.proxy_cache
    if "any" in states:
        return "it is measured with `any`"
    return f"add `any`: `proxy_cache: [{', '.join(['any', *states])}]`"


def _refused_by_facts(cell: Cell, spec: Spec, facts: Facts) -> str | None:
    engine = facts.engines.get(cell.engine)
    if engine is None:
        return None
    if engine.unavailable is not None:
        return f"engine '{cell.engine}': {engine.unavailable}"
    if (reason := _refused_by_client(cell, spec, facts, engine)) is not None:
        return reason
    if cell.cache == "cold" and spec.cache_reset == "own":
        for image in spec.images:
            if facts.identities(cell.registry, image, cell.platform) & engine.present:
                return (
                    f"{image} was in the store of '{cell.engine}' before the run, so its pulls would not be cold: "
                    "remove it, or set `cache_reset: remove`"
                )
    return None


def _refused_by_client(cell: Cell, spec: Spec, facts: Facts, engine: EngineFacts) -> str | None:
    """Why the engine's client refuses an image that the registry has, or the answer to HEAD of it. A run pulls by digest."""
    client = Client.of_engine(engine)
    is_asked = not _is_mirrored(cell, spec)
    for image in (*spec.engine(cell.engine).base_images, *spec.images):
        found = facts.platform_image(cell.registry, image, cell.platform)
        if found is None:
            continue
        reasons = refusals(found, Platform.parse(cell.platform), client)
        head = facts.images[cell.registry, image].head
        if head is not None and is_asked:
            reasons += head_refusals(head, client, by_digest=True)
        if reasons:
            return f"engine '{cell.engine}' does not pull {image} for {cell.platform}: {reasons[0]}"
    return None


def _is_mirrored(cell: Cell, spec: Spec) -> bool:
    """Whether a mirror answers the client's requests, while the facts are the registry's own answers."""
    return DIRECT in spec.matrix.proxies and any(entry.kind == "mirror" for entry in _proxy_of(spec, cell))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOut:
    """An excluded configuration, and the reason."""

    cell: Cell
    reason: str


class NoCellLeft(UsageError):  # noqa: N818  (it is a verdict, not an error)
    """Every configuration of a spec's matrix is excluded; `planned_out` has the reasons."""

    def __init__(self, planned_out: tuple[PlannedOut, ...]) -> None:
        self.planned_out = planned_out
        super().__init__(f"matrix: no configuration is left to measure: {'; '.join(group_reasons(planned_out))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration in one repetition; `images` has one entry per pull."""

    number: int
    block: int
    """The repetition: every configuration runs once in it. The column `block` of the results."""
    warmup: bool
    cell: Cell
    images: tuple[str, ...]
    bases: tuple[str, ...] = ()
    """Base images that each pull downloads first; the image may share layers with them."""
    load: Load | None = None
    """How its pulls are offered; None means as in the spec."""
    stage: Stage | None = None
    """Its step in a stress test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a run. `bytes` is None if a size is unknown: offline, or for a missing image."""

    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    planned_out: tuple[PlannedOut, ...]
    bytes: int | None
    manifest_requests: int
    pushed_bytes: int | None = 0
    """Bytes of synthetic images, pushed to upstreams before trials with a cold mirror; None if sizes are unknown."""
    warmed_bytes: int | None = 0
    """Bytes pulled through mirrors to warm them: one pass; a mirror that does not confirm a hit gets a second one."""
    stored_bytes: int | None = 0
    """Bytes pulled into engines' stores before warm trials."""

    @property
    def setup_bytes(self) -> int | None:
        """All bytes transferred outside the measured pulls; None if a size is unknown."""
        parts = (self.pushed_bytes, self.warmed_bytes, self.stored_bytes)
        return None if None in parts else sum(part or 0 for part in parts)

    def as_dict(self) -> dict[str, Any]:
        """The document of `plan --json`."""
        return {
            "cells": [cell.as_dict() for cell in self.cells],
            "trials": [
                {"trial": trial.number, "block": trial.block, "warmup": trial.warmup, "pulls": len(trial.images)}
                | trial.cell.as_dict()
                for trial in self.trials
            ],
            "planned_out": [{"cell": entry.cell.as_dict(), "reason": entry.reason} for entry in self.planned_out],
            "bytes": self.bytes,
            "manifest_requests": self.manifest_requests,
            "pushed_bytes": self.pushed_bytes,
            "warmed_bytes": self.warmed_bytes,
            "stored_bytes": self.stored_bytes,
        }


def plan(spec: Spec, facts: Facts) -> Plan:
    """The configurations, their trials in seeded random order per repetition, and the excluded configurations with reasons.

    Raises NoCellLeft.
    """
    cells, planned_out = plan_cells(spec, facts)
    return plan_of(tuple(_trials(spec, cells)), cells, planned_out, spec, facts)


def plan_of(
    trials: tuple[Trial, ...], cells: Sequence[Cell], planned_out: Sequence[PlannedOut], spec: Spec, facts: Facts
) -> Plan:
    """A plan of these trials, with their cost."""
    alike = _alike(trials)
    return Plan(
        cells=tuple(cells),
        trials=trials,
        planned_out=tuple(planned_out),
        bytes=_bytes([(trial, count) for trial, count in alike if trial.cell.cache != "warm"], facts),
        manifest_requests=sum(count * manifest_requests(trial, facts) for trial, count in alike),
        pushed_bytes=_pushed_bytes(alike, spec, facts),
        warmed_bytes=_bytes(
            [(_once_each(trial), count) for trial, count in alike if trial.cell.proxy_cache == "warm"], facts
        ),
        stored_bytes=_bytes([(trial, 1) for trial in _stored(trials)], facts),
    )


def plan_cells(spec: Spec, facts: Facts) -> tuple[list[Cell], list[PlannedOut]]:
    """The configurations and the excluded ones, without trials; NoCellLeft if all are excluded."""
    cells: list[Cell] = []
    planned_out: list[PlannedOut] = []
    for cell in _combinations(spec, facts):
        reason = refusal(cell, spec, facts)
        if reason is None:
            cells.append(cell)
        else:
            planned_out.append(PlannedOut(cell=cell, reason=reason))
    if not cells:
        raise NoCellLeft(tuple(planned_out))
    return cells, planned_out


def manifest_requests(trial: Trial, facts: Facts) -> int:
    """The manifest GETs of a trial, as a rate limit counts them: one per pull, and one more for each index above the manifest.

    Base images count for each pull, and so do pulls that warm a store. Most clients request manifests of images they have, too.
    With its own store, Docker requests fewer: it keeps those of removed images until its next garbage collection.
    """
    is_kept = trial.cell.cache == "warm" and CAPABILITIES[trial.cell.engine_kind].keeps_manifests
    warming = _once_each(trial).images if "warm" in (trial.cell.proxy_cache, trial.cell.cache) else ()
    return sum(
        _requests(facts, trial.cell, name)
        for image in (*(() if is_kept else trial.images), *warming)
        for name in (*trial.bases, image)
    )


def push_route(spec: Spec, proxy: ProxyEntry) -> Route:
    """The route that pushes a mirror's synthetic images: to its upstream, without a proxy."""
    upstream = next(entry for entry in spec.registries if entry.name == proxy.upstream)
    named = None if proxy.cold is None else proxy.cold.credentials
    return replace(route_of(upstream, None), credentials=named or upstream.credentials)


def _requests(facts: Facts, cell: Cell, image: str) -> int:
    found = facts.platform_image(cell.registry, image, cell.platform)
    if found is not None and found.listing is not None:
        return found.manifest_requests
    known = facts.images.get((cell.registry, image))
    return 2 if known is None or known.is_index else 1


def is_pushed(trial: Trial, spec: Spec) -> bool:
    """Whether a trial pulls synthetic images that are pushed for it."""
    proxy = next((entry for entry in spec.proxies if entry.name == trial.cell.proxy), None)
    return trial.cell.proxy_cache == "cold" and proxy is not None and bool(proxy.cold and proxy.cold.push)


def source_images(trial: Trial, facts: Facts) -> list[SourceImage]:
    """A trial's images as sources of synthetic ones (`workload_like`); KeyError as in `expected_image`."""
    cell = trial.cell
    return [
        SourceImage(
            image=image,
            is_index=facts.images[cell.registry, image].is_index,
            found=expected_image(facts, cell, image),
        )
        for image in trial.images
    ]


def _combinations(spec: Spec, facts: Facts) -> Iterator[Cell]:
    matrix = spec.matrix
    regions = {entry.name: entry.region for entry in spec.registries}
    values = itertools.product(
        matrix.engines,
        matrix.registries or list(regions),
        matrix.proxies,
        matrix.platforms or [facts.host_platform],
        matrix.concurrency,
        matrix.cache,
        matrix.proxy_cache,
        matrix.auth,
    )
    for engine, registry, proxy, platform, concurrency, cache, proxy_cache, auth in values:
        yield Cell(
            engine=engine,
            engine_kind=spec.engine(engine).kind,
            registry=registry,
            region=regions[registry],
            proxy=proxy,
            platform=platform,
            concurrency=concurrency,
            cache=cache,
            proxy_cache=proxy_cache,
            auth=auth,
        )


def _trials(spec: Spec, cells: list[Cell]) -> Iterator[Trial]:
    number = itertools.count()
    images = {cell: trial_images(spec, cell) for cell in cells}
    for block in range(spec.warmup + spec.repetitions):
        order = list(cells)
        random.Random(f"{spec.seed}:{block}").shuffle(order)
        for cell in order:
            if block < spec.warmup and cell.proxy_cache == "cold":
                continue  # a warm-up would fill the cache that such a trial needs empty
            yield Trial(
                number=next(number),
                block=block,
                warmup=block < spec.warmup,
                cell=cell,
                images=images[cell],
                bases=tuple(spec.engine(cell.engine).base_images),
            )


def _alike(trials: Sequence[Trial]) -> list[tuple[Trial, int]]:
    """One trial of each configuration and list of images, with the number of such trials: their cost is computed once.

    The trials of a configuration share one list, which is compared by identity, because comparing long lists is slow.
    """
    keys = [(trial.cell, id(trial.images)) for trial in trials]
    counts = Counter(keys)
    return [(trial, counts[key]) for key, trial in dict(zip(keys, trials, strict=True)).items()]


def _once_each(trial: Trial) -> Trial:
    return replace(trial, images=tuple(dict.fromkeys(trial.images)))


def _stored(trials: Sequence[Trial]) -> Iterator[Trial]:
    """The trials before which an engine's own store is filled. A store that outlives a trial keeps the images of earlier ones."""
    brought = set()
    for trial in trials:
        if not CAPABILITIES[trial.cell.engine_kind].has_store:
            continue
        there = (trial.cell.engine, _work(trial))
        if trial.cell.cache == "warm" and there not in brought:
            yield trial
        if CAPABILITIES[trial.cell.engine_kind].keeps_store:
            brought.add(there)


def _pushed_bytes(alike: Sequence[tuple[Trial, int]], spec: Spec, facts: Facts) -> int | None:
    pushed = [(trial, count) for trial, count in alike if is_pushed(trial, spec)]
    if pushed and facts.offline:
        return None
    try:
        return sum(
            count * workload_like(source_images(trial, facts), platform=trial.cell.platform, seed=0).size_bytes
            for trial, count in pushed
        )
    except KeyError:
        return None


def _bytes(alike: Sequence[tuple[Trial, int]], facts: Facts) -> int | None:
    if facts.offline:
        return None if alike else 0
    sizes: dict[tuple[str, str, tuple[str, ...], tuple[str, ...]], int] = {}
    total = 0
    try:
        for trial, count in alike:
            key = _work(trial)
            if key not in sizes:
                sizes[key] = sum(_pull_bytes(trial, image, facts) for image in trial.images)
            total += count * sizes[key]
    except KeyError:
        return None
    return total


def _work(trial: Trial) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """A key that is equal for trials with equal bytes."""
    return trial.cell.registry, trial.cell.platform, trial.images, trial.bases


def _pull_bytes(trial: Trial, image: str, facts: Facts) -> int:
    """The bytes of one pull with its base images, each digest once."""
    manifests = [expected_image(facts, trial.cell, name).manifest for name in (*trial.bases, image)]
    return sum({blob.digest: blob.size_bytes for manifest in manifests for blob in manifest.blobs}.values())


def unknown_image(made: Plan, facts: Facts) -> str | None:
    """The first image of the plan that is missing in the facts, with the reason, for display; None if all are known."""
    for cell, trial in {trial.cell: trial for trial in made.trials}.items():
        for image in (*trial.bases, *trial.images):
            if facts.platform_image(cell.registry, image, cell.platform) is None:
                found = facts.images.get((cell.registry, image))
                why = found.error if found is not None and found.error else "the image has no such platform"
                return f"{image} for {cell.platform} at {cell.registry}: {why}"
    return None


def group_reasons(planned_out: tuple[PlannedOut, ...]) -> Mapping[str, int]:
    """The number of configurations for each reason, in the order of their first occurrence."""
    return Counter(entry.reason for entry in planned_out)
