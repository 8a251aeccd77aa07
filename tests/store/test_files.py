"""Files are whole or absent, and what cannot be written says so in one line."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from pullbench.errors import IncompleteError, MissingExtraError, UsageError
from pullbench.store.dataset import ResultStore
from pullbench.store.files import Files
from pullbench.store.ledger import BroughtRecord, Ledger
from tests.store import sample
from tests.store.sample import RUN_ID


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("step", ["fsync", "mkdir", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
@pytest.mark.promise(
    "accidents",
    "Disk full or read-only: exit 3, one line with the file and what to do; what finished is stored, no half-written file stays",
)
def test_the_catch_of_put_makes_one_line_of_a_full_or_read_only_disk_and_leaves_no_litter(
    disk: ResultStore, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    disk.write_run(sample.run())
    monkeypatch.setattr(os if step == "fsync" else Path, step, failing(number))
    with pytest.raises(IncompleteError) as caught:
        disk.write_run(sample.run(status="complete"))
    text = str(caught.value)
    assert text.startswith(f"{disk.url}/runs/{RUN_ID}/run.parquet: {os.strerror(number)}; ")
    assert "--results" in text
    assert "\n" not in text
    assert ("free space" in text) == (number in (errno.ENOSPC, errno.EDQUOT))
    monkeypatch.undo()
    assert [path.name for path in Path(disk.url, "runs", RUN_ID).iterdir()] == ["run.parquet"]
    assert disk.run(RUN_ID).status == "running"


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("not a folder")
    store = ResultStore(str(tmp_path / "results"))
    assert store.runs() == []
    with pytest.raises(IncompleteError, match="--results"):
        store.write_run(sample.run())


def test_an_object_stores_own_errors_become_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResultStore("memory://pullbench-errors")

    class NoCredentials(Exception):  # noqa: N818  (as foreign libraries name theirs)
        pass

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentials("Unable to locate\ncredentials")

    for name in ("pipe_file", "rm_file", "cat_file", "ls"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    with pytest.raises(
        IncompleteError, match=r"^memory://.*/run.parquet: .* NoCredentials: Unable to locate credentials$"
    ):
        store.write_run(sample.run())
    with pytest.raises(UsageError, match="cannot be listed"):
        store.runs()
    with pytest.raises(UsageError, match="cannot be read"):
        store.run(RUN_ID)
    with pytest.raises(IncompleteError, match="cannot be removed"):
        store.files.remove("a")


def test_a_url_that_nothing_serves_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        ResultStore("nosuchthing://bucket/results")


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("s3://bucket/results", "s3fs", "s3"),
        ("gs://bucket/results", "gcsfs", "gcs"),
        ("simplecache::gcs://bucket/results", "gcsfs", "gcs"),
    ],
)
def test_an_object_store_whose_package_is_not_installed_names_the_extra(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for protocol in ("s3", "gs", "gcs"):
        monkeypatch.delitem(_registry, protocol, raising=False)  # loaded by another test
    with pytest.raises(MissingExtraError, match=rf"pip install 'pullbench\[{extra}\]'") as missing:
        ResultStore(url)
    assert (missing.value.extra, missing.value.exit_code) == (extra, 2)


def test_half_written_files_are_never_listed(disk: ResultStore) -> None:
    disk.files.put("a/b.json", b"1")
    Path(disk.url, "a", ".b.json.0badcafe.tmp").write_bytes(b"")
    assert disk.files.names("a") == ["b.json"]
    disk.files.remove_half_written("a")
    assert [path.name for path in Path(disk.url, "a").iterdir()] == ["b.json"]


def test_what_is_gone_is_left_out_and_the_rest_keeps_its_order(store: ResultStore) -> None:
    for name in "cab":
        store.files.put(name, name.encode())
    assert list(store.files.read(["c", "x", "a", "b"]).items()) == [("c", b"c"), ("a", b"a"), ("b", b"b")]
    store.files.remove("a")
    store.files.remove("a")
    assert store.files.names("") == ["b", "c"]


def test_a_path_is_shown_whole_and_without_credentials(tmp_path: Path) -> None:
    assert Files(str(tmp_path)).where("a") == f"{tmp_path}/a"
    assert Files("memory://bucket").where("a").endswith("/bucket/a")


def test_the_file_is_on_the_disk_before_its_name_is(disk: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{handle}").resolve().is_dir() else "file")
        sync(handle)

    def replaced(self: Path, target: Path) -> Path:
        order.append("rename")
        assert self.parent == target.parent
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    disk.files.put("a", b"1")
    assert order == ["file", "rename", "folder"]


IMAGE_ID = "sha256:" + "1" * 64
REFERENCE = "127.0.0.1:5000/app@sha256:" + "2" * 64


def test_the_ledger_tells_image_ids_from_references(store: ResultStore) -> None:
    ledger = Ledger(store)
    ledger.record(RUN_ID, 7, "daemon", [REFERENCE, IMAGE_ID])
    assert ledger.entries() == (
        BroughtRecord(run_id=RUN_ID, trial=7, daemon="daemon", image_ids=(IMAGE_ID,), references=(REFERENCE,)),
    )
    assert ledger.brought("daemon") == {IMAGE_ID, REFERENCE}
    assert ledger.brought("another") == frozenset()


def test_what_a_trial_said_before_stays_said(store: ResultStore) -> None:
    ledger = Ledger(store)
    ledger.record(RUN_ID, 7, "one", ["a"])
    ledger.record(RUN_ID, 7, "one", ["b"])
    ledger.record(RUN_ID, 7, "two", ["c"])
    ledger.record("other-run", 7, "one", ["d"])
    assert ledger.brought("one") == {"a", "b", "d"}
    assert ledger.brought("two") == {"c"}


def test_forgetting_a_run_leaves_the_others_and_other_daemons(store: ResultStore) -> None:
    ledger = Ledger(store)
    ledger.record(RUN_ID, 1, "one", ["a"])
    ledger.record(RUN_ID, 1, "two", ["b"])
    ledger.record("other-run", 1, "one", ["c"])
    ledger.forget(RUN_ID, "one")
    assert ledger.brought("one") == {"c"}
    assert ledger.brought("two") == {"b"}
    ledger.forget(RUN_ID)
    ledger.forget(RUN_ID)
    assert [entry.run_id for entry in ledger.entries()] == ["other-run"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trial-00001-00000000.json", b""),
        ("trial-00001-00000000.json", b'{"daemon": "one", "image_ids": ["a"'),
        ("trial-00001-00000000.json", b"\xff\xfe"),
        ("trial-00001-00000000.json", b"[]"),
        ("trial-00001-00000000.json", b"{}"),
        ("trial-00001-00000000.json", b'{"daemon": "one", "image_ids": [5], "references": []}'),
        ("trial-00001-00000000.json", b'{"daemon": "one", "image_ids": null, "references": []}'),
        ("notes.txt", b'{"daemon": "one", "image_ids": [], "references": []}'),
    ],
)
def test_a_damaged_entry_is_left_out_with_a_note(
    store: ResultStore, caplog: pytest.LogCaptureFixture, name: str, content: bytes
) -> None:
    ledger = Ledger(store)
    ledger.record(RUN_ID, 0, "one", ["a"])
    store.files.put(f"brought/{RUN_ID}/{name}", content)
    with caplog.at_level(logging.WARNING):
        assert ledger.brought("one") == {"a"}
    assert name in caplog.text
    ledger.forget(RUN_ID)
    assert ledger.entries() == ()


def test_a_stray_file_beside_the_runs_is_no_entry(disk: ResultStore) -> None:
    disk.files.put("brought/README", b"hello")
    assert Ledger(disk).entries() == ()


def test_what_cannot_be_recorded_stops_the_pull(disk: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(IncompleteError, match="free space"):
        Ledger(disk).record(RUN_ID, 0, "one", ["a"])


def test_the_ledger_takes_no_path_for_a_run(disk: ResultStore) -> None:
    with pytest.raises(UsageError, match="is not a run_id"):
        Ledger(disk).record("../x", 0, "one", [])
    with pytest.raises(UsageError, match="is not a run_id"):
        Ledger(disk).forget("../x")
