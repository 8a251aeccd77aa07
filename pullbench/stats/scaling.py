"""The effect of concurrency: speed-up, efficiency, the law behind them, the knee and the cost of a lower concurrency. Pure.

Rates are pulls per second of a whole trial, so a higher one is better, whatever a single pull takes.

Sources: the universal scalability law (Gunther, Guerrilla Capacity Planning, 2007), X(N) = λN / (1 + σ(N-1) + κN(N-1)).
σ is the share of the work that waits in line (Amdahl); κ is what each pull costs every other. N/X is linear in the unknowns,
so non-negative least squares fit it without a start value (Lawson and Hanson, Solving Least Squares Problems, 1974). The knee
is the lowest concurrency within the margin and one standard error of the best (Breiman et al., Classification and Regression
Trees, 1984, 3.4.3).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pullbench.stats.compare import MARGIN
from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS, mean_interval

MIN_LEVELS = 4
"""Concurrencies that a fit needs: one more than the law has unknowns."""
_RESAMPLES = 1000
_MISFIT_AT_MOST = 0.10
"""A law that is off by more than this at any level does not describe the curve, whatever the noise."""
_ROUNDING = 1e-12
"""A contention or coherency up to this is rounding, and has no peak."""
_TAILS = (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2)

_Table = NDArray[np.float64]


class NoLaw(StrEnum):
    """Why there is no fit."""

    TOO_FEW_LEVELS = "too_few_levels"
    TOO_FEW_BLOCKS = "too_few_blocks"
    MISFIT = "misfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLevel:
    """One concurrency: its rate (pulls per second, geometric mean over repetitions) compared with the lowest concurrency's.

    `efficiency` is the speed-up divided by that of perfect scaling. Intervals are paired by repetition; None under 3 repetitions.
    """

    concurrency: int
    rate: float
    speedup: float
    speedup_low: float | None
    speedup_high: float | None
    efficiency: float
    efficiency_low: float | None
    efficiency_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The universal scalability law as fitted, with 95% intervals."""

    rate_of_one: float
    """λ: pulls per second at concurrency 1."""
    contention: float
    """σ: the share that waits in line; 0 is none."""
    contention_low: float
    contention_high: float
    coherency: float
    """κ: the cost of each pair of concurrent pulls; above 0 the rate falls beyond the peak."""
    coherency_low: float
    coherency_high: float
    peak: float | None
    """The concurrency of the greatest rate, √((1-σ)/κ); None where the law has no peak."""
    misfit: float
    """The greatest distance of a level from the law, as a share: 0.05 is 5% off."""

    def rate(self, concurrency: float) -> float:
        """Pulls per second at a concurrency, by the law; beyond the highest one measured it is a guess."""
        waiting = self.contention * (concurrency - 1) + self.coherency * concurrency * (concurrency - 1)
        return self.rate_of_one * concurrency / (1 + waiting)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The loss of a concurrency below the recommended one: 0.3 is 30% fewer pulls per second; intervals paired by repetition."""

    concurrency: int
    lost: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """A curve over concurrency. Without two concurrencies there is no knee and nothing to recommend."""

    levels: tuple[ConcurrencyLevel, ...]
    blocks: int
    """Repetitions that have every level."""
    law: Law | None
    no_law: NoLaw | None
    knee: int | None
    """The lowest concurrency from which more gains less than the margin; None where the highest measured still gains."""
    knee_low: int | None
    """The knee is between this concurrency and `knee_high`, at 95% confidence."""
    knee_high: int | None
    recommended: int | None
    """The knee, or the highest measured where there is none; None where the knee may be any of those measured."""
    costs: tuple[Cost, ...]


def scaling(rates: Mapping[int, Mapping[int, float]], margin: float = MARGIN) -> Scaling:
    """The curve of pulls per second by concurrency and repetition.

    Only repetitions with every level count, so that all levels are judged by the same minutes. A level that fewer than half of
    the repetitions have (its trials failed) is left out first, because it would remove the other levels' repetitions.
    """
    concurrencies, table = _whole_blocks(rates)
    if not len(table):
        return Scaling(
            levels=(), blocks=0, law=None, no_law=NoLaw.TOO_FEW_LEVELS, knee=None, knee_low=None, knee_high=None,
            recommended=None, costs=(),
        )  # fmt: skip
    levels = tuple(_level(table, concurrencies, index) for index in range(len(concurrencies)))
    law, no_law, curves = _law(concurrencies, table)
    knee, low, high = None, None, None
    if len(concurrencies) > 1 and len(table) >= MIN_BLOCKS:
        found = _knees(curves, math.log1p(margin) + (0.0 if law else _standard_error(table)))
        bounds = np.quantile(found[1:], _TAILS, method="inverted_cdf")
        knee, low, high = (concurrencies[int(index)] for index in (found[0], *bounds))
    first, last = concurrencies[0], concurrencies[-1]
    known = (low, high) != (first, last)
    recommended = knee if known else None
    return Scaling(
        levels=levels,
        blocks=len(table),
        law=law,
        no_law=no_law,
        knee=None if knee == last else knee,
        knee_low=low,
        knee_high=high,
        recommended=recommended,
        costs=() if recommended is None else _costs(concurrencies, table, recommended),
    )


def _whole_blocks(rates: Mapping[int, Mapping[int, float]]) -> tuple[list[int], _Table]:
    """The concurrencies in order, and the logarithms of their rates: a row for each repetition that has them all."""
    fullest = max((len(blocks) for blocks in rates.values()), default=0)
    kept = sorted(level for level, blocks in rates.items() if blocks and 2 * len(blocks) >= fullest)
    common = set.intersection(*(set(rates[level]) for level in kept)) if kept else set()
    rows = [[rates[level][block] for level in kept] for block in sorted(common)]
    return kept, np.log(np.asarray(rows, dtype=np.float64)).reshape(len(rows), len(kept))


def _level(table: _Table, concurrencies: Sequence[int], index: int) -> ConcurrencyLevel:
    gains = table[:, index] - table[:, 0]
    speedup = math.exp(float(gains.mean()))
    bounds = mean_interval(gains.tolist()) if len(gains) >= MIN_BLOCKS else None
    low, high = (None, None) if bounds is None else (math.exp(bounds.low), math.exp(bounds.high))
    perfect = concurrencies[index] / concurrencies[0]
    return ConcurrencyLevel(
        concurrency=concurrencies[index],
        rate=math.exp(float(table[:, index].mean())),
        speedup=speedup,
        speedup_low=low,
        speedup_high=high,
        efficiency=speedup / perfect,
        efficiency_low=None if low is None else low / perfect,
        efficiency_high=None if high is None else high / perfect,
    )


def _costs(concurrencies: Sequence[int], table: _Table, recommended: int) -> tuple[Cost, ...]:
    at, made = list(concurrencies).index(recommended), []
    for index in range(at):
        kept = table[:, index] - table[:, at]
        bounds = mean_interval(kept.tolist())
        lost, low, high = (1 - math.exp(value) for value in (float(kept.mean()), bounds.high, bounds.low))
        made.append(Cost(concurrency=concurrencies[index], lost=lost, low=low, high=high))
    return tuple(made)


def _law(concurrencies: Sequence[int], table: _Table) -> tuple[Law | None, NoLaw | None, _Table]:
    """The law, or why there is none, and the curves of log rates in which to search the knee.

    The first curve is that of this table; the others are resampled repetitions. They follow the law where it fits, which removes
    the noise, and are as measured elsewhere.
    """
    if len(concurrencies) < 2:
        return None, NoLaw.TOO_FEW_LEVELS, table
    if len(table) < MIN_BLOCKS:
        return None, NoLaw.TOO_FEW_BLOCKS, table
    means = table.mean(axis=0)
    others = _other_means(table)
    as_measured = np.vstack([means, others])
    if len(concurrencies) < MIN_LEVELS:
        return None, NoLaw.TOO_FEW_LEVELS, as_measured
    rate_of_one, contention, coherency = _fit(concurrencies, means)
    off = float(np.abs(_predicted(concurrencies, rate_of_one, contention, coherency) - means).max())
    if off > max(math.log1p(_MISFIT_AT_MOST), 3 * _standard_error(table)):
        return None, NoLaw.MISFIT, as_measured
    fits = [(rate_of_one, contention, coherency), *(_fit(concurrencies, other) for other in others)]
    low, high = np.quantile([fit[1:] for fit in fits[1:]], _TAILS, axis=0)
    law = Law(
        rate_of_one=rate_of_one,
        contention=contention,
        contention_low=min(contention, float(low[0])),
        contention_high=max(contention, float(high[0])),
        coherency=coherency,
        coherency_low=min(coherency, float(low[1])),
        coherency_high=max(coherency, float(high[1])),
        peak=math.sqrt((1 - contention) / coherency) if coherency > 0 and contention < 1 else None,
        misfit=math.expm1(off),
    )
    return law, None, np.array([_predicted(concurrencies, *fit) for fit in fits])


def _fit(concurrencies: Sequence[int], means: _Table) -> tuple[float, float, float]:
    """λ, σ and κ nearest to the rates, by relative distance."""
    from scipy.optimize import nnls

    n = np.asarray(concurrencies, dtype=np.float64)
    share = np.exp(means) / n
    design = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) * share[:, None]
    (alone, waiting, crosstalk), _ = nnls(design, np.ones_like(n))
    # Without a share of its own the first pull would take no time: then all time is waiting.
    alone = max(float(alone), 1e-12)
    contention, coherency = (share if share > _ROUNDING else 0.0 for share in (waiting / alone, crosstalk / alone))
    return 1 / alone, float(contention), float(coherency)


def _predicted(concurrencies: Sequence[int], rate_of_one: float, contention: float, coherency: float) -> _Table:
    """The logarithms of the law's rates."""
    n = np.asarray(concurrencies, dtype=np.float64)
    rates: _Table = np.log(rate_of_one * n / (1 + contention * (n - 1) + coherency * n * (n - 1)))
    return rates


def _knees(curves: _Table, forgiven: float) -> _Table:
    """For each curve, the index of the lowest concurrency whose log rate is within `forgiven` of the best.

    The best of measured rates is partly luck, so there `forgiven` is the margin and one standard error.
    """
    knees: _Table = np.argmax(curves >= curves.max(axis=1, keepdims=True) - forgiven, axis=1)
    return knees


def _standard_error(table: _Table) -> float:
    """Of the difference of two levels' mean log rates, without what affects a whole repetition."""
    rows, columns = table.shape
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return math.sqrt(2 * float((left**2).sum()) / ((rows - 1) * (columns - 1)) / rows)


def _other_means(table: _Table) -> _Table:
    """Mean log rates as other repetitions might give them, with a fixed seed: _RESAMPLES rows.

    Student's t around each mean, with the spread that all levels share. Resampling the few whole repetitions underestimates the
    spread: with three repetitions it contains the truth in 75% of cases, and this in 95%.
    """
    rows, columns = table.shape
    noise = np.random.default_rng(0).standard_t((rows - 1) * (columns - 1), (_RESAMPLES, columns))
    means: _Table = table.mean(axis=0) + noise * _standard_error(table) / math.sqrt(2)
    return means
