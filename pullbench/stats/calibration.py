"""Whether a measurement agrees with a truth that is known. Pure.

Times and rates: the repetition is the replicate, and the goal is a band around the truth. It is met where the whole interval
is in the band, missed where the whole interval is outside, and else not shown. Shares: the truth must be in Wilson's interval.
A 95% interval misses the truth one time in twenty, so a share is missed only outside its 99.9% interval. Counts are exact.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pullbench.stats.slo import SloVerdict
from pullbench.stats.summary import median_estimate, wilson

_SURELY = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A measured value compared with its truth, in the truth's unit; without an interval, `low` and `high` are None."""

    truth: float
    measured: float | None
    low: float | None
    high: float | None
    allowed: float | None
    """The largest error within the goal; None where the goal is the interval."""
    n: int
    """The number of values."""
    verdict: SloVerdict

    @property
    def error(self) -> float | None:
        return None if self.measured is None else self.measured - self.truth


def agree_within(by_block: Sequence[Sequence[float]], truth: float, allowed: float) -> Agreement:
    """Times or rates by repetition, compared with a band around the truth."""
    found = median_estimate(by_block)
    if found.low is None or found.high is None:
        verdict = SloVerdict.NOT_SHOWN
    elif truth - allowed <= found.low and found.high <= truth + allowed:
        verdict = SloVerdict.MET
    elif found.high < truth - allowed or found.low > truth + allowed:
        verdict = SloVerdict.MISSED
    else:
        verdict = SloVerdict.NOT_SHOWN
    return Agreement(
        truth=truth,
        measured=found.value,
        low=found.low,
        high=found.high,
        allowed=allowed,
        n=found.n,
        verdict=verdict,
    )


def agree_share(hits: int, n: int, truth: float) -> Agreement:
    """A share, compared with its own interval."""
    stated, sure = wilson(hits, n), wilson(hits, n, _SURELY)
    if n == 0:
        verdict = SloVerdict.NOT_SHOWN
    elif stated.low <= truth <= stated.high:
        verdict = SloVerdict.MET
    else:
        verdict = SloVerdict.NOT_SHOWN if sure.low <= truth <= sure.high else SloVerdict.MISSED
    return Agreement(
        truth=truth,
        measured=hits / n if n else None,
        low=stated.low if n else None,
        high=stated.high if n else None,
        allowed=None,
        n=n,
        verdict=verdict,
    )


def agree_exactly(measured: int, truth: int) -> Agreement:
    """A count: equal or not. Zero on both sides shows nothing."""
    verdict = (
        SloVerdict.NOT_SHOWN if measured == truth == 0 else SloVerdict.MET if measured == truth else SloVerdict.MISSED
    )
    return Agreement(truth=truth, measured=measured, low=None, high=None, allowed=0.0, n=measured, verdict=verdict)


def spread(values: Sequence[float]) -> float:
    """The interquartile range, which one straggler does not change; of uniform values it is half of their width."""
    low, high = np.percentile(np.asarray(values), [25, 75])
    return float(high - low)


def union_s(intervals: Iterable[tuple[float, float]]) -> float:
    """How long at least one of the intervals (start, end) was open."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
