"""Offers pulls to an engine: in a closed loop, or at intended start times.

Closed: each worker starts its next pull when its last has ended. Open: each pull has an intended start, independent of the
registry. If all workers are busy, it starts late, and its latency counts from the intended start (no coordinated omission).
"""

import itertools
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pullbench.engines.base import Clock
from pullbench.model.spec import Load

Request = TypeVar("Request")
Result = TypeVar("Result")

_JOIN_S = 0.2
"""How often the main thread wakes to handle signals while workers are busy."""
_SLICE_S = 0.05
"""How often a worker that waits for an intended start checks whether the trial was stopped."""


def intended_starts(load: Load, pulls: int, seed: str) -> list[float] | None:
    """The intended start of each pull in seconds from the trial's start; None for a closed loop: as soon as a worker is free.

    Poisson arrivals have independent exponential gaps; the same seed gives the same arrivals.
    """
    if load.rate is None:
        return None
    if load.arrivals == "uniform":
        return [number / load.rate for number in range(pulls)]
    draw = random.Random(seed)
    gaps = [draw.expovariate(load.rate) for _ in range(pulls)]
    return list(itertools.accumulate(gaps))


class Loop(Generic[Request, Result]):
    """Processes each request once with `workers` threads. `work` receives the request and its lateness in seconds.

    `starts` are intended starts in seconds from the loop's start, ascending; None means as soon as a worker is free. The
    threads exist before the loop starts, so creating them is not measured. An interruption of the calling thread calls
    `cancel`, waits for the workers, and is raised again; so is an exception of a worker.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        workers: int,
        work: Callable[[Request, float], Result],
        *,
        clock: Clock,
        starts: Sequence[float] | None = None,
    ) -> None:
        due = [None] * len(requests) if starts is None else list(starts)
        self._queue = deque(zip(requests, due, strict=True))
        self._workers = workers
        self._work = work
        self._clock = clock
        self._began_s = 0.0
        self._gate = threading.Event()
        self._results: list[Result] = []
        self._broken: list[BaseException] = []
        self._stopped = False

    def run(self, *, start: Callable[[], None], cancel: Callable[[], None]) -> list[Result]:
        """The results in the order of their ends; `start` is called when the workers are ready."""
        threads = [
            threading.Thread(target=self._worker, name=f"pull-{number}", daemon=True) for number in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            start()
            self._began_s = self._clock.monotonic()
            self._gate.set()
            _join(threads)
        except BaseException:
            self._stopped = True
            self._queue.clear()
            self._gate.set()
            cancel()
            _join(threads)
            raise
        if self._broken:
            raise self._broken[0]
        return self._results

    def _worker(self) -> None:
        self._gate.wait()
        while not self._stopped:
            try:
                request, due = self._queue.popleft()
            except IndexError:
                return
            try:
                late_s = 0.0 if due is None else self._wait_until(self._began_s + due)
                if not self._stopped:
                    self._results.append(self._work(request, late_s))
            except BaseException as error:  # noqa: BLE001  (it is raised again in the calling thread)
                self._broken.append(error)
                self._stopped = True

    def _wait_until(self, due_s: float) -> float:
        """Wait for a pull's intended start; returns the lateness in seconds."""
        while not self._stopped and (left := due_s - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _SLICE_S))
        return max(0.0, self._clock.monotonic() - due_s)


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(_JOIN_S)
