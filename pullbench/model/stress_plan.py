"""From a spec and the facts to the trials of a stress test's steps. Pure, as the plan of a benchmark is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pullbench.errors import UsageError
from pullbench.model.facts import Facts
from pullbench.model.plan import Cell, Plan, PlannedOut, Trial, plan_cells, plan_of, pulls_once, trial_images
from pullbench.model.ramp import Stage, most_stages
from pullbench.model.spec import Load, Spec, Stress


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """What a stress test can measure: its loads, each with its configuration, and the excluded loads, each with its reason."""

    stress: Stress
    cells: Mapping[float, Cell]
    """By load, ascending. All loads of a rate share one configuration."""
    planned_out: tuple[PlannedOut, ...]

    @property
    def loads(self) -> list[float]:
        return list(self.cells)


def ramp_of(spec: Spec, facts: Facts) -> Ramp:
    """The loads that can be measured.

    Raises UsageError where the matrix has more than one configuration, where the spec has no SLO, where nothing can be
    measured, or for a rate of an engine that pulls an image once a trial.
    """
    stress = spec.stress or Stress()
    if not spec.targets:
        raise UsageError(
            "slo: a stress test raises the load until an SLO is missed, and none is configured: add "
            "`slo: {success_rate: 0.999, mean_pull_s: 3.0}` to the spec, or `--set slo.mean_pull_s=3.0`"
        )
    concurrencies = [int(load) for load in stress.steps] if stress.ramp == "concurrency" else [stress.in_flight]
    cells, planned_out = plan_cells(_with_concurrency(spec, concurrencies), facts)
    _check_one_configuration(cells)
    if stress.ramp == "concurrency":
        by_load: dict[float, Cell] = {float(cell.concurrency): cell for cell in cells}
        return Ramp(stress=stress, cells=dict(sorted(by_load.items())), planned_out=tuple(planned_out))
    if (once := pulls_once(spec, cells[0])) is not None:
        raise UsageError(f"stress.ramp: a rate needs an engine that can pull an image again, but {once}: use wire")
    return Ramp(stress=stress, cells=dict.fromkeys(stress.steps, cells[0]), planned_out=tuple(planned_out))


def plan_stress(spec: Spec, facts: Facts) -> Plan:
    """The most that a stress test can measure: warm-up, up to the top, the hold, down. Raises as `ramp_of` does."""
    ramp = ramp_of(spec, facts)
    trials: list[Trial] = list(warm_up_trials(spec, ramp))
    for stage in most_stages(ramp.stress, ramp.loads):
        trials += stage_trials(spec, ramp, stage, done=0, first=len(trials))
    return plan_of(tuple(trials), list(dict.fromkeys(ramp.cells.values())), ramp.planned_out, spec, facts)


def warm_up_trials(spec: Spec, ramp: Ramp) -> list[Trial]:
    """The spec's warm-up, at the lowest load."""
    lowest = ramp.loads[0]
    if ramp.cells[lowest].proxy_cache == "cold":
        return []  # a warm-up would fill the cache that such a trial must find empty
    return [replace(_trial(spec, ramp, lowest, number), warmup=True) for number in range(spec.warmup)]


def stage_trials(spec: Spec, ramp: Ramp, stage: Stage, *, done: int, first: int) -> list[Trial]:
    """The trials that a step still needs; `done` is how many it has, `first` the number of the next trial of the run."""
    numbers = range(first, first + stage.trials - done)
    return [replace(_trial(spec, ramp, stage.load, number), stage=stage) for number in numbers]


def _trial(spec: Spec, ramp: Ramp, load: float, number: int) -> Trial:
    """Each trial is its own repetition: trials of a ramp follow each other."""
    cell, stress = ramp.cells[load], ramp.stress
    wanted = load * (stress.pulls_per_worker if stress.ramp == "concurrency" else stress.trial_s)
    # Whole rounds over the images, so that every step pulls the same mix.
    pulls = math.ceil(wanted / len(spec.images)) * len(spec.images)
    offered = Load() if stress.ramp == "concurrency" else Load(mode="open", rate=load, arrivals=spec.load.arrivals)
    return Trial(
        number=number,
        block=number,
        warmup=False,
        cell=cell,
        images=trial_images(spec.model_copy(update={"pulls_per_trial": pulls}), cell),
        bases=tuple(spec.engine(cell.engine).base_images),
        load=offered,
    )


def _with_concurrency(spec: Spec, levels: Sequence[int]) -> Spec:
    matrix = spec.matrix.model_copy(update={"concurrency": list(levels)})
    return spec.model_copy(update={"matrix": matrix, "pulls_per_trial": None})


def _check_one_configuration(cells: Sequence[Cell]) -> None:
    factors = {"engine": "engines", "registry": "registries", "proxy": "proxies", "platform": "platforms"}
    named = {**factors, "cache": "cache", "proxy_cache": "proxy_cache", "auth": "auth"}
    values = {key: list(dict.fromkeys(str(getattr(cell, factor)) for cell in cells)) for factor, key in named.items()}
    several = {key: found for key, found in values.items() if len(found) > 1}
    if several:
        first = next(iter(several))
        there = "; ".join(f"{key} {', '.join(found)}" for key, found in several.items())
        choice = " ".join(f"--set 'matrix.{key}=[{found[0]}]'" for key, found in several.items())
        raise UsageError(
            f"matrix.{first}: a stress test ramps one configuration, and this matrix has more ({there}); "
            f"choose one, such as `{choice}`"
        )
