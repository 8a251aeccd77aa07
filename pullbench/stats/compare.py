"""Whether one cell is faster than another of the same run: paired by block, and it may say that it does not know. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS, mean_interval

MARGIN = 0.05
"""A difference below this share is none that matters in practice."""
_NO_SPREAD = 1e-9
"""Log-ratios closer together than this are equal but for rounding."""


class Verdict(StrEnum):
    """What the candidate is beside the baseline."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no_difference"
    INCONCLUSIVE = "inconclusive"
    TOO_FEW_SAMPLES = "too_few_samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A candidate's time as a share of the baseline's: 0.8 is a fifth less. Under 3 common blocks it has no interval."""

    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    """That the ratio is 1; corrected (Holm) over the family that was compared at once."""
    blocks: int
    """Blocks in which both have a value."""
    verdict: Verdict


Blocks = Mapping[int, Sequence[float]]
"""Times of successful pulls by block."""


def compare_paired(pairs: Sequence[tuple[Blocks, Blocks]], margin: float = MARGIN) -> list[Comparison]:
    """Compare each (baseline, candidate) of one question, such as all concurrencies with the first.

    The effect is the geometric mean over common blocks of the ratio of medians, with a t interval (95%, each for
    itself). `no_difference` needs the interval inside the margin; `faster` and `slower` need a corrected p below 5% and
    an effect beyond the margin; the rest is inconclusive.
    """
    found = [_compare(baseline, candidate) for baseline, candidate in pairs]
    corrected = iter(holm([entry.p for entry in found if entry.p is not None]))
    return [entry if entry.p is None else _judged(replace(entry, p=next(corrected)), margin) for entry in found]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given."""
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _compare(baseline: Blocks, candidate: Blocks) -> Comparison:
    common = [block for block in baseline if len(baseline[block]) and len(candidate.get(block, ()))]
    medians = [(float(np.median(baseline[block])), float(np.median(candidate[block]))) for block in common]
    ratios = [math.log(after / before) for before, after in medians if before > 0 and after > 0]
    ratio = math.exp(float(np.mean(ratios))) if ratios else None
    if len(ratios) < MIN_BLOCKS:
        verdict = Verdict.TOO_FEW_SAMPLES
        return Comparison(ratio=ratio, low=None, high=None, p=None, blocks=len(ratios), verdict=verdict)
    interval = mean_interval(ratios)
    return Comparison(
        ratio=ratio,
        low=math.exp(interval.low),
        high=math.exp(interval.high),
        p=_p_of_no_change(ratios),
        blocks=len(ratios),
        verdict=Verdict.INCONCLUSIVE,
    )


def _p_of_no_change(ratios: list[float]) -> float:
    """Two-sided t test of a mean of zero; the sign test where there is no spread for a t to stand on."""
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
        verdict = Verdict.NO_DIFFERENCE
    elif entry.p < 1 - CONFIDENCE and not least <= entry.ratio <= most:
        verdict = Verdict.FASTER if entry.ratio < 1 else Verdict.SLOWER
    else:
        verdict = Verdict.INCONCLUSIVE
    return replace(entry, verdict=verdict)
