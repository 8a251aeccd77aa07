"""After how many pulls a cache pays: simulated truth, and what it must not say."""

import math

import numpy as np
import pytest

from pullbench.stats.break_even import Payback, break_even


def blocks(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_it_pays_after_the_extra_cost_of_the_first_pull_by_what_each_saves() -> None:
    found = break_even(blocks(5.0, 5.1, 4.9), blocks(1.0, 1.1, 0.9), blocks(3.0, 3.1, 2.9))
    assert (found.cold_s, found.warm_s, found.direct_s) == pytest.approx((5.0, 1.0, 3.0))
    assert found.pulls == pytest.approx(2.0)
    assert found.verdict is Payback.AFTER
    # What hits a whole block alike cancels: cost and saving are the same in each.
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))


def test_a_cache_that_is_no_slower_when_cold_pays_at_once() -> None:
    found = break_even(blocks(1.5, 1.6, 1.4), blocks(1.0, 1.02, 0.98), blocks(3.0, 3.1, 2.9))
    assert found.verdict is Payback.AT_ONCE
    assert found.high is not None and found.high <= 1


def test_a_cache_slower_than_the_registry_itself_never_pays() -> None:
    found = break_even(blocks(5.0, 5.1, 4.9), blocks(2.0, 2.1, 1.9), blocks(1.0, 1.1, 0.9))
    assert (found.verdict, found.pulls, found.low) == (Payback.NEVER, None, None)


def test_a_saving_that_is_not_shown_has_no_number() -> None:
    found = break_even(blocks(5.0, 5.1, 4.9), blocks(1.0, 3.0, 2.0), blocks(3.0, 1.0, 2.1))
    assert (found.verdict, found.pulls, found.high) == (Payback.NOT_SHOWN, None, None)


def test_two_blocks_are_too_few_and_only_blocks_that_have_all_three_count() -> None:
    found = break_even(blocks(5.0, 5.1, 4.9), blocks(1.0, 1.1, 0.9), {0: 3.0, 2: 2.9, 7: 9.0})
    assert (found.verdict, found.blocks, found.low) == (Payback.TOO_FEW_BLOCKS, 2, None)
    assert found.pulls == pytest.approx(4 / 2)


def test_no_block_in_common_has_no_number_at_all() -> None:
    found = break_even({0: 5.0}, {1: 1.0}, {2: 3.0})
    assert found.pulls is None and math.isnan(found.warm_s)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held, sets = np.random.default_rng(1), 0, 400
    for _ in range(sets):
        shared = rng.normal(0, 0.3, 5)
        cold, warm, direct = (mean + shared + rng.normal(0, 0.2, 5) for mean in (5.0, 1.0, 3.0))
        found = break_even(*(blocks(*values) for values in (cold, warm, direct)))
        held += found.low is not None and found.high is not None and found.low <= 2.0 <= found.high
    assert 0.92 <= held / sets <= 0.98
