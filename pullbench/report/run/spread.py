"""How the pulls of a setting are spread: which share of them took how long at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import CELL_KEY, label, latency_s, varying

MOST_POINTS = 120
MOST_SETTINGS = 6
LEAST_PULLS = 5
"""Under these a curve is a handful of steps that says nothing a table does not."""
_COLUMNS = [*CELL_KEY, "warmup", "ok", "queued_s", "duration_s"]
"""What is read here of a pull: a copy of every column of a million pulls is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The pulls of one setting that succeeded, as at most MOST_POINTS of `times_s` with the `shares` that took no longer.

    The first time is the shortest pull's and the last the longest's, however many are left out between.
    """

    name: str
    n: int
    times_s: NDArray[np.float64]
    shares: NDArray[np.float64]


def spreads(stored: StoredRun, table: pd.DataFrame) -> tuple[list[Spread], list[str]]:
    """The spreads of at most MOST_SETTINGS settings, shortest median first, and the names of the settings left out.

    Of more settings those are taken that stand evenly from the shortest median to the longest, so that the whole range
    shows. `table` is that of `tables.cells`.
    """
    if stored.pulls.empty or table.empty:
        return [], []
    pulls = measured(stored.pulls[_COLUMNS])
    fine = pulls[pulls["ok"].astype(bool)]
    times = dict(iter(latency_s(fine).groupby([fine[name] for name in CELL_KEY], dropna=False)))
    factors = varying(table)
    cells = [
        (label(cell, factors) or str(cell["engine"]), times[key])
        for cell in records(table.sort_values("median_s", kind="stable"))
        if (key := _key(cell)) in times and len(times[key]) >= LEAST_PULLS
    ]
    count = min(len(cells), MOST_SETTINGS)
    kept = {round(index * (len(cells) - 1) / max(1, count - 1)) for index in range(count)}
    chosen = [_spread(name, mine) for index, (name, mine) in enumerate(cells) if index in kept]
    return chosen, [name for index, (name, _) in enumerate(cells) if index not in kept]


def _key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in CELL_KEY)


def _spread(name: str, times: pd.Series) -> Spread:
    ordered = np.sort(times.to_numpy(dtype=np.float64))
    n = len(ordered)
    at = np.arange(n) if n <= MOST_POINTS else np.unique(np.linspace(0, n - 1, MOST_POINTS).round().astype(int))
    return Spread(name=name, n=n, times_s=ordered[at], shares=(at + 1) / n)
