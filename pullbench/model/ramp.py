"""What a stress test does next: a state machine over the steps that it has measured. Pure.

    up ──(an SLO missed, or the top)──► hold ──► down ──► end
    │                                                │
    ├─ the first step missed ────────────────────────┤
    ├─ rate limited ─────────────────────────────────┤   a resumed run measures that step again
    └─ client-limited (`at_client_limit: stop`) ─────┘

The same steps give the same answer during the run, when it is resumed, and in its report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pullbench.model.record import Phase
from pullbench.model.spec import Stress


class StepVerdict(StrEnum):
    """Whether a step meets the SLO."""

    HELD = "held"
    """No SLO is missed, and the mean pull time is met."""
    OPEN = "open"
    """Inconclusive: no SLO is missed, but the step is too small to show that all are met."""
    MISSED = "missed"


class EndReason(StrEnum):
    """Why a ramp ended."""

    BROKE = "broke"
    TOP = "top"
    """The highest load was reached, and no SLO was missed."""
    FIRST_STEP = "first_step"
    """The first step missed an SLO, so there is no lower load to go back to."""
    RATE_LIMITED = "rate_limited"
    CLIENT = "client"
    """Client-limited: this client, not the registry, was the bottleneck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step to measure: `index` counts the steps of a run from 0, `trials` is how many it gets in all."""

    index: int
    phase: Phase
    load: float
    """A concurrency, or pulls per second."""
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """A step that was measured, with as many trials as it has so far."""

    index: int
    phase: Phase
    load: float
    trials: int
    verdict: StepVerdict
    rate_limited: bool = False
    """An answer was 429: the step is not judged."""
    client_busy: bool = False
    """Client-limited: the client was near its own ceiling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The ramp is over."""

    reason: EndReason


def next_stage(
    ramp: Stress, loads: Sequence[float], done: Sequence[StepResult], *, resumed: bool = False
) -> Stage | End:
    """The step to measure next, which may be the last one again where it lacks trials, or the end.

    `loads` are the ramp's steps that can be measured, ascending; `done` the steps so far, in order. `resumed`: time has
    passed since the last step, so a rate-limited step is measured again, and the overload is repeated before the ramp down.
    """
    if not done:
        return Stage(index=0, phase="up", load=loads[0], trials=ramp.trials)
    last, top, index = done[-1], highest(done), done[-1].index + 1
    wanted = ramp.hold if last.phase == "hold" else ramp.trials
    unfinished = last.rate_limited or last.trials < wanted
    left = _way_down(ramp, loads, top, done)
    if resumed and last.phase == "down" and ramp.hold and (unfinished or left):
        return Stage(index=index, phase="hold", load=top.load, trials=ramp.hold)
    if last.rate_limited and not resumed:
        return End(reason=EndReason.RATE_LIMITED)
    if unfinished:
        again = index if last.rate_limited else last.index
        return Stage(index=again, phase=last.phase, load=last.load, trials=wanted)
    if last.phase == "up" and (move := _goes_on(top, ramp, loads, index)) is not None:
        return move
    if last.phase == "up" and ramp.hold:
        return Stage(index=index, phase="hold", load=top.load, trials=ramp.hold)
    if left:
        return Stage(index=index, phase="down", load=left[0], trials=ramp.trials)
    return End(reason=EndReason.BROKE if top.verdict is StepVerdict.MISSED else EndReason.TOP)


def most_stages(ramp: Stress, loads: Sequence[float]) -> list[Stage]:
    """Every step that a ramp can have: up to its top, the hold, and down."""
    done: list[StepResult] = []
    stages: list[Stage] = []
    while isinstance(move := next_stage(ramp, loads, done), Stage):
        stages.append(move)
        done.append(
            StepResult(index=move.index, phase=move.phase, load=move.load, trials=move.trials, verdict=StepVerdict.HELD)
        )
    return stages


def highest(done: Sequence[StepResult]) -> StepResult:
    """The last step of the ramp up that was judged, or the last of all where none was."""
    climbed = [step for step in done if step.phase == "up"]
    return next((step for step in reversed(climbed) if not step.rate_limited), climbed[-1])


def after_overload(done: Sequence[StepResult]) -> list[StepResult]:
    """The steps of the ramp down: of the last one, where a resumed run repeated the overload."""
    start = max((number for number, step in enumerate(done) if step.phase != "down"), default=-1)
    return list(done[start + 1 :])


def _goes_on(top: StepResult, ramp: Stress, loads: Sequence[float], index: int) -> Stage | End | None:
    """After a step of the ramp up: the next step, an end without a ramp down, or None where the ramp up is over."""
    if top.verdict is StepVerdict.MISSED and top.load == loads[0]:
        return End(reason=EndReason.FIRST_STEP)
    if top.client_busy and ramp.at_client_limit == "stop":
        return End(reason=EndReason.CLIENT)
    higher = [load for load in loads if load > top.load]
    if top.verdict is StepVerdict.MISSED or not higher:
        return None
    return Stage(index=index, phase="up", load=higher[0], trials=ramp.trials)


def _way_down(ramp: Stress, loads: Sequence[float], top: StepResult, done: Sequence[StepResult]) -> list[float]:
    """The loads of the ramp down that were not started."""
    planned = list(reversed(loads)) if ramp.down is None else ramp.down
    walked = [step for step in after_overload(done) if not step.rate_limited]
    below = [load for load in planned if load < top.load]
    return [load for load in below if not walked or load < walked[-1].load]
