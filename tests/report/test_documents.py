"""The JSON of a run: plain, complete, and the same numbers as the tables."""

import json
import math
from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.documents import run_document
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe


def test_the_document_is_strict_json_with_the_keys_relied_upon(document: dict[str, Any]) -> None:
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again == document
    assert {"run_id", "status", "report", "preflight", "cells", "slo"} <= set(document)
    assert document["report"] == "reports/index.html"
    assert document["preflight"]["status"] == "warn"
    assert {"name", "target", "measured", "verdict", "settings", "missed_by"} <= set(document["slo"][0])
    wanted = {"engine", "registry", "proxy", "platform", "concurrency", "cache", "pulls", "succeeded", "median_s"}
    wanted |= {"median_low_s", "median_high_s", "p95_s", "throughput_bytes_per_s"}
    wanted |= {"images_per_s", "images_per_s_low", "images_per_s_high"}
    wanted |= {"auth_share", "resolve_share", "download_share", "extract_share"}
    assert wanted <= set(document["cells"][0])


def test_its_cells_are_the_tables_cells_to_the_last_digit(document: dict[str, Any], full: StoredRun) -> None:
    cells = records(tables.cells(full.pulls, full.trials))
    for told, cell in zip(json.loads(json.dumps(document["cells"])), cells, strict=True):
        for name, value in cell.items():
            assert told[name] == (None if isinstance(value, float) and math.isnan(value) else value), name


def test_it_has_what_the_reports_figures_and_sections_are_made_of(document: dict[str, Any], full: StoredRun) -> None:
    assert len(document["scaling"]) == 6 and document["scaling"][0]["levels"][1]["speedup"] > 1
    assert {row["way"] for row in document["places"]} == {"direct", "cache"}
    assert {row["verdict"] for row in document["break_even"]} == {"not_measured"}
    assert document["advice"][0]["what"] == "Look into reset"
    fine = full.pulls[full.pulls["ok"] & ~full.pulls["warmup"]]
    assert document["spread"][0]["fastest_s"] == fine["duration_s"].min()
    assert document["spread"][-1]["slowest_s"] == fine["duration_s"].max()
    assert [len(each["steps"]) for each in document["median_pulls"]] == [5, 8]


def test_what_is_not_known_is_null(document: dict[str, Any]) -> None:
    assert {cell["p99_s"] for cell in document["cells"]} == {None}


def test_a_run_that_failed_everywhere_has_a_document() -> None:
    recipe = Recipe(engines=("wire",), concurrency=(1,), blocks=3, pulls=2, fail_everywhere=True)
    document = run_document(synthetic.make("memory://report-failed", recipe), RUN_ID)
    assert document["headline"]["status"] == "failed"
    assert document["errors"][0]["code"] == "reset"


def test_an_unknown_run_is_refused_by_name(store: ResultStore) -> None:
    with pytest.raises(UsageError, match="20200101T000000Z-0000"):
        run_document(store, "20200101T000000Z-0000")


def test_a_headline_is_a_list_of_clauses_and_the_same_as_one_text(document: dict[str, Any]) -> None:
    said = document["headline"]
    assert len(said["clauses"]) > 1
    assert all(clause.endswith(".") for clause in said["clauses"])
    assert said["sentence"] == " ".join(said["clauses"])


def test_the_document_has_the_summary_in_lists_of_sentences(document: dict[str, Any]) -> None:
    said = document["summary"]
    assert list(said) == ["cause", "best", "mirror", "slo", "notes"]
    assert all(sentence.endswith(".") for sentences in said.values() for sentence in sentences)
    clauses = document["headline"]["clauses"]
    assert clauses[0] == said["cause"][0] and clauses[-1] == said["slo"][0]
    assert clauses[1].endswith(said["best"][0])


def test_the_document_has_the_phases_of_each_engine(document: dict[str, Any]) -> None:
    assert [found["engine"] for found in document["phases"]] == ["docker", "wire"]
    assert [each["name"] for each in document["phases"][0]["phases"]] == ["auth", "resolve", "download", "extract"]
    assert {"pulls", "median_s", "concurrency", "registry", "proxy"} <= set(document["phases"][0])
    for found in document["phases"]:
        (cell,) = [
            cell
            for cell in document["cells"]
            if all(cell[name] == found[name] for name in ("engine", "registry", "proxy", "platform", "concurrency"))
        ]
        assert {each["name"]: each["share"] for each in found["phases"]} == {
            each["name"]: cell[f"{each['name']}_share"] for each in found["phases"]
        }
        assert cell["median_s"] == found["median_s"]
