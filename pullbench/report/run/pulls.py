"""Single pulls of a configuration: the spread of their times, and what happened inside the median one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pullbench.model.plan import FACTORS
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import CELL_KEY, configuration, in_cell, label, latency_s, varying
from pullbench.report.run.best import Choice, choose

STEP_COLUMNS = [
    *("kind", "digest", "bytes", "attempt", "start_s", "connecting_s", "wait_s", "transfer_s", "other_s", "total_s"),
    *("extract_s", "extract_start_s", "reused", "error_code"),
]
MOST_POINTS = 120
MOST_SETTINGS = 6
LEAST_PULLS = 5
"""With fewer, a curve is a few steps that show no more than a table."""
_SPREAD_COLUMNS = [*CELL_KEY, "warmup", "ok", "queued_s", "duration_s"]
"""What is read here of a pull: a copy of every column of a million pulls is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The pulls of one configuration that succeeded, as at most MOST_POINTS of `times_s` with the `shares` that took no longer.

    The first time is the shortest pull's and the last the longest's, however many are left out between.
    """

    name: str
    engine: str
    n: int
    times_s: NDArray[np.float64]
    shares: NDArray[np.float64]


def spreads(stored: StoredRun, table: pd.DataFrame) -> tuple[list[Spread], list[str]]:
    """The spreads of at most MOST_SETTINGS configurations, shortest median first, and the names of those left out.

    Of more, an even selection from the shortest median to the longest shows the whole range. `table` is that of
    `tables.cells`.
    """
    if stored.pulls.empty or table.empty:
        return [], []
    pulls = measured(stored.pulls[_SPREAD_COLUMNS])
    fine = pulls[pulls["ok"].astype(bool)]
    times = dict(iter(latency_s(fine).groupby([fine[name] for name in CELL_KEY], dropna=False)))
    factors = varying(table)
    cells = [
        (label(cell, factors) or str(cell["engine"]), str(cell["engine"]), times[key])
        for cell in records(table.sort_values("median_s", kind="stable"))
        if (key := _key(cell)) in times and len(times[key]) >= LEAST_PULLS
    ]
    count = min(len(cells), MOST_SETTINGS)
    kept = {round(index * (len(cells) - 1) / max(1, count - 1)) for index in range(count)}
    chosen = [_spread_of(*cell) for index, cell in enumerate(cells) if index in kept]
    return chosen, [name for index, (name, _, _) in enumerate(cells) if index not in kept]


def _key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in CELL_KEY)


def _spread_of(name: str, engine: str, times: pd.Series) -> Spread:
    ordered = np.sort(times.to_numpy(dtype=np.float64))
    n = len(ordered)
    at = np.arange(n) if n <= MOST_POINTS else np.unique(np.linspace(0, n - 1, MOST_POINTS).round().astype(int))
    return Spread(name=name, engine=engine, n=n, times_s=ordered[at], shares=(at + 1) / n)


def median_pull(pulls: pd.DataFrame, cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """The successful pull of a configuration, a row of `tables.cells`, whose time is nearest to its `median_s`; None where

    none succeeded.
    """
    mine = measured(in_cell(pulls, cell))
    mine = mine[mine["ok"].astype(bool)]
    if mine.empty:
        return None
    return records(mine.loc[[(latency_s(mine) - cell["median_s"]).abs().idxmin()]])[0]


def waterfall(transfers: pd.DataFrame, pull: Mapping[str, Any]) -> pd.DataFrame:
    """The steps of one pull in order of their start, times in seconds since the pull's start; STEP_COLUMNS.

    `connecting_s` is DNS, connect and TLS together; `other_s` what of `total_s` no phase explains (waiting for a turn in
    the client, verifying), NaN where the engine shows no phases. Docker extracts layers one after the other in their order: their
    `extract_start_s` is computed from that, since only durations are stored.
    """
    if transfers.empty:
        return pd.DataFrame(columns=STEP_COLUMNS)
    mine = transfers[(transfers["trial"] == pull["trial"]) & (transfers["pull"] == pull["pull"])]
    started_at = pd.to_datetime(mine["started_at"], utc=True)
    steps = mine.assign(
        start_s=(started_at - pd.to_datetime(pull["started_at"], utc=True)).dt.total_seconds(),
        connecting_s=_seconds(mine[["dns_s", "connect_s", "tls_s"]]).sum(axis=1, min_count=1),
    )
    numeric = ["wait_s", "transfer_s", "total_s", "extract_s", "bytes"]
    steps[numeric] = _seconds(steps[numeric])
    phases = steps[["connecting_s", "wait_s", "transfer_s"]].sum(axis=1, min_count=1)
    steps["other_s"] = (steps["total_s"] - phases).clip(lower=0)
    steps["extract_start_s"] = _extraction_starts(steps)
    made: pd.DataFrame = steps.sort_values("start_s", kind="stable", ignore_index=True)[STEP_COLUMNS]
    return made


def _seconds(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype("float64")


def _extraction_starts(steps: pd.DataFrame) -> pd.Series:
    """In the layers' order, which is that of the rows: after its own download and after the layer before it."""
    starts, free_s = [], 0.0
    for row in records(steps):
        took = row["extract_s"]
        begins = max(free_s, row["start_s"] + (row["total_s"] if row["total_s"] == row["total_s"] else 0.0))
        starts.append(begins if took == took else float("nan"))
        free_s = begins + took if took == took else free_s
    return pd.Series(starts, index=steps.index, dtype="float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianPull:
    """The pull that represents a configuration, and its steps."""

    setting: str
    pull: Mapping[str, Any]
    steps: pd.DataFrame


def waterfalls(stored: StoredRun, table: pd.DataFrame, choice: Choice | None) -> list[MedianPull]:
    """A median pull of the recommended configuration, that of `choice`, and of each other engine in the same place, else of its own.

    Engines that report no step are left out.
    """
    chosen = list(_median_pulls(stored, table, choice))
    wanted = {name: [pull[name] for _, pull in chosen] for name in ("trial", "pull")}
    transfers = stored.read_transfers(where=wanted)
    several = [name for name in ("platform", "cache") if table[name].nunique() > 1]
    found = []
    for cell, pull in chosen:
        steps = waterfall(transfers, pull)
        if len(steps):
            named = configuration(cell, ("engine", "concurrency", "registry", "proxy", *several))
            found.append(MedianPull(setting=named, pull=pull, steps=steps))
    return found


def _median_pulls(
    stored: StoredRun, table: pd.DataFrame, choice: Choice | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each engine's configuration with its median pull."""
    for engine in table["engine"].drop_duplicates():
        mine = table[table["engine"] == engine]
        cell = _of_engine(stored, mine, None if choice is None else choice.cell)
        pull = None if cell is None else median_pull(stored.pulls, cell)
        if cell is not None and pull is not None:
            yield cell, pull


def _of_engine(stored: StoredRun, cells: pd.DataFrame, recommended: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The configuration of one engine that is the recommended one but for the engine; else the one to use of its own."""
    if recommended is not None:
        same = pd.Series(True, index=cells.index)
        for name in FACTORS[1:]:
            same &= cells[name] == recommended[name]
        there = records(cells[same & (cells["succeeded"] > 0)])
        if there:
            return there[0]
    own = choose(stored, cells)
    return None if own is None else dict(own.cell)
