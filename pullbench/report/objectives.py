"""The service's objectives against what was measured: over the whole run, and for each cell."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from pullbench.report.stored import StoredRun, measured, records
from pullbench.report.tables import CELL_KEY, CellRows, by_block, label, latency_s, varying
from pullbench.stats import slo
from pullbench.stats.slo import Score

ALL = "all"
COLUMNS = ["name", "scope", "target", "measured", "low", "high", "verdict", "n"]
API_KINDS = ("token", "manifest")
_OF_PULLS = ("trial", "pull", "block", "started_at", "ok", "queued_s", "duration_s")
_OF_TRANSFERS = ("total_s", "error_code")
_Scorer = Callable[[pd.DataFrame, float], tuple[Score, int]]


def objectives(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """One row an objective and scope: `all`, then each cell of `table` by its short name.

    An objective that the spec leaves out (null) has no row. `n` is how many pulls, or API exchanges, stand behind it.
    """
    asked = {name: target for name in _SCORERS if (target := stored.slo.get(name)) is not None}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for rows_of in dict.fromkeys(_SCORERS[name][0] for name in asked):
        mine = {name: target for name, target in asked.items() if _SCORERS[name][0] is rows_of}
        for scope, counted in _scopes(measured(rows_of(stored)), table):
            for name, target in mine.items():
                rows[name].append(_row(name, scope, *_SCORERS[name][1](counted, target)))
    return pd.DataFrame([row for name in asked for row in rows[name]], columns=COLUMNS)


def _scopes(counted: pd.DataFrame, table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    yield ALL, counted
    if len(table) > 1:
        rows, factors = CellRows(counted, [str(name) for name in counted if name not in CELL_KEY]), varying(table)
        yield from ((label(cell, factors), rows.of(cell)) for cell in records(table))


def score(name: str, stored: StoredRun, target: float) -> tuple[Score, int]:
    """An objective by its name against any target, over the whole run, and how many values stand behind it."""
    rows_of, scorer = _SCORERS[name]
    return scorer(measured(rows_of(stored)), target)


def whole_run(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Each objective over the whole run, as plain rows: COLUMNS but for the scope, and further

    `settings` (how many cells it was reckoned over), `missed_by` (the cells that miss it by themselves).
    """
    rows = []
    for row in records(scores[scores["scope"] == ALL].drop(columns="scope")):
        each = scores[(scores["name"] == row["name"]) & (scores["scope"] != ALL)]
        missed = list(each[each["verdict"] == slo.Verdict.MISSED]["scope"])
        rows.append(row | {"settings": max(1, len(each)), "missed_by": missed})
    return rows


def each_shown(scores: pd.DataFrame) -> bool:
    """Whether every cell has a verdict on every objective, one way or the other."""
    return not (scores["verdict"] == slo.Verdict.NOT_SHOWN).any()


def _row(name: str, scope: str, found: Score, n: int) -> dict[str, Any]:
    values = {key: getattr(found, key) for key in ("target", "measured", "low", "high")}
    return {"name": name, "scope": scope} | values | {"verdict": str(found.verdict), "n": n}


def _pulls(stored: StoredRun) -> pd.DataFrame:
    return stored.pulls[["warmup", *CELL_KEY, *_OF_PULLS]]


def _api(stored: StoredRun) -> pd.DataFrame:
    """The exchanges with the registry's API: of all transfers the few that are no content."""
    return stored.read_transfers(columns=["warmup", *CELL_KEY, *_OF_TRANSFERS], where={"kind": API_KINDS})


def _success_rate(pulls: pd.DataFrame, target: float) -> tuple[Score, int]:
    return slo.score_success_rate(int(pulls["ok"].sum()), len(pulls), target), len(pulls)


def _mean_pull_s(pulls: pd.DataFrame, target: float) -> tuple[Score, int]:
    fine = pulls[pulls["ok"].astype(bool)]
    return slo.score_mean(list(by_block(latency_s(fine), fine["block"]).values()), target), len(fine)


def _p99_api_s(transfers: pd.DataFrame, target: float) -> tuple[Score, int]:
    answered = transfers[transfers["error_code"].isna()]
    times = answered["total_s"].dropna().tolist()
    return slo.score_percentile(times, 99, target), len(times)


def _consecutive_failures(pulls: pd.DataFrame, target: float) -> tuple[Score, int]:
    in_order = pulls.sort_values(["started_at", "trial", "pull"], kind="stable")
    return slo.score_failure_streak(in_order["ok"].astype(bool).tolist(), int(target)), len(pulls)


_SCORERS: Mapping[str, tuple[Callable[[StoredRun], pd.DataFrame], _Scorer]] = {
    "success_rate": (_pulls, _success_rate),
    "mean_pull_s": (_pulls, _mean_pull_s),
    "p99_api_s": (_api, _p99_api_s),
    "consecutive_failures": (_pulls, _consecutive_failures),
}
"""By objective: the rows that it is reckoned from, and how."""
