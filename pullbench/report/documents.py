"""A run as one JSON document: what `run --json` and `show --json` print."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.model.finding import Finding, Status, findings_document
from pullbench.report import fleet, tables
from pullbench.report.claims import claims
from pullbench.report.contrasts import contrasts
from pullbench.report.objectives import objectives, whole_run
from pullbench.report.stability import warnings
from pullbench.report.stored import RunStore, StoredRun, read_run, records
from pullbench.report.verdicts import headline


def run_document(store: RunStore, run_id: str, report: str | None = None) -> dict[str, Any]:
    """The document of design's `run --json`: plain JSON values, null for what is not known.

    `report` is where the HTML report is, if one was made. Raises UsageError, as the store does, for an unknown run.
    """
    stored = read_run(store, run_id)
    table = tables.cells(stored.pulls, stored.trials)
    scores, differences = objectives(stored, table), contrasts(stored)
    said = headline(stored, table, scores)
    run = stored.run
    return {
        "run_id": run.run_id,
        "name": run.name,
        "kind": run.kind,
        "labels": dict(run.labels),
        "vantage": run.vantage,
        "started_at": run.started_at.isoformat(),
        "finished_at": None if run.finished_at is None else run.finished_at.isoformat(),
        "status": run.status,
        "report": report,
        "headline": {"status": said.status, "title": said.title, "sentence": said.sentence},
        "preflight": _preflight(stored),
        "trials": {"planned": run.trials_planned, "finished": len(stored.trials)},
        "cells": plain_records(table),
        "comparisons": plain_records(differences),
        "claims": plain_records(claims(differences, stored)),
        "stability": plain_records(warnings(stored, table)),
        "slo": [_plain_row(row) for row in whole_run(scores)],
        "errors": plain_records(tables.errors(stored.pulls)),
        "planned_out": stored.planned_out,
        **({"fleet": plain_records(fleet.cells(stored))} if run.kind == "fleet" else {}),
    }


def _preflight(stored: StoredRun) -> dict[str, Any]:
    names = [entry.name for entry in dataclasses.fields(Finding)]
    rows = plain_records(stored.checks[names]) if len(stored.checks) else []
    return findings_document([Finding(**row | {"status": Status(row["status"])}) for row in rows])


def plain_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows as JSON values."""
    return [_plain_row(row) for row in records(frame)]


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """A value of a frame as JSON has it: null for what is not known."""
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value
