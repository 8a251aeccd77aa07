"""The lanes of one pull: its blobs and parts of blobs in order, so many at once."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, wait
from threading import Condition

Task = Callable[[], None]
_SLICE_S = 0.05  # how soon an idle lane sees that the pull was stopped


class Lanes:
    """Tasks in order, and the lanes that do them. With `grows` a task may put others before those that wait.

    A lane that finds nothing to do waits only where something may still come: of a thousand pulls at once the idle lanes
    alone would keep the machine busy.
    """

    def __init__(self, stopped: Callable[[], bool], *, grows: bool) -> None:
        self._todo: deque[Task] = deque()
        self._stopped = stopped
        self._grows = grows
        self._busy = 0
        self._changed = Condition()

    def put_first(self, tasks: Iterable[Task]) -> None:
        """More to do, in order, before all that waits; by a task, or before `run`."""
        with self._changed:
            self._todo.extendleft(reversed(list(tasks)))
            self._changed.notify_all()

    def run(self, lanes: int, executor: Executor | None) -> None:
        """Do all; this thread is the first of the lanes, the executor's are the others."""
        others = [executor.submit(self._lane) for _ in range(lanes - 1)] if executor else []
        try:
            self._lane()
        finally:
            wait([lane for lane in others if not lane.cancel()])
        for lane in others:
            if not lane.cancelled():
                lane.result()  # an error here is a bug, and must be seen

    def _lane(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            finally:
                with self._changed:
                    self._busy -= 1
                    if not self._todo:
                        self._changed.notify_all()

    def _next(self) -> Task | None:
        """The next task; waits while there is none but a running one may still bring some."""
        with self._changed:
            while not self._stopped():
                if self._todo:
                    self._busy += 1
                    return self._todo.popleft()
                if not self._busy or not self._grows:
                    return None
                self._changed.wait(_SLICE_S)
        return None
