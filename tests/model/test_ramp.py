"""What a stress test does next, from the steps that it has: the state machine alone."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from pullbench.model.ramp import (
    End,
    EndReason,
    Stage,
    StepResult,
    StepVerdict,
    after_overload,
    most_stages,
    next_stage,
)
from pullbench.model.spec import Stress

HELD, OPEN, MISSED = StepVerdict.HELD, StepVerdict.OPEN, StepVerdict.MISSED
LOADS = [1.0, 2.0, 4.0, 8.0]
RAMP = Stress(steps=LOADS, trials=3, hold=4)

Judge = Callable[[Stage], StepResult]


def measured(stage: Stage, verdict: StepVerdict = HELD, **changes: object) -> StepResult:
    made = StepResult(index=stage.index, phase=stage.phase, load=stage.load, trials=stage.trials, verdict=verdict)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def breaks_at(load: float) -> Judge:
    return lambda stage: measured(stage, MISSED if stage.load >= load else HELD)


def walk(judge: Judge, ramp: Stress = RAMP, loads: Sequence[float] = LOADS) -> tuple[list[StepResult], EndReason]:
    """A ramp to its end."""
    done: list[StepResult] = []
    while isinstance(move := next_stage(ramp, loads, done), Stage):
        done.append(judge(move))
        assert len(done) < 100
    return done, move.reason


def path(done: Sequence[StepResult]) -> str:
    return " ".join(f"{step.phase}{step.load:g}" for step in done)


def test_a_ramp_goes_up_until_an_slo_is_missed_then_hold_then_down() -> None:
    done, reason = walk(breaks_at(4))
    assert path(done) == "up1 up2 up4 hold4 down2 down1"
    assert reason is EndReason.BROKE
    assert [step.index for step in done] == list(range(6))
    assert [step.trials for step in done] == [3, 3, 3, 4, 3, 3]


def test_a_ramp_that_misses_no_slo_goes_to_its_top_then_hold_then_down() -> None:
    done, reason = walk(breaks_at(100))
    assert path(done) == "up1 up2 up4 up8 hold8 down4 down2 down1"
    assert reason is EndReason.TOP


def test_an_inconclusive_step_does_not_end_the_ramp_up() -> None:
    done, _ = walk(lambda stage: measured(stage, {2.0: OPEN, 8.0: MISSED}.get(stage.load, HELD)))
    assert path(done).startswith("up1 up2 up4 up8 hold8")


def test_a_first_step_that_misses_is_the_end() -> None:
    done, reason = walk(breaks_at(1))
    assert (path(done), reason) == ("up1", EndReason.FIRST_STEP)


def test_a_client_limited_step_ends_the_ramp_even_where_an_slo_is_missed() -> None:
    for verdict in (HELD, MISSED):
        done, reason = walk(
            lambda stage, v=verdict: measured(stage, v if stage.load == 4 else HELD, client_busy=stage.load == 4)
        )  # type: ignore[misc]
        assert (path(done), reason) == ("up1 up2 up4", EndReason.CLIENT)


def test_a_ramp_that_shall_continue_at_the_client_s_limit_goes_on_to_the_missed_slo() -> None:
    ramp = RAMP.model_copy(update={"at_client_limit": "continue"})
    done, reason = walk(lambda stage: dataclasses.replace(breaks_at(8)(stage), client_busy=stage.load >= 2), ramp)
    assert path(done) == "up1 up2 up4 up8 hold8 down4 down2 down1"
    assert reason is EndReason.BROKE


@pytest.mark.parametrize("phase", ["up", "hold", "down"])
def test_a_rate_limit_ends_the_ramp_in_every_phase(phase: str) -> None:
    limits = {"up": ("up", 4.0), "hold": ("hold", 4.0), "down": ("down", 2.0)}[phase]
    done, reason = walk(
        lambda stage: dataclasses.replace(breaks_at(4)(stage), rate_limited=(stage.phase, stage.load) == limits)
    )
    assert path(done).endswith(f"{limits[0]}{limits[1]:g}")
    assert reason is EndReason.RATE_LIMITED


def test_what_was_left_out_is_left_out() -> None:
    done, _ = walk(breaks_at(4), Stress(steps=LOADS, hold=0, down=[]))
    assert path(done) == "up1 up2 up4"


def test_the_ramp_down_takes_its_own_loads_that_are_below_the_highest() -> None:
    done, _ = walk(breaks_at(4), Stress(steps=LOADS, hold=0, down=[6, 3, 1]))
    assert path(done) == "up1 up2 up4 down3 down1"


def test_a_step_that_lacks_trials_gets_the_rest() -> None:
    half = measured(Stage(index=0, phase="up", load=1.0, trials=1))
    assert next_stage(RAMP, LOADS, [half]) == Stage(index=0, phase="up", load=1.0, trials=3)
    assert next_stage(RAMP, LOADS, [half], resumed=True) == Stage(index=0, phase="up", load=1.0, trials=3)


def test_a_resumed_ramp_measures_a_rate_limited_step_again_under_a_new_number() -> None:
    done = [
        measured(Stage(index=0, phase="up", load=1.0, trials=3)),
        measured(Stage(index=1, phase="up", load=2.0, trials=1), MISSED, rate_limited=True),
    ]
    assert next_stage(RAMP, LOADS, done) == End(reason=EndReason.RATE_LIMITED)
    again = next_stage(RAMP, LOADS, done, resumed=True)
    assert again == Stage(index=2, phase="up", load=2.0, trials=3)
    assert next_stage(RAMP, LOADS, [*done, measured(again)]) == Stage(index=3, phase="up", load=4.0, trials=3)


@pytest.mark.parametrize("trials", [1, 3])
def test_a_ramp_resumed_on_its_way_down_repeats_the_overload_before_it_measures_recovery(trials: int) -> None:
    done, _ = walk(breaks_at(4))
    stopped = [*done[:4], dataclasses.replace(done[4], trials=trials)]
    assert next_stage(RAMP, LOADS, stopped, resumed=True) == Stage(index=5, phase="hold", load=4.0, trials=4)
    rest = list(stopped)
    move = next_stage(RAMP, LOADS, rest, resumed=True)
    while isinstance(move, Stage):
        rest.append(breaks_at(4)(move))
        move = next_stage(RAMP, LOADS, rest)
    assert path(rest) == "up1 up2 up4 hold4 down2 hold4 down2 down1"
    assert path(after_overload(rest)) == "down2 down1"


def test_without_a_hold_a_ramp_resumed_on_its_way_down_just_goes_on() -> None:
    ramp = Stress(steps=LOADS, hold=0)
    done, _ = walk(breaks_at(4), ramp)
    half = [*done[:3], dataclasses.replace(done[3], trials=1)]
    assert next_stage(ramp, LOADS, half, resumed=True) == Stage(index=3, phase="down", load=2.0, trials=3)


def test_a_ramp_that_is_over_stays_over_when_it_is_resumed() -> None:
    done, _ = walk(breaks_at(4))
    assert next_stage(RAMP, LOADS, done, resumed=True) == End(reason=EndReason.BROKE)


def test_loads_that_cannot_be_measured_are_left_out() -> None:
    done, reason = walk(breaks_at(100), loads=LOADS[:2])
    assert (path(done), reason) == ("up1 up2 hold2 down1", EndReason.TOP)


def test_the_most_that_a_ramp_can_measure_goes_to_its_top_and_back() -> None:
    assert [f"{stage.phase}{stage.load:g}" for stage in most_stages(RAMP, LOADS)] == (
        ["up1", "up2", "up4", "up8", "hold8", "down4", "down2", "down1"]
    )


def test_a_ramp_of_one_load_measures_it_and_the_hold() -> None:
    done, reason = walk(breaks_at(100), loads=[4.0])
    assert (path(done), reason) == ("up4 hold4", EndReason.TOP)
