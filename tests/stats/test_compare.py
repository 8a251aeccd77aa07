"""Two cells of a run are compared block by block, and the answer may be that it is not known."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pullbench.stats.compare import (
    SIGNIFICANCE,
    Comparison,
    ComparisonVerdict,
    compare_paired,
    compare_unpaired,
    holm,
    matters,
    more_repetitions,
)
from pullbench.stats.summary import MOST_REPETITIONS


def blocks(*medians: float) -> dict[int, list[float]]:
    return {block: [median] for block, median in enumerate(medians)}


def one(baseline: dict[int, list[float]], candidate: dict[int, list[float]], margin: float = 0.05) -> Comparison:
    (found,) = compare_paired([(baseline, candidate)], margin)
    return found


def test_the_ratio_is_paired_by_block() -> None:
    before, after = [1.0, 2.0, 4.0, 8.0], [0.5, 1.1, 1.9, 4.2]
    found = one(blocks(*before), blocks(*after))
    logs = np.log(np.array(after) / np.array(before))
    low, high = stats.t.interval(0.97, 3, loc=logs.mean(), scale=stats.sem(logs))
    assert found.ratio == pytest.approx(math.exp(logs.mean()))
    assert found.low == pytest.approx(math.exp(low))
    assert found.high == pytest.approx(math.exp(high))
    assert found.p == pytest.approx(stats.ttest_rel(np.log(after), np.log(before)).pvalue)
    assert (found.verdict, found.blocks) == (ComparisonVerdict.FASTER, 4)


def test_drift_that_hits_both_alike_hides_no_difference() -> None:
    drift = [1.0, 3.0, 9.0, 27.0, 81.0]
    found = one(
        blocks(*drift),
        blocks(*(2 * level * nudge for level, nudge in zip(drift, (0.98, 1, 1.02, 1, 1.01), strict=True))),
    )
    assert found.verdict is ComparisonVerdict.SLOWER


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((0.70, 0.72, 0.69, 0.71, 0.70), ComparisonVerdict.FASTER),
        ((1.40, 1.42, 1.38, 1.41, 1.40), ComparisonVerdict.SLOWER),
        ((1.00, 1.01, 0.99, 1.00, 1.00), ComparisonVerdict.NO_DIFFERENCE),
        ((1.03, 1.031, 1.029, 1.03, 1.03), ComparisonVerdict.NO_DIFFERENCE),
        ((0.5, 2.0, 0.7, 1.6, 1.0), ComparisonVerdict.INCONCLUSIVE),
        ((1.02, 1.05, 1.03, 1.06, 1.04), ComparisonVerdict.INCONCLUSIVE),
        ((1.0, 1.0), ComparisonVerdict.TOO_FEW_SAMPLES),
        ((), ComparisonVerdict.TOO_FEW_SAMPLES),
    ],
)
def test_the_verdict_needs_effect_and_evidence(ratios: tuple[float, ...], verdict: ComparisonVerdict) -> None:
    assert one(blocks(*[2.0] * len(ratios)), blocks(*(2 * ratio for ratio in ratios))).verdict is verdict


def test_a_wider_margin_calls_more_no_difference() -> None:
    found = one(blocks(1, 1, 1, 1), blocks(1.08, 1.09, 1.08, 1.07), margin=0.15)
    assert found.verdict is ComparisonVerdict.NO_DIFFERENCE
    assert one(blocks(1, 1, 1, 1), blocks(1.08, 1.09, 1.08, 1.07)).verdict is ComparisonVerdict.SLOWER


def test_too_few_blocks_still_show_what_was_seen() -> None:
    found = one(blocks(1.0, 1.0), blocks(2.0, 8.0))
    assert found.ratio == pytest.approx(4.0)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert (found.blocks, found.verdict) == (2, ComparisonVerdict.TOO_FEW_SAMPLES)
    assert one({}, blocks(1.0)).ratio is None


def test_only_blocks_with_values_of_both_are_paired() -> None:
    baseline = {0: [1.0], 1: [1.0], 2: [], 3: [1.0], 5: [9.0]}
    candidate = {0: [2.0], 1: [2.2], 2: [5.0], 3: [1.8], 4: [7.0]}
    assert one(baseline, candidate).blocks == 3


def test_ratios_without_spread_are_judged_by_their_signs() -> None:
    assert one(blocks(*[1.0] * 5), blocks(*[2.0] * 5)).verdict is ComparisonVerdict.INCONCLUSIVE
    seven = one(blocks(*[1.0] * 7), blocks(*[2.0] * 7))
    assert seven.p == pytest.approx(2 * 0.5**7)
    assert seven.verdict is ComparisonVerdict.SLOWER
    same = one(blocks(*[0.3] * 6), blocks(*[0.3] * 6))
    assert (same.p, same.verdict) == (1.0, ComparisonVerdict.NO_DIFFERENCE)


def test_a_family_is_corrected_together() -> None:
    nearly = (blocks(1, 1, 1, 1, 1), blocks(1.1, 1.3, 1.15, 1.4, 1.05))
    alone, *_ = compare_paired([nearly])
    assert alone.p is not None
    assert alone.verdict is ComparisonVerdict.SLOWER
    together = compare_paired([nearly] * 10 + [({}, {})])
    assert [entry.p for entry in together[:10]] == pytest.approx([min(1.0, 10 * alone.p)] * 10)
    assert {entry.verdict for entry in together[:10]} == {ComparisonVerdict.INCONCLUSIVE}
    assert together[10].verdict is ComparisonVerdict.TOO_FEW_SAMPLES


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_lowers_a_p(values: list[float]) -> None:
    corrected = holm(values)
    assert all(after >= before for before, after in zip(values, corrected, strict=True))
    assert all(after <= 1 for after in corrected)
    ranked = [after for _, after in sorted(zip(values, corrected, strict=True))]
    assert ranked == sorted(ranked)


def test_a_p_just_under_five_in_a_hundred_is_no_verdict() -> None:
    found = one(blocks(1, 1, 1, 1, 1), blocks(1.08, 1.35, 1.19, 1.4, 1.03))
    assert found.p is not None and found.low is not None
    assert 0.03 < found.p < 0.05
    assert found.low < 1.0
    assert found.verdict is ComparisonVerdict.INCONCLUSIVE


@pytest.mark.parametrize("compare", [compare_paired, compare_unpaired])
@pytest.mark.parametrize("family", [1, 2, 5, 12])
def test_an_interval_excludes_1_exactly_where_the_difference_is_significant(compare: Any, family: int) -> None:
    generator, seen = np.random.default_rng(family), set()
    for _ in range(60):
        effects, spread = generator.normal(0, 0.12, family), generator.uniform(0.01, 0.2)
        before, after = np.exp(generator.normal(0, spread, (2, family, 5)))
        pairs = [
            (blocks(*one_), blocks(*(math.exp(effect) * other)))
            for one_, other, effect in zip(before, after, effects, strict=True)
        ]
        for found in compare(pairs):
            assert (found.low > 1 or found.high < 1) == (found.p < SIGNIFICANCE)
            assert 0.97 - 1e-9 <= found.confidence <= 1 - 0.03 / family + 1e-9
            inside = found.low >= 1 / 1.05 and found.high <= 1.05
            assert inside == (found.verdict is ComparisonVerdict.NO_DIFFERENCE)
            seen.add(found.verdict)
    assert ComparisonVerdict.INCONCLUSIVE in seen and ComparisonVerdict.SLOWER in seen


def test_an_inconclusive_comparison_without_spread_has_no_interval() -> None:
    found = one(blocks(*[1.0] * 5), blocks(*[2.0] * 5))
    assert (found.low, found.high, found.verdict) == (None, None, ComparisonVerdict.INCONCLUSIVE)


def test_equal_cells_are_seldom_called_different() -> None:
    generator, wrong = np.random.default_rng(11), 0
    for _ in range(400):
        drift = generator.normal(0, 0.3, 6)
        before, after = np.exp(drift + generator.normal(0, 0.1, (2, 6)))
        wrong += one(blocks(*before), blocks(*after)).verdict in (ComparisonVerdict.FASTER, ComparisonVerdict.SLOWER)
    assert wrong / 400 <= 0.08


def two_runs(before: dict[int, list[float]], after: dict[int, list[float]]) -> Comparison:
    (found,) = compare_unpaired([(before, after)])
    return found


def test_runs_are_compared_by_welchs_test_whatever_their_blocks_are_called() -> None:
    before, after = [1.0, 1.2, 0.9, 1.1], [1.6, 1.5, 1.9]
    found = two_runs(blocks(*before), {block + 7: values for block, values in blocks(*after).items()})
    test = stats.ttest_ind(np.log(after), np.log(before), equal_var=False)
    bounds = test.confidence_interval(0.97)
    assert found.ratio == pytest.approx(math.exp(np.log(after).mean() - np.log(before).mean()))
    assert (found.low, found.high) == (pytest.approx(math.exp(bounds.low)), pytest.approx(math.exp(bounds.high)))
    assert found.p == pytest.approx(test.pvalue)
    assert (found.verdict, found.blocks) == (ComparisonVerdict.SLOWER, 3)


def test_blocks_of_two_runs_are_no_pairs() -> None:
    drift = [1.0, 3.0, 9.0, 27.0, 81.0]
    assert two_runs(blocks(*drift), blocks(*(1.5 * level for level in drift))).verdict is ComparisonVerdict.INCONCLUSIVE


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 9), (9, 2), (0, 5), (0, 0)])
def test_one_block_against_one_is_too_few_samples(before: int, after: int) -> None:
    for found in (two_runs(blocks(*[1.0] * before), blocks(*[9.0] * after)), one(blocks(1.0), blocks(9.0))):
        assert found.verdict is ComparisonVerdict.TOO_FEW_SAMPLES
        assert (found.low, found.high, found.p) == (None, None, None)
    runs = two_runs(blocks(*[1.0] * before), blocks(*[9.0] * after))
    assert (runs.blocks, runs.ratio) == (min(before, after), pytest.approx(9.0) if before and after else None)


def test_runs_without_spread_are_judged_by_how_few_ways_part_them_so() -> None:
    assert two_runs(blocks(*[1.0] * 3), blocks(*[2.0] * 3)).verdict is ComparisonVerdict.INCONCLUSIVE
    four = two_runs(blocks(*[1.0] * 4), blocks(*[2.0] * 4))
    assert (four.p, four.verdict, four.blocks) == (pytest.approx(2 / 70), ComparisonVerdict.SLOWER, 4)
    same = two_runs(blocks(*[0.3] * 6), blocks(*[0.3] * 6))
    assert (same.p, same.verdict) == (1.0, ComparisonVerdict.NO_DIFFERENCE)


CELL = st.dictionaries(st.integers(0, 9), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5), max_size=8)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(CELL, min_size=1, max_size=5))
def test_a_run_compared_with_itself_is_never_faster_or_slower(cells: list[dict[int, list[float]]]) -> None:
    for compare in (compare_paired, compare_unpaired):
        for cell, found in zip(cells, compare([(cell, cell) for cell in cells]), strict=True):
            assert found.verdict not in (ComparisonVerdict.FASTER, ComparisonVerdict.SLOWER)
            assert (found.verdict is ComparisonVerdict.TOO_FEW_SAMPLES) == (len(cell) < 3)
            assert found.ratio is None or found.ratio == pytest.approx(1.0)


@settings(deadline=None, derandomize=True, database=None)
@given(CELL, CELL)
def test_the_other_way_round_is_the_other_verdict(
    before: dict[int, list[float]], after: dict[int, list[float]]
) -> None:
    other = {ComparisonVerdict.FASTER: ComparisonVerdict.SLOWER, ComparisonVerdict.SLOWER: ComparisonVerdict.FASTER}
    for compare in (compare_paired, compare_unpaired):
        (there,), (back,) = compare([(before, after)]), compare([(after, before)])
        assert back.verdict is other.get(there.verdict, there.verdict)
        assert there.ratio is None or back.ratio == pytest.approx(1 / there.ratio)


def repeated(effect: float, spread: float, count: int) -> Comparison:
    """A comparison of so many blocks whose log-ratios are `effect` ± `spread`, with an even count."""
    ratios = [math.exp(effect + (spread if block % 2 else -spread)) for block in range(count)]
    return one(blocks(*[1.0] * count), blocks(*ratios))


@pytest.mark.parametrize(("effect", "spread"), [(0.2, 0.15), (0.02, 0.06)])
def test_so_many_more_repetitions_of_the_same_spread_give_a_verdict(effect: float, spread: float) -> None:
    few = repeated(effect, spread, 4)
    more = more_repetitions(few)
    assert few.verdict is ComparisonVerdict.INCONCLUSIVE and more is not None
    enough = repeated(effect, spread, 2 * math.ceil((4 + more) / 2))
    assert enough.verdict is not ComparisonVerdict.INCONCLUSIVE
    assert more > 2 and repeated(effect, spread, 4 + more // 4 * 2).verdict is ComparisonVerdict.INCONCLUSIVE


def test_more_spread_needs_more_repetitions_and_a_verdict_needs_none() -> None:
    quiet, loud = (more_repetitions(repeated(0.2, spread, 4)) for spread in (0.15, 0.3))
    assert quiet is not None and loud is not None and quiet < loud
    assert more_repetitions(repeated(0.2, 0.01, 4)) is None
    assert more_repetitions(one(blocks(1.0), blocks(2.0))) is None


def test_no_number_of_repetitions_is_given_that_nobody_measures() -> None:
    loud = repeated(0.2, 2.0, 4)
    assert loud.verdict is ComparisonVerdict.INCONCLUSIVE and more_repetitions(loud) is None
    assert (more_repetitions(repeated(0.2, 0.3, 4)) or 0) <= MOST_REPETITIONS


def test_no_number_of_repetitions_is_given_for_an_effect_just_inside_the_margin() -> None:
    assert more_repetitions(repeated(math.log1p(0.049), 0.15, 4)) is None


@pytest.mark.parametrize(
    ("ratio", "does"), [(0.99, False), (1.049, False), (0.953, False), (1.06, True), (0.95, True), (math.nan, False)]
)
def test_a_ratio_within_the_margin_does_not_matter(ratio: float, does: bool) -> None:
    assert matters(ratio) is does
