"""From a spec and the facts to cells and trials: pure, so the same input gives the same plan."""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pullbench.errors import UsageError
from pullbench.model.capability import CAPABILITIES, AuthMode, CacheState, ProxyCacheState
from pullbench.model.facts import Facts, PlatformImage
from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import ProxyEntry, RegistryEntry, Spec

FACTORS = ("engine", "registry", "proxy", "platform", "concurrency", "cache", "proxy_cache", "auth")
"""What tells cells apart, in the order in which tables show it."""


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
        shown = [self.engine, self.registry, self.proxy, self.platform, f"×{self.concurrency}", self.cache]
        if self.proxy_cache != "any":
            shown.append(f"proxy {self.proxy_cache}")
        if self.auth != "persisted":
            shown.append(f"auth {self.auth}")
        return " · ".join(shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOut:
    """A cell that cannot be, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One cell in one block; `images` has one entry a pull."""

    number: int
    block: int
    warmup: bool
    cell: Cell
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do. `bytes` is None where a size is not known: offline, or of an image that was not found."""

    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    planned_out: tuple[PlannedOut, ...]
    bytes: int | None
    manifest_requests: int

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
        }


def plan(spec: Spec, facts: Facts) -> Plan:
    """The cells that can be, their trials in seeded random order block by block, and what is planned out and why.

    Raises UsageError where no cell is left.
    """
    cells, planned_out = plan_cells(spec, facts)
    trials = tuple(_trials(spec, cells))
    return Plan(
        cells=tuple(cells),
        trials=trials,
        planned_out=tuple(planned_out),
        bytes=_bytes(trials, facts),
        manifest_requests=sum(manifest_requests(trial, facts) for trial in trials),
    )


def plan_cells(spec: Spec, facts: Facts) -> tuple[list[Cell], list[PlannedOut]]:
    """The cells that can be and those that cannot, without their trials; UsageError where none can."""
    cells: list[Cell] = []
    planned_out: list[PlannedOut] = []
    for cell in _combinations(spec, facts):
        reason = _refusal(cell, spec, facts)
        if reason is None:
            cells.append(cell)
        else:
            planned_out.append(PlannedOut(cell=cell, reason=reason))
    if not cells:
        reasons = "; ".join(dict.fromkeys(entry.reason for entry in planned_out))
        raise UsageError(f"matrix: no cell is left to measure: {reasons}")
    return cells, planned_out


def routes(spec: Spec) -> dict[tuple[str, str], Route]:
    """Every way of the matrix that leads anywhere, by (registry, proxy); a mirror leads to its upstream alone."""
    registries = [entry for entry in spec.registries if entry.name in (spec.matrix.registries or [entry.name])]
    proxies = {entry.name: entry for entry in spec.proxies}
    return {
        (registry.name, proxy): _route(registry, proxies.get(proxy))
        for registry in registries
        for proxy in spec.matrix.proxies
        if proxy == DIRECT or proxies[proxy].upstream in (None, registry.name)
    }


def _route(registry: RegistryEntry, proxy: ProxyEntry | None) -> Route:
    if proxy is None or proxy.kind == "forward":
        return Route(
            registry=registry.name,
            proxy=DIRECT if proxy is None else proxy.name,
            region=registry.region,
            url=registry.url,
            forward_url=None if proxy is None else proxy.url,
            ca_file=registry.ca_file,
            credentials=registry.credentials,
        )
    return Route(
        registry=registry.name,
        proxy=proxy.name,
        region=registry.region,
        url=proxy.url,
        prefix=proxy.prefix.strip("/"),
        ca_file=proxy.ca_file,
        credentials=proxy.credentials,
        headers=proxy.headers,
    )


def manifest_requests(trial: Trial, facts: Facts) -> int:
    """Manifest GETs that a trial costs, as a rate limit counts them: two a pull of an index, else one."""
    return sum(
        2 if (found := facts.images.get((trial.cell.registry, image))) is None or found.is_index else 1
        for image in trial.images
    )


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


def _refusal(cell: Cell, spec: Spec, facts: Facts) -> str | None:
    """Why a cell cannot be; None where it can."""
    capability = CAPABILITIES[cell.engine_kind]
    proxy = next((entry for entry in spec.proxies if entry.name == cell.proxy), None)
    if proxy is not None and proxy.upstream not in (None, cell.registry):
        return f"proxy '{proxy.name}' is a mirror of '{proxy.upstream}', not of '{cell.registry}'"
    if proxy is not None and (reason := spec.engine(cell.engine).refuses_proxy(proxy.kind, proxy.url)) is not None:
        return f"engine '{cell.engine}': {reason}"
    registry = next(entry for entry in spec.registries if entry.name == cell.registry)
    for demand in _route(registry, proxy).demands:
        if (reason := capability.refusal("proxy", demand)) is not None:
            return f"engine '{cell.engine}': {reason}"
    for factor in ("cache", "auth"):
        if (reason := capability.refusal(factor, getattr(cell, factor))) is not None:
            return f"engine '{cell.engine}': {reason}"
    pulls = len(_workload(spec, capability.has_store))
    if cell.concurrency > pulls:
        workers = f"cannot keep {cell.concurrency} workers busy"
        if capability.has_store and pulls == len(spec.images):
            once = f"engine '{cell.engine}' pulls an image at most once a trial"
            return f"{once}: {pulls} images {workers}; add images or lower the concurrency"
        return f"{pulls} pulls a trial {workers}; raise `pulls_per_trial` or lower the concurrency"
    return _refused_by_facts(cell, spec, facts)


def _refused_by_facts(cell: Cell, spec: Spec, facts: Facts) -> str | None:
    engine = facts.engines.get(cell.engine)
    if engine is None:
        return None
    if engine.unavailable is not None:
        return f"engine '{cell.engine}': {engine.unavailable}"
    if cell.cache == "cold" and spec.cache_reset == "own":
        for image in spec.images:
            found = facts.platform_image(cell.registry, image, cell.platform)
            if found is not None and found.manifest.config.digest in engine.present:
                return (
                    f"{image} was in the store of '{cell.engine}' before the run, so it cannot be pulled cold: "
                    "remove it, or set `cache_reset: remove`"
                )
    return None


def _trials(spec: Spec, cells: list[Cell]) -> Iterator[Trial]:
    number = itertools.count()
    workload: dict[bool, tuple[str, ...]] = {stored: _workload(spec, stored) for stored in (False, True)}
    for block in range(spec.warmup + spec.repetitions):
        order = list(cells)
        random.Random(f"{spec.seed}:{block}").shuffle(order)
        for cell in order:
            yield Trial(
                number=next(number),
                block=block,
                warmup=block < spec.warmup,
                cell=cell,
                images=workload[CAPABILITIES[cell.engine_kind].has_store],
            )


def _workload(spec: Spec, has_store: bool) -> tuple[str, ...]:
    pulls = spec.pulls_per_trial or max(len(spec.images), *spec.matrix.concurrency)
    if has_store:
        pulls = min(pulls, len(spec.images))
    return tuple(itertools.islice(itertools.cycle(spec.images), pulls))


def _bytes(trials: tuple[Trial, ...], facts: Facts) -> int | None:
    if facts.offline:
        return None
    sizes: dict[tuple[str, str, tuple[str, ...]], int] = {}
    total = 0
    for trial in trials:
        cell = trial.cell
        if cell.cache == "warm":
            continue
        key = (cell.registry, cell.platform, trial.images)
        if key not in sizes:
            found = [facts.platform_image(cell.registry, image, cell.platform) for image in trial.images]
            if None in found:
                return None
            sizes[key] = sum(image.manifest.size_bytes for image in found if image is not None)
        total += sizes[key]
    return total


def expected_image(facts: Facts, cell: Cell, image: str) -> PlatformImage:
    """What the manifest promised for a pull of this cell; KeyError for what `unknown_image` would have named."""
    found = facts.platform_image(cell.registry, image, cell.platform)
    if found is None:
        raise KeyError(f"{image} for {cell.platform} at {cell.registry}")
    return found


def unknown_image(made: Plan, facts: Facts) -> str | None:
    """The first image that the plan would pull and the facts do not have, with why, for people; None where all are known."""
    for cell in made.cells:
        for image in made.trials[0].images:
            if facts.platform_image(cell.registry, image, cell.platform) is None:
                found = facts.images.get((cell.registry, image))
                why = found.error if found is not None and found.error else "the image has no such platform"
                return f"{image} for {cell.platform} at {cell.registry}: {why}"
    return None


def group_reasons(planned_out: tuple[PlannedOut, ...]) -> Mapping[str, int]:
    """How many cells each reason takes out, in order of first sight."""
    return Counter(entry.reason for entry in planned_out)
