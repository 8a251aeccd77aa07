"""What makes numbers less sure than they look is seen, and steady pulls raise no alarm."""

import math

import numpy as np
import pytest
from scipy import stats

from pullbench.stats.stability import MODES_FROM_PULLS, centred, drift, modes, odd_block, outliers


def normal(n: int, seed: int = 1, spread: float = 0.1) -> list[float]:
    return list(np.random.default_rng(seed).normal(0, spread, n))


def test_a_trend_over_blocks_is_told_as_last_by_first() -> None:
    found = drift({block: 1.1**block for block in range(5)} | {5: 1.1**5 * 1.0001})
    assert found is not None
    assert found.ratio == pytest.approx(1.1**5, rel=1e-3)
    assert found.low <= 1.1**5 * 1.001 and found.high >= 1.1**5
    assert found.p < 1e-6
    assert found.blocks == 6


def test_a_trend_is_that_of_scipy() -> None:
    medians = {0: 1.0, 1: 1.3, 2: 1.1, 4: 1.5}
    found = drift(medians)
    line = stats.linregress([0, 1, 2, 4], np.log([1.0, 1.3, 1.1, 1.5]))
    assert found is not None
    assert found.p == pytest.approx(line.pvalue)
    assert found.ratio == pytest.approx(math.exp(4 * line.slope))


@pytest.mark.parametrize("medians", [{}, {0: 1.0, 1: 2.0, 2: 3.0}, dict.fromkeys(range(9), 0.3)])
def test_few_blocks_or_equal_ones_have_no_trend_and_no_odd_block(medians: dict[int, float]) -> None:
    assert drift(medians) is None
    assert odd_block(medians) is None


def test_an_odd_block_is_named() -> None:
    found = odd_block({0: 1.0, 1: 1.02, 2: 0.99, 3: 3.0, 4: 1.01, 5: 1.0})
    assert found is not None
    assert (found.block, found.ratio) == (3, pytest.approx(3.0, rel=0.02))
    assert found.p < 1e-3


def test_grubbs_by_the_table() -> None:
    # Grubbs' two-sided critical value at 5% for n = 7 is 2.020.
    values = np.array([0.0, 0, 0, 0, 0, 0, 1.0]) + np.array([-1, 1, -1, 1, -1, 1, 0]) * 0.2725
    score = abs(values[-1] - values.mean()) / values.std(ddof=1)
    found = odd_block({block: math.exp(value) for block, value in enumerate(values)})
    assert found is not None
    assert found.block == 6
    assert (found.p < 0.05) == (score > 2.020)


def test_blocks_equal_but_for_one_are_odd_beyond_doubt() -> None:
    found = odd_block(dict.fromkeys(range(6), 1.0) | {2: 2.0})
    assert found is not None
    assert (found.block, found.p) == (2, pytest.approx(0.0, abs=1e-9))


def test_steady_blocks_are_seldom_called_odd_or_drifting() -> None:
    generator, odd, drifting = np.random.default_rng(2), 0, 0
    for _ in range(400):
        medians = dict(enumerate(np.exp(generator.normal(0, 0.1, 8)).tolist()))
        block, trend = odd_block(medians), drift(medians)
        assert block is not None and trend is not None
        odd, drifting = odd + (block.p < 0.05), drifting + (trend.p < 0.05)
    # 400 tries at 5%: three standard errors are 3.3 points.
    assert odd / 400 <= 0.083
    assert drifting / 400 <= 0.083


def test_pulls_far_from_the_rest_are_counted() -> None:
    found = outliers([*normal(95), 2.0, 2.1, 2.2, 2.3, 2.4])
    assert found is not None
    assert (found.count, found.n) == (5, 100)
    assert found.farthest == pytest.approx(math.exp(2.4), rel=0.05)
    assert found.many


def test_one_far_pull_in_a_hundred_is_told_and_no_alarm() -> None:
    found = outliers([*normal(99), 2.0])
    assert found is not None
    assert (found.count, found.many) == (1, False)
    assert outliers(normal(19)) is None


def test_equal_pulls_have_no_outlier_but_the_one_that_differs() -> None:
    found = outliers([0.0] * 30)
    assert found is not None and found.count == 0
    found = outliers([0.0] * 30 + [0.5])
    assert found is not None and found.count == 1


def test_pulls_a_few_hundredths_off_are_neither_outliers_nor_another_kind() -> None:
    found = outliers([value * 0.01 for value in normal(90)] + [0.1] * 10)
    assert found is not None and found.count == 0
    assert modes([value * 0.01 for value in normal(60)] + [0.1] * 30) is None


def test_two_kinds_of_pulls_are_told_apart() -> None:
    found = modes([*normal(60), *(value + 1.0 for value in normal(30, seed=2))])
    assert found is not None
    assert found.ratio == pytest.approx(math.e, rel=0.1)
    assert found.slower_share == pytest.approx(1 / 3)
    assert found.separation > 5


@pytest.mark.parametrize("values", [normal(200), list(np.linspace(0, 1, 200)), [*normal(95), *[3.0] * 5], [0.0] * 60])
def test_one_hill_a_flat_stretch_or_a_few_outliers_are_no_two_kinds(values: list[float]) -> None:
    assert modes(values) is None


def test_few_pulls_are_not_parted() -> None:
    values = [0.0, 1.0] * (MODES_FROM_PULLS // 2)
    assert modes(values) is not None
    assert modes(values[1:]) is None


def test_images_of_two_sizes_are_one_kind_once_centred() -> None:
    generator = np.random.default_rng(4)
    images = ["small", "large"] * 40
    blocks = [number // 10 for number in range(80)]
    sizes = np.where(np.array(images) == "large", 9.0, 1.0)
    values = (sizes * np.exp(generator.normal(0, 0.1, 80))).tolist()
    assert modes(np.log(values)) is not None
    assert modes(centred(values, blocks, images)) is None


def test_a_slow_block_is_no_outlier_of_its_pulls() -> None:
    generator = np.random.default_rng(4)
    blocks = [number // 20 for number in range(100)]
    values = (np.where(np.array(blocks) == 2, 5.0, 1.0) * np.exp(generator.normal(0, 0.1, 100))).tolist()
    found = outliers(centred(values, blocks, ["one"] * 100))
    assert found is not None and not found.many
