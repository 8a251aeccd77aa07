"""What makes a configuration's numbers less certain: drift, outliers, two kinds of pulls, few repetitions, a limited client. Pure.

Each function tests one thing and returns the evidence. The caller corrects for the number of configurations and decides what to do.
Values are seconds by repetition. Where pulls of several images are mixed, `centred` removes what an image costs: two sizes of
images are no instability.

Sources: outlying pulls by the modified z-score (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993). An outlying
repetition by Grubbs' test (Technometrics 11, 1969). Two kinds of pulls by the best split in two (Otsu, IEEE Trans. SMC 9, 1979)
and the distance of the halves (Ashman et al., Astronomical Journal 108, 1994). pyperf and hyperfine warn of outliers and of
few runs, not of drift or of two modes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS

OUTLYING_Z = 3.5
"""A modified z-score beyond this is an outlier: Iglewicz and Hoaglin's."""
NOTABLE = 0.2
"""Pulls that differ from the rest by less than this share are neither outliers nor a second kind in practice."""
OUTLIERS_FROM_PULLS = 20
"""Under these, the median absolute deviation is a guess."""
MODES_FROM_PULLS = 40
"""Under these, a gap by chance looks like two kinds."""
MANY_OUTLIERS = 0.02
"""A normal spread has one in 2,000. From this share on, and from two on, there are many."""
SMALLER_MODE = 0.15
"""The share of pulls that the smaller mode has at least: a smaller one is outliers."""
SEPARATED_BY = 4.5
"""Ashman's D from which two parts are two kinds."""
_MAD_TO_Z = 0.674_489_75
_NO_SPREAD = 1e-9

_Values = NDArray[np.float64]
_Sequence = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A trend over the repetitions: the last repetition's time by the first's, on the straight line through the log-medians."""

    ratio: float
    low: float
    high: float
    p: float
    """How often repetitions without a trend show one this large; for one configuration, not corrected for the number of configurations."""
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outliers:
    """Pulls far from the rest: how many of how many, and the farthest as a multiple of its median."""

    count: int
    n: int
    farthest: float

    @property
    def many(self) -> bool:
        """Whether there are more than by chance: over 2% of the pulls, and at least two."""
        return self.count >= 2 and self.count > MANY_OUTLIERS * self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class OddBlock:
    """One repetition far from the rest: its number, its ratio to their geometric mean, and Grubbs' p (for one configuration)."""

    block: int
    ratio: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """Pulls of two kinds: the slower take `ratio` times as long as the faster, and are `slower_share` of all."""

    ratio: float
    slower_share: float
    separation: float
    """Ashman's D: the distance of the two in units of their spread."""


def centred(values: _Sequence, blocks: _Sequence, images: _Sequence) -> _Values:
    """Logarithms of times without what their image and then their repetition typically cost (medians); 0 is typical.

    Three sequences of one length; times above zero, in seconds.
    """
    logs = np.log(np.asarray(values, dtype=np.float64))
    for groups in (np.asarray(images), np.asarray(blocks)):
        for group in np.unique(groups):
            mine = groups == group
            logs[mine] -= np.median(logs[mine])
    return logs


def drift(medians: Mapping[int, float]) -> Drift | None:
    """The trend of a configuration's medians (seconds) over its repetitions; None under 4 repetitions, or without any spread.

    Least squares on the logarithms, with Student's t for slope and interval.
    """
    blocks = sorted(block for block, value in medians.items() if value > 0)
    logs = np.log([medians[block] for block in blocks])
    if len(blocks) <= MIN_BLOCKS or float(np.ptp(logs)) <= _NO_SPREAD:
        return None
    from scipy.stats import linregress, t  # takes a second, which a short run need not wait for

    line, span = linregress(blocks, logs), blocks[-1] - blocks[0]
    half = float(t.ppf(0.5 + CONFIDENCE / 2, len(blocks) - 2)) * float(line.stderr)
    slope = float(line.slope)
    ratio, low, high = (math.exp(span * value) for value in (slope, slope - half, slope + half))
    return Drift(ratio=ratio, low=low, high=high, p=float(line.pvalue), blocks=len(blocks))


def outliers(residuals: Sequence[float] | _Values) -> Outliers | None:
    """The pulls whose centred logarithms are beyond a modified z-score of 3.5 and 20% off, to either side; None under 20."""
    values = np.asarray(residuals, dtype=np.float64)
    if len(values) < OUTLIERS_FROM_PULLS:
        return None
    off = np.abs(values - np.median(values))
    spread = float(np.median(off))
    beyond = (off * _MAD_TO_Z > OUTLYING_Z * spread) & (off >= math.log1p(NOTABLE))
    farthest = float(values[np.argmax(off)] - np.median(values))
    return Outliers(count=int(np.count_nonzero(beyond)), n=len(values), farthest=math.exp(farthest))


def odd_block(medians: Mapping[int, float]) -> OddBlock | None:
    """The repetition farthest from the others, by Grubbs' two-sided test of the log-medians; None under 4 repetitions.

    A caller that tests many configurations corrects p first.
    """
    blocks = sorted(block for block, value in medians.items() if value > 0)
    n, logs = len(blocks), np.log([medians[block] for block in blocks])
    if n <= MIN_BLOCKS or float(np.ptp(logs)) <= _NO_SPREAD:
        return None
    from scipy.stats import t

    at = int(np.argmax(np.abs(logs - logs.mean())))
    score = float(abs(logs[at] - logs.mean()) / np.std(logs, ddof=1))
    # The distance to the greatest score that n values can have; zero where the others are all equal.
    left = (n - 1) ** 2 - n * score**2
    p = 2 * n * float(t.sf(score * math.sqrt(n * (n - 2) / left), n - 2)) if left > _NO_SPREAD else 0.0
    ratio = math.exp(float(logs[at] - np.delete(logs, at).mean()))
    return OddBlock(block=blocks[at], ratio=ratio, p=min(1.0, p))


def modes(residuals: Sequence[float] | _Values) -> Modes | None:
    """Whether centred logarithms fall into two kinds; None under 40 pulls, and where they do not.

    They do where the best split in two, with 15% in the smaller part at least, leaves parts whose distance is
    SEPARATED_BY times their spread, and 20%. Halves of one normal peak are 2.7 apart, of a uniform spread 3.5.
    """
    values = np.sort(np.asarray(residuals, dtype=np.float64))
    n = len(values)
    if n < MODES_FROM_PULLS:
        return None
    least = math.ceil(SMALLER_MODE * n)
    sizes = np.arange(least, n - least + 1)
    sums = np.cumsum(values)[sizes - 1]
    between = (sums / sizes - (values.sum() - sums) / (n - sizes)) ** 2 * sizes * (n - sizes)
    at = int(sizes[np.argmax(between)])
    fast, slow = values[:at], values[at:]
    spread = max(math.sqrt((float(fast.var(ddof=1)) + float(slow.var(ddof=1))) / 2), _NO_SPREAD)
    apart = float(slow.mean() - fast.mean())
    if apart / spread < SEPARATED_BY or apart < math.log1p(NOTABLE):
        return None
    return Modes(ratio=math.exp(apart), slower_share=len(slow) / n, separation=apart / spread)
