"""A calibration's run compared with its truth, and the verdict. The measured side comes only from the stored tables.

`wait_s` is read from small answers (manifest, config) at concurrency 1: a layer's first bytes, and the answers of concurrent
pulls, also wait for the line's rate. Rates are of layers: at concurrency 1, bytes over `transfer_s`; at a higher concurrency,
bytes over the time in which at least one layer arrived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pullbench.model.calibration import KEY, Line, ReferenceMeasurement, Truth
from pullbench.report.calibration import words
from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, json_records, measured
from pullbench.report.run.verdicts import Headline, headline
from pullbench.stats.calibration import (
    Agreement,
    agree_exactly,
    agree_share,
    agree_within,
    spread,
    union_s,
)
from pullbench.stats.slo import SloVerdict

LONG_S = 0.05
"""From this round trip on, the goal is a share only."""
SHARE, PHASE_S, PHASE_SHARE, POINTS = 0.03, 0.001, 0.03, 0.03
_WITHIN_SHARE = f"± {SHARE:.0%}"
_WITHIN_PHASE = f"± 1 ms + {PHASE_SHARE:.0%}"
_WITHIN_POINTS = f"± {POINTS * 100:.0f} points"
_IN_INTERVAL, _EXACT = "in its interval", "exact"
_COLUMNS = [
    *("trial", "block", "warmup", "registry", "concurrency", "kind", "error_code", "bytes"),
    *("started_at", "dns_s", "connect_s", "tls_s", "wait_s", "transfer_s", "reused", "served_by"),
]
_ORDER = (
    *("round trip", "short round trip", "service time", "jittered wait, middle", "jitter, spread", "TLS handshake"),
    *("transfer of a layer", "share of waiting", "rate, one at a time", "rate, several at once"),
    *("fault rate", "failed pulls", "cache hit rate", "cache hits"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One quantity of one line: the truth, the measured value, the value of a plain-socket client; all in `unit`."""

    quantity: str
    line: str
    unit: str
    """s, bytes/s, share, count or bytes."""
    goal: str
    column: str
    """The columns that it is read from."""
    agreement: Agreement
    reference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """All rows of a run; none where the run is incomplete, because the truth is only known at its end."""

    seed: int | None
    load: float | None
    rows: tuple[Quantity, ...]

    def having(self, verdict: SloVerdict) -> list[Quantity]:
        """The rows with a verdict."""
        return [row for row in self.rows if row.agreement.verdict == verdict]


def calibration(stored: StoredRun) -> Calibration:
    """Join a run's measurements with the truth that was stored after the last trial."""
    known = stored.environment.get(KEY)
    if known is None:
        return Calibration(seed=None, load=None, rows=())
    truth = Truth.from_dict(known)
    transfers, pulls = measured(stored.read_transfers(columns=_COLUMNS)), measured(stored.pulls)
    rows = [row for line in truth.lines for row in _rows_of(line, truth, transfers, pulls)]
    rows.sort(key=lambda row: (_ORDER.index(row.quantity), row.agreement.truth))
    return Calibration(seed=truth.seed, load=truth.load, rows=(*rows, *_bytes(truth, transfers)))


def _rows_of(line: Line, truth: Truth, transfers: pd.DataFrame, pulls: pd.DataFrame) -> Iterator[Quantity]:
    mine, seen = _of(line, transfers), truth.references.get(line.name, ReferenceMeasurement())
    alone = mine[mine["concurrency"] == 1]
    small = alone[alone["kind"].isin(["manifest", "config"])]
    if line.jitter_s is not None:
        yield from _jitter(line, mine, seen)
    elif line.round_trip_s is not None:
        is_long = line.round_trip_s >= LONG_S
        yield _time(
            "round trip" if is_long else "short round trip",
            line,
            small,
            "wait_s",
            line.round_trip_s,
            seen.wait_s,
            is_long,
        )
    if line.service_s is not None:
        yield _time("service time", line, small, "wait_s", line.service_s, seen.wait_s)
    if line.handshake_s is not None:
        new = mine[mine["reused"].eq(False)]
        yield _time("TLS handshake", line, new, "tls_s", line.handshake_s, seen.handshake_s)
    if line.rate_bytes_per_s is not None:
        yield from _rates(line, line.rate_bytes_per_s, mine, seen)
    if line.fault_rate is not None:
        failed = _of(line, pulls)["ok"].eq(False).sum()
        layers = mine[mine["kind"] == "layer"]
        share = agree_share(int(layers["error_code"].notna().sum()), len(layers), line.fault_rate)
        yield Quantity(
            quantity="fault rate", line=line.name, unit="share", goal=_IN_INTERVAL, column="error_code", agreement=share
        )
        counted = agree_exactly(int(failed), truth.counted[line.name].faults)
        yield Quantity(
            quantity="failed pulls", line=line.name, unit="count", goal=_EXACT, column="ok", agreement=counted
        )
    if line.hit_rate is not None:
        yield from _hits(line, line.hit_rate, mine, truth)


def _time(
    quantity: str,
    line: Line,
    rows: pd.DataFrame,
    column: str,
    truth_s: float,
    reference_s: float | None,
    by_share: bool = False,
) -> Quantity:
    allowed = SHARE * truth_s if by_share else PHASE_S + PHASE_SHARE * truth_s
    return Quantity(
        quantity=quantity,
        line=line.name,
        unit="s",
        goal=_WITHIN_SHARE if by_share else _WITHIN_PHASE,
        column=column,
        agreement=agree_within(_by_block(rows[column], rows), truth_s, allowed),
        reference=reference_s,
    )


def _jitter(line: Line, rows: pd.DataFrame, seen: ReferenceMeasurement) -> Iterator[Quantity]:
    """Such a line has no rate limit, so every answer's wait has the same distribution."""
    assert line.jitter_s is not None and line.round_trip_s is not None
    middle, half_s = line.round_trip_s + line.jitter_s / 2, line.jitter_s / 2
    yield _time("jittered wait, middle", line, rows, "wait_s", middle, seen.wait_s)
    by_block = [[spread(block)] for block in _by_block(rows["wait_s"], rows)]
    found = agree_within(by_block, half_s, PHASE_S + PHASE_SHARE * half_s)
    yield Quantity(
        quantity="jitter, spread",
        line=line.name,
        unit="s",
        goal=_WITHIN_PHASE,
        column="wait_s",
        agreement=found,
        reference=seen.spread_s,
    )


def _rates(line: Line, rate: float, mine: pd.DataFrame, seen: ReferenceMeasurement) -> Iterator[Quantity]:
    layers = mine[(mine["kind"] == "layer") & mine["error_code"].isna()]
    alone, together = layers[layers["concurrency"] == 1], layers[layers["concurrency"] > 1]
    each_s = float(alone["bytes"].mean()) / rate if len(alone) else 0.0
    yield _time("transfer of a layer", line, alone, "transfer_s", each_s, None)
    assert line.round_trip_s is not None
    waiting = alone["wait_s"] / (alone["wait_s"] + alone["transfer_s"])
    yield Quantity(
        quantity="share of waiting",
        line=line.name,
        unit="share",
        goal=_WITHIN_POINTS,
        column="wait_s, transfer_s",
        agreement=agree_within(_by_block(waiting, alone), line.round_trip_s / (line.round_trip_s + each_s), POINTS),
    )
    each = _by_block(alone["bytes"] / alone["transfer_s"], alone)
    whole = [[float(group["bytes"].sum()) / _coming_s(group)] for _, group in together.groupby("block")]
    for quantity, by_block, reference in (
        ("rate, one at a time", each, seen.rate_bytes_per_s),
        ("rate, several at once", whole, None),
    ):
        yield Quantity(
            quantity=quantity,
            line=line.name,
            unit="bytes/s",
            goal=_WITHIN_SHARE,
            column="bytes, transfer_s",
            agreement=agree_within(by_block, rate, SHARE * rate),
            reference=reference,
        )


def _coming_s(layers: pd.DataFrame) -> float:
    """How long at least one layer was arriving."""
    before = layers[["dns_s", "connect_s", "tls_s", "wait_s"]].fillna(0.0).sum(axis=1)
    started = (layers["started_at"] - layers["started_at"].min()).dt.total_seconds() + before
    return union_s(zip(started.tolist(), (started + layers["transfer_s"]).tolist(), strict=True))


def _hits(mirror: Line, hit_rate: float, mine: pd.DataFrame, truth: Truth) -> Iterator[Quantity]:
    layers = mine[mine["kind"] == "layer"]
    hits = int(layers["served_by"].astype(str).str.contains("x-cache=HIT", regex=False).sum())
    shared: dict[str, Any] = {"line": mirror.name, "column": "served_by"}
    share = agree_share(hits, len(layers), hit_rate)
    yield Quantity(quantity="cache hit rate", unit="share", goal=_IN_INTERVAL, agreement=share, **shared)
    counted = agree_exactly(hits, truth.counted[mirror.name].layer_hits)
    yield Quantity(quantity="cache hits", unit="count", goal=_EXACT, agreement=counted, **shared)


def _bytes(truth: Truth, transfers: pd.DataFrame) -> Iterator[Quantity]:
    layers = transfers[transfers["kind"] == "layer"]
    sums = {
        line.name: (int(_of(line, layers)["bytes"].sum()), truth.counted[line.name].layer_bytes) for line in truth.lines
    }
    wrong = [name for name, (stored, sent) in sums.items() if stored != sent]
    where = wrong[0] if wrong else f"{len(sums)} servers, each"
    counted = [sums[name] for name in wrong[:1] or sums]
    agreement = agree_exactly(sum(stored for stored, _ in counted), sum(sent for _, sent in counted))
    yield Quantity(quantity="layer bytes", line=where, unit="bytes", goal=_EXACT, column="bytes", agreement=agreement)


def _of(line: Line, rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["registry"] == line.name]


def _by_block(values: pd.Series, rows: pd.DataFrame) -> list[list[float]]:
    known = values.dropna()
    return [group.tolist() for _, group in known.groupby(rows.loc[known.index, "block"])]


def verdict(found: Calibration) -> SloVerdict:
    """Missed where a row is missed, met where all rows are met, else inconclusive."""
    if found.having(SloVerdict.MISSED):
        return SloVerdict.MISSED
    return SloVerdict.MET if found.rows and not found.having(SloVerdict.NOT_SHOWN) else SloVerdict.NOT_SHOWN


_NAMED_AT_MOST = 3
_TRY_AGAIN = "Repeat the calibration, or use a machine with less other load."
_FIELDS = ("truth", "measured", "error", "low", "high", "allowed", "n")


def calibration_part(stored: StoredRun) -> dict[str, Any]:
    """Verdict, configurations and `calibration` of a calibration: `{"seed", "verdict", "rows": [{quantity, line, truth, measured, …}]}`.

    It has no SLO and no comparisons: its lines are slow and faulty by design.
    """
    table, found = tables.cells(stored.pulls, stored.trials), calibration(stored)
    said = calibration_headline(stored, found)
    return {
        "headline": said.document(),
        "cells": json_records(table),
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
    """The machine, and the other load on it."""
    cores = stored.environment.get("cores")
    said = f"{cores} cores" if cores else "cores not known"
    return said if found.load is None else f"{said}, load average {found.load:.1f} before the start"


def plain_row_of(row: Quantity) -> dict[str, Any]:
    """One row as JSON values; the measured side and its error in the row's unit."""
    return {
        **{name: getattr(row, name) for name in ("quantity", "line", "unit", "column")},
        **{name: getattr(row.agreement, name) for name in _FIELDS},
        "reference": row.reference,
        "goal": row.goal,
        "verdict": str(row.agreement.verdict),
    }


def calibration_headline(stored: StoredRun, found: Calibration) -> Headline:
    """Whether pullbench measured the truth, with the names of the quantities where it did not."""
    if not found.rows:
        if stored.trials.empty:
            return headline(stored, tables.cells(stored.pulls, stored.trials), tables.errors(stored))
        said = f"The run has {len(stored.trials):,} of {numbers.count(stored.run.trials_planned, 'trial')}; the truth is compared at its end."
        return Headline(status="not_shown", title="Inconclusive: the calibration is incomplete", clauses=(said,))
    missed, open_rows = found.having(SloVerdict.MISSED), found.having(SloVerdict.NOT_SHOWN)
    met = f"{len(found.having(SloVerdict.MET))} of {numbers.count(len(found.rows), 'goal')} met"
    if missed:
        clauses = [f"Error above the goal: {_named(missed)}."]
        if all(_seen_by_plain_sockets(row) for row in missed):
            clauses.append("Plain sockets miss the goal there too, so check the machine first.")
        if open_rows:
            clauses.append(f"Inconclusive: {_named(open_rows)}.")
        return Headline(
            status="missed", title=f"{numbers.count(len(missed), 'goal')} missed, {met}", clauses=tuple(clauses)
        )
    if open_rows:
        clauses = [f"Inconclusive: {_named(open_rows)}.", _TRY_AGAIN]
        title = f"No goal missed, {met}, {len(open_rows)} inconclusive"
        return Headline(status="not_shown", title=title, clauses=tuple(clauses))
    said = "Round trips, rates, jitter, service times, faults and cache hits are within their goals; pullbench did not know them."
    return Headline(status="met", title=f"Every goal met: {len(found.rows)} of {len(found.rows)}", clauses=(said,))


def _seen_by_plain_sockets(row: Quantity) -> bool:
    """Whether a plain-socket client misses the goal as well: then the error is the lab's, or the machine's."""
    allowed, seen = row.agreement.allowed, row.reference
    return allowed is not None and seen is not None and abs(seen - row.agreement.truth) > allowed


def _named(rows: list[Quantity]) -> str:
    names = [f"{words.quantity(row.quantity)} of {row.line}" for row in rows[:_NAMED_AT_MOST]]
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
