"""The quick ways say what the slow ones say, and their work does not grow with what is asked of them."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, measured, read_run, records, rows_of
from pullbench.report.core.tables import CELL_KEY, CellRows, by_block, in_cell, latency_s
from pullbench.report.run import break_even
from pullbench.report.run import pulls as spread
from pullbench.report.run.best import choose
from pullbench.report.run.documents import run_document
from pullbench.report.run.pulls import waterfalls
from pullbench.report.run.slos import slos
from pullbench.report.run.stability import warnings
from pullbench.store.dataset import ResultStore
from tests.report.synthetic import RUN_ID, Recipe


def test_the_rows_of_a_cell_are_those_that_a_filter_finds(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    rows = CellRows(full.pulls, ("pull", "ok", "latency_s", "started_at", "bytes"))
    assert len(cells) == 12 and sorted(map(str, rows.cells())) == sorted(map(str, records(cells[CELL_KEY])))
    for cell in records(cells):
        slow, quick = measured(in_cell(full.pulls, cell)), rows.of(cell)
        for name in ("pull", "ok"):
            assert quick[name].tolist() == slow[name].tolist()
        np.testing.assert_array_equal(quick["latency_s"], latency_s(slow))
        np.testing.assert_array_equal(quick["bytes"], slow["bytes"].to_numpy(float, na_value=math.nan))
        assert quick["started_at"].tolist() == [at.to_pydatetime().replace(tzinfo=None) for at in slow["started_at"]]


def test_a_cell_that_is_not_there_has_no_rows(full: StoredRun) -> None:
    rows = CellRows(full.pulls, ("ok", "latency_s"))
    assert len(rows.of({**rows.cells()[0], "engine": "crane"})["ok"]) == 0
    assert CellRows(full.pulls.iloc[:0], ("ok",)).cells() == []


def test_blocks_hold_their_known_values_in_order() -> None:
    values, blocks = pd.Series([3.0, None, 1.0, 2.0]), pd.Series([2, 2, 1, 2])
    assert by_block(values, blocks) == {1: [1.0], 2: [3.0, 2.0]}
    assert by_block(values.iloc[:0], blocks.iloc[:0]) == {}
    assert by_block(pd.Series([None, None], dtype="float64"), pd.Series([1, 2])) == {}


def test_a_table_of_categories_gives_the_numbers_of_one_of_texts(store: ResultStore) -> None:
    encoded = read_run(store, RUN_ID)
    texts = dataclasses.replace(
        encoded,
        pulls=store.frame("pulls", RUN_ID),
        read_transfers=rows_of(store.frame("transfers", RUN_ID)),
    )
    assert str(encoded.pulls["engine"].dtype) == "category" and str(texts.pulls["engine"].dtype) != "category"
    for make in (slos, warnings):
        one, other = (make(run, tables.cells(run.pulls, run.trials)) for run in (encoded, texts))
        pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(tables.errors(encoded), tables.errors(texts))
    frames = [(run, tables.cells(run.pulls, run.trials)) for run in (encoded, texts)]
    one, other = (waterfalls(run, cells, choose(run, cells)) for run, cells in frames)
    assert [entry.setting for entry in one] == [entry.setting for entry in other] and one
    for left, right in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(left.steps, right.steps, check_dtype=False, check_categorical=False)


class Counting:
    """A store that notes what is read of it."""

    def __init__(self, store: ResultStore) -> None:
        self.store = store
        self.read: list[tuple[str, Sequence[str] | None, Mapping[str, Collection[Any]] | None]] = []

    def run(self, run_id: str) -> Any:
        return self.store.run(run_id)

    def frame(
        self,
        name: Any,
        run_id: str,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Collection[Any]] | None = None,
        categories: bool = False,
    ) -> pd.DataFrame:
        self.read.append((name, columns, where))
        return self.store.frame(name, run_id, columns=columns, where=where, categories=categories)


def test_a_report_reads_each_table_once_and_of_the_transfers_only_what_it_needs(store: ResultStore) -> None:
    counting = Counting(store)
    run_document(counting, RUN_ID)
    names = [name for name, _, _ in counting.read]
    assert sorted(names) == ["checks", "pulls", "transfers", "transfers", "trials"]
    read = {tuple(where or ()): (columns, where) for name, columns, where in counting.read if name == "transfers"}
    columns, where = read[("kind",)]
    assert where == {"kind": ("token", "manifest")} and columns is not None and len(columns) < 15
    _, where = read[("trial", "pull")]  # of the pulls alone whose steps are shown
    assert where is not None and {name: len(values) for name, values in where.items()} == {"trial": 2, "pull": 2}


def test_how_often_every_pull_is_gone_through_does_not_grow_with_the_cells(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passes(stored: StoredRun) -> int:
        """How often a column or a choice of all pulls was taken, or all were filtered."""
        whole, count = len(stored.pulls), 0
        real = pd.DataFrame.__getitem__

        def counted(frame: pd.DataFrame, key: Any) -> Any:
            nonlocal count
            count += len(frame) == whole and "ok" in frame.columns
            return real(frame, key)

        with monkeypatch.context() as patch:
            patch.setattr(pd.DataFrame, "__getitem__", counted)
            cells = tables.cells(stored.pulls, stored.trials)
            slos(stored, cells)
            warnings(stored, cells)
        return count

    few = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), blocks=3, pulls=12))
    many = make(Recipe(engines=("wire", "docker"), concurrency=(1, 2, 4), blocks=3, pulls=4))
    assert len(tables.cells(many.pulls, many.trials)) == 9 * len(tables.cells(few.pulls, few.trials))
    assert passes(many) <= passes(few)


@pytest.mark.parametrize("room", [spread, break_even], ids=["spread", "break-even"])
def test_no_pull_is_copied_with_columns_that_are_not_asked_for(
    full: StoredRun, monkeypatch: pytest.MonkeyPatch, room: ModuleType
) -> None:
    copied: list[set[str]] = []
    monkeypatch.setattr(room, "measured", lambda frame: copied.append(set(frame)) or measured(frame))
    spread.spreads(full, tables.cells(full.pulls, full.trials))
    break_even.break_evens(full)
    (copied,) = [columns for columns in copied if "pull" in columns or "ok" in columns]
    assert not copied & {"error", "digest", "image", "started_at", "download_s"}
