"""The same spec from several vantages: one run for each, compared region × region.

A vantage's numbers are those of its own run, from `report/core/tables.py`. Nothing is pooled over vantages, and no clock is
corrected.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pandas as pd

from pullbench.model.clock_offset import ClockOffset, between
from pullbench.model.plan import FACTORS
from pullbench.report.compare.differences import Difference, differences
from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, json_records, read_run, records
from pullbench.report.run.contrasts import contrasts
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import Regional, RegionalRecords, VantageResult

SETTING = tuple(factor for factor in FACTORS if factor != "registry")
"""What is fixed in one region × region matrix."""
CLOCK_COLUMNS = ["first", "second", "by", "offset_s", "known_to_s"]
_BETTER_EQUAL = frozenset({"pullbench", "congestion_control"})
"""Of the environment, what changes the numbers and does not depend on the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionalRuns:
    """A regional benchmark with the runs of the vantages that measured something, in the order of the request."""

    record: Regional
    runs: Mapping[str, StoredRun]

    @property
    def lacking(self) -> list[str]:
        """The vantages whose run is not complete."""
        return [entry.vantage for entry in self.record.asked if entry.answer != "complete"]


def read_regional(store: ResultStore, regional_id: str) -> RegionalRuns:
    """Read a regional benchmark with what its vantages have stored by now; UsageError where there is none."""
    records_of, record = RegionalRecords(store), RegionalRecords(store).read(regional_id)
    stored = records_of.run_ids(regional_id) if any(entry.answer != "complete" for entry in record.asked) else {}
    record = replace(record, asked=tuple(_by_now(store, entry, stored.get(entry.vantage)) for entry in record.asked))
    runs = {entry.vantage: read_run(store, entry.run_id) for entry in record.asked if entry.run_id is not None}
    return RegionalRuns(record=record, runs=runs)


def _by_now(store: ResultStore, entry: VantageResult, run_id: str | None) -> VantageResult:
    """A vantage may have finished after the wait for it ended."""
    if entry.answer == "complete" or run_id is None or not store.finished_trials(run_id):
        return entry
    if store.run(run_id).status == "complete":
        return replace(entry, answer="complete", run_id=run_id, reason="")
    return replace(entry, answer="incomplete", run_id=run_id)


def cells(found: RegionalRuns) -> pd.DataFrame:
    """Every configuration of every vantage, in the order of the vantages: `vantage`, and the columns of `tables.cells`."""
    frames = [tables.cells(run.pulls, run.trials).assign(vantage=vantage) for vantage, run in found.runs.items()]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=["vantage", *tables.CELL_COLUMNS])
    whole = pd.concat(frames, ignore_index=True)
    return whole[["vantage", *tables.CELL_COLUMNS]]


def varying(table: pd.DataFrame) -> list[str]:
    """The factors, without the registry, that have more than one value."""
    return [factor for factor in tables.varying(table) if factor != "registry"]


def distances(found: RegionalRuns) -> pd.DataFrame:
    """One registry compared with another, from each vantage: `vantage`, and the columns of `contrasts`."""
    frames = []
    for vantage, run in found.runs.items():
        seen = contrasts(run)
        frames.append(seen[seen["factor"] == "registry"].assign(vantage=vantage))
    kept = [frame for frame in frames if len(frame)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=["vantage"])


def clocks(found: RegionalRuns) -> pd.DataFrame:
    """The clock offset of each two vantages (the first's minus the second's), by the registry that shows it best.

    Each was compared with that registry's clock within its own run; a pair without a common registry is left out.
    """
    rows = []
    for (first, one), (second, other) in combinations(found.runs.items(), 2):
        mine, theirs = _offsets(one), _offsets(other)
        known = [(between(mine[name], theirs[name]), name) for name in mine if name in theirs]
        if known:
            best, name = min(known, key=lambda entry: entry[0].known_to_s)
            rows.append(dict(zip(CLOCK_COLUMNS, (first, second, name, best.offset_s, best.known_to_s), strict=True)))
    return pd.DataFrame(rows, columns=CLOCK_COLUMNS)


def unequal(found: RegionalRuns) -> dict[str, list[Difference]]:
    """What differs between the first vantage's run and each other's, and should be equal: images, engines, spec."""
    runs = list(found.runs.items())
    return {vantage: list(filter(_matters, differences(runs[0][1], run))) for vantage, run in runs[1:]}


def regional_document(found: RegionalRuns, report: str | None = None) -> dict[str, Any]:
    """The document of `regional --json`: plain JSON values, null for what is not known."""
    record, table = found.record, cells(found)
    factors = varying(table)
    return {
        "regional_id": record.regional_id,
        "name": record.name,
        "status": "incomplete" if found.lacking else "complete",
        "report": report,
        "started_at": record.started_at.isoformat(),
        "finished_at": record.finished_at.isoformat(),
        "vantages": [
            {
                "vantage": entry.vantage,
                "answer": entry.answer,
                "run_id": entry.run_id,
                "reason": entry.reason,
                "clock_offset": dict(
                    found.runs[entry.vantage].environment.get("clock_offset") or {}
                    if entry.vantage in found.runs
                    else {}
                ),
            }
            for entry in record.asked
        ],
        "cells": [
            plain | {"setting": tables.label(row, factors)}
            for plain, row in zip(json_records(table), records(table), strict=True)
        ],
        "distances": json_records(distances(found)),
        "clocks": json_records(clocks(found)),
    }


def _matters(entry: Difference) -> bool:
    return entry.kind in ("images", "engines", "spec") or (entry.kind == "environment" and entry.what in _BETTER_EQUAL)


def _offsets(run: StoredRun) -> dict[str, ClockOffset]:
    found = run.environment.get("clock_offset") or {}
    return {
        str(name): ClockOffset(offset_s=float(entry["offset_s"]), known_to_s=float(entry["known_to_s"]))
        for name, entry in found.items()
    }
