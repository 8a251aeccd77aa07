"""The closed loop: every request once, never more workers than asked for, and interruptions that end."""

import threading
from itertools import count

import pytest

from pullbench.bench.load import closed_loop


def nothing() -> None:
    pass


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
