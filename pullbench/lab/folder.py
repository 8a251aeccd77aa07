"""Where a lab keeps its files: a folder that is locked while it is in use, and removed when it was temporary."""

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
    """An open folder. The lock is the kernel's, so it ends with its process, however that ends."""

    path: Path
    _temporary: bool
    _lock: int

    @classmethod
    def open(cls, folder: Path | None) -> Self:
        """The folder given, made where it is missing; else a temporary one, after those of dead labs are removed.

        Raises UsageError where another lab uses it.
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
            raise UsageError(f"{path}: another lab uses this folder; give each its own") from error
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
    """Remove the temporary folders of labs that were killed; best effort, and only one's own.

    Folders under a minute old are left alone: one may have been made and not be locked yet.
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
    """Hold the lock that its owner held; raises OSError where the owner still does, or the path is no folder."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)
