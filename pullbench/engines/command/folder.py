"""The storage of a command-line client: a directory per trial, removed with the trial.

A killed run leaves its directory, and perhaps processes and mounts in it. The kernel releases the directory's lock when the
process ends, so the next trial sees that it has no owner, and removes it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PREFIX = "pullbench-pull-"
MARK = "PULLBENCH_PULL_FOLDER"
"""A variable in the environment of every process of a directory, to find the process later."""
_YOUNG_S = 60.0
_END_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFolder:
    """An open directory that only this user can read."""

    path: Path
    _lock: int

    @classmethod
    def open(cls) -> Self:
        """Create one in the system's directory for temporary files (TMPDIR), after removing those of killed runs."""
        remove_stale_folders(Path(tempfile.gettempdir()))
        path, lock = owned_folder()
        return cls(path=path, _lock=lock)

    def close(self) -> None:
        """End its processes, and remove it."""
        _remove(self.path)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def owned_folder(kind: str = "") -> tuple[Path, int]:
    """A new directory that only this user can read, and its lock; close the lock after removing the directory."""
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}"))
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path, lock


def stale_folders(parent: Path) -> list[Path]:
    """The directories of this user's killed runs.

    Directories under a minute old are left out: they may not be locked yet.
    """
    return [path for path in sorted(parent.glob(f"{PREFIX}*")) if _is_stale(path)]


def _is_stale(path: Path) -> bool:
    try:
        status = path.lstat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_S:
            return False
        with _unowned(path):
            return True
    except OSError:
        return False


def remove_stale_folders(parent: Path) -> list[Path]:
    """Remove the directories of this user's killed runs, and return those removed; best effort."""
    found = stale_folders(parent)
    for path in found:
        with contextlib.suppress(OSError), _unowned(path):
            _remove(path)
    return [path for path in found if not path.exists()]


@contextlib.contextmanager
def _unowned(path: Path) -> Iterator[None]:
    """Hold the owner's lock; raises OSError if the owner still holds it, or the path is no directory."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def _remove(path: Path) -> None:
    """Remove processes, then mounts, then files: each depends on the next. Mounted file systems are not touched."""
    end_processes(path)
    mounted = mounts_under(path)
    for mount in reversed(mounted):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    if not mounted or not mounts_under(path):
        shutil.rmtree(path, ignore_errors=True)


def end_processes(path: Path, processes: Path = Path("/proc")) -> None:
    """Kill every process with the directory's mark, and wait until they are gone.

    A process that is just starting does not show its environment yet, so this waits for it.
    """
    until = time.monotonic() + _END_S
    while True:
        marked, unknown = _at_work(f"{MARK}={path}".encode(), processes)
        for process in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not (marked or unknown) or time.monotonic() > until:
            return
        time.sleep(0.01)


def _at_work(mark: bytes, processes: Path) -> tuple[list[int], list[int]]:
    """The processes with a mark in their environment, and those whose environment is not known yet."""
    marked, unknown = [], []
    for entry in processes.iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                environment = (entry / "environ").read_bytes()
                if mark in environment.split(b"\0"):
                    marked.append(int(entry.name))
                elif not environment and _is_starting(entry):
                    unknown.append(int(entry.name))
    return marked, unknown


def _is_starting(entry: Path) -> bool:
    """Whether a process has a program but no arguments yet; raises OSError for kernel threads and zombies."""
    (entry / "exe").readlink()
    return not (entry / "cmdline").read_bytes()


def mounts_under(path: Path, table: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """Mount points in the directory, outer ones first (proc(5), mountinfo)."""
    lines = table.read_text().splitlines()
    points = [line.split(" ")[4].encode().decode("unicode_escape").encode("latin-1").decode() for line in lines]
    return [point for point in points if point.startswith(f"{path}/")]
