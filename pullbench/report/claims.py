"""Rules of thumb about registries, held against what one run measured."""

import math
from typing import Any

import pandas as pd

from pullbench.report.stored import StoredRun, records

COLUMNS = ["claim", "where", "expected_low", "expected_high", "measured", "low", "high", "verdict"]
REGION = "The same region is 3 to 5 times as fast as another"
CONCURRENCY = "4 pulls at once take 55% less time in all than one at a time"


def claims(differences: pd.DataFrame, stored: StoredRun) -> pd.DataFrame:
    """One row a claim and comparison that bears on it; COLUMNS. Shares and factors are plain numbers.

    The verdict is `holds` where the interval has a value in common with the claim, `more` or `less` where it lies on
    one side of it, and `too_few_samples` without an interval.
    """
    regions = dict(zip(stored.trials["registry"], stored.trials["region"], strict=True)) if len(stored.trials) else {}
    rows: list[dict[str, Any]] = []
    for row in records(differences):
        if row["factor"] == "registry" and regions.get(row["baseline"]) != regions.get(row["candidate"]):
            rows.append(_region(row))
        elif row["factor"] == "concurrency" and (row["baseline"], row["candidate"]) == (1, 4):
            found = (1 - row["ratio"], 1 - row["high"], 1 - row["low"])
            rows.append(_judged(CONCURRENCY, str(row["within"]), (0.55, 0.55), found))
    return pd.DataFrame(rows, columns=COLUMNS)


def _region(row: dict[str, Any]) -> dict[str, Any]:
    """The nearer of the two is the faster: which one stands where the client does is not known."""
    near, far = (row["baseline"], row["candidate"]) if row["ratio"] >= 1 else (row["candidate"], row["baseline"])
    found = (row["ratio"], row["low"], row["high"])
    if row["ratio"] < 1:
        found = (1 / row["ratio"], 1 / row["high"], 1 / row["low"])
    where = " · ".join(filter(None, [f"{near} beside {far}", str(row["within"])]))
    return _judged(REGION, where, (3.0, 5.0), found)


def _judged(claim: str, where: str, expected: tuple[float, float], found: tuple[float, float, float]) -> dict[str, Any]:
    measured, low, high = found
    if math.isnan(low) or math.isnan(high):
        verdict = "too_few_samples"
    elif low > expected[1]:
        verdict = "more"
    else:
        verdict = "less" if high < expected[0] else "holds"
    return dict(zip(COLUMNS, (claim, where, *expected, measured, low, high, verdict), strict=True))
