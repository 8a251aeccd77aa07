"""A report's data beside it, for whoever wants to go on with the numbers.

    run.json                            the document of `pullbench show --json`: verdicts, cells, SLOs
    cells.csv                           one row a cell
    summary.md                          for a chat or a pull request
    pulls.parquet, trials.parquet, …    the tables, as they are stored

Beside a regional report: regional.json, the document of `pullbench regional --json`, and cells.csv with the vantages.
Beside a comparison: comparison.json, the document of `pullbench compare --json`, and summary.md. Beside a trend:
trend.json and runs.csv.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pullbench.report.compare.runs import RunsCompared
from pullbench.report.compare.verdict import comparison_document
from pullbench.report.core.tables import CELL_COLUMNS
from pullbench.report.regional.runs import read_regional, regional_document
from pullbench.report.run.documents import run_document
from pullbench.report.run.markdown import comparison_summary, run_summary
from pullbench.report.trend.changes import RUN_COLUMNS, Trend, trend_document
from pullbench.store.dataset import ResultStore
from pullbench.store.schema import TableName

TABLES: tuple[TableName, ...] = ("pulls", "trials", "transfers", "checks")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula at a cell's start (OWASP, CSV injection)."""


def write_run_beside(
    store: ResultStore, run_id: str, folder: Path, *, page: str, document: Mapping[str, Any] | None = None
) -> None:
    """Write the data of a run into its report's folder, each file as a whole; `page` is the report's file name there.

    `document` is the run's, where the caller has it already.
    """
    document = run_document(store, run_id, page) if document is None else {**document, "report": page}
    put(folder / "run.json", _json(document))
    put(folder / "cells.csv", cells_csv(document["cells"]).encode())
    put(folder / "summary.md", run_summary(document).encode())
    for name in TABLES:
        content = store.parquet(name, run_id)
        if content is not None:
            put(folder / f"{name}.parquet", content)


def write_comparison_beside(found: RunsCompared, folder: Path, *, page: str) -> None:
    """Write what a comparison found into its report's folder."""
    document = comparison_document(found, page)
    put(folder / "comparison.json", _json(document))
    put(folder / "summary.md", comparison_summary(document).encode())


def write_trend_beside(found: Trend, folder: Path, *, page: str) -> None:
    """Write a trend's runs and steps into its report's folder."""
    document = trend_document(found, page)
    put(folder / "trend.json", _json(document))
    put(folder / "runs.csv", _csv(document["runs"], RUN_COLUMNS).encode())


def write_regional_beside(store: ResultStore, regional_id: str, folder: Path, *, page: str) -> None:
    """Write what every vantage measured into the report's folder."""
    document = regional_document(read_regional(store, regional_id), page)
    put(folder / "regional.json", _json(document))
    put(folder / "cells.csv", _csv(document["cells"], ["vantage", *CELL_COLUMNS]).encode())


def cells_csv(cells: list[dict[str, Any]]) -> str:
    """The cells as CSV, nothing in which a spreadsheet runs: text that starts like a formula gets a quote before it."""
    return _csv(cells, CELL_COLUMNS)


def _csv(rows: list[dict[str, Any]], columns: list[str]) -> str:
    harmless = [{name: _harmless(value) for name, value in row.items()} for row in rows]
    return pd.DataFrame(harmless, columns=columns).to_csv(index=False, lineterminator="\n")


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n").encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def put(path: Path, content: bytes) -> None:
    """Write a file as a whole: whoever reads it meanwhile has the old one."""
    waiting = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        waiting.write_bytes(content)
        waiting.replace(path)
    finally:
        waiting.unlink(missing_ok=True)
