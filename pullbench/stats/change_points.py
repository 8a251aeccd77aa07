"""Change points of a history of runs: since when it is slower or faster, and by how much. Pure.

Stage one cuts the history by optimal partitioning (Jackson et al., IEEE Signal Processing Letters 12, 2005). PELT (Killick
et al., JASA 107, 2012) finds the same cuts faster. The cost is squared distance of logarithms; the penalty is in units of the
noise. The noise is estimated from neighbours' differences, so that a change point does not raise it.

Stage two tests each cut. The statistic is the greatest standardized rank sum over every split of its two neighbouring
segments, compared with that of shuffled histories of the same length. Ranks (Wilcoxon; Pettitt, Applied Statistics 28, 1979)
need no distribution, and one bad run counts once, however bad. Shuffling and taking the greatest corrects for the search over
every place. A cut that is not significant is removed, the weakest first, and its neighbours are tested again.

asv's `step_detect` fits segments by a penalty alone; MongoDB's and DataStax's Hunter (Fleming et al., ICPE 2023) tests its
cuts, as this does. Runs are taken to be independent of each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pullbench.stats.summary import mean_interval

MIN_RUNS = 3
"""The fewest runs on each side of a change point: fewer are outliers."""
SIGNIFICANCE = 0.02
"""The highest p of a change point. With 2%, some 2 to 4% of steady histories get a false one."""
_PENALTY = 2.0
"""The least that a cut must save, in units of the noise's variance times the logarithm of the number of runs (as BIC)."""
_SHUFFLES = 4000
_NOISE_OF_MEDIAN_DIFFERENCE = 1 / (math.sqrt(2) * 0.674_489_75)
"""From the median absolute difference of neighbours to a normal noise's standard deviation."""

_Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Runs without a change point, from `start` to before `end`: the geometric mean of their values, with its interval.

    `low` and `high` are None under 3 runs.
    """

    start: int
    end: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """A change that lasted: `at` is the index of the new segment's first run, `ratio` its value by the one before."""

    at: int
    before: float
    after: float
    ratio: float
    p: float
    """How often a history without a change shows one this large; corrected for the search over every place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """The segments of a history in order, and the change points between them: one fewer, and none without values."""

    segments: tuple[Segment, ...]
    change_points: tuple[ChangePoint, ...]


def find_change_points(values: Sequence[float]) -> Segmentation:
    """The change points in a list of one value per run, in order; values are above zero, in any unit.

    Under 6 runs there is no change point. Raises ValueError for a value that is not above zero, or not a number.
    """
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("a history needs a number above zero for each run; leave out runs without one")
    if not values:
        return Segmentation(segments=(), change_points=())
    logs = np.log(np.asarray(values, dtype=np.float64))
    cuts = _cuts(logs, _PENALTY * _noise(logs) ** 2 * math.log(len(logs)))
    shown = _shown(logs, cuts)
    edges = [0, *(at for at, _ in shown), len(logs)]
    segments = tuple(_segment(logs, start, end) for start, end in pairwise(edges))
    found = tuple(
        ChangePoint(at=at, before=before.value, after=after.value, ratio=after.value / before.value, p=p)
        for (at, p), before, after in zip(shown, segments, segments[1:], strict=False)
    )
    return Segmentation(segments=segments, change_points=found)


def _segment(logs: _Values, start: int, end: int) -> Segment:
    mine = logs[start:end]
    bounds = mean_interval(mine.tolist()) if len(mine) >= MIN_RUNS else None
    low, high = (None, None) if bounds is None else (math.exp(bounds.low), math.exp(bounds.high))
    return Segment(start=start, end=end, value=math.exp(float(mine.mean())), low=low, high=high)


def _noise(logs: _Values) -> float:
    """The noise's standard deviation, not raised by change points; that of all values where most neighbours are equal."""
    if len(logs) < 2:
        return 0.0
    robust = float(np.median(np.abs(np.diff(logs)))) * _NOISE_OF_MEDIAN_DIFFERENCE
    return robust or float(np.std(logs))


def _cuts(logs: _Values, penalty: float) -> list[int]:
    """The partition into stretches of at least MIN_RUNS with the least squared cost and penalties; exact."""
    n = len(logs)
    sums = np.concatenate([[0.0], np.cumsum(logs)])
    squares = np.concatenate([[0.0], np.cumsum(logs**2)])
    best, came_from = np.full(n + 1, math.inf), np.zeros(n + 1, dtype=np.int64)
    best[0] = -penalty
    for end in range(MIN_RUNS, n + 1):
        starts = np.arange(0, end - MIN_RUNS + 1)
        costs = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts)
        totals = best[starts] + costs + penalty
        came_from[end] = int(np.argmin(totals))
        best[end] = totals[came_from[end]]
    cuts, end = [], n
    while end >= MIN_RUNS and came_from[end] > 0:
        end = int(came_from[end])
        cuts.append(end)
    return cuts[::-1]


def _shown(logs: _Values, cuts: list[int]) -> list[tuple[int, float]]:
    """The significant cuts, each with its p. The weakest of the others is removed first, because its neighbours gain runs."""
    cuts = list(cuts)
    while cuts:
        edges = [0, *cuts, len(logs)]
        p_values = [_p_of_no_change_point(logs[start:end]) for start, end in zip(edges, edges[2:], strict=False)]
        weakest = int(np.argmax(p_values))
        if p_values[weakest] <= SIGNIFICANCE:
            return list(zip(cuts, p_values, strict=True))
        del cuts[weakest]
    return []


def _p_of_no_change_point(logs: _Values) -> float:
    """How often a shuffled history of this length has as great a rank sum somewhere; never below 1 in 4001."""
    from scipy.stats import rankdata

    # Equal but for rounding is equal.
    ranks = rankdata(np.round(logs, 12))
    greatest = float(_greatest(ranks[None, :])[0])
    shuffled = _greatest_of_shuffled(len(ranks))
    return float((1 + np.count_nonzero(shuffled >= greatest - 1e-9)) / (1 + len(shuffled)))


@lru_cache(maxsize=512)
def _greatest_of_shuffled(n: int) -> _Values:
    generator = np.random.default_rng(n)
    rows = max(1, 1_000_000 // n)
    ranks = np.arange(1.0, n + 1)
    parts = [
        _greatest(generator.permuted(np.broadcast_to(ranks, (min(rows, _SHUFFLES - start), n)), axis=1))
        for start in range(0, _SHUFFLES, rows)
    ]
    return np.concatenate(parts)


def _greatest(ranks: _Values) -> _Values:
    """The greatest standardized rank sum over all splits with MIN_RUNS on each side, a row of ranks each."""
    n = ranks.shape[1]
    sizes = np.arange(MIN_RUNS, n - MIN_RUNS + 1)
    if len(sizes) == 0:
        return np.zeros(len(ranks))
    sums = np.cumsum(ranks, axis=1)[:, sizes - 1]
    spread = np.sqrt(sizes * (n - sizes) * (n + 1) / 12)
    greatest: _Values = np.max(np.abs(sums - sizes * (n + 1) / 2) / spread, axis=1)
    return greatest
