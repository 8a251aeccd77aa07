"""After how many pulls a cache has paid for its first, slower one. Pure.

The first pull through the cache costs `cold - warm` more than a later one. Each pull costs `direct - warm` less than a pull
without the cache. It has paid after (cold - warm) / (direct - warm) pulls. Costs add up, so means are arithmetic. They are
computed repetition by repetition, because the three are measured within the same minutes.

Source of the interval: Fieller, Some Problems in Interval Estimation (Journal of the Royal Statistical Society B 16, 1954).
It contains all n for which a t test over the repetitions does not separate cost and saving. Without a significant saving that set
has no upper end, and there is no interval.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS

_Values = NDArray[np.float64]


class Payback(StrEnum):
    """Whether a cache pays: after `pulls`, from the first pull on, never, inconclusive, or too few repetitions."""

    AFTER = "after"
    AT_ONCE = "at_once"
    NEVER = "never"
    NOT_SHOWN = "not_shown"
    TOO_FEW_BLOCKS = "too_few_blocks"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """Seconds are arithmetic means over repetitions that have all three; `pulls` may be a fraction, and is None without a saving.

    `low` and `high` bound `pulls` at 95%; they are None without a significant saving.
    """

    cold_s: float
    warm_s: float
    direct_s: float
    pulls: float | None
    low: float | None
    high: float | None
    blocks: int
    verdict: Payback


def break_even(cold: Mapping[int, float], warm: Mapping[int, float], direct: Mapping[int, float]) -> BreakEven:
    """When a cache pays, from one time in seconds per repetition: a cold pull through it, a warm one, and one without it."""
    blocks = sorted(set(cold) & set(warm) & set(direct))
    cold_s, warm_s, direct_s = (np.array([times[block] for block in blocks]) for times in (cold, warm, direct))
    extra, saving = cold_s - warm_s, direct_s - warm_s
    pulls, low, high, verdict = None, None, None, Payback.TOO_FEW_BLOCKS
    if blocks and saving.mean() > 0:
        pulls = max(0.0, float(extra.mean() / saving.mean()))
    if len(blocks) >= MIN_BLOCKS:
        verdict, low, high = _judged(extra, saving)
    return BreakEven(
        **{
            name: float(values.mean()) if len(values) else math.nan
            for name, values in (("cold_s", cold_s), ("warm_s", warm_s), ("direct_s", direct_s))
        },
        pulls=pulls if verdict in (Payback.AFTER, Payback.AT_ONCE, Payback.TOO_FEW_BLOCKS) else None,
        low=low,
        high=high,
        blocks=len(blocks),
        verdict=verdict,
    )


def _judged(extra: _Values, saving: _Values) -> tuple[Payback, float | None, float | None]:
    from scipy.special import stdtrit

    n = len(extra)
    t = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2))
    spread = np.cov(np.stack([extra, saving])) * t * t / n
    cost, gain = float(extra.mean()), float(saving.mean())
    if gain * gain <= spread[1, 1]:
        return Payback.NOT_SHOWN, None, None
    if gain < 0:
        return Payback.NEVER, None, None
    a, b, c = gain * gain - spread[1, 1], cost * gain - spread[0, 1], cost * cost - spread[0, 0]
    half = math.sqrt(max(0.0, b * b - a * c))
    low, high = max(0.0, float((b - half) / a)), max(0.0, float((b + half) / a))
    return Payback.AT_ONCE if high <= 1 else Payback.AFTER, low, high
