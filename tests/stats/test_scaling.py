"""Curves over concurrency: speed-up by hand, the law where it is the truth, and no law where it is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullbench.stats.scaling import NoLaw, scaling

LEVELS = (1, 2, 4, 8, 16)
STEADY = settings(deadline=None, derandomize=True, database=None, max_examples=25)
Rates = dict[int, dict[int, float]]


def curve(truth: dict[int, float], blocks: int = 5, noise: float = 0.02, seed: int = 1) -> Rates:
    """Rates about a true curve, with a block's own speed in all of its levels."""
    generator = np.random.default_rng(seed)
    speed = np.exp(generator.normal(0, 0.3, blocks))
    return {
        level: {block: float(rate * speed[block] * np.exp(generator.normal(0, noise))) for block in range(blocks)}
        for level, rate in truth.items()
    }


def law(contention: float, coherency: float, rate: float = 3.0) -> dict[int, float]:
    return {n: rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1)) for n in LEVELS}


def test_speed_up_and_efficiency_by_hand() -> None:
    rates: Rates = {1: {0: 1.0, 1: 2.0, 2: 4.0}, 4: {0: 2.0, 1: 4.0, 2: 8.0}}
    first, second = scaling(rates).levels
    assert (first.speedup, first.efficiency) == (1.0, 1.0)
    assert (second.rate, second.speedup, second.efficiency) == (
        pytest.approx(4.0),
        pytest.approx(2.0),
        pytest.approx(0.5),
    )
    assert (second.speedup_low, second.speedup_high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert (second.efficiency_low, second.efficiency_high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_what_hits_a_block_alike_widens_no_speed_up() -> None:
    second = scaling(curve(law(0.1, 0.0))).levels[1]
    assert second.speedup_low is not None and second.speedup_high is not None
    assert second.speedup_high / second.speedup_low < 1.15


def test_the_law_is_found_where_it_is_the_truth() -> None:
    found = scaling(curve(law(0.08, 0.004))).law
    assert found is not None
    assert found.contention_low <= 0.08 <= found.contention_high
    assert found.coherency_low <= 0.004 <= found.coherency_high
    assert found.peak == pytest.approx(((1 - 0.08) / 0.004) ** 0.5, rel=0.35)
    assert found.rate(4) == pytest.approx(scaling(curve(law(0.08, 0.004))).levels[2].rate, rel=0.05)


def test_a_law_without_noise_is_found_to_the_digit() -> None:
    found = scaling(curve(law(0.05, 0.01), noise=0.0)).law
    assert found is not None
    assert (found.contention, found.coherency) == (pytest.approx(0.05), pytest.approx(0.01))
    assert found.misfit == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("contention", [0.0, 0.79, 0.87])
def test_a_coherency_that_is_none_but_for_rounding_makes_no_peak(contention: float) -> None:
    found = scaling(curve(law(contention, 0.0), noise=0.0)).law
    assert found is not None
    assert (found.coherency, found.peak) == (0.0, None)


def test_what_is_no_law_is_not_fitted() -> None:
    found = scaling(curve({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0, 16: 1.0}))
    assert (found.law, found.no_law) == (None, NoLaw.MISFIT)
    assert found.knee == 8


@pytest.mark.parametrize(
    ("levels", "blocks", "reason"),
    [((1, 2, 4), 5, NoLaw.TOO_FEW_LEVELS), (LEVELS, 2, NoLaw.TOO_FEW_BLOCKS), ((1,), 5, NoLaw.TOO_FEW_LEVELS)],
)
def test_too_little_for_a_fit_says_so(levels: tuple[int, ...], blocks: int, reason: NoLaw) -> None:
    truth = {level: rate for level, rate in law(0.1, 0.0).items() if level in levels}
    found = scaling(curve(truth, blocks=blocks))
    assert (found.law, found.no_law) == (None, reason)


def test_a_curve_that_flattens_has_its_knee_there_and_tells_what_less_costs() -> None:
    found = scaling(curve({1: 1.0, 2: 2.0, 4: 4.0, 8: 4.0, 16: 4.0}))
    assert (found.knee, found.recommended) == (4, 4)
    assert found.knee_low is not None and found.knee_high is not None
    assert found.knee_low <= 4 <= found.knee_high
    assert [cost.concurrency for cost in found.costs] == [1, 2]
    assert found.costs[0].lost == pytest.approx(0.75, abs=0.02)
    assert found.costs[1].low is not None and found.costs[1].high is not None
    assert found.costs[1].low < 0.5 < found.costs[1].high


def test_a_curve_that_still_rises_has_no_knee_and_recommends_the_highest() -> None:
    found = scaling(curve({n: float(n) for n in LEVELS}))
    assert (found.knee, found.recommended) == (None, 16)


def test_where_the_knee_may_be_anywhere_nothing_is_recommended_and_nothing_costs() -> None:
    noisy = {1: (1.0, 2.0, 0.4), 2: (0.5, 1.1, 1.5)}
    found = scaling({level: dict(enumerate(rates)) for level, rates in noisy.items()})
    assert (found.knee_low, found.knee_high) == (1, 2)
    assert (found.recommended, found.costs) == (None, ())


@pytest.mark.parametrize("blocks", [1, 2])
def test_under_three_blocks_nothing_is_recommended(blocks: int) -> None:
    found = scaling(curve(law(0.1, 0.0), blocks=blocks))
    assert (found.recommended, found.knee_low, found.costs) == (None, None, ())
    assert found.levels[1].speedup_low is None


def test_nothing_measured_is_no_curve() -> None:
    assert scaling({}).levels == ()
    assert scaling({4: {}}).recommended is None


def test_a_level_that_mostly_failed_is_left_out_and_takes_no_blocks_along() -> None:
    rates = curve(law(0.1, 0.0))
    rates[16] = {0: rates[16][0]}
    found = scaling(rates)
    assert [level.concurrency for level in found.levels] == [1, 2, 4, 8]
    assert found.blocks == 5
    rates[8].pop(3)
    assert scaling(rates).blocks == 4


@STEADY
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_the_unit_does_not_matter_for_the_knee(seed: int, unit: float) -> None:
    rates = curve(law(0.1, 0.002), noise=0.1, seed=seed)
    found = scaling(rates)
    scaled = scaling({level: {block: rate * unit for block, rate in mine.items()} for level, mine in rates.items()})
    assert found.recommended == scaled.recommended
    assert found.knee_low is not None and found.knee_high is not None and found.recommended is not None
    assert found.knee_low <= found.knee_high
