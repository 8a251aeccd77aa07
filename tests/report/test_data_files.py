"""A report's data stands beside it: the same numbers, in files that harm nobody."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pullbench.report.compare.runs import compare_runs
from pullbench.report.core.stored import read_run
from pullbench.report.render.data_files import cells_csv, write_comparison_beside, write_run_beside
from pullbench.store.dataset import ResultStore
from tests.report.synthetic import RUN_ID, Recipe, make


def test_every_table_the_document_and_a_summary_stand_beside_a_report(
    store: ResultStore, document: dict[str, Any], tmp_path: Path
) -> None:
    write_run_beside(store, RUN_ID, tmp_path, page="index.html")

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cells.csv",
        "checks.parquet",
        "pulls.parquet",
        "run.json",
        "summary.md",
        "transfers.parquet",
        "trials.parquet",
    ]
    assert json.loads((tmp_path / "run.json").read_text())["cells"] == document["cells"]
    assert pq.read_table(tmp_path / "pulls.parquet").num_rows == store.table("pulls", RUN_ID).num_rows


def test_a_run_that_is_not_compacted_has_its_finished_trials_in_one_file(tmp_path: Path) -> None:
    whole = make(tmp_path / "results", Recipe(engines=("wire",), concurrency=(1,), blocks=1))
    parts = ResultStore(str(tmp_path / "parts"))
    parts.files.put(f"trials/{RUN_ID}/trial-00000.parquet", whole.parquet("trials", RUN_ID) or b"")

    assert whole.table("trials", RUN_ID).num_rows == 6
    content = parts.parquet("trials", RUN_ID)
    assert content is not None
    assert pq.read_table(io.BytesIO(content)).num_rows == 6
    assert parts.parquet("pulls", RUN_ID) is None


def test_the_numbers_of_the_csv_are_those_of_the_document(document: dict[str, Any]) -> None:
    cells = document["cells"]

    rows = list(csv.DictReader(io.StringIO(cells_csv(cells))))

    assert [float(row["median_s"]) for row in rows] == [cell["median_s"] for cell in cells]


@pytest.mark.promise("foreign text", "A name runs no formula in a CSV file")
def test_harmless_makes_no_formula_of_a_name(document: dict[str, Any]) -> None:
    cell = document["cells"][0]
    evil = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1"]

    rows = list(csv.reader(io.StringIO(cells_csv([cell | {"engine": text} for text in evil]))))

    assert [row[0] for row in rows[1:]] == [f"'{text}" for text in evil]


def test_a_comparison_s_document_and_summary_stand_beside_it(store: ResultStore, tmp_path: Path) -> None:
    stored = read_run(store, RUN_ID)
    write_comparison_beside(compare_runs(stored, stored), tmp_path, page="index.html")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["comparison.json", "summary.md"]
    assert json.loads((tmp_path / "comparison.json").read_text())["report"] == "index.html"
