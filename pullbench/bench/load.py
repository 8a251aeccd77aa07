"""How pulls are offered to an engine: the closed loop, where each worker starts its next pull when its last ended."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")

_JOIN_S = 0.2
"""The main thread wakes this often, so that a signal is handled while workers are busy."""


def closed_loop(
    requests: Iterable[Request],
    workers: int,
    work: Callable[[Request], Result],
    *,
    start: Callable[[], None],
    cancel: Callable[[], None],
) -> list[Result]:
    """Do each request once with `workers` threads; results come in the order in which they ended.

    The threads are there before `start` is called, so making them is in no measurement. An interruption of the calling
    thread calls `cancel`, waits for the workers, and goes on as it came; so does an exception of a worker.
    """
    queue = deque(requests)
    results: list[Result] = []
    broken: list[BaseException] = []
    gate = threading.Event()

    def worker() -> None:
        gate.wait()
        while not broken:
            try:
                request = queue.popleft()
            except IndexError:
                return
            try:
                results.append(work(request))
            except BaseException as error:  # noqa: BLE001  (it is raised again in the calling thread)
                broken.append(error)

    threads = [threading.Thread(target=worker, name=f"pull-{number}", daemon=True) for number in range(workers)]
    for thread in threads:
        thread.start()
    try:
        start()
        gate.set()
        _join(threads)
    except BaseException:
        queue.clear()
        gate.set()
        cancel()
        _join(threads)
        raise
    if broken:
        raise broken[0]
    return results


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(_JOIN_S)
