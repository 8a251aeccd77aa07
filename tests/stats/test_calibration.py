"""Agreement with a known truth, on numbers whose answers are known."""

import pytest

from pullbench.stats.calibration import agree_exactly, agree_share, agree_within, spread, union_s
from pullbench.stats.slo import SloVerdict
from pullbench.stats.summary import wilson


def test_a_narrow_interval_inside_the_band_meets_the_goal_and_one_outside_misses_it() -> None:
    close, off = [[0.1010], [0.1012], [0.1011]], [[0.1080], [0.1082], [0.1081]]
    met, missed = agree_within(close, 0.1, 0.003), agree_within(off, 0.1, 0.003)
    assert (met.verdict, missed.verdict) == (SloVerdict.MET, SloVerdict.MISSED)
    assert met.error == pytest.approx(0.0011, rel=0.01) and missed.error == pytest.approx(0.0081, rel=0.01)


def test_what_is_too_low_misses_the_goal_too() -> None:
    assert agree_within([[0.0920], [0.0922], [0.0921]], 0.1, 0.003).verdict == SloVerdict.MISSED


def test_an_interval_that_reaches_over_the_band_proves_nothing() -> None:
    assert agree_within([[0.099], [0.100], [0.108]], 0.1, 0.003).verdict == SloVerdict.NOT_SHOWN


def test_under_three_blocks_there_is_no_interval_and_so_no_verdict() -> None:
    found = agree_within([[0.1], [0.1]], 0.1, 0.003)
    assert (found.measured, found.low, found.verdict) == (pytest.approx(0.1), None, SloVerdict.NOT_SHOWN)


def test_a_straggler_in_each_block_does_not_move_the_verdict() -> None:
    block = [0.100, 0.101, 0.101, 0.102, 0.9]
    assert agree_within([block] * 5, 0.1, 0.003).verdict == SloVerdict.MET


def test_a_share_agrees_while_the_truth_lies_in_its_stated_interval() -> None:
    found, stated = agree_share(20, 100, 0.25), wilson(20, 100)
    assert found.verdict == SloVerdict.MET
    assert (found.low, found.high) == (stated.low, stated.high)


def test_a_share_just_beyond_its_interval_may_be_chance_and_one_far_beyond_is_missed() -> None:
    assert agree_share(20, 100, wilson(20, 100).high + 0.005).verdict == SloVerdict.NOT_SHOWN
    assert agree_share(20, 100, 0.5).verdict == SloVerdict.MISSED
    assert agree_share(0, 0, 0.5).verdict == SloVerdict.NOT_SHOWN


def test_counts_agree_exactly_or_not_at_all() -> None:
    assert agree_exactly(7, 7).verdict == SloVerdict.MET
    assert agree_exactly(7, 8).verdict == SloVerdict.MISSED
    assert agree_exactly(0, 0).verdict == SloVerdict.NOT_SHOWN, "nothing happened, so nothing was shown"


def test_the_spread_of_evenly_spread_values_is_half_their_width_whatever_one_straggler_does() -> None:
    values = [0.03 * step / 100 for step in range(101)]
    assert spread(values) == pytest.approx(0.015)
    assert spread([*values, 5.0]) == pytest.approx(0.015, rel=0.02)


def test_the_union_counts_what_overlaps_once_and_gaps_not_at_all() -> None:
    assert union_s([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == pytest.approx(4.0)
    assert union_s([]) == 0.0
