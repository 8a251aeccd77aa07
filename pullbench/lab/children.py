"""Processes of the lab: each receives its config as one line on stdin, prints `ready`, and ends when stdin ends.

The pipe to stdin is the lifeline: the kernel closes it when the parent dies for any reason. (PR_SET_PDEATHSIG would not do:
it fires when the thread that started the child ends, and flows run in threads.)
"""

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pullbench.errors import PullbenchError

_READY_S = 20.0
_END_S = 3.0


class Child:
    """One part of the lab in its own interpreter, so that it shares no lock with the client that measures it."""

    def __init__(self, part: str, *, log: Path, sockets: Sequence[int]) -> None:
        self._part, self._log = part, log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pullbench.lab", part],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=sockets,
                start_new_session=True,
            )

    def tell(self, config: Mapping[str, Any]) -> None:
        """Send its config; it starts to serve."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.write(json.dumps(config).encode() + b"\n")
            self._stdin.flush()

    def wait_ready(self) -> None:
        """Wait until it serves. Raises PullbenchError with its last output line if it does not start."""
        assert self.process.stdout is not None
        answered, _, _ = select.select([self.process.stdout], [], [], _READY_S)
        if not answered or self.process.stdout.readline() != b"ready\n":
            said = self._log.read_text(errors="replace").strip().splitlines() or ["nothing on stderr"]
            raise PullbenchError(f"the lab's {self._part} does not start: {said[-1]}")

    def let_go(self) -> None:
        """Close the lifeline: the child starts to end."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def end(self) -> None:
        """Wait until it has ended; kill it after a while."""
        self.let_go()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def _stdin(self) -> Any:
        return self.process.stdin


def end_all(children: Iterable[Child]) -> None:
    """End them concurrently."""
    every = tuple(children)
    for child in every:
        child.let_go()
    for child in every:
        child.end()


def read_part() -> dict[str, Any]:
    """In the child: the config from the parent. Raises EOFError if the parent died before sending it."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError("no config on stdin")
    return dict(json.loads(line))


def serve_until_let_go(ready: str) -> None:
    """In the child: print `ready`, then return when stdin ends, SIGTERM arrives, or the parent has changed since the start.

    SIGTERM is handled before the line is printed: whoever reads it may send one immediately.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parent = os.getppid()
    sys.stdout.write(f"{ready}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 4096):
            return


def raise_open_files_limit() -> None:
    """Raise the limit of open files to the system's maximum: a link needs two per connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
