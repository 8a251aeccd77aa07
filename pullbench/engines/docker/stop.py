"""Ends a pull by dockerd when its time is up or the run is stopped."""

import threading
from types import TracebackType
from typing import Self

from pullbench.daemon.docker_stream import PullStream
from pullbench.engines.clock import Clock
from pullbench.errors import ErrorCode


class Watch:
    """Stops a stream after `limit_s`, or when told to; remembers why and when, the first reason alone."""

    def __init__(self, stream: PullStream, clock: Clock, limit_s: float) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.RLock()
        self._timer = threading.Timer(max(0.0, limit_s), self.stop, (ErrorCode.TIMEOUT,))
        self._timer.daemon = True
        self.stopped: tuple[ErrorCode, float] | None = None
        """The code, and the monotonic second of it."""

    def stop(self, code: ErrorCode) -> None:
        with self._lock:
            if self.stopped is None:
                self.stopped = (code, self._clock.monotonic())
                self._stream.stop()

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()


class Watches:
    """The pulls under way, so that all can be stopped at once. Safe for threads, and for a signal's handler."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: set[Watch] = set()
        self.cancelled = False

    def reset(self) -> None:
        """A new trial begins."""
        self.cancelled = False

    def add(self, watch: Watch) -> None:
        """Take it in; it is stopped at once where all were."""
        with self._lock:
            self._open.add(watch)
            if self.cancelled:
                watch.stop(ErrorCode.CANCELLED)

    def discard(self, watch: Watch) -> None:
        with self._lock:
            self._open.discard(watch)

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            for watch in tuple(self._open):
                watch.stop(ErrorCode.CANCELLED)
