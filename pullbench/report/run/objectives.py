"""The service's objectives against what was measured, over the whole run and for each cell."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import CELL_KEY, CellRows, Rows, by_block, label, varying
from pullbench.stats import slo
from pullbench.stats.slo import Score

ALL = "all"
COLUMNS = ["name", "scope", "target", "measured", "low", "high", "verdict", "n"]
API_KINDS = ("token", "manifest")
_Scorer = Callable[[Rows, float], tuple[Score, int]]


def objectives(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """One row an objective and scope: `all`, then each cell of `table` by its short name.

    An objective that the spec leaves out (null) has no row. `n` is how many pulls, or API exchanges, stand behind it.
    """
    asked = {name: target for name in _SCORERS if (target := stored.slo.get(name)) is not None}
    cells, factors = records(table) if len(table) > 1 else [], varying(table)
    made: dict[Any, CellRows] = {}
    rows: list[dict[str, Any]] = []
    for name, target in asked.items():
        rows_of, scorer = _SCORERS[name]
        found = made[rows_of] if rows_of in made else made.setdefault(rows_of, rows_of(stored))
        rows.append(_objective_row(name, ALL, *scorer(found.all(), target)))
        rows += [_objective_row(name, label(cell, factors), *scorer(found.of(cell), target)) for cell in cells]
    return pd.DataFrame(rows, columns=COLUMNS)


def score(name: str, stored: StoredRun, target: float) -> tuple[Score, int]:
    """An objective by its name against any target, over the whole run, and how many values stand behind it."""
    return scores(stored, {name: target})[name]


def scores(stored: StoredRun, targets: Mapping[str, float | None]) -> dict[str, tuple[Score, int]]:
    """The same of each objective that has a target; their rows are gone through once."""
    rows_of = functools.cache(lambda read: read(stored).all())
    asked = [(name, target, *_SCORERS[name]) for name, target in targets.items() if target is not None]
    return {name: scorer(rows_of(read), target) for name, target, read, scorer in asked}


def whole_run(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Each objective over the whole run, as plain rows: COLUMNS but for the scope, and further

    `settings` (how many cells it was reckoned over), `missed_by` (the cells that miss it by themselves).
    """
    rows = []
    for row in records(scores[scores["scope"] == ALL].drop(columns="scope")):
        each = scores[(scores["name"] == row["name"]) & (scores["scope"] != ALL)]
        missed = list(each[each["verdict"] == slo.SloVerdict.MISSED]["scope"])
        rows.append(row | {"settings": max(1, len(each)), "missed_by": missed})
    return rows


def each_shown(scores: pd.DataFrame) -> bool:
    """Whether every cell has a verdict on every objective, one way or the other."""
    return not (scores["verdict"] == slo.SloVerdict.NOT_SHOWN).any()


def _objective_row(name: str, scope: str, found: Score, n: int) -> dict[str, Any]:
    values = {key: getattr(found, key) for key in ("target", "measured", "low", "high")}
    return {"name": name, "scope": scope} | values | {"verdict": str(found.verdict), "n": n}


def _pulls(stored: StoredRun) -> CellRows:
    return CellRows(stored.pulls, ("ok", "block", "latency_s", "started_at", "trial", "pull"))


def _api(stored: StoredRun) -> CellRows:
    """The answers of the registry's API: of all transfers the few that are no content."""
    columns = ["warmup", *CELL_KEY, "total_s", "error_code"]
    asked = stored.read_transfers(columns=columns, where={"kind": API_KINDS})
    return CellRows(asked[asked["error_code"].isna()], ("total_s",))


def _success_rate(pulls: Rows, target: float) -> tuple[Score, int]:
    return slo.score_success_rate(int(pulls["ok"].sum()), len(pulls["ok"]), target), len(pulls["ok"])


def _mean_pull_s(pulls: Rows, target: float) -> tuple[Score, int]:
    ok = pulls["ok"].astype(bool)
    blocks = by_block(pulls["latency_s"][ok], pulls["block"][ok])
    return slo.score_mean(list(blocks.values()), target), int(ok.sum())


def _p99_api_s(answers: Rows, target: float) -> tuple[Score, int]:
    times = answers["total_s"][~np.isnan(answers["total_s"])].tolist()
    return slo.score_percentile(times, 99, target), len(times)


def _consecutive_failures(pulls: Rows, target: float) -> tuple[Score, int]:
    in_order = np.lexsort((pulls["pull"], pulls["trial"], pulls["started_at"]))
    outcomes = pulls["ok"][in_order].astype(bool).tolist()
    return slo.score_failure_streak(outcomes, int(target)), len(outcomes)


_SCORERS: Mapping[str, tuple[Callable[[StoredRun], CellRows], _Scorer]] = {
    "success_rate": (_pulls, _success_rate),
    "mean_pull_s": (_pulls, _mean_pull_s),
    "p99_api_s": (_api, _p99_api_s),
    "consecutive_failures": (_pulls, _consecutive_failures),
}
"""By objective: the rows that it is reckoned from, and how."""
