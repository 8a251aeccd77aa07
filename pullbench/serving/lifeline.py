"""Processes that end with the one that started them, however that ends.

Such a process has a session of its own. Ctrl-C in a terminal goes to a whole process group and so does not reach it: the
process that started it decides when it ends. Its lifeline is its standard input: when the other side is gone, also by
`kill -9`, it reads the end of input and stops.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ENDS_WITHIN_S = 5.0


class KeptProcess:
    """A module of ours as a process of its own. Its output goes to `log`, or nowhere. It inherits the open `handles`."""

    def __init__(
        self,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        handles: Sequence[int] = (),
    ) -> None:
        with contextlib.ExitStack() as files:
            out = subprocess.DEVNULL if log is None else files.enter_context(log.open("ab"))
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                pass_fds=handles,
            )
        atexit.register(self.end)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def end(self, within_s: float = _ENDS_WITHIN_S) -> None:
        """Cut the lifeline, and make sure."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def follow_lifeline(end: Callable[[], None], *, within_s: float = _ENDS_WITHIN_S) -> None:
    """In the process itself: call `end` when standard input ends, and exit by force if that takes too long."""

    def follow() -> None:
        sys.stdin.buffer.read()
        end()
        time.sleep(within_s)
        os._exit(0)  # an open connection must not keep the process

    threading.Thread(target=follow, name="lifeline", daemon=True).start()
