"""A process may be killed at any point, and others may read at any point: a trial is there whole or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pullbench.store.dataset import ResultStore
from pullbench.store.files import Files
from pullbench.store.ledger import Ledger
from pullbench.store.schema import TableName
from tests.store import sample
from tests.store.sample import RUN_ID

TABLES: tuple[TableName, ...] = ("trials", "pulls", "transfers")
STEPS = (
    (Path, "open"),
    (Path, "replace"),
    (Path, "unlink"),
    (os, "fsync"),
    (LocalFileSystem, "rm_file"),
    (MemoryFileSystem, "pipe_file"),
    (MemoryFileSystem, "rm_file"),
)
"""Every call by which the store changes what is on a disk or in an object store."""


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the disk when is test_files' matter; here a sync is a step at which one may die."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class Killed(BaseException):
    """What kill -9 is to the code: no handler gets to do anything more."""


@contextmanager
def before_each_step(act: Callable[[], None]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, _acting(getattr(owner, name), act))
        yield


def _acting(step: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    def acting(*args: Any, **kwargs: Any) -> Any:
        act()
        return step(*args, **kwargs)

    return acting


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do the work and die before its step of that number; whether it came so far."""
    taken = count()

    def die() -> None:
        if next(taken) >= step:  # also whatever a dying process would still clean up
            raise Killed

    try:
        with before_each_step(die):
            work()
    except Killed:
        return True
    return False


def write(store: ResultStore, number: int) -> None:
    store.write_trial(RUN_ID, "office", sample.trial(number), sample.result(number))


def rows(store: ResultStore, name: TableName) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.table(name, RUN_ID).to_pylist()
    return found


def everything(store: ResultStore) -> dict[str, list[dict[str, Any]]]:
    return {name: rows(store, name) for name in TABLES}


def emptied(store: ResultStore) -> None:
    for name in (*TABLES, "runs"):
        if store.files._fs.exists(store.files._full(name)):
            store.files._fs.rm(store.files._full(name), recursive=True)


def kept(store: ResultStore) -> dict[str, bytes]:
    """Every file of a store, to put it back as it was."""
    disk = store.files._fs
    return {path: disk.cat_file(path) for name in TABLES for path in disk.find(store.files._full(f"{name}/{RUN_ID}"))}


def put_back(store: ResultStore, files: dict[str, bytes]) -> None:
    emptied(store)
    for path, content in files.items():
        store.files._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        store.files._fs.pipe_file(path, content)


def expected(*trials: int) -> dict[str, list[int]]:
    """The trial of each row that there should be."""
    return {
        "trials": list(trials),
        "pulls": [trial for trial in trials for _ in range(2)],
        "transfers": [trial for trial in trials for _ in range(3)],
    }


def trials_of(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[int]]:
    return {name: [row["trial"] for row in entries] for name, entries in found.items()}


@pytest.mark.promise("accidents", "`kill -9` while a trial is stored: it counts once all of its tables are there")
def test_the_trials_part_comes_last_so_a_trial_that_is_killed_is_there_whole_or_not_at_all(store: ResultStore) -> None:
    ends = []
    write(store, 0)
    before, files = everything(store), kept(store)
    for step in count():
        put_back(store, files)
        killed = killed_at(step, lambda: write(store, 1))
        after = everything(store)
        stored = sorted(store.finished_trials(RUN_ID))
        assert trials_of(after) == expected(*stored), step
        assert {name: [row for row in after[name] if row["trial"] == 0] for name in TABLES} == before
        if 1 not in stored:
            write(store, 1)
        write(store, 2)
        store.compact(RUN_ID)
        assert trials_of(everything(store)) == expected(0, 1, 2), step
        assert all(store.files._list(f"{name}/{RUN_ID}") == ["compacted.parquet"] for name in TABLES)
        ends.append(stored)
        if not killed:
            break
    assert len(ends) > 3
    assert ends[0] == [0]
    assert ends[-1] == [0, 1]


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_killed_compaction_neither_doubles_nor_loses_a_row(store: ResultStore, earlier: int) -> None:
    for number in range(2):
        if number == earlier:
            store.compact(RUN_ID)
        write(store, number)
    before, files = everything(store), kept(store)
    for step in count():
        put_back(store, files)
        killed = killed_at(step, lambda: store.compact(RUN_ID))
        assert everything(store) == before, step
        assert store.finished_trials(RUN_ID) == {0, 1}
        store.compact(RUN_ID)
        assert everything(store) == before, step
        assert all(store.files._list(f"{name}/{RUN_ID}") == ["compacted.parquet"] for name in TABLES)
        if not killed:
            break
    assert step > 4


def test_a_reader_at_any_point_of_a_compaction_sees_every_row_once(store: ResultStore) -> None:
    for number in range(3):
        write(store, number)
    before, reader = everything(store), ResultStore(store.url)
    seen = []
    busy = False

    def read() -> None:
        nonlocal busy
        if not busy:
            busy = True
            seen.append((everything(reader), reader.finished_trials(RUN_ID)))
            busy = False

    with before_each_step(read):
        store.compact(RUN_ID)
    assert len(seen) > 6
    assert all(entry == (before, frozenset({0, 1, 2})) for entry in seen)


@pytest.mark.parametrize("name", ["trials", "pulls"])
def test_a_reader_that_a_compaction_overtakes_at_any_point_sees_every_row_once(
    store: ResultStore, name: TableName
) -> None:
    for number in range(2):
        write(store, number)
    before, files = rows(store, name), kept(store)
    for step in count():
        put_back(store, files)
        calls, overtaken = count(), False

        def overtake(calls: Iterator[int] = calls, step: int = step) -> None:
            nonlocal overtaken
            if next(calls) == step:
                overtaken = True
                ResultStore(store.url).compact(RUN_ID)

        with pytest.MonkeyPatch.context() as patch:
            for read in ("names", "read", "opened", "_read"):
                patch.setattr(Files, read, _acting(getattr(Files, read), overtake))
            assert rows(store, name) == before, step
        if not overtaken:
            break
    assert step > 4


def test_finished_trials_stay_finished_while_they_are_compacted(store: ResultStore) -> None:
    for step in range(2):
        emptied(store)
        write(store, 0)
        calls = count()

        def overtake(calls: Iterator[int] = calls, step: int = step) -> None:
            if next(calls) == step:
                ResultStore(store.url).compact(RUN_ID)

        with pytest.MonkeyPatch.context() as patch:
            for read in ("names", "read", "opened"):
                patch.setattr(Files, read, _acting(getattr(Files, read), overtake))
            assert store.finished_trials(RUN_ID) == {0}
        assert store.files.names(f"trials/{RUN_ID}") == ["compacted.parquet"]


def test_a_trial_that_ends_at_any_point_of_a_compaction_is_there_once(disk: ResultStore) -> None:
    write(disk, 0)
    files = kept(disk)
    for step in count():
        put_back(disk, files)
        calls, ended = count(), False

        def end(calls: Iterator[int] = calls, step: int = step) -> None:
            nonlocal ended
            if next(calls) == step:
                ended = True
                write(ResultStore(disk.url), 1)

        with pytest.MonkeyPatch.context() as patch:
            for name in ("names", "read", "opened", "put"):
                patch.setattr(Files, name, _acting(getattr(Files, name), end))
            disk.compact(RUN_ID)
        if not ended:
            break
        assert trials_of(everything(disk)) == expected(0, 1), step
    assert step > 10


def test_a_trial_that_ends_while_a_table_is_read_is_in_it_whole_or_not_at_all(disk: ResultStore) -> None:
    write(disk, 0)
    files = kept(disk)
    for step in count():
        put_back(disk, files)
        calls, ended = count(), False

        def end(calls: Iterator[int] = calls, step: int = step) -> None:
            nonlocal ended
            if next(calls) == step:
                ended = True
                write(ResultStore(disk.url), 1)

        with pytest.MonkeyPatch.context() as patch:
            for read in ("names", "read", "opened"):
                patch.setattr(Files, read, _acting(getattr(Files, read), end))
            found = [row["trial"] for row in rows(disk, "pulls")]
        assert found in ([0, 0], [0, 0, 1, 1]), step
        if not ended:
            break


def test_what_a_trial_may_bring_is_recorded_whole_or_not_at_all(store: ResultStore) -> None:
    ledger = Ledger(store)
    for step in count():
        ledger.forget(RUN_ID)
        ledger.record(RUN_ID, 0, "daemon", ["a"])
        killed = killed_at(step, lambda: ledger.record(RUN_ID, 0, "daemon", ["b"]))
        assert ledger.brought("daemon") in ({"a"}, {"a", "b"}), step
        if not killed:
            break
    assert ledger.brought("daemon") == {"a", "b"}
