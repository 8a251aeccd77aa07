"""The loops: every request once, never more workers than asked for, starts as intended, interruptions that end."""

import statistics
import threading
from collections.abc import Callable, Iterable
from itertools import count, pairwise
from typing import TypeVar

import pytest

from pullbench.bench.load import Loop, intended_starts
from pullbench.engines.base import SystemClock
from pullbench.engines.fake import ScriptedClock
from pullbench.model.spec import Load

Request = TypeVar("Request")
Result = TypeVar("Result")


def nothing() -> None:
    pass


def closed_loop(
    requests: Iterable[Request],
    workers: int,
    work: Callable[[Request], Result],
    *,
    start: Callable[[], None],
    cancel: Callable[[], None],
) -> list[Result]:
    loop = Loop(list(requests), workers, lambda request, _: work(request), clock=SystemClock())
    return loop.run(start=start, cancel=cancel)


def test_every_request_is_done_once() -> None:
    done = closed_loop(range(50), 4, lambda number: number, start=nothing, cancel=nothing)
    assert sorted(done) == list(range(50))


def test_as_many_run_at_once_as_there_are_workers_and_no_more() -> None:
    together = threading.Barrier(3, timeout=10)
    inside, most, lock = count(), [0], threading.Lock()
    running = [0]

    def work(_: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1
        next(inside)

    closed_loop(range(9), 3, work, start=nothing, cancel=nothing)
    assert next(inside) == 9
    assert most[0] == 3


def test_nothing_is_pulled_before_the_clock_starts() -> None:
    order: list[str] = []
    closed_loop([1], 2, lambda _: order.append("work"), start=lambda: order.append("start"), cancel=nothing)
    assert order == ["start", "work"]


def test_an_interruption_cancels_waits_and_is_raised_again() -> None:
    cancelled = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        cancelled.wait(10)
        done.append(number)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        closed_loop(range(5), 2, work, start=interrupt, cancel=cancelled.set)
    assert cancelled.is_set()
    assert done == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pull-")]


def test_a_bug_in_a_worker_is_raised_and_ends_the_others() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ZeroDivisionError
        done.append(number)

    with pytest.raises(ZeroDivisionError):
        closed_loop(range(1000), 1, work, start=nothing, cancel=nothing)
    assert done == []


def test_a_closed_loop_has_no_intended_starts() -> None:
    assert intended_starts(Load(), 5, "1") is None


def test_uniform_arrivals_are_even() -> None:
    assert intended_starts(Load(mode="open", rate=4, arrivals="uniform"), 3, "1") == [0.0, 0.25, 0.5]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_exponential_gaps_and_follow_the_seed() -> None:
    load = Load(mode="open", rate=20)
    starts = intended_starts(load, 20_000, "1:7")
    assert starts is not None
    assert starts == intended_starts(load, 20_000, "1:7") != intended_starts(load, 20_000, "1:8")
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert statistics.mean(gaps) == pytest.approx(1 / 20, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / 20, rel=0.03)


def test_an_open_loop_starts_each_request_when_it_is_due_and_says_how_late_it_was() -> None:
    clock = ScriptedClock()
    begun: list[tuple[int, float, float]] = []

    def work(number: int, late_s: float) -> None:
        begun.append((number, clock.monotonic(), late_s))
        clock.sleep(2.0)

    Loop([0, 1, 2], 1, work, clock=clock, starts=[0.0, 1.0, 10.0]).run(start=nothing, cancel=nothing)
    assert begun == [(0, 0.0, 0.0), (1, 2.0, 1.0), (2, pytest.approx(10.0), pytest.approx(0.0))]


def test_an_interruption_does_not_wait_for_starts_that_are_still_to_come() -> None:
    done: list[int] = []

    def interrupt_soon() -> None:
        threading.Timer(0.05, interrupted.set).start()

    interrupted = threading.Event()

    def work(number: int, _: float) -> None:
        done.append(number)
        interrupted.wait(10)
        raise ZeroDivisionError

    loop = Loop([0, 1], 2, work, clock=SystemClock(), starts=[0.0, 3600.0])
    with pytest.raises(ZeroDivisionError):
        loop.run(start=interrupt_soon, cancel=nothing)
    assert done == [0]
