"""Failures in a row, counted while a run goes on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pullbench.app.failure_streak import StreakMeter
from pullbench.errors import ErrorCode
from pullbench.model.plan import Trial, plan
from pullbench.model.record import Pull, TrialResult
from tests.bench.samples import facts_for, make_spec

BEGIN = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def trials() -> list[Trial]:
    spec = make_spec(matrix={"engines": ["scripted"], "platforms": ["linux/amd64"], "concurrency": [1]}, repetitions=4)
    return list(plan(spec, facts_for(spec)).trials)


def result(outcomes: str, *, reverse: bool = False) -> TrialResult:
    """A trial's pulls in the order of start: `.` succeeded, `x` failed."""
    pulls = [pull(number, failed=outcome == "x") for number, outcome in enumerate(outcomes)]
    return TrialResult(record=None, pulls=pulls[::-1] if reverse else pulls, transfers=())  # type: ignore[arg-type]


def pull(number: int, *, failed: bool) -> Pull:
    unseen: dict[str, Any] = dict.fromkeys(
        (
            "bytes",
            "layers",
            "layers_cached",
            "layers_shared",
            "auth_s",
            "resolve_s",
            "download_s",
            "extract_s",
            "served_by",
        )
    )
    started_at = BEGIN + timedelta(seconds=number)
    return Pull(
        pull=number,
        image="app/one:1",
        digest="sha256:0",
        intended_at=started_at,
        started_at=started_at,
        queued_s=0.0,
        duration_s=0.1,
        ok=not failed,
        error_code=ErrorCode.TIMEOUT if failed else None,
        error="late" if failed else None,
        attempts=1,
        **unseen,
    )


def test_failures_are_counted_over_trials_and_reported_once(trials: list[Trial]) -> None:
    meter = StreakMeter(3, ["scripted"])
    measured = [trial for trial in trials if not trial.warmup]
    assert meter.add(measured[0], result(".xx")) is None
    streak = meter.add(measured[1], result("x"))
    assert streak is not None
    assert (streak.failures, streak.cells, streak.error_codes) == (3, (str(measured[1].cell),), ("timeout",))
    assert meter.add(measured[2], result("xxx")) is None, "the same streak"
    again = meter.add(measured[3], result(".xxxx"))
    assert again is not None and again.failures == 4, "another one, as long as it was by the trial's end"


def test_the_order_is_that_of_start_and_not_that_of_the_rows(trials: list[Trial]) -> None:
    measured = next(trial for trial in trials if not trial.warmup)
    assert StreakMeter(3, ["scripted"]).add(measured, result("xx.x", reverse=True)) is None
    assert StreakMeter(3, ["scripted"]).add(measured, result(".xxx", reverse=True)) is not None


def test_warm_up_and_a_spec_without_the_slo_report_nothing(trials: list[Trial]) -> None:
    warmup = next(trial for trial in trials if trial.warmup)
    assert StreakMeter(1, ["scripted"]).add(warmup, result("xxx")) is None
    measured = next(trial for trial in trials if not trial.warmup)
    assert StreakMeter(None, ["scripted"]).add(measured, result("xxx")) is None


def test_an_engine_has_a_streak_of_its_own_and_one_that_the_slo_leaves_out_has_none(trials: list[Trial]) -> None:
    first, second, *_ = [trial for trial in trials if not trial.warmup]
    other = replace(second, cell=replace(second.cell, engine="other"))
    meter = StreakMeter(3, ["scripted", "other"])
    assert meter.add(first, result("xx")) is None
    assert meter.add(other, result("xx.")) is None, "two engines do not add up"
    streak = meter.add(second, result("x"))
    assert streak is not None and streak.failures == 3, "and one that succeeds ends no streak of another"
    assert StreakMeter(1, ["other"]).add(first, result("xxx")) is None


def test_the_limit_and_the_engines_are_those_of_the_spec(trials: list[Trial]) -> None:
    measured = next(trial for trial in trials if not trial.warmup)
    matrix = {"engines": ["scripted"]}
    assert StreakMeter.of(make_spec(matrix=matrix)).add(measured, result("xxx")) is None
    limited = StreakMeter.of(make_spec(matrix=matrix, slo={"consecutive_failures": 2}))
    assert limited.add(measured, result("xxx")) is not None
