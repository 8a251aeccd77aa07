"""Whether one configuration is faster than another; the answer may be inconclusive. Pure.

Configurations of one run are paired by repetition, which removes what affects a whole repetition. Two runs have no repetition in common, so
their repetitions' log-medians are compared by Welch's test, which allows each side its own spread.

Sources: Student's and Welch's tests (Welch, Biometrika 34, 1947); Holm (Scandinavian Journal of Statistics 6, 1979);
equivalence by an interval inside a margin (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15, 1987), here with the
95% interval where his takes 90%: `no_difference` is wrong in at most 2.5% of cases, not 5%.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS, Interval, mean_interval

MARGIN = 0.05
"""A difference below this share does not matter in practice."""
SIGNIFICANCE = 0.03
"""Faster or slower needs a corrected p below this. At 5%, one in twenty comparisons of equal configurations would be called
different, and more where tails are heavy."""
_MOST_BLOCKS = 1_000
"""More repetitions than these are no advice."""
_NO_SPREAD = 1e-9
"""Log-ratios closer together than this are equal but for rounding."""


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
    high: float | None
    p: float | None
    """How often runs without a difference show one this large; corrected (Holm) over the comparisons made together."""
    blocks: int
    """Repetitions in which both have a value; between runs, those of the side that has fewer."""
    verdict: ComparisonVerdict


Blocks = Mapping[int, Sequence[float]]
"""Times of successful pulls by repetition."""


def compare_paired(pairs: Sequence[tuple[Blocks, Blocks]], margin: float = MARGIN) -> list[Comparison]:
    """Compare each (baseline, candidate) of one question, such as all concurrencies with the first.

    The effect is the geometric mean over common repetitions of the ratio of medians, with its own 95% t interval.
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
    where the comparison is not inconclusive, and where it needs more than 1,000 repetitions.
    """
    if found.verdict is not ComparisonVerdict.INCONCLUSIVE or not (
        found.ratio and found.low and found.high and found.p
    ):
        return None
    from scipy.special import stdtr, stdtrit

    effect, blocks = abs(math.log(found.ratio)), found.blocks
    error = math.log(found.high / found.low) / 2 / float(stdtrit(blocks - 1, 0.5 + CONFIDENCE / 2))
    if error <= _NO_SPREAD:
        return None
    counts = np.arange(blocks + 1, _MOST_BLOCKS + 1)
    errors = error * np.sqrt(blocks / counts)
    if effect > math.log1p(margin):
        # Holm multiplied p by about this factor: more blocks have to make up for that as well.
        family = max(1.0, found.p / max(2 * float(stdtr(blocks - 1, -effect / error)), 1e-12))
        enough = 2 * family * stdtr(counts - 1, -effect / errors) < SIGNIFICANCE
    else:
        enough = stdtrit(counts - 1, 0.5 + CONFIDENCE / 2) * errors <= math.log1p(margin) - effect
    first = np.flatnonzero(enough)
    return int(counts[first[0]]) - blocks if len(first) else None


def _family(found: Sequence[Comparison], margin: float) -> list[Comparison]:
    corrected = iter(holm([entry.p for entry in found if entry.p is not None]))
    return [entry if entry.p is None else _judged(replace(entry, p=next(corrected)), margin) for entry in found]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _paired(baseline: Blocks, candidate: Blocks) -> Comparison:
    common = [block for block in baseline if len(baseline[block]) and len(candidate.get(block, ()))]
    medians = [(float(np.median(baseline[block])), float(np.median(candidate[block]))) for block in common]
    ratios = [math.log(after / before) for before, after in medians if before > 0 and after > 0]
    if len(ratios) < MIN_BLOCKS:
        return _too_few(float(np.mean(ratios)) if ratios else None, len(ratios))
    return _found(float(np.mean(ratios)), mean_interval(ratios), _p_of_no_change(ratios), len(ratios))


def _unpaired(baseline: Blocks, candidate: Blocks) -> Comparison:
    before, after = _log_medians(baseline), _log_medians(candidate)
    blocks = min(len(before), len(after))
    change = float(np.mean(after) - np.mean(before)) if blocks else None
    if change is None or blocks < MIN_BLOCKS:
        return _too_few(change, blocks)
    if max(np.ptp(before), np.ptp(after)) <= _NO_SPREAD:
        # Without spread there is no t: of all divisions of the blocks into two groups, two are as clean as this one.
        p = 1.0 if abs(change) <= _NO_SPREAD else 2 / math.comb(len(before) + len(after), len(before))
        return _found(change, Interval(low=change, high=change), p, blocks)
    from scipy.special import stdtr, stdtrit

    # Written out: scipy's test warns of a side whose values are all equal, which is harmless here.
    squares = [float(np.var(side, ddof=1)) / len(side) for side in (before, after)]
    error = math.sqrt(sum(squares))
    freedom = sum(squares) ** 2 / sum(
        own**2 / (len(side) - 1) for own, side in zip(squares, (before, after), strict=True)
    )
    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    return _found(
        change, Interval(low=change - half, high=change + half), 2 * float(stdtr(freedom, -abs(change) / error)), blocks
    )


def _log_medians(blocks: Blocks) -> list[float]:
    medians = [float(np.median(values)) for values in blocks.values() if len(values)]
    return [math.log(median) for median in medians if median > 0]


def _too_few(change: float | None, blocks: int) -> Comparison:
    ratio = None if change is None else math.exp(change)
    return Comparison(
        ratio=ratio, low=None, high=None, p=None, blocks=blocks, verdict=ComparisonVerdict.TOO_FEW_SAMPLES
    )


def _found(change: float, bounds: Interval, p: float, blocks: int) -> Comparison:
    low, high = math.exp(bounds.low), math.exp(bounds.high)
    return Comparison(
        ratio=math.exp(change), low=low, high=high, p=p, blocks=blocks, verdict=ComparisonVerdict.INCONCLUSIVE
    )


def _p_of_no_change(ratios: list[float]) -> float:
    """Two-sided t test of a mean of zero; the sign test where there is no spread."""
    from scipy.stats import binomtest, ttest_1samp

    if float(np.std(ratios)) > _NO_SPREAD:
        return float(ttest_1samp(ratios, 0.0).pvalue)
    changed = [ratio for ratio in ratios if abs(ratio) > _NO_SPREAD]
    return float(binomtest(sum(ratio > 0 for ratio in changed), len(changed)).pvalue) if changed else 1.0


def _judged(entry: Comparison, margin: float) -> Comparison:
    if entry.ratio is None or entry.low is None or entry.high is None or entry.p is None:
        return entry
    least, most = 1 / (1 + margin), 1 + margin
    if least <= entry.low and entry.high <= most:
        verdict = ComparisonVerdict.NO_DIFFERENCE
    elif entry.p < SIGNIFICANCE and not least <= entry.ratio <= most:
        verdict = ComparisonVerdict.FASTER if entry.ratio < 1 else ComparisonVerdict.SLOWER
    else:
        verdict = ComparisonVerdict.INCONCLUSIVE
    return replace(entry, verdict=verdict)
