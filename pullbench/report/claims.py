"""Rules of thumb about registries, held against what one run measured."""

import ipaddress
import math
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from pullbench.report.stored import StoredRun, records

COLUMNS = ["claim", "where", "expected_low", "expected_high", "measured", "low", "high", "verdict"]
REGION = "The same region is 3 to 5 times as fast as another"
CONCURRENCY = "4 pulls at once take about 55% (50% to 60%) less time in all than one at a time"


def claims(differences: pd.DataFrame, stored: StoredRun) -> pd.DataFrame:
    """One row a claim and comparison that bears on it; COLUMNS. Shares and factors are plain numbers.

    The verdict is `holds` where the whole interval lies within the claim, `more` or `less` where it lies on one side of
    it, `cannot_say` where it lies across an edge, and `too_few_samples` without an interval.
    """
    regions = dict(zip(stored.trials["registry"], stored.trials["region"], strict=True)) if len(stored.trials) else {}
    rows: list[dict[str, Any]] = []
    for row in records(differences):
        if row["factor"] == "registry" and regions.get(row["baseline"]) != regions.get(row["candidate"]):
            rows.append(_region(row))
        elif row["factor"] == "concurrency" and (row["baseline"], row["candidate"]) == (1, 4):
            found = (1 - row["ratio"], 1 - row["high"], 1 - row["low"])
            rows.append(_judged(CONCURRENCY, str(row["within"]) or "all settings", (0.50, 0.60), found))
    return pd.DataFrame(rows, columns=COLUMNS)


def only_loopback(stored: StoredRun) -> bool:
    """Whether every registry of the run is on the client's own machine: a lab, whose distances are made up."""
    hosts = [urlsplit(str(entry["url"])).hostname or "" for entry in stored.spec.get("registries") or []]
    return bool(hosts) and all(map(_is_loopback, hosts))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


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
        inside = expected[0] <= low and high <= expected[1]
        verdict = "less" if high < expected[0] else "holds" if inside else "cannot_say"
    return dict(zip(COLUMNS, (claim, where, *expected, measured, low, high, verdict), strict=True))
