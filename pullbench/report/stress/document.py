"""What the document of a stress test has that no other run's has: its steps, its limit, its knee, its recovery."""

from typing import Any

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, json_records, json_row, json_value, records
from pullbench.report.run.verdicts import headline
from pullbench.report.stress import words as stress_words
from pullbench.report.stress.steps import Recovery, Stressed, judged_step, of_step, step_scores, stressed


def stress_part(stored: StoredRun) -> dict[str, Any]:
    """Verdict, cells, objectives and `stress` of a stress test.

    `cells` has a row a load of the way up; `slo` are the objectives at the highest load that held (`stress.judged_load`),
    or of the first step where none did.
    """
    found = stressed(stored)
    judged = judged_step(found)
    nothing = found.steps.empty
    said = headline(stored, found.steps, found.steps) if nothing else stress_words.headline(found, stored)
    scores = [] if judged is None else step_scores(stored, int(judged["step"]))
    return {
        "headline": {"status": said.status, "title": said.title, "sentence": said.sentence},
        "cells": [_cell(found, stored, row) for row in records(found.up)],
        "comparisons": [],
        "claims": [],
        "stability": [],
        "slo": [json_row(row) for row in scores],
        "stress": {
            "ramp": found.stress.ramp,
            "end": None if found.end is None else found.end.value,
            "stopped": stored.run.stopped,
            "held": found.held,
            "broke": found.broke,
            "knee": found.knee,
            "knee_low": found.knee_low,
            "knee_high": found.knee_high,
            "first_step_missed": stress_words.first_step_missed(found),
            "recovered": stress_words.recovered(found),
            "recovery": None if found.recovery is None else _recovery(found.recovery),
            "judged_load": None if judged is None else judged["load"],
            "steps": json_records(found.steps),
        },
    }


def _cell(found: Stressed, stored: StoredRun, row: dict[str, Any]) -> dict[str, Any]:
    mine = of_step(stored, int(row["step"]))
    cell = json_row(tables.cell(mine.pulls, mine.trials))
    return cell | {"offered_rate": row["load"] if found.stress.ramp == "rate" else None}


def _recovery(seen: Recovery) -> dict[str, Any]:
    beside = seen.beside
    return {
        "held_at": seen.held_at,
        "after_s": json_value(seen.after_s),
        "load": seen.load,
        "ratio": None if beside is None else beside.ratio,
        "low": None if beside is None else beside.low,
        "high": None if beside is None else beside.high,
        "verdict": None if beside is None else beside.verdict.value,
    }
