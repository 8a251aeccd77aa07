"""Percentiles and intervals against other implementations, by hand, and by simulation."""

import math
from collections.abc import Sequence

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pullbench.stats.summary import (
    BOOTSTRAP_FROM_BLOCKS,
    Estimate,
    blocks_needed,
    mean_interval,
    median_estimate,
    percentile,
    values_needed,
    wilson,
)

STEADY = settings(deadline=None, derandomize=True, database=None, max_examples=60)
TIMES = st.lists(st.floats(0.001, 1e4), min_size=1, max_size=300)


@pytest.mark.parametrize(("q", "needed"), [(50, 1), (10, 1), (75, 8), (90, 20), (95, 40), (99, 200), (99.9, 2000)])
def test_a_percentile_is_shown_only_where_n_carries_it(q: float, needed: int) -> None:
    assert values_needed(q) == needed
    assert percentile([1.0] * needed, q) == 1.0
    assert percentile([1.0] * (needed - 1), q) is None


@pytest.mark.parametrize("q", [0, 100, -1, 101, math.nan])
def test_what_is_no_percentile_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="is no percentile"):
        percentile([1.0] * 500, q)


def test_percentiles_interpolate_linearly() -> None:
    assert percentile([1.0, 2.0], 50) == 1.5
    assert percentile([float(value) for value in range(1, 22)], 90) == 19.0
    assert percentile([float(value) for value in range(1, 21)], 90) == pytest.approx(18.1)


@STEADY
@given(TIMES, st.sampled_from([50, 90, 95, 99]))
def test_a_percentile_is_that_of_pandas_and_duckdb(values: list[float], q: int) -> None:
    found = percentile(values, q)
    if len(values) < values_needed(q):
        assert found is None
        return
    assert found == pd.Series(values).quantile(q / 100)
    (row,) = duckdb.execute(
        "select quantile_cont(v, ?::double) from (select unnest(?::double[]) v)", [q / 100, values]
    ).fetchall()
    assert found == pytest.approx(row[0], rel=1e-14)


def test_what_was_not_seen_does_not_count() -> None:
    assert percentile([3.0, math.nan, None, 1.0], 50) == 2.0
    assert percentile([math.nan] * 5, 50) is None
    assert median_estimate([[1.0, math.nan], [math.nan], [], [None]]) == Estimate(
        value=1.0, low=None, high=None, blocks=1, n=1
    )


def test_an_estimate_is_the_geometric_mean_of_the_blocks_medians_with_a_t_interval() -> None:
    found = median_estimate([[1.0, 2.0, 9.0], [4.0], [8.0, 8.0]])
    logs = np.log([2.0, 4.0, 8.0])
    low, high = stats.t.interval(0.95, 2, loc=logs.mean(), scale=stats.sem(logs))
    assert found.value == pytest.approx(4.0)
    assert found.low == pytest.approx(math.exp(low))
    assert found.high == pytest.approx(math.exp(high))
    assert (found.blocks, found.n) == (3, 6)


def test_the_interval_by_hand() -> None:
    # t(0.975, 3) = 3.182446; the logs 0, 0, 1, 1 have a standard error of sqrt(1/3)/2.
    found = median_estimate([[1.0], [1.0], [math.e], [math.e]])
    half = 3.182446305284263 * math.sqrt(1 / 3) / 2
    assert found.low == pytest.approx(math.exp(0.5 - half))
    assert found.high == pytest.approx(math.exp(0.5 + half))


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_under_three_blocks_there_is_no_interval(blocks: int) -> None:
    found = median_estimate([[2.0] * 50] * blocks)
    assert (found.low, found.high, found.blocks, found.n) == (None, None, blocks, 50 * blocks)
    assert found.value == (pytest.approx(2.0) if blocks else None)


def test_one_blocks_value_is_its_median_to_the_last_digit() -> None:
    assert math.exp(math.log(3.6)) != 3.6
    assert median_estimate([[3.6, 9.0, 1.0]]).value == 3.6


def test_blocks_that_agree_have_an_interval_of_no_width() -> None:
    for blocks in (3, BOOTSTRAP_FROM_BLOCKS):
        found = median_estimate([[0.3]] * blocks)
        assert found.low == pytest.approx(0.3)
        assert found.high == pytest.approx(0.3)


def test_a_block_with_many_pulls_weighs_no_more_than_one_with_few() -> None:
    assert median_estimate([[1.0] * 1000, [4.0]]).value == pytest.approx(2.0)


def test_from_thirty_blocks_on_the_interval_is_bootstrapped_and_always_the_same() -> None:
    values = np.random.default_rng(5).lognormal(0, 0.5, BOOTSTRAP_FROM_BLOCKS)
    found = median_estimate([[value] for value in values])
    assert found == median_estimate([[value] for value in values])
    logs = np.log(values)
    # Expanded as Hesterberg has it: the normal tail at Student's factor times the root of n / (n - 1).
    tail = stats.norm.cdf(-math.sqrt(30 / 29) * stats.t.ppf(0.975, 29))
    reference = stats.bootstrap(
        (logs,), np.mean, method="percentile", confidence_level=1 - 2 * tail, rng=np.random.default_rng(1)
    )
    assert found.low is not None
    assert found.high is not None
    assert math.log(found.low) == pytest.approx(reference.confidence_interval.low, abs=0.02)
    assert math.log(found.high) == pytest.approx(reference.confidence_interval.high, abs=0.02)
    student = mean_interval(logs.tolist())
    assert abs(math.log(found.low) - student.low) > 1e-4
    before = median_estimate([[value] for value in values[:-1]])
    assert before.low == pytest.approx(math.exp(mean_interval(logs[:-1].tolist()).low))


def test_many_blocks_are_resampled_in_portions() -> None:
    found = median_estimate([[1.0 + block % 2] for block in range(2000)])
    assert found.low is not None
    assert found.high is not None
    assert found.low < math.sqrt(2) < found.high < found.low * 1.07


@pytest.mark.parametrize("blocks", [3, BOOTSTRAP_FROM_BLOCKS])
def test_a_phase_that_cost_nothing_in_a_block_is_averaged_without_logarithms(blocks: int) -> None:
    values = [0.0] * (blocks - 1) + [3.0]
    found = median_estimate([[value] for value in values])
    assert found.value == pytest.approx(3.0 / blocks)
    assert found.low == 0.0
    assert found.high is not None
    assert found.high > 3.0 / blocks


@STEADY
@given(st.lists(TIMES, min_size=3, max_size=40), st.floats(0.01, 100))
def test_the_unit_does_not_matter(blocks: list[list[float]], factor: float) -> None:
    found, scaled = median_estimate(blocks), median_estimate([[value * factor for value in block] for block in blocks])
    assert found.value is not None and found.low is not None and found.high is not None
    assert found.low <= found.value * (1 + 1e-9) and found.value <= found.high * (1 + 1e-9)
    assert scaled.value == pytest.approx(found.value * factor)
    assert scaled.low == pytest.approx(found.low * factor)
    assert scaled.high == pytest.approx(found.high * factor)


def covered(blocks: int, seed: int, tries: int = 600) -> float:
    """How often the interval holds the truth, where blocks differ and pulls within them are skewed."""
    generator, hits = np.random.default_rng(seed), 0
    for _ in range(tries):
        levels = generator.normal(0, 0.2, blocks)
        pulls: Sequence[Sequence[float]] = np.exp(levels[:, None] + generator.normal(0, 0.4, (blocks, 8))).tolist()
        found = median_estimate(pulls)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    return hits / tries


@pytest.mark.parametrize("blocks", [3, 5, 12])
def test_the_interval_covers_the_truth_as_often_as_it_says(blocks: int) -> None:
    # 600 tries at 95%: three standard errors are 2.7 points.
    assert 0.923 <= covered(blocks, seed=blocks) <= 0.977


def test_the_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    # 300 tries at 95%: two standard errors are 2.5 points.
    assert 0.925 <= covered(BOOTSTRAP_FROM_BLOCKS, seed=7, tries=300) <= 0.975


def test_the_blocks_for_an_interval_of_a_width_are_told_from_their_spread() -> None:
    by_block = [[1.0], [1.1], [0.9], [1.05], [0.95]]
    needed = blocks_needed(by_block, 0.05)
    spread = np.std(np.log([1.0, 1.1, 0.9, 1.05, 0.95]), ddof=1)
    assert needed is not None
    halves = [stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n) for n in (needed - 1, needed)]
    assert halves[1] <= math.log(1.05) < halves[0]
    assert blocks_needed([[1.0]] * 5, 0.05) == 3
    assert blocks_needed([[1.0], [2.0]], 0.05) is None
    assert blocks_needed([[1e-9], [1.0], [1e9]], 0.05) == 10_000


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (10, 10, 0.7224672, 1.0),
        (0, 10, 0.0, 0.2775328),
        (9, 10, 0.5958500, 0.9821238),
        (999, 1000, 0.9943570, 0.9998235),
    ],
)
def test_wilsons_interval_is_the_textbooks(successes: int, n: int, low: float, high: float) -> None:
    found = wilson(successes, n)
    assert found.low == pytest.approx(low, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize("n", [1, 3, 7, 100, 9999])
def test_the_bound_is_the_rate_itself_where_all_or_none_succeeded(n: int) -> None:
    assert wilson(n, n).high == 1.0
    assert wilson(0, n).low == 0.0


def test_nothing_tried_tells_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_more_confidence_is_a_wider_interval() -> None:
    assert wilson(9, 10, confidence=0.99).low < wilson(9, 10).low
