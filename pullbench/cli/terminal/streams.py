"""Standard output and error that nobody may read to the end: a run is not lost for a line that could not be printed.

`pullbench run spec.yaml 2>&1 | head -1` ends its reader after a line, and Python raises from the next one on. Here what can
no longer be written goes nowhere, and the command goes on to its own end and exit code.
"""

import contextlib
import io
import os
import select
import sys
from pathlib import Path
from typing import Any

_unwritten: list[str] = []


def guard() -> None:
    """Put streams that go on in the place of this process's, where those lead to files, pipes or terminals."""
    _unwritten.clear()
    sys.stdout, sys.stderr = _onward(sys.stdout), _onward(sys.stderr)


def finish() -> str:
    """Write what is left; why something could not be written, unless its reader had just had enough: empty for nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # none, or closed
            stream.flush()
    return "; ".join(_unwritten)


def _onward(stream: Any) -> Any:
    """A stream like it that goes on; a null device where a process has none, and itself where it is no file's."""
    if stream is None:
        return Path(os.devnull).open("w")
    try:
        raw = _Onward(stream.fileno(), stream.name)
    except (AttributeError, io.UnsupportedOperation):
        return stream
    binary: Any = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        binary,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Onward(io.RawIOBase):
    """Writes all of it to a descriptor, until that fails, then nowhere."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self.name = name
        self._open = True

    def write(self, data: Any) -> int:
        left = memoryview(data)
        while self._open and left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self._open = False
                if not isinstance(error, BrokenPipeError):
                    _unwritten.append(f"{self.name.strip('<>')}: {error.strerror}")
        return len(data)

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True
