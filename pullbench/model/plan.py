"""From a spec and the facts to cells and trials: pure, so the same input gives the same plan."""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pullbench.errors import UsageError
from pullbench.model.capability import CAPABILITIES
from pullbench.model.cell import FACTORS as FACTORS  # parts of what a plan is: imported from here
from pullbench.model.cell import Cell as Cell
from pullbench.model.cell import expected_image as expected_image
from pullbench.model.cell import trial_images
from pullbench.model.facts import Facts
from pullbench.model.ramp import Stage
from pullbench.model.refusal import refusal
from pullbench.model.routes import routes as routes
from pullbench.model.spec import Load, Spec
from pullbench.model.twin import Original, twins


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOut:
    """A cell that cannot be, and why."""

    cell: Cell
    reason: str


class NoCellLeft(UsageError):  # noqa: N818  (it says what is the case)
    """Nothing of a spec's matrix can be measured; `planned_out` says why not."""

    def __init__(self, planned_out: tuple[PlannedOut, ...]) -> None:
        self.planned_out = planned_out
        super().__init__(f"matrix: no cell is left to measure: {'; '.join(group_reasons(planned_out))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One cell in one block; `images` has one entry a pull."""

    number: int
    block: int
    warmup: bool
    cell: Cell
    images: tuple[str, ...]
    bases: tuple[str, ...] = ()
    """What each pull brings before its image, of which that may have layers too."""
    load: Load | None = None
    """How its pulls are offered; None: as the spec says."""
    stage: Stage | None = None
    """The step of a stress test that it belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do. `bytes` is None where a size is not known: offline, or of an image that was not found."""

    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    planned_out: tuple[PlannedOut, ...]
    bytes: int | None
    manifest_requests: int
    pushed_bytes: int | None = 0
    """Of synthetic images, pushed to upstreams before trials of a cold mirror; None where sizes are not known."""
    warmed_bytes: int | None = 0
    """Pulled through mirrors in set-up, so that they have what a trial pulls: one pass; an unproven one is made twice."""
    stored_bytes: int | None = 0
    """Pulled in set-up into stores of engines that a trial is to find warm."""

    @property
    def setup_bytes(self) -> int | None:
        """All that is moved beside the pulls that are measured; None where a size is not known."""
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
    """The cells that can be, their trials in seeded random order block by block, and what is planned out and why.

    Raises NoCellLeft.
    """
    cells, planned_out = plan_cells(spec, facts)
    return plan_of(tuple(_trials(spec, cells)), cells, planned_out, spec, facts)


def plan_of(
    trials: tuple[Trial, ...], cells: Sequence[Cell], planned_out: Sequence[PlannedOut], spec: Spec, facts: Facts
) -> Plan:
    """A plan of these trials, with what they cost."""
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
    """The cells that can be and those that cannot, without their trials; NoCellLeft where none can."""
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
    """Manifest GETs that a trial costs, as a rate limit counts them: two a pull of an index, else one.

    Bases count with each pull that begins with them, and what set-up pulls to warm a store: clients ask also for what they have.
    """
    warming = _once_each(trial).images if "warm" in (trial.cell.proxy_cache, trial.cell.cache) else ()
    return sum(
        2 if (found := facts.images.get((trial.cell.registry, name))) is None or found.is_index else 1
        for image in (*trial.images, *warming)
        for name in (*trial.bases, image)
    )


def is_pushed(trial: Trial, spec: Spec) -> bool:
    """Whether a trial pulls synthetic images that are pushed for it."""
    proxy = next((entry for entry in spec.proxies if entry.name == trial.cell.proxy), None)
    return trial.cell.proxy_cache == "cold" and proxy is not None and bool(proxy.cold and proxy.cold.push)


def originals(trial: Trial, facts: Facts) -> list[Original]:
    """What the twins of a trial's images are made after; KeyError as `expected_image` has it."""
    cell = trial.cell
    return [
        Original(
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
                continue  # what a warm-up fills is what such a trial must find empty
            yield Trial(
                number=next(number),
                block=block,
                warmup=block < spec.warmup,
                cell=cell,
                images=images[cell],
                bases=tuple(spec.engine(cell.engine).base_images),
            )


def _alike(trials: Sequence[Trial]) -> list[tuple[Trial, int]]:
    """One trial of each cell and list of images, and how many there are: they do the same work, so it is reckoned once.

    The trials of a cell share one list, whose identity is looked at: comparing long lists would take longer than all else.
    """
    keys = [(trial.cell, id(trial.images)) for trial in trials]
    counts = Counter(keys)
    return [(trial, counts[key]) for key, trial in dict(zip(keys, trials, strict=True)).items()]


def _once_each(trial: Trial) -> Trial:
    return replace(trial, images=tuple(dict.fromkeys(trial.images)))


def _stored(trials: Sequence[Trial]) -> Iterator[Trial]:
    """Those before which an engine's own store is filled. A store that outlives a trial has what an earlier one brought."""
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
            count * twins(originals(trial, facts), platform=trial.cell.platform, seed=0).size_bytes
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
    """What trials of equal bytes have in common."""
    return trial.cell.registry, trial.cell.platform, trial.images, trial.bases


def _pull_bytes(trial: Trial, image: str, facts: Facts) -> int:
    """Of one pull with its bases, each digest once."""
    manifests = [expected_image(facts, trial.cell, name).manifest for name in (*trial.bases, image)]
    return sum({blob.digest: blob.size_bytes for manifest in manifests for blob in manifest.blobs}.values())


def unknown_image(made: Plan, facts: Facts) -> str | None:
    """The first image that the plan would pull and the facts do not have, with why, for people; None where all are known."""
    for cell, trial in {trial.cell: trial for trial in made.trials}.items():
        for image in (*trial.bases, *trial.images):
            if facts.platform_image(cell.registry, image, cell.platform) is None:
                found = facts.images.get((cell.registry, image))
                why = found.error if found is not None and found.error else "the image has no such platform"
                return f"{image} for {cell.platform} at {cell.registry}: {why}"
    return None


def group_reasons(planned_out: tuple[PlannedOut, ...]) -> Mapping[str, int]:
    """How many cells each reason takes out, in order of first sight."""
    return Counter(entry.reason for entry in planned_out)
