"""What happened inside one pull: its exchanges in order, for the pull that stands for its cell."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.report.stored import measured
from pullbench.report.tables import in_cell, latency_s

STEP_COLUMNS = [
    *("kind", "digest", "bytes", "attempt", "start_s", "connecting_s", "wait_s", "transfer_s", "total_s", "extract_s"),
    *("extract_start_s", "reused", "error_code"),
]


def median_pull(pulls: pd.DataFrame, cell: Mapping[str, Any]) -> pd.Series | None:
    """The successful pull of a cell whose time is nearest to the median of all; None where none succeeded."""
    mine = in_cell(measured(pulls), cell)
    mine = mine[mine["ok"].astype(bool)] if not mine.empty else mine
    if mine.empty:
        return None
    times = latency_s(mine)
    return mine.loc[(times - times.median()).abs().idxmin()]


def waterfall(transfers: pd.DataFrame, pull: pd.Series) -> pd.DataFrame:
    """The steps of one pull in order of their start, times in seconds since the pull's start; STEP_COLUMNS.

    `connecting_s` is DNS, connect and TLS together. Docker extracts layers one after the other in their order: their
    `extract_start_s` is reckoned from that, for only durations are stored.
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
    steps["extract_start_s"] = _extraction_starts(steps)
    return steps.sort_values("start_s", kind="stable", ignore_index=True)[STEP_COLUMNS]


def _seconds(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.apply(pd.to_numeric, errors="coerce")


def _extraction_starts(steps: pd.DataFrame) -> pd.Series:
    """In the layers' order, which is that of the rows: after its own download and after the layer before it."""
    starts, free_s = [], 0.0
    for row in steps.to_dict("records"):
        took = row["extract_s"]
        begins = max(free_s, row["start_s"] + (row["total_s"] if row["total_s"] == row["total_s"] else 0.0))
        starts.append(begins if took == took else float("nan"))
        free_s = begins + took if took == took else free_s
    return pd.Series(starts, index=steps.index, dtype="float64")
