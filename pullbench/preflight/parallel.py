"""Concurrent calls in daemon threads, which do not delay the end of the process."""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Generic, TypeVar

Result = TypeVar("Result")

_WAKE_S = 0.2
"""The calling thread wakes this often, so that a signal is handled while the calls wait for a network."""


def in_parallel(
    calls: Sequence[Callable[[], Result]],
    *,
    limit: int,
    name: str,
    after: Sequence[Collection[int]] | None = None,
) -> list[Result]:
    """Make the calls, at most `limit` concurrently, and return their results in the order of the calls.

    `after[n]` lists the calls that must end before call n starts; each index is smaller than n. The first call that may
    start goes first. The first exception is raised after all calls have ended. An interruption is raised immediately: the
    threads are left running and do not delay the end of the process, because a lookup on a silent network can take long.
    """
    queue = _Queue(calls, after or [()] * len(calls))
    threads = [threading.Thread(target=queue.work, name=name, daemon=True) for _ in range(min(limit, len(calls)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(_WAKE_S)
    except BaseException:
        queue.abandon()
        raise
    return queue.results()


def with_timeout(call: Callable[[], Result], seconds: float, *, name: str) -> Result:
    """Return the call's result or raise its exception; TimeoutError if it takes too long.

    The call runs in its own thread. After a timeout the thread is left running: a resolver cannot be interrupted.
    """
    queue = _Queue([call], [()])
    thread = threading.Thread(target=queue.work, name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"took longer than {seconds:g} s")
    return queue.results()[0]


class _Queue(Generic[Result]):
    """The calls that have not started, and the results of those that have ended."""

    def __init__(self, calls: Sequence[Callable[[], Result]], after: Sequence[Collection[int]]) -> None:
        if any(place >= number for number, places in enumerate(after) for place in places):
            raise ValueError("a call waits for itself or for a later one")
        self._calls = calls
        self._blocked_by = {place: set(places) for place, places in enumerate(after)}
        self._results: dict[int, Result] = {}
        self._broken: list[BaseException] = []
        self._changed = threading.Condition()

    def work(self) -> None:
        """Make calls until none is left."""
        while (place := self._next()) is not None:
            try:
                self._results[place] = self._calls[place]()
            except BaseException as error:  # noqa: BLE001  (it is raised again in the calling thread)
                self._broken.append(error)
            with self._changed:
                for blockers in self._blocked_by.values():
                    blockers.discard(place)
                self._changed.notify_all()

    def abandon(self) -> None:
        """Start no further call."""
        with self._changed:
            self._blocked_by.clear()
            self._changed.notify_all()

    def results(self) -> list[Result]:
        if self._broken:
            raise self._broken[0]
        return [self._results[place] for place in range(len(self._calls))]

    def _next(self) -> int | None:
        """The first call that may start. Waits if all remaining calls are blocked; None if none is left."""
        with self._changed:
            while self._blocked_by:
                ready = next((place for place, blockers in self._blocked_by.items() if not blockers), None)
                if ready is not None:
                    del self._blocked_by[ready]
                    return ready
                self._changed.wait()
            return None
