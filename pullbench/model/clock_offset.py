"""The offset of this machine's clock to another's, as exactly as the Date headers of HTTP answers allow. Pure.

Date has whole seconds (RFC 9110, section 6.6.1), so one answer gives the offset to ± half a second and half the round trip.
Answers at different fractions of a second narrow it: the offset is within the bounds of every answer, so in their overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

TICK_S = 1.0
"""The resolution of Date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """One answer: this clock before the request and after the answer, and its Date, in Unix seconds."""

    asked_s: float
    answered_s: float
    date_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """This clock minus the other, in seconds, ± `known_to_s`; positive if this one is ahead."""

    offset_s: float
    known_to_s: float


def clock_offset(readings: Sequence[ClockReading]) -> ClockOffset | None:
    """The middle of the bounds that all readings allow; None without readings.

    Contradicting readings (several machines behind one name, a cached Date) give the bounds of all together: less is known,
    not more.
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
    """The first machine's clock minus the second's; both were compared with the same third clock."""
    return ClockOffset(offset_s=first.offset_s - second.offset_s, known_to_s=first.known_to_s + second.known_to_s)
