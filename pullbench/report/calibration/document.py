"""What the document of a calibration has that no other run's has, and its verdict in words."""

from typing import Any

from pullbench.report.calibration.calibration import Calibration, Row, calibration, verdict
from pullbench.report.core import numbers, tables
from pullbench.report.core.json_values import plain_records
from pullbench.report.core.stored import StoredRun
from pullbench.report.run.verdicts import Headline, headline
from pullbench.stats.slo import SloVerdict

_NAMED_AT_MOST = 3
_WOULD_TELL = "A quieter machine, or another run, would tell."
_FIELDS = ("truth", "measured", "error", "low", "high", "allowed", "n")


def calibration_part(stored: StoredRun) -> dict[str, Any]:
    """Verdict, cells and `calibration` of a calibration: `{"seed", "verdict", "rows": [{quantity, line, truth, measured, …}]}`.

    It has no objectives and no comparisons: its lines are as slow and as faulty as they were made.
    """
    table, found = tables.cells(stored.pulls, stored.trials), calibration(stored)
    said = calibration_headline(stored, found)
    return {
        "headline": {"status": said.status, "title": said.title, "sentence": said.sentence},
        "cells": plain_records(table),
        "comparisons": [],
        "claims": [],
        "stability": [],
        "slo": [],
        "calibration": {
            "seed": found.seed,
            "verdict": str(verdict(found)),
            "machine": machine(stored, found),
            "rows": [plain_row_of(row) for row in found.rows],
        },
    }


def machine(stored: StoredRun, found: Calibration) -> str:
    """Where it was made, and what else ran there."""
    cores = stored.environment.get("cores")
    told = f"{cores} cores" if cores else "cores not known"
    return told if found.load is None else f"{told}, load average {found.load:.1f} before it began"


def plain_row_of(row: Row) -> dict[str, Any]:
    """One row as JSON values; the measured side and its error in the row's unit."""
    return {
        **{name: getattr(row, name) for name in ("quantity", "line", "unit", "column")},
        **{name: getattr(row.agreement, name) for name in _FIELDS},
        "reference": row.reference,
        "goal": row.goal,
        "verdict": str(row.agreement.verdict),
    }


def calibration_headline(stored: StoredRun, found: Calibration) -> Headline:
    """Whether pullbench measured what was true, in a sentence that names what it did not."""
    if not found.rows:
        if stored.trials.empty:
            return headline(stored, tables.cells(stored.pulls, stored.trials), tables.errors(stored.pulls))
        said = f"The run came to {len(stored.trials):,} of {numbers.count(stored.run.trials_planned, 'trial')}, and the truth is told at its end."
        return Headline(status="not_shown", title="Nothing is proven", sentence=said)
    missed, open_rows = found.having(SloVerdict.MISSED), found.having(SloVerdict.NOT_SHOWN)
    met = f"{len(found.having(SloVerdict.MET))} of {numbers.count(len(found.rows), 'goal')}"
    if missed:
        said = f"Of what was true of the lab's lines, {_named(missed)} came out further off than the goal allows; {met} are met"
        said += f", {len(open_rows)} not proven." if open_rows else "."
        if all(_seen_by_plain_sockets(row) for row in missed):
            said += " Plain sockets were off by more than the goal there too, so look at the machine first."
        return Headline(status="missed", title=f"{numbers.count(len(missed), 'goal')} missed", sentence=said)
    if open_rows:
        said = f"Nothing came out wrong, and {met} are met; not proven either way: {_named(open_rows)}. {_WOULD_TELL}"
        return Headline(status="not_shown", title="No goal missed, not all proven", sentence=said)
    said = f"Round trips, rates, jitter, service times, faults and cache hits that pullbench was not told came out within what the goals allow: {met} are met."
    return Headline(status="met", title="Every goal met", sentence=said)


def _seen_by_plain_sockets(row: Row) -> bool:
    """Whether a client of a few lines was further off than the goal allows as well: then it is the lab's error, or the machine's."""
    allowed, seen = row.agreement.allowed, row.reference
    return allowed is not None and seen is not None and abs(seen - row.agreement.truth) > allowed


def _named(rows: list[Row]) -> str:
    names = [f"{row.quantity} of {row.line}" for row in rows[:_NAMED_AT_MOST]]
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
