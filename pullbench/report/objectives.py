"""The service's objectives against what was measured: over the whole run, and for each cell."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from pullbench.report.stored import StoredRun, measured, records
from pullbench.report.tables import by_block, in_cell, label, latency_s, varying
from pullbench.stats import slo
from pullbench.stats.slo import Score

ALL = "all"
COLUMNS = ["name", "scope", "target", "measured", "low", "high", "verdict", "n"]
API_KINDS = ("token", "manifest")
_Scorer = Callable[[pd.DataFrame, pd.DataFrame, float], tuple[Score, int]]


def objectives(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """One row an objective and scope: `all`, then each cell of `table` by its short name.

    An objective that the spec leaves out (null) has no row. `n` is how many pulls, or API exchanges, stand behind it.
    """
    pulls, transfers = measured(stored.pulls), measured(stored.transfers)
    scopes = [(ALL, pulls, transfers)]
    if len(table) > 1:
        factors = varying(table)
        for cell in records(table):
            scopes.append((label(cell, factors), in_cell(pulls, cell), in_cell(transfers, cell)))
    rows: list[dict[str, Any]] = []
    for name, scorer in _SCORERS.items():
        target = stored.slo.get(name)
        if target is not None:
            rows += [_row(name, scope, *scorer(mine, sent, target)) for scope, mine, sent in scopes]
    return pd.DataFrame(rows, columns=COLUMNS)


def score(name: str, stored: StoredRun, target: float) -> tuple[Score, int]:
    """An objective by its name against any target, over the whole run, and how many values stand behind it."""
    return _SCORERS[name](measured(stored.pulls), measured(stored.transfers), target)


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


def _success_rate(pulls: pd.DataFrame, _transfers: pd.DataFrame, target: float) -> tuple[Score, int]:
    return slo.score_success_rate(int(pulls["ok"].sum()), len(pulls), target), len(pulls)


def _mean_pull_s(pulls: pd.DataFrame, _transfers: pd.DataFrame, target: float) -> tuple[Score, int]:
    fine = pulls[pulls["ok"].astype(bool)]
    return slo.score_mean(list(by_block(latency_s(fine), fine["block"]).values()), target), len(fine)


def _p99_api_s(_pulls: pd.DataFrame, transfers: pd.DataFrame, target: float) -> tuple[Score, int]:
    answered = transfers[transfers["kind"].isin(API_KINDS) & transfers["error_code"].isna()]
    times = answered["total_s"].dropna().tolist()
    return slo.score_percentile(times, 99, target), len(times)


def _consecutive_failures(pulls: pd.DataFrame, _transfers: pd.DataFrame, target: float) -> tuple[Score, int]:
    in_order = pulls.sort_values(["started_at", "trial", "pull"], kind="stable")
    return slo.score_failure_streak(in_order["ok"].astype(bool).tolist(), int(target)), len(pulls)


_SCORERS: Mapping[str, _Scorer] = {
    "success_rate": _success_rate,
    "mean_pull_s": _mean_pull_s,
    "p99_api_s": _p99_api_s,
    "consecutive_failures": _consecutive_failures,
}
