"""Calls side by side in threads that nobody has to wait for."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")

_WAKE_S = 0.2
"""The calling thread wakes this often, so that a signal is handled while the calls wait for a network."""


def together(calls: Sequence[Callable[[], Result]], *, at_once: int, name: str) -> list[Result]:
    """Make the calls with at most `at_once` under way; their results in the order of the calls.

    The first exception of a call is raised here once all are done. An interruption is raised at once: the threads are
    left behind, and do not hold up the interpreter's end, for a lookup on a silent network can take long.
    """
    results: dict[int, Result] = {}
    broken: list[BaseException] = []
    waiting = deque(enumerate(calls))

    def work() -> None:
        while True:
            try:
                place, call = waiting.popleft()
            except IndexError:
                return
            try:
                results[place] = call()
            except BaseException as error:  # noqa: BLE001  (it is raised again in the calling thread)
                broken.append(error)

    threads = [threading.Thread(target=work, name=name, daemon=True) for _ in range(min(at_once, len(calls)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(_WAKE_S)
    except BaseException:
        waiting.clear()
        raise
    if broken:
        raise broken[0]
    return [results[place] for place in range(len(calls))]
