"""A stress test trial by trial, for its picture over time."""

import pandas as pd

from pullbench.report.core.stored import StoredRun
from pullbench.report.core.tables import latency_s

COLUMNS = ["trial", "step", "phase", "load", "at_s", "ends_s", "mean_s", "pulls", "failed"]


def course(stored: StoredRun) -> pd.DataFrame:
    """One row a trial in order, warm-up left out: COLUMNS. `at_s` and `ends_s` count from the first trial's start; `mean_s` is
    that of the successful pulls, from their intended start on."""
    trials = stored.trials[stored.trials["step"].notna()] if len(stored.trials) else stored.trials
    if trials.empty:
        return pd.DataFrame(columns=COLUMNS)
    fine = stored.pulls[stored.pulls["ok"].astype(bool)]
    means = latency_s(fine).groupby(fine["trial"]).mean().rename("mean_s")
    rows = trials.merge(means, left_on="trial", right_index=True, how="left").sort_values("trial")
    rows["load"] = rows["offered_rate"].where(rows["load_mode"] == "open", rows["concurrency"]).astype(float)
    rows["at_s"] = (rows["started_at"] - rows["started_at"].min()).dt.total_seconds()
    rows["ends_s"] = rows["at_s"] + rows["wall_s"]
    rows["failed"] = rows["pulls"] - rows["succeeded"]
    return rows[COLUMNS].reset_index(drop=True)
