"""The directory of a lab's files: locked while in use, and removed if it is temporary."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pullbench.errors import UsageError

PREFIX = "pullbench-lab-"
_YOUNG_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabFolder:
    """An open directory. The kernel releases its lock when its process ends for any reason."""

    path: Path
    _temporary: bool
    _lock: int

    @classmethod
    def open(cls, folder: Path | None) -> Self:
        """The given directory, created if missing; else a temporary one, after removing those of dead labs.

        Raises UsageError if another lab uses it.
        """
        if folder is None:
            remove_stale(Path(tempfile.gettempdir()))
        path = Path(tempfile.mkdtemp(prefix=PREFIX)) if folder is None else folder
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise UsageError(f"{path}: another lab uses this directory; use a separate one for each lab") from error
        return cls(path=path, _temporary=folder is None, _lock=lock)

    def close(self) -> None:
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_stale(parent: Path) -> None:
    """Remove this user's temporary directories of killed labs; best effort.

    Directories under a minute old are skipped: they may not be locked yet.
    """
    for path in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_S:
                continue
            with _unlocked(path):
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _unlocked(path: Path) -> Iterator[None]:
    """Hold the owner's lock; raises OSError if the owner still holds it, or the path is no directory."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
