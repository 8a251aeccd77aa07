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
    for name, score in _SCORERS.items():
        target = stored.slo.get(name)
        if target is not None:
            rows += [_row(name, scope, *score(mine, sent, target)) for scope, mine, sent in scopes]
    return pd.DataFrame(rows, columns=COLUMNS)


def overall(scores: pd.DataFrame) -> str:
    """The verdict over all objectives of the whole run: missed, met, or not_shown where any cannot be told."""
    verdicts = set(scores[scores["scope"] == ALL]["verdict"])
    return "missed" if "missed" in verdicts else "met" if verdicts == {"met"} else "not_shown"


def cells_of(scores: pd.DataFrame, name: str, verdict: str) -> list[str]:
    """The cells for which an objective has a verdict."""
    mine = scores[(scores["name"] == name) & (scores["scope"] != ALL) & (scores["verdict"] == verdict)]
    return list(mine["scope"])


def _row(name: str, scope: str, score: Score, n: int) -> dict[str, Any]:
    found = {key: getattr(score, key) for key in ("target", "measured", "low", "high")}
    return {"name": name, "scope": scope} | found | {"verdict": str(score.verdict), "n": n}


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
