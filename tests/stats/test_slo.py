"""A verdict stands where the whole interval lies on one side of the target, and nowhere else."""

import numpy as np
import pytest
from scipy import stats

from pullbench.stats.slo import (
    SloVerdict,
    longest_failure_streak,
    score_failure_streak,
    score_mean,
    score_percentile,
    score_success_rate,
)
from pullbench.stats.summary import wilson


@pytest.mark.parametrize(
    ("successes", "n", "target", "verdict"),
    [
        (0, 0, 0.999, SloVerdict.NOT_SHOWN),
        (100, 100, 0.999, SloVerdict.NOT_SHOWN),
        (3_838, 3_838, 0.999, SloVerdict.MET),
        (3_837, 3_837, 0.999, SloVerdict.NOT_SHOWN),
        (990, 1000, 0.999, SloVerdict.MISSED),
        (998, 1000, 0.999, SloVerdict.NOT_SHOWN),
        (100_000, 100_000, 1.0, SloVerdict.NOT_SHOWN),
        (99_999, 100_000, 1.0, SloVerdict.MISSED),
        (10, 10, 0.7, SloVerdict.MET),
    ],
)
def test_a_success_rate_is_judged_by_its_interval(successes: int, n: int, target: float, verdict: SloVerdict) -> None:
    score = score_success_rate(successes, n, target)
    assert score.verdict is verdict
    assert score.target == target
    assert score.measured == (successes / n if n else None)


def test_a_bound_that_is_the_target_meets_it() -> None:
    bounds = wilson(95, 100)
    assert score_success_rate(95, 100, bounds.low).verdict is SloVerdict.MET
    assert score_success_rate(95, 100, bounds.high).verdict is SloVerdict.NOT_SHOWN
    values = [float(value) for value in range(1000)]
    low, high = score_percentile(values, 99, 1.0).low, score_percentile(values, 99, 1.0).high
    assert low is not None
    assert high is not None
    assert score_percentile(values, 99, high).verdict is SloVerdict.MET
    assert score_percentile(values, 99, low).verdict is SloVerdict.NOT_SHOWN


def test_a_mean_is_judged_over_the_blocks_means() -> None:
    blocks = [[1.0, 3.0], [2.5], [1.5, 1.5, 1.5]]
    low, high = stats.t.interval(0.95, 2, loc=2.0, scale=stats.sem([2.0, 2.5, 1.5]))
    score = score_mean(blocks, 3.0)
    assert score.measured == pytest.approx(2.0)
    assert score.low == pytest.approx(low)
    assert score.high == pytest.approx(high)
    assert score_mean([[2.0]] * 3, 2.0).verdict is SloVerdict.MET
    assert score_mean(blocks, high + 1e-9).verdict is SloVerdict.MET
    assert score_mean(blocks, high - 1e-9).verdict is SloVerdict.NOT_SHOWN
    assert score_mean(blocks, low + 1e-9).verdict is SloVerdict.NOT_SHOWN
    assert score_mean(blocks, low - 1e-9).verdict is SloVerdict.MISSED


def test_under_three_blocks_a_mean_shows_nothing() -> None:
    score = score_mean([[1.0], [], [1.0]], 3.0)
    assert (score.verdict, score.measured, score.low, score.high) == (SloVerdict.NOT_SHOWN, 1.0, None, None)
    assert score_mean([], 3.0).measured is None


def test_a_percentile_is_judged_by_order_statistics() -> None:
    values = [float(value) for value in np.random.default_rng(3).permutation(1000)]
    score = score_percentile(values, 99, 2000.0)
    # Ranks of the exact 95% interval: binomial quantiles of (1000, 0.99).
    assert (score.low, score.high) == (
        stats.binom.ppf(0.025, 1000, 0.99) - 1,
        stats.binom.ppf(0.975, 1000, 0.99),
    )
    assert score.measured == pytest.approx(989.01)
    assert score.verdict is SloVerdict.MET
    assert score_percentile(values, 99, 990.0).verdict is SloVerdict.NOT_SHOWN
    assert score_percentile(values, 99, 900.0).verdict is SloVerdict.MISSED


def test_a_p99_is_not_met_before_values_carry_its_upper_bound() -> None:
    assert score_percentile([0.1] * 367, 99, 2.0).verdict is SloVerdict.NOT_SHOWN
    assert score_percentile([0.1] * 368, 99, 2.0).verdict is SloVerdict.MET


def test_few_values_can_miss_a_percentile_by_its_lower_bound_but_not_meet_it() -> None:
    slow = score_percentile([5.0] * 20, 99, 2.0)
    assert (slow.verdict, slow.measured, slow.low, slow.high) == (SloVerdict.MISSED, None, 5.0, None)
    assert score_percentile([0.1] * 20, 99, 2.0).verdict is SloVerdict.NOT_SHOWN
    assert score_percentile([], 99, 2.0).verdict is SloVerdict.NOT_SHOWN


@pytest.mark.parametrize("values", [[3.0], [0.1, 3.0], [3.0, 3.0], [0.1, 0.1, 3.0]])
def test_one_slow_value_is_no_missed_percentile(values: list[float]) -> None:
    score = score_percentile(values, 99, 2.0)
    assert (score.verdict, score.measured) == (SloVerdict.NOT_SHOWN, None)


@pytest.mark.parametrize("n", [3, 10, 24, 100, 199])
def test_a_lower_bound_of_few_values_is_seldom_above_the_percentile(n: int) -> None:
    # Each value lies below the true p99 in 99 of 100 cases; the bound is above it in at most 2.5 of 100.
    generator = np.random.default_rng(n)
    wrong = sum(
        score_percentile(generator.random(n).tolist(), 99, 0.99).verdict is SloVerdict.MISSED for _ in range(400)
    )
    assert wrong / 400 <= 0.025 + 0.016


@pytest.mark.parametrize(
    ("outcomes", "longest"),
    [("", 0), ("+++", 0), ("-", 1), ("--+---+-", 3), ("+-+-", 1), ("----", 4)],
)
def test_the_longest_streak_of_failures_is_counted(outcomes: str, longest: int) -> None:
    assert longest_failure_streak(mark == "+" for mark in outcomes) == longest


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [("", SloVerdict.NOT_SHOWN), ("--+--", SloVerdict.MET), ("---", SloVerdict.MISSED), ("+++", SloVerdict.MET)],
)
def test_a_streak_must_stay_below_the_limit(outcomes: str, verdict: SloVerdict) -> None:
    score = score_failure_streak((mark == "+" for mark in outcomes), 3)
    assert score.verdict is verdict
    assert score.measured == (longest_failure_streak(mark == "+" for mark in outcomes) if outcomes else None)


@pytest.mark.parametrize("outcomes", ["+", "-", "--", "+-"])
def test_fewer_pulls_than_the_limit_cannot_show_a_streak(outcomes: str) -> None:
    score = score_failure_streak((mark == "+" for mark in outcomes), 3)
    assert score.verdict is SloVerdict.NOT_SHOWN
    assert score.measured == longest_failure_streak(mark == "+" for mark in outcomes)


def test_one_failure_misses_a_limit_of_one() -> None:
    assert score_failure_streak([False], 1).verdict is SloVerdict.MISSED
    assert score_failure_streak([True], 1).verdict is SloVerdict.MET


@pytest.mark.parametrize("n", [3, 40, 367, 368, 1_000])
def test_the_bounds_of_a_percentile_are_those_of_scipy(n: int) -> None:
    values = np.random.default_rng(n).lognormal(size=n)
    expected = stats.quantile_test(values, p=0.99).confidence_interval(confidence_level=0.95)
    score = score_percentile(values.tolist(), 99, 1.0)
    assert [np.nan if bound is None else bound for bound in (score.low, score.high)] == pytest.approx(
        list(expected), nan_ok=True, rel=0, abs=0
    )


def test_the_interval_of_a_mean_time_does_not_reach_below_zero() -> None:
    score = score_mean([[0.02], [0.03], [0.4]], target=3.0)
    assert score.low == 0.0 and score.high is not None and score.high > 0.4
