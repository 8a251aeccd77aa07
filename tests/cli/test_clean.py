"""`pullbench clean`: lists what interrupted runs left, and removes it only with --apply."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pullbench.cli.clean import clean
from pullbench.engines.command.folder import PREFIX
from pullbench.errors import ErrorCode, IncompleteError, RegistryError
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import Ledger, PushedImages, PushedRecord

NO_DAEMON = "unix:///nowhere/docker.sock"


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a folder such as a killed run leaves."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def leave(name: str) -> Path:
        folder = tmp_path / f"{PREFIX}{name}"
        (folder / "store").mkdir(parents=True)
        os.utime(folder, (time.time() - 3600,) * 2)
        return folder

    return leave


def test_folders_of_killed_runs_are_told_and_stay(
    left: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = left("a"), left("b")
    assert clean(results="results", host=NO_DAEMON, apply=False) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [str(first), str(second), "2 directories of interrupted runs; remove: pullbench clean --apply"]
    assert first.exists() and second.exists()


def test_with_apply_they_are_removed_and_named_and_what_a_run_uses_stays(
    left: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    dead, used = left("dead"), left("used")
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert clean(results="results", host=NO_DAEMON, apply=True) == 0
    os.close(lock)
    assert capsys.readouterr().out.startswith(f"removed {dead}, ")
    assert not dead.exists() and used.exists()


def test_a_folder_that_cannot_be_removed_is_named_and_the_exit_code_says_so(
    left: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = left("stuck")
    monkeypatch.setattr("pullbench.bench.cleaning.clean_folders", list)
    with pytest.raises(IncompleteError, match=rf"^not removed: {stuck}: "):
        clean(results="results", host=NO_DAEMON, apply=True)


def test_without_a_record_of_images_no_daemon_is_asked(
    left: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert clean(results="results", host=NO_DAEMON, apply=True) == 0
    told = capsys.readouterr().out
    assert told.startswith("results: no run ") and told.count("\n") == 1


def pushed(folder: Path) -> PushedImages:
    """The record of a run that was killed in a cold trial."""
    made = PushedImages(ResultStore(str(folder / "results")))
    made.record("20260101T000000Z-0000", 3, PushedRecord(registry="http://r:5000", images=("cold:run-00003-a-0",)))
    return made


def test_what_a_killed_run_left_at_a_registry_is_told_and_stays(
    left: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = pushed(tmp_path)
    monkeypatch.setattr("pullbench.bench.cold_push.take_left", None)
    assert clean(results="results", host=NO_DAEMON, apply=False) == 0
    told, how, _ = capsys.readouterr().out.splitlines()
    assert told.startswith("left at http://r:5000: 1 synthetic image in cold (")
    assert how.endswith("pullbench clean --apply")
    assert record.entries()


def test_with_apply_it_is_deleted_there_and_forgotten(
    left: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, taken = pushed(tmp_path), list[PushedRecord]()
    monkeypatch.setattr("pullbench.bench.cold_push.take_left", lambda entry, _keychain: taken.append(entry))
    assert clean(results="results", host=NO_DAEMON, apply=True) == 0
    assert [entry.images for entry in taken] == [("cold:run-00003-a-0",)]
    assert capsys.readouterr().out.splitlines()[0] == "removed 1 synthetic image from http://r:5000"
    assert record.entries() == {}


def test_what_the_registry_does_not_delete_is_told_with_its_reason_and_stays_recorded(
    left: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = pushed(tmp_path)

    def refuse(_entry: PushedRecord, _keychain: object) -> None:
        raise RegistryError(ErrorCode.FORBIDDEN, "DELETE http://r:5000/v2/", "405 UNSUPPORTED", status=405)

    monkeypatch.setattr("pullbench.bench.cold_push.take_left", refuse)
    assert clean(results="results", host=NO_DAEMON, apply=True) == 0
    told = capsys.readouterr().out
    assert "1 synthetic image " in told and "cold (405 UNSUPPORTED)" in told
    assert record.entries()


def test_a_daemon_that_does_not_answer_keeps_no_folder(left: Callable[[str], Path], tmp_path: Path) -> None:
    dead = left("dead")
    Ledger(ResultStore(str(tmp_path / "results"))).record("20260101T000000Z-0000", 0, "an-id", ["a@sha256:" + "0" * 64])
    with pytest.raises(IncompleteError, match=r"^no image was removed: "):
        clean(results="results", host=NO_DAEMON, apply=True)
    assert not dead.exists()
