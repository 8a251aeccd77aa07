"""Percentiles, medians and rates with their intervals. Pure; the repetition is the replicate for times and rates.

Missing values (NaN, None) count as absent, as in pandas and DuckDB. scipy is imported where it is used: its start would
slow every command that shows no interval.

Sources: Student's t on logarithms, so that the interval is of a ratio and cannot reach below zero (Jain, The Art of
Computer Systems Performance Analysis, 1991, ch. 13); the expanded percentile bootstrap (Hesterberg, What Teachers Should
Know About the Bootstrap, The American Statistician 69, 2015); Wilson's score interval (JASA 22, 1927).
`python -m benchmarks truth` shows how often each contains the truth.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
MIN_BLOCKS = 3
"""Under these, there is no interval over repetitions."""
MOST_REPETITIONS = 50
"""More repetitions than these, in addition to those of a run, are no advice: nobody measures them."""
BOOTSTRAP_FROM_BLOCKS = 30
_RESAMPLES = 4000
_RESAMPLED_AT_ONCE = 1_000_000
"""Values drawn at a time, so that memory stays small with many repetitions."""
_NO_SPREAD = 1e-12
_MOST_BLOCKS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Bounds, at 95% confidence by default."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its interval. `value` is None without any value; `low` and `high` are None under 3 repetitions."""

    value: float | None
    low: float | None
    high: float | None
    blocks: int
    """Repetitions with a value."""
    n: int
    """Values in all of them."""


def values_needed(q: float) -> int:
    """How many values the q-th percentile needs to be shown: 1 up to p50, then two expected beyond it.

    That is 20 for p90, 40 for p95 and 200 for p99. Raises ValueError outside 0 < q < 100.
    """
    if not 0 < q < 100:
        raise ValueError(f"{q} is no percentile: above 0 and below 100")
    return 1 if q <= 50 else math.ceil(round(200 / (100 - q), 6))


def percentile(values: Sequence[float | None], q: float) -> float | None:
    """The q-th percentile (0 < q < 100), or None where n is too small for it.

    Linear interpolation: numpy's default, pandas' `quantile` and DuckDB's `quantile_cont`.
    """
    seen = _seen(values)
    return float(np.percentile(seen, q)) if len(seen) >= values_needed(q) else None


def median_estimate(by_block: Sequence[Sequence[float | None]]) -> Estimate:
    """The typical value of a configuration from its values by repetition: the geometric mean of the repetitions' medians.

    The interval is Student's t over the repetitions' log-medians, and an expanded percentile bootstrap with a fixed seed from
    30 repetitions on. Repetitions without a value do not count. Where a repetition's median is zero (a phase without cost) there is no
    logarithm: mean and interval are those of the medians themselves, with no bound below zero.
    """
    seen = [block for block in map(_seen, by_block) if len(block)]
    return _estimate([float(np.median(block)) for block in seen], sum(map(len, seen)))


def typical(medians: Sequence[float]) -> float:
    """The value of `median_estimate`, of one repetition's median or more: their geometric mean, or their mean where one is zero."""
    if len(medians) == 1:
        return float(medians[0])
    return math.exp(float(np.mean(np.log(medians)))) if min(medians) > 0 else float(np.mean(medians))


def blocks_needed(by_block: Sequence[Sequence[float | None]], margin: float) -> int | None:
    """How many repetitions in all give an interval of at most ± `margin` (0.05: 5%), if their spread stays what it was.

    None under 3 repetitions with a value above zero: their spread is not known. At least 3, and at most 10,000.
    """
    medians = [float(np.median(block)) for block in map(_seen, by_block) if len(block)]
    logs = np.log([median for median in medians if median > 0])
    if len(logs) < MIN_BLOCKS:
        return None
    enough = np.flatnonzero(_halves() * float(np.std(logs, ddof=1)) <= math.log1p(margin))
    return MIN_BLOCKS + int(enough[0]) if len(enough) else _MOST_BLOCKS


@functools.cache
def _halves() -> NDArray[np.float64]:
    """Half of an interval's width by its number of repetitions, MIN_BLOCKS to _MOST_BLOCKS, in standard deviations."""
    from scipy.special import stdtrit

    counts = np.arange(MIN_BLOCKS, _MOST_BLOCKS + 1)
    halves: NDArray[np.float64] = stdtrit(counts - 1, 0.5 + CONFIDENCE / 2) / np.sqrt(counts)
    return halves


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a rate; all of [0, 1] without a trial. It takes failures to be independent."""
    if n == 0:
        return Interval(low=0.0, high=1.0)
    # In closed form: scipy's binomtest makes a test first, which takes too long for thousands of cells.
    z, rate = NormalDist().inv_cdf(0.5 + confidence / 2), successes / n
    centre, scale = rate + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low, high = (centre - half) / scale, (centre + half) / scale
    return Interval(low=0.0 if successes == 0 else low, high=1.0 if successes == n else high)


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean, for at least two values."""
    from scipy.special import stdtrit

    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2)) * spread
    mean = float(np.mean(values))
    return Interval(low=mean - half, high=mean + half)


def _estimate(by_block: list[float], n: int) -> Estimate:
    blocks = len(by_block)
    if blocks == 0:
        return Estimate(value=None, low=None, high=None, blocks=0, n=0)
    has_logarithm = min(by_block) > 0
    scaled = np.log(by_block) if has_logarithm else np.asarray(by_block)
    back = math.exp if has_logarithm else float
    value = typical(by_block)
    if blocks < MIN_BLOCKS:
        return Estimate(value=value, low=None, high=None, blocks=blocks, n=n)
    interval = _bootstrapped(scaled) if blocks >= BOOTSTRAP_FROM_BLOCKS else mean_interval(scaled.tolist())
    low = back(interval.low) if has_logarithm else max(0.0, interval.low)
    return Estimate(value=value, low=low, high=back(interval.high), blocks=blocks, n=n)


def _bootstrapped(values: NDArray[np.float64]) -> Interval:
    """The expanded percentile bootstrap of the mean: wider percentiles correct the spread that n values underestimate.

    The plain percentile bootstrap is too narrow by Student's factor and by n / (n - 1). BCa corrects skew, but contains the
    truth even less often with heavy tails, as those of pulls: 90% in place of 95% at 30 repetitions.
    """
    from scipy.special import ndtr, stdtrit
    from scipy.stats import bootstrap

    size = len(values)
    if float(np.ptp(values)) <= _NO_SPREAD:
        return Interval(low=float(np.min(values)), high=float(np.max(values)))
    widened = math.sqrt(size / (size - 1)) * float(stdtrit(size - 1, 0.5 + CONFIDENCE / 2))
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _RESAMPLED_AT_ONCE // size),
        confidence_level=float(1 - 2 * ndtr(-widened)),
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(low=float(found.low), high=float(found.high))


def _seen(values: Sequence[float | None]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return array[~np.isnan(array)]
