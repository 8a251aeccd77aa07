"""How far this machine's clock is from another's, as exactly as the Date of HTTP answers tells. Pure.

Date has whole seconds (RFC 9110, section 6.6.1), so one answer tells the offset to half a second and half the way there and
back. Answers at different moments of the second narrow it: the offset lies in every answer's bounds, so in their overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TICK_S = 1.0
"""What Date cuts off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """One answer: this clock before the request and after the answer, and what Date said, in seconds since the epoch."""

    asked_s: float
    answered_s: float
    date_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """This clock minus the other, in seconds, give or take `known_to_s`; positive where this one is ahead."""

    offset_s: float
    known_to_s: float


def clock_offset(readings: Sequence[ClockReading]) -> ClockOffset | None:
    """The middle of what all readings allow; None without one.

    Where they contradict each other (several machines behind one name, a Date that a cache kept) the bounds are those of
    all together: less is known, not more.
    """
    if not readings:
        return None
    lows = [entry.asked_s - entry.date_s - TICK_S for entry in readings]
    highs = [entry.answered_s - entry.date_s for entry in readings]
    low, high = max(lows), min(highs)
    if low > high:
        low, high = min(lows), max(highs)
    return ClockOffset(offset_s=(low + high) / 2, known_to_s=(high - low) / 2)


def between(first: ClockOffset, second: ClockOffset) -> ClockOffset:
    """The first machine's clock minus the second's, where both were held against the same third."""
    return ClockOffset(offset_s=first.offset_s - second.offset_s, known_to_s=first.known_to_s + second.known_to_s)
