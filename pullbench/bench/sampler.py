"""Watches this client during a trial: a thread sleeps, and records how late it wakes and the kernel's counters.

It must not disturb the pulls: it reads the kernel's counters four times a second, or less often if that would take more
than a quarter of a percent of a core (there is one directory entry per thread).
"""

import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pullbench.stats.busy import Window

WAKE_S = 0.05
WINDOW_S = 0.25
LATE_S = 0.002
"""A wake is late beyond this: a timer and a thread switch take a tenth of it, the interpreter lock about twice as long."""
_SPACING = 400
"""After a reading, the pause without one is this many times its own CPU time."""
_NS = 1e-9
_IDLE = (3, 4)  # of a line `cpu` of /proc/stat: idle and iowait
_GUEST = 8  # from here on: guest time, which is included in user time


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters in seconds of CPU time that only grow; None if the system does not report them."""

    at_s: float
    cpu_s: float
    waited_s: float | None
    used_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The observations of a trial."""

    windows: tuple[Window, ...]
    longest_lag_s: float | None
    """None if the trial was shorter than one sleep."""


class ProcReader:
    """Reads /proc; missing values are None. `cores` are the numbers of the cores to read, None for all."""

    def __init__(self, cores: frozenset[int] | None = None, proc: Path = Path("/proc")) -> None:
        self._names = None if cores is None else {f"cpu{core}" for core in cores}
        self._tasks, self._stat = proc / "self" / "task", proc / "stat"
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._of_threads: dict[str, int] = {}
        self._waited_ns = 0

    def read(self) -> Reading:
        return Reading(
            at_s=time.monotonic(), cpu_s=cpu_s_of_process(), waited_s=self._waited_s(), used_s=self._used_s()
        )

    def _waited_s(self) -> float | None:
        """The time that all threads waited for a core, including threads that ended since the last reading."""
        seen: dict[str, int] = {}
        try:
            for thread in os.listdir(self._tasks):  # noqa: PTH208  (four times as fast as pathlib)
                try:
                    seen[thread] = int(_read(f"{self._tasks}/{thread}/schedstat").split()[1])
                except (FileNotFoundError, ProcessLookupError):
                    continue  # the thread ended meanwhile
        except (OSError, ValueError, IndexError):
            return None
        if not seen:
            return None
        self._waited_ns += sum(max(0, now - self._of_threads.get(thread, 0)) for thread, now in seen.items())
        self._of_threads = seen
        return self._waited_ns * _NS

    def _used_s(self) -> float | None:
        try:
            lines = self._stat.read_bytes().decode().splitlines()
            rows = [line.split() for line in lines if line.startswith("cpu")]
            wanted = [row for row in rows if (row[0] == "cpu" if self._names is None else row[0] in self._names)]
            ticks = [
                int(each) for row in wanted for place, each in enumerate(row[1 : _GUEST + 1]) if place not in _IDLE
            ]
        except (OSError, ValueError):
            return None
        return sum(ticks) * self._tick_s if ticks else None


def _read(path: str) -> bytes:
    """Read a short file at once: a third of the cost of a file object."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 256)
    finally:
        os.close(file)


class Sampler:
    """Watches one trial from `begin` to `end`."""

    def __init__(self, read: Callable[[], Reading], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._monotonic = monotonic
        self._under_way = threading.Lock()
        """Locked from `begin` to `end`; waiting for it is the cheapest interruptible sleep."""
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        self._lags: list[float] = []
        self._seen_lags = 0
        self._windows: list[Window] = []
        self._last: Reading | None = None

    def begin(self) -> None:
        self._last = self._read()
        self._under_way.acquire()
        self._thread.start()

    def end(self) -> Watched:
        """Stop watching, and return the observations; empty if it never began."""
        if self._last is None:
            return Watched(windows=(), longest_lag_s=None)
        self._under_way.release()
        self._thread.join()
        self._look()
        return Watched(windows=tuple(self._windows), longest_lag_s=max(self._lags, default=None))

    def _watch(self) -> None:
        due_s = self._monotonic() + WINDOW_S
        while True:
            slept_from_s = self._monotonic()
            if self._under_way.acquire(timeout=WAKE_S):
                return
            now_s = self._monotonic()
            self._lags.append(max(0.0, now_s - slept_from_s - WAKE_S))
            if now_s >= due_s:
                spent_s = self._look()
                due_s = self._monotonic() + max(WINDOW_S, _SPACING * spent_s)

    def _look(self) -> float:
        """End a window; returns its CPU time in seconds."""
        cpu_from_s, before = time.thread_time(), self._last
        if before is None:
            return 0.0
        now = self._last = self._read()
        lags, self._seen_lags = self._lags[self._seen_lags :], len(self._lags)
        self._windows.append(
            Window(
                lasted_s=now.at_s - before.at_s,
                cpu_s=max(0.0, now.cpu_s - before.cpu_s),
                waited_s=_grown(before.waited_s, now.waited_s),
                used_s=_grown(before.used_s, now.used_s),
                wakes=len(lags),
                late=sum(lag > LATE_S for lag in lags),
            )
        )
        return time.thread_time() - cpu_from_s


def cpu_s_of_process() -> float:
    """CPU seconds of this process and its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _grown(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else max(0.0, now - before)
