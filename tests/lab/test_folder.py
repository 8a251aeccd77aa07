import os
import time
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.lab.folder import PREFIX, LabFolder, remove_stale


def aged(path: Path) -> Path:
    """A folder as a lab that started long ago left it."""
    path.mkdir(exist_ok=True)
    (path / "content").write_bytes(b"x")
    old = time.time() - 3600
    os.utime(path, (old, old))
    return path


def test_a_temporary_folder_goes_and_a_given_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with LabFolder.open(None) as temporary, LabFolder.open(tmp_path / "given") as given:
        assert temporary.path.is_dir() and temporary.path.parent == tmp_path
    assert not temporary.path.exists()
    assert given.path.is_dir()


def test_the_folder_of_a_dead_lab_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    dead = aged(tmp_path / f"{PREFIX}dead")
    with LabFolder.open(tmp_path / f"{PREFIX}alive") as alive:
        aged(alive.path)
        remove_stale(tmp_path)
        assert not dead.exists()
        assert (alive.path / "content").exists()


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    other, target = aged(tmp_path / "other"), aged(tmp_path / "target")
    young = tmp_path / f"{PREFIX}young"
    young.mkdir()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    remove_stale(tmp_path)
    assert other.exists() and young.exists() and link.is_symlink() and (target / "content").exists()


def test_a_start_clears_what_a_killed_lab_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = aged(tmp_path / f"{PREFIX}dead")
    with LabFolder.open(None):
        assert not dead.exists()


def test_two_labs_cannot_share_a_folder(tmp_path: Path) -> None:
    with LabFolder.open(tmp_path), pytest.raises(UsageError, match="another lab"):
        LabFolder.open(tmp_path)
