"""Whether one configuration is faster than another; the answer may be inconclusive. Pure.

Configurations of one run are paired by repetition, which removes what affects a whole repetition. Two runs have no repetition in common, so
their repetitions' log-medians are compared by Welch's test, which allows each side its own spread.

An interval has the level that its verdict is made at: it excludes 1 exactly where the corrected p is below SIGNIFICANCE. So
interval and verdict never contradict each other.

Sources: Student's and Welch's tests (Welch, Biometrika 34, 1947); Holm (Scandinavian Journal of Statistics 6, 1979), and
intervals by his steps (Serlin, J. Experimental Education 61, 1993); equivalence by an interval inside a margin (Schuirmann,
J. Pharmacokinetics and Biopharmaceutics 15, 1987), here with an interval of at least 97% where his takes 90%: `no_difference`
is wrong in about 1.5% of cases, not 5%.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from pullbench.stats.summary import MIN_BLOCKS, MOST_REPETITIONS

MARGIN = 0.05
"""A difference below this share does not matter in practice."""
SIGNIFICANCE = 0.03
"""Faster or slower needs a corrected p below this. At 5%, one in twenty comparisons of equal configurations would be called
different, and more where tails are heavy."""
_NO_SPREAD = 1e-9
"""Log-ratios closer together than this are equal but for rounding."""


def matters(ratio: float, margin: float = MARGIN) -> bool:
    """Whether two times with this ratio differ by more than the margin; of NaN False."""
    return ratio > 1 + margin or ratio < 1 / (1 + margin)


class ComparisonVerdict(StrEnum):
    """What the candidate is compared with the baseline."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no_difference"
    INCONCLUSIVE = "inconclusive"
    TOO_FEW_SAMPLES = "too_few_samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A candidate's time as a share of the baseline's: 0.8 is a fifth less. Under 3 common repetitions it has no interval."""

    ratio: float | None
    low: float | None
    """The lower end of the interval of `ratio`, at the level `confidence`."""
    high: float | None
    confidence: float | None
    """97% for one comparison, more for one of several (Holm): the interval excludes 1 exactly where p is below 3%."""
    error: float | None
    """The standard error of the ratio's logarithm."""
    p: float | None
    """How often runs without a difference show one this large; corrected (Holm) over the comparisons made together."""
    blocks: int
    """Repetitions in which both have a value; between runs, those of the side that has fewer."""
    verdict: ComparisonVerdict


Blocks = Mapping[int, Sequence[float]]
"""Times of successful pulls by repetition."""


def compare_paired(pairs: Sequence[tuple[Blocks, Blocks]], margin: float = MARGIN) -> list[Comparison]:
    """Compare each (baseline, candidate) of one question, such as all concurrencies with the first.

    The effect is the geometric mean over common repetitions of the ratio of medians, with a t interval.
    `no_difference` needs the interval inside the margin. `faster` and `slower` need a corrected p below 3% and an effect
    beyond the margin. The rest is inconclusive.
    """
    return _family([_paired(baseline, candidate) for baseline, candidate in pairs], margin)


def compare_unpaired(pairs: Sequence[tuple[Blocks, Blocks]], margin: float = MARGIN) -> list[Comparison]:
    """Compare each (baseline, candidate) of two runs, such as all configurations that they have in common.

    The effect is the ratio of the geometric means of the repetitions' medians, with Welch's interval; under 3 repetitions on either
    side there is none. Repetitions are not matched by number. What differs between the two runs' hours is part of the effect:
    one run on each side cannot separate it from what changed. Verdicts as in `compare_paired`.
    """
    return _family([_unpaired(baseline, candidate) for baseline, candidate in pairs], margin)


def more_repetitions(found: Comparison, margin: float = MARGIN) -> int | None:
    """About how many more repetitions (on each side) an inconclusive comparison needs, if effect and spread stay as they are.

    Enough for a corrected p below 3% where the effect is beyond the margin, else for an interval inside the margin. None
    where the comparison is not inconclusive, and where it needs more than MOST_REPETITIONS.
    """
    if found.verdict is not ComparisonVerdict.INCONCLUSIVE or not (found.ratio and found.error and found.confidence):
        return None
    from scipy.special import stdtr, stdtrit

    effect, blocks = abs(math.log(found.ratio)), found.blocks
    counts = np.arange(blocks + 1, blocks + MOST_REPETITIONS + 1)
    errors = found.error * np.sqrt(blocks / counts)
    if effect > math.log1p(margin):
        # Holm divided the level by this factor: more repetitions have to make up for that as well.
        family = SIGNIFICANCE / (1 - found.confidence)
        enough = 2 * family * stdtr(counts - 1, -effect / errors) < SIGNIFICANCE
    else:
        enough = stdtrit(counts - 1, 0.5 + found.confidence / 2) * errors <= math.log1p(margin) - effect
    first = np.flatnonzero(enough)
    return int(counts[first[0]]) - blocks if len(first) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effect:
    """A change of the logarithm of a time: its standard error with the degrees of freedom, and its own p."""

    change: float
    error: float
    freedom: float
    p: float
    blocks: int


def _family(found: Sequence[_Effect | Comparison], margin: float) -> list[Comparison]:
    p_values = iter(_by_steps([entry.p for entry in found if isinstance(entry, _Effect)]))
    return [_compared(entry, next(p_values), margin) if isinstance(entry, _Effect) else entry for entry in found]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    return [min(1.0, corrected) for corrected in _by_steps(p_values)]


def _by_steps(p_values: Sequence[float]) -> list[float]:
    """The same, also above 1."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        corrected[index] = highest
    return corrected


def _paired(baseline: Blocks, candidate: Blocks) -> _Effect | Comparison:
    common = [block for block in baseline if len(baseline[block]) and len(candidate.get(block, ()))]
    medians = [(float(np.median(baseline[block])), float(np.median(candidate[block]))) for block in common]
    ratios = [math.log(after / before) for before, after in medians if before > 0 and after > 0]
    if len(ratios) < MIN_BLOCKS:
        return _too_few(float(np.mean(ratios)) if ratios else None, len(ratios))
    return _Effect(
        change=float(np.mean(ratios)),
        error=float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios)),
        freedom=len(ratios) - 1,
        p=_p_of_no_change(ratios),
        blocks=len(ratios),
    )


def _unpaired(baseline: Blocks, candidate: Blocks) -> _Effect | Comparison:
    before, after = _log_medians(baseline), _log_medians(candidate)
    blocks = min(len(before), len(after))
    change = float(np.mean(after) - np.mean(before)) if blocks else None
    if change is None or blocks < MIN_BLOCKS:
        return _too_few(change, blocks)
    if max(np.ptp(before), np.ptp(after)) <= _NO_SPREAD:
        # Without spread there is no t: of all divisions of the blocks into two groups, two are as clean as this one.
        p = 1.0 if abs(change) <= _NO_SPREAD else 2 / math.comb(len(before) + len(after), len(before))
        return _Effect(change=change, error=0.0, freedom=blocks - 1, p=p, blocks=blocks)
    from scipy.special import stdtr

    # Written out: scipy's test warns of a side whose values are all equal, which is harmless here.
    squares = [float(np.var(side, ddof=1)) / len(side) for side in (before, after)]
    error = math.sqrt(sum(squares))
    freedom = sum(squares) ** 2 / sum(
        own**2 / (len(side) - 1) for own, side in zip(squares, (before, after), strict=True)
    )
    p = 2 * float(stdtr(freedom, -abs(change) / error))
    return _Effect(change=change, error=error, freedom=freedom, p=p, blocks=blocks)


def _log_medians(blocks: Blocks) -> list[float]:
    medians = [float(np.median(values)) for values in blocks.values() if len(values)]
    return [math.log(median) for median in medians if median > 0]


def _too_few(change: float | None, blocks: int) -> Comparison:
    return Comparison(
        ratio=None if change is None else math.exp(change),
        low=None,
        high=None,
        confidence=None,
        error=None,
        p=None,
        blocks=blocks,
        verdict=ComparisonVerdict.TOO_FEW_SAMPLES,
    )


def _compared(effect: _Effect, corrected_p: float, margin: float) -> Comparison:
    """An effect as one of its family; the correction of its p is that of its interval, too."""
    from scipy.special import stdtrit

    # A p that is too small for a float needs no interval that is exact.
    tail = SIGNIFICANCE / 2 * (effect.p / corrected_p if corrected_p > 0 else 1.0)
    half = -float(stdtrit(effect.freedom, tail)) * effect.error
    ratio, low, high = (math.exp(effect.change + way * half) for way in (0, -1, 1))
    p = min(1.0, corrected_p)
    verdict = _verdict(ratio, low, high, p, margin)
    # The sign test, which takes over where there is no spread, has no interval for so few repetitions.
    known = half > _NO_SPREAD or verdict is not ComparisonVerdict.INCONCLUSIVE
    return Comparison(
        ratio=ratio,
        low=low if known else None,
        high=high if known else None,
        confidence=1 - 2 * tail if known else None,
        error=effect.error if known else None,
        p=p,
        blocks=effect.blocks,
        verdict=verdict,
    )


def _p_of_no_change(ratios: list[float]) -> float:
    """Two-sided t test of a mean of zero; the sign test where there is no spread."""
    from scipy.stats import binomtest, ttest_1samp

    if float(np.std(ratios)) > _NO_SPREAD:
        return float(ttest_1samp(ratios, 0.0).pvalue)
    changed = [ratio for ratio in ratios if abs(ratio) > _NO_SPREAD]
    return float(binomtest(sum(ratio > 0 for ratio in changed), len(changed)).pvalue) if changed else 1.0


def _verdict(ratio: float, low: float, high: float, p: float, margin: float) -> ComparisonVerdict:
    if not (matters(low, margin) or matters(high, margin)):
        return ComparisonVerdict.NO_DIFFERENCE
    if p < SIGNIFICANCE and matters(ratio, margin):
        return ComparisonVerdict.FASTER if ratio < 1 else ComparisonVerdict.SLOWER
    return ComparisonVerdict.INCONCLUSIVE
