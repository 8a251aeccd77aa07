"""Time as an argument: the system's clock, and the protocol that a scripted one also has."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Seconds that never go back, and the instant that belongs to them."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The monotonic clock, tied once to UTC, so that instants and durations of a run agree with each other."""

    def __init__(self) -> None:
        self._origin = time.monotonic()
        self._origin_at = datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return self._origin_at + timedelta(seconds=time.monotonic() - self._origin)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
