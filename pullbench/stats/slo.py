"""Whether an SLO is met or missed, or what was measured cannot decide it. Pure.

A verdict is given only where the whole interval lies on one side of the target; all else is `not_shown`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import groupby

import numpy as np

from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS, mean_interval, percentile, wilson

_MIN_VALUES = 3
"""Of fewer, the lower bound of a high percentile is the greatest value itself: one slow answer would be a verdict."""


class SloVerdict(StrEnum):
    """What a measurement says of a target."""

    MET = "met"
    MISSED = "missed"
    NOT_SHOWN = "not_shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One SLO: the target, what was measured with its interval, and the verdict.

    `measured` is None where nothing was measured, a bound where there are too few values for one.
    """

    target: float
    measured: float | None
    low: float | None
    high: float | None
    verdict: SloVerdict


def score_success_rate(successes: int, n: int, target: float) -> Score:
    """Met where Wilson's lower bound reaches the target, missed where its upper bound does not."""
    if n == 0:
        return Score(target=target, measured=None, low=None, high=None, verdict=SloVerdict.NOT_SHOWN)
    bounds = wilson(successes, n)
    verdict = (
        SloVerdict.MET if bounds.low >= target else SloVerdict.MISSED if bounds.high < target else SloVerdict.NOT_SHOWN
    )
    return Score(target=target, measured=successes / n, low=bounds.low, high=bounds.high, verdict=verdict)


def score_mean(by_block: Sequence[Sequence[float]], target: float) -> Score:
    """The mean of the repetitions' means against an upper limit, by Student's t over the repetitions; not shown under 3 repetitions.

    The values are times: Student's t knows nothing of that, so a bound below zero is zero.
    """
    means = [float(np.mean(block)) for block in by_block if len(block)]
    measured = float(np.mean(means)) if means else None
    if len(means) < MIN_BLOCKS:
        return Score(target=target, measured=measured, low=None, high=None, verdict=SloVerdict.NOT_SHOWN)
    bounds = mean_interval(means)
    return _below(target, measured, max(bounds.low, 0.0), bounds.high)


def score_percentile(values: Sequence[float], q: float, target: float) -> Score:
    """The q-th percentile against an upper limit, by the exact binomial interval of order statistics.

    The upper bound needs many values (368 for p99); without it a percentile can be missed, but not met. Where n does
    not carry the percentile itself, `measured` is None and a miss stands on `low`. Under 3 values there is no bound.
    """
    if len(values) < _MIN_VALUES:
        return Score(target=target, measured=percentile(values, q), low=None, high=None, verdict=SloVerdict.NOT_SHOWN)
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    low, high = (None if rank is None else float(ordered[rank]) for rank in _bound_ranks(len(ordered), q))
    return _below(target, percentile(values, q), low, high)


@cache
def _bound_ranks(n: int, q: float) -> tuple[int | None, int | None]:
    """Which of n values in order, from 0, are the bounds of the q-th percentile; None where no value is one.

    It is a matter of n alone, and takes milliseconds, which hundreds of settings and runs would feel: asked once of ranks.
    """
    from scipy.stats import quantile_test

    found = quantile_test(np.arange(n), p=q / 100).confidence_interval(confidence_level=CONFIDENCE)
    low, high = (None if np.isnan(bound) else int(bound) for bound in found)
    return low, high


def score_failure_streak(outcomes: Iterable[bool], limit: int) -> Score:
    """The longest run of failures against a limit that it must stay below; a count, so it has no interval.

    Fewer pulls than the limit cannot reach it, and so show nothing.
    """
    in_order = list(outcomes)
    longest = longest_failure_streak(in_order) if in_order else None
    if longest is None or len(in_order) < limit:
        verdict = SloVerdict.NOT_SHOWN
    else:
        verdict = SloVerdict.MISSED if longest >= limit else SloVerdict.MET
    return Score(target=limit, measured=longest, low=None, high=None, verdict=verdict)


def longest_failure_streak(outcomes: Iterable[bool]) -> int:
    """How many pulls failed one after the other at most; `outcomes` say ok, in the order of start."""
    return max((sum(1 for _ in group) for ok, group in groupby(outcomes) if not ok), default=0)


def _below(target: float, measured: float | None, low: float | None, high: float | None) -> Score:
    if high is not None and high <= target:
        verdict = SloVerdict.MET
    elif low is not None and low > target:
        verdict = SloVerdict.MISSED
    else:
        verdict = SloVerdict.NOT_SHOWN
    return Score(target=target, measured=measured, low=low, high=high, verdict=verdict)
