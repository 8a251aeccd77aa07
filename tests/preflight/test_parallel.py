"""Calls side by side, and an interruption that does not wait for them."""

import threading
from functools import partial

import pytest

from pullbench.preflight.parallel import in_parallel


def test_results_come_in_the_order_of_the_calls() -> None:
    second_done = threading.Event()

    def first() -> str:
        assert second_done.wait(10)
        return "first"

    def second() -> str:
        second_done.set()
        return "second"

    assert in_parallel([first, second], limit=2, name="test") == ["first", "second"]


def test_no_more_are_under_way_than_allowed() -> None:
    inside, most, lock = [0], [0], threading.Lock()

    def call(_: int) -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with lock:
            inside[0] -= 1

    in_parallel([partial(call, number) for number in range(20)], limit=1, name="test")
    assert most == [1]


def test_a_call_starts_once_those_it_comes_after_have_ended_and_the_others_go_on() -> None:
    late, order = threading.Event(), list[str]()

    def slow() -> None:
        assert late.wait(10)
        order.append("slow")

    def needs_slow() -> None:
        order.append("needs slow")

    def free() -> None:
        order.append("free")
        late.set()

    in_parallel([slow, needs_slow, free], limit=2, name="test", after=[(), (0,), ()])
    assert order == ["free", "slow", "needs slow"]


def test_a_call_that_breaks_holds_nobody_up_who_comes_after_it() -> None:
    done: list[int] = []

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parallel([broken, partial(done.append, 1)], limit=2, name="test", after=[(), (0,)])
    assert done == [1]


def test_a_call_that_waits_for_a_later_one_is_refused() -> None:
    with pytest.raises(ValueError, match="waits for"):
        in_parallel([lambda: None], limit=1, name="test", after=[(0,)])


def test_a_calls_exception_is_raised_once_the_others_are_done() -> None:
    done: list[int] = []

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parallel([broken, partial(done.append, 1)], limit=1, name="test")
    assert done == [1]


def test_an_interruption_leaves_a_silent_call_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(threading.Thread, "join", interrupted)
        in_parallel([release.wait], limit=1, name="left-behind")
    left = [thread for thread in threading.enumerate() if thread.name == "left-behind"]
    assert [thread.daemon for thread in left] == [True], "it does not hold up the interpreter's end"
    release.set()
    left[0].join()
