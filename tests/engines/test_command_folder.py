"""A trial's folder: private, gone with the trial, and found by a later one where its run was killed."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.engines.command.folder import (
    MARK,
    PREFIX,
    CommandFolder,
    end_processes,
    mounts_under,
    remove_stale_folders,
)


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path


def old(path: Path) -> Path:
    os.utime(path, (time.time() - 3600,) * 2, follow_symlinks=False)
    return path


def test_a_folder_is_this_users_alone_and_gone_with_its_block() -> None:
    with CommandFolder.open() as folder:
        assert folder.path.name.startswith(PREFIX)
        assert folder.path.stat().st_mode & 0o077 == 0
        (folder.path / "store").mkdir()
    assert not folder.path.exists()


def test_a_process_that_works_for_it_ends_with_it() -> None:
    with contextlib.ExitStack() as started:
        with CommandFolder.open() as folder:
            environment = {"PATH": os.environ["PATH"], MARK: str(folder.path)}
            process = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
            started.callback(process.kill)
            other = subprocess.Popen(["sleep", "600"], env={**environment, MARK: f"{folder.path}-2"})
            started.callback(other.wait)
            started.callback(other.kill)
        assert process.wait(60) == -9
        assert other.poll() is None


def proc_entry(processes: Path, number: int, *, environ: bytes, cmdline: bytes, exe: str | None) -> Path:
    """A process as proc(5) shows it."""
    entry = processes / str(number)
    entry.mkdir(parents=True)
    (entry / "environ").write_bytes(environ)
    (entry / "cmdline").write_bytes(cmdline)
    if exe is not None:
        (entry / "exe").symlink_to(exe)
    return entry


def test_a_process_that_has_no_environment_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel shows a program's arguments and environment only some moments after its first file is closed."""
    processes, folder = tmp_path / "proc", tmp_path / "folder"
    proc_entry(processes, 1, environ=b"", cmdline=b"", exe=None)  # a kernel thread
    proc_entry(processes, 2, environ=b"", cmdline=b"env\0", exe="/usr/bin/env")  # one without an environment
    starting = proc_entry(processes, 3, environ=b"", cmdline=b"", exe="/usr/bin/podman")
    killed: list[int] = []

    def kill(process: int, number: int) -> None:
        killed.append(process)
        shutil.rmtree(processes / str(process))

    def sleep(_: float) -> None:
        if starting.exists():
            (starting / "environ").write_bytes(f"HOME=/\0{MARK}={folder}\0".encode())

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(time, "sleep", sleep)
    end_processes(folder, processes)
    assert killed == [3]


def test_what_nobody_owns_any_more_is_removed_when_the_next_one_opens(parent: Path) -> None:
    dead = old(Path(tempfile.mkdtemp(prefix=PREFIX)))
    with CommandFolder.open():
        assert not dead.exists()


def test_what_is_young_or_owned_or_anothers_is_left_alone(parent: Path) -> None:
    young, owned = parent / f"{PREFIX}young", parent / f"{PREFIX}owned"
    other, elsewhere = parent / "pullbench-lab-1", parent / "elsewhere"
    for path in (young, owned, other, elsewhere):
        path.mkdir()
    link = parent / f"{PREFIX}link"
    link.symlink_to(elsewhere)
    lock = os.open(owned, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    for path in (owned, other, link, elsewhere):
        old(path)
    assert remove_stale_folders(parent) == []
    assert all(path.exists() for path in (young, owned, other, link, elsewhere))
    os.close(lock)
    assert remove_stale_folders(parent) == [owned]


def test_a_folder_in_use_by_this_very_process_is_owned_too(parent: Path) -> None:
    with CommandFolder.open() as first, CommandFolder.open() as second:
        old(first.path)
        assert remove_stale_folders(parent) == []
        assert first.path.exists() and second.path.exists()


def test_mounts_are_told_by_their_whole_path(tmp_path: Path) -> None:
    points = ("/", "/run/a", "/run/a/b\\040c", "/run/a/b\\040c/d", "/run/ab")
    table = tmp_path / "mountinfo"
    table.write_text("".join(f"36 35 98:0 / {point} rw - ext3 /dev/root rw\n" for point in points))
    assert mounts_under(Path("/run/a"), table) == ["/run/a/b c", "/run/a/b c/d"]
    assert mounts_under(tmp_path) == []
