"""A run as one JSON document: what `run --json` and `show --json` print."""

import dataclasses
from typing import Any

import pandas as pd

from pullbench.model.finding import findings_document
from pullbench.report.calibration.judgement import calibration_part
from pullbench.report.core import tables
from pullbench.report.core.stored import RunStore, StoredRun, json_records, json_row, read_run
from pullbench.report.fleet import times as fleet_times
from pullbench.report.run.advice import advice
from pullbench.report.run.break_even import break_evens
from pullbench.report.run.claims import claims
from pullbench.report.run.concurrency import curves, json_curves
from pullbench.report.run.contrasts import contrasts, places
from pullbench.report.run.phases import pull_phases
from pullbench.report.run.pulls import spreads, waterfalls
from pullbench.report.run.slos import slos, verdict_rows
from pullbench.report.run.stability import warnings
from pullbench.report.run.verdicts import Summary, headline, summary
from pullbench.report.stress.verdict import stress_part
from pullbench.store.schema import finding_from_row


def run_document(store: RunStore, run_id: str, report: str | None = None) -> dict[str, Any]:
    """The document of design's `run --json`: plain JSON values, null for what is not known.

    `report` is where the HTML report is, if one was made. Raises UsageError, as the store does, for an unknown run.
    """
    return document_of(read_run(store, run_id), report)


def document_of(stored: StoredRun, report: str | None = None) -> dict[str, Any]:
    """The same of a run that was read already."""
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
        "preflight": _preflight(stored),
        "trials": {"planned": run.trials_planned, "finished": len(stored.trials)},
        "errors": json_records(tables.errors(stored)),
        "planned_out": stored.planned_out,
        **_part(stored),
        **({"fleet": json_records(fleet_times.cells(stored))} if run.kind == "fleet" else {}),
    }


def _part(stored: StoredRun) -> dict[str, Any]:
    if stored.run.kind == "stress":
        return stress_part(stored)
    return calibration_part(stored) if stored.run.kind == "calibration" else _benchmark_part(stored)


def _benchmark_part(stored: StoredRun) -> dict[str, Any]:
    table = tables.cells(stored.pulls, stored.trials)
    scores, differences, unsure = slos(stored, table), contrasts(stored), warnings(stored, table)
    phases, paid = pull_phases(stored, table), break_evens(stored)
    said = summary(stored, table, scores, phases, paid)
    return {
        "headline": headline(stored, table, scores, said).document(),
        "summary": said.document(),
        "cells": json_records(table),
        "phases": [each.document() for each in phases],
        "images": [json_row(row) for each in phases for row in each.images],
        **_choices(stored, table, unsure, said, paid),
        "comparisons": json_records(differences),
        "claims": json_records(claims(differences, stored)),
        "stability": json_records(unsure),
        "slo": [json_row(row) for row in verdict_rows(scores)],
    }


def _choices(
    stored: StoredRun, table: pd.DataFrame, unsure: pd.DataFrame, said: Summary, paid: pd.DataFrame
) -> dict[str, Any]:
    """What to choose and to do, with the evidence; `unsure` are the warnings of `stability`."""
    levels = curves(stored)
    return {
        "advice": [
            dataclasses.asdict(entry) for entry in advice(stored, said.choice, levels, unsure, paid, said.phases)
        ],
        "scaling": json_curves(levels),
        "places": json_records(places(table)),
        "break_even": json_records(paid),
        "spread": [
            {
                "setting": each.name,
                "pulls": each.n,
                "fastest_s": float(each.times_s[0]),
                "slowest_s": float(each.times_s[-1]),
            }
            for each in spreads(stored, table)[0]
        ],
        "median_pulls": [
            {"setting": each.setting, "image": each.pull["image"], "duration_s": each.pull["duration_s"]}
            | {"steps": json_records(each.steps)}
            for each in waterfalls(stored, table, said.choice)
        ],
    }


def _preflight(stored: StoredRun) -> dict[str, Any]:
    return findings_document([finding_from_row(row) for row in json_records(stored.checks)])
