"""Watching a trial: what the kernel counts, how late a sleep ends, and what is not there."""

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.bench import sampler
from pullbench.bench.sampler import ProcReader, Reading, Sampler

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def proc(folder: Path, threads: dict[str, str], stat: str) -> Path:
    for thread, text in threads.items():
        (folder / "self" / "task" / thread).mkdir(parents=True, exist_ok=True)
        (folder / "self" / "task" / thread / "schedstat").write_text(text)
    (folder / "stat").write_text(stat)
    return folder


STAT = """cpu  100 0 50 900 10 1 2 3 0 0
cpu0 60 0 30 400 10 1 2 3 40 0
cpu1 40 0 20 500 0 0 0 0 0 0
intr 12345
"""


def test_time_on_the_cores_is_all_but_idle_time_and_guests_count_once(tmp_path: Path) -> None:
    made = proc(tmp_path, {"7": "1 2 3"}, STAT)
    assert ProcReader(proc=made).read().used_s == pytest.approx(156 * TICK_S)
    assert ProcReader(frozenset({0}), proc=made).read().used_s == pytest.approx(96 * TICK_S)


def test_the_wait_of_a_thread_that_ended_is_kept_and_a_new_one_counts_from_its_birth(tmp_path: Path) -> None:
    made = proc(tmp_path, {"7": "5 1000000000 1", "8": "5 2000000000 1"}, STAT)
    counters = ProcReader(proc=made)
    assert counters.read().waited_s == pytest.approx(3.0)
    (made / "self" / "task" / "8" / "schedstat").unlink()
    proc(made, {"7": "5 1500000000 1", "9": "5 250000000 1"}, STAT)
    assert counters.read().waited_s == pytest.approx(3.75)


@pytest.mark.parametrize("schedstat", ["", "no numbers at all"])
def test_what_a_system_does_not_tell_is_none_and_no_error(tmp_path: Path, schedstat: str) -> None:
    nothing = ProcReader(proc=tmp_path).read()
    assert (nothing.waited_s, nothing.used_s) == (None, None)
    assert nothing.cpu_s > 0
    strange = ProcReader(proc=proc(tmp_path, {"7": schedstat}, "cpu what is this\n")).read()
    assert (strange.waited_s, strange.used_s) == (None, None)


def test_this_system_is_read() -> None:
    found = ProcReader(frozenset(os.sched_getaffinity(0))).read()
    assert found.waited_s is not None and found.waited_s >= 0
    assert found.used_s is not None and found.used_s >= TICK_S


class Woken:
    """In place of the lock that it sleeps on: lets it wake `wakes` times, each later than asked by the next of `lags`."""

    def __init__(self, lags: list[float]) -> None:
        self.now_s = 0.0
        self.done = threading.Event()
        self._lags = iter(lags)

    def acquire(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return True
        lag = next(self._lags, None)
        if lag is None:
            self.done.wait(10.0)
            return True
        self.now_s += timeout + lag
        return False

    def release(self) -> None:
        self.done.set()


def watched(lags: list[float], readings: Iterator[Reading], *, looks: int) -> tuple[sampler.Watched, int]:
    woken, made, enough = Woken(lags), itertools.count(1), threading.Event()

    def read() -> Reading:
        if next(made) == looks:
            enough.set()
        return next(readings)

    watching = Sampler(read, monotonic=lambda: woken.now_s)
    watching._under_way = woken  # type: ignore[assignment]
    watching.begin()
    assert enough.wait(10.0)
    seen = watching.end()
    return seen, next(made) - 1


def counted() -> Iterator[Reading]:
    """Half a core used, a tenth waited for, one core used in all."""
    return (Reading(at_s=0.25 * n, cpu_s=0.125 * n, waited_s=0.025 * n, used_s=0.25 * n) for n in itertools.count())


def test_a_window_has_what_was_counted_in_it_and_how_many_wakes_were_late() -> None:
    seen, _ = watched([0.0001] * 4 + [0.02, 0.0001], counted(), looks=2)
    first, rest = seen.windows
    assert (first.lasted_s, first.cpu_s, first.waited_s, first.used_s) == pytest.approx((0.25, 0.125, 0.025, 0.25))
    assert (first.wakes, first.late) == (5, 1)
    assert (rest.wakes, rest.late) == (1, 0)
    assert seen.longest_lag_s == pytest.approx(0.02)


def test_guard_cost_after_a_dear_look_the_next_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes 5 ms of CPU time is followed by 2 s without one."""
    spent_s = itertools.count(step=0.005)
    monkeypatch.setattr(sampler.time, "thread_time", lambda: next(spent_s))
    lags = [0.0] * 48  # 2.4 s: one look after 0.25 s, the next 2 s later
    _, looks = watched(lags, counted(), looks=3)
    assert looks == 4, "at the start, twice, at the end"


def test_one_that_never_began_has_seen_nothing() -> None:
    assert Sampler(lambda: pytest.fail("looked")).end().windows == ()


def test_a_trial_shorter_than_a_sleep_has_a_window_and_no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "WAKE_S", 60.0)
    readings = counted()
    watching = Sampler(lambda: next(readings))
    watching.begin()
    seen = watching.end()
    assert len(seen.windows) == 1
    assert seen.longest_lag_s is None
