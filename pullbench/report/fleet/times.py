"""How a fleet downloads one image: the times of the first, half and last node, and the bytes that the registry served.

A node has the image `queued_s + duration_s` after the common start. A failed node never has it: it is in no time, and
where a node failed there is no last. `summary` has the same in sentences.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import CELL_KEY, latency_s
from pullbench.report.run.slos import judged_engines
from pullbench.stats.compare import Blocks, compare_paired
from pullbench.stats.summary import median_estimate

TIMES = ("first", "half", "last")
COLUMNS = [
    *CELL_KEY,
    *("nodes", "blocks", "pulls", "succeeded"),
    *(f"{name}{part}_s" for name in TIMES for part in ("", "_low", "_high")),
    *("delivered_bytes", "origin_bytes", "origin_share", "late_s", "client_busy"),
]
ALL_NODES = "last"


def trials(stored: StoredRun) -> pd.DataFrame:
    """A row for each counted trial: its coordinates, `nodes`, `first_s`, `half_s`, `last_s`, bytes and `late_s`.

    `late_s` is how long after the common start the last node started.
    """
    counted = measured(stored.trials)
    if counted.empty:
        return pd.DataFrame(columns=["trial", "block", *CELL_KEY])
    pulls = stored.pulls.assign(at_s=latency_s(stored.pulls))
    rows = []
    for row in records(counted):
        mine = pulls[pulls["trial"] == row["trial"]]
        done = sorted(mine.loc[mine["ok"].astype(bool), "at_s"].tolist())
        rows.append(
            {name: row[name] for name in ("trial", "block", "pulls", "succeeded", "client_busy", *CELL_KEY)}
            | dict(zip((f"{name}_s" for name in TIMES), _times(done, len(mine)), strict=True))
            | {
                "nodes": len(mine),
                "delivered_bytes": row["bytes"],
                "origin_bytes": row["origin_bytes"],
                "late_s": float(mine["queued_s"].max()),
            }
        )
    return pd.DataFrame(rows)


def _times(done: list[float], nodes: int) -> tuple[float, float, float]:
    """The times of the first, half (rounded up) and last node; NaN for those not reached."""
    half = math.ceil(nodes / 2)
    return (
        done[0] if done else math.nan,
        done[half - 1] if len(done) >= half else math.nan,
        done[-1] if len(done) == nodes else math.nan,
    )


def cells(stored: StoredRun) -> pd.DataFrame:
    """A row for each configuration, as COLUMNS, in the order of the factors.

    Times are geometric means over repetitions with a 95% interval. Bytes are means over trials, `origin_share` is their ratio.
    `late_s` and `client_busy` are the worst trial's.
    """
    found = trials(stored)
    if found.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = [
        dict(zip(CELL_KEY, key, strict=True)) | _cell(group)
        for key, group in found.groupby(CELL_KEY, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(list(FACTORS), kind="stable", ignore_index=True)


def _cell(group: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {
        "nodes": int(group["nodes"].max()),
        "blocks": int(group["block"].nunique()),
        "pulls": int(group["pulls"].sum()),
        "succeeded": int(group["succeeded"].sum()),
    }
    for name in TIMES:
        found = median_estimate([[value] for value in group[f"{name}_s"].tolist()])
        for part, value in (("", found.value), ("_low", found.low), ("_high", found.high)):
            row[f"{name}{part}_s"] = math.nan if value is None else value
    delivered, origin = _mean(group["delivered_bytes"]), _mean(group["origin_bytes"])
    return row | {
        "delivered_bytes": delivered,
        "origin_bytes": origin,
        "origin_share": origin / delivered if delivered else math.nan,
        "late_s": float(group["late_s"].max()),
        "client_busy": float(pd.to_numeric(group["client_busy"]).max()),
    }


def _mean(values: pd.Series) -> float:
    known = [float(value) for value in values.tolist() if not pd.isna(value)]
    return sum(known) / len(known) if known else math.nan


def comparisons(stored: StoredRun) -> pd.DataFrame:
    """The time of the last node through each proxy compared with `direct`, all else equal, paired by repetition.

    Columns: baseline, candidate, within (what is fixed), ratio, low, high, confidence, p (both Holm-corrected), blocks, verdict.
    """
    columns = ["baseline", "candidate", "within", "ratio", "low", "high", "confidence", "p", "blocks", "verdict"]
    questions = list(_questions(trials(stored)))
    answers = compare_paired([(question.pop("a"), question.pop("b")) for question in questions])
    rows = [
        question
        | {name: getattr(answer, name) for name in ("ratio", "low", "high", "confidence", "p", "blocks")}
        | {"verdict": str(answer.verdict)}
        for question, answer in zip(questions, answers, strict=True)
    ]
    made = pd.DataFrame(rows, columns=columns)
    return made.assign(**{name: pd.to_numeric(made[name]) for name in ("ratio", "low", "high", "confidence", "p")})


def _questions(found: pd.DataFrame) -> Iterator[dict[str, Any]]:
    # `direct` has no store that is cold or warm, so each state of a mirror's store is compared with it.
    fixed = [name for name in FACTORS if name not in ("proxy", "proxy_cache")]
    if found.empty:
        return
    shown = [name for name in fixed if found[name].nunique() > 1]
    for _, group in found.groupby(fixed, sort=False, dropna=False):
        direct = group[group["proxy"] == DIRECT]
        for (proxy, state), other in group[group["proxy"] != DIRECT].groupby(["proxy", "proxy_cache"], sort=False):
            if len(direct):
                yield {
                    "baseline": DIRECT,
                    "candidate": str(proxy) if state == "any" else f"{proxy} ({state})",
                    "within": " · ".join(str(group[name].iloc[0]) for name in shown),
                    "a": _last_by_block(direct),
                    "b": _last_by_block(other),
                }


def _last_by_block(group: pd.DataFrame) -> Blocks:
    found: dict[int, list[float]] = {}
    for row in records(group):
        if not math.isnan(row[f"{ALL_NODES}_s"]):
            found.setdefault(int(row["block"]), []).append(float(row[f"{ALL_NODES}_s"]))
    return found


def arrivals(stored: StoredRun, cell: Mapping[str, Any]) -> list[float]:
    """The time of the n-th node, the median over the configuration's trials with so many nodes: seconds, ascending."""
    counted = measured(stored.pulls)
    if counted.empty:
        return []
    for name in CELL_KEY:
        counted = counted[counted[name] == cell[name]]
    mine = counted[counted["ok"].astype(bool)]
    at = mine.assign(at_s=latency_s(mine)).sort_values("at_s")
    rank = at.groupby("trial").cumcount()
    return [float(value) for value in at["at_s"].groupby(rank).median().cummax().tolist()]


def nodes(stored: StoredRun) -> pd.DataFrame:
    """A row for each node, the slowest first: node, pulls, failed, at_s (median over trials, since the common start).

    Over the trials of the engines whose SLOs are judged: engines that do different work have no common time.
    """
    counted = measured(stored.pulls)
    counted = counted[counted["engine"].isin(judged_engines(stored))] if len(counted) else counted
    if counted.empty:
        return pd.DataFrame(columns=["node", "pulls", "failed", "at_s"])
    ok = counted["ok"].astype(bool)
    at = latency_s(counted).where(ok)
    grouped = counted.assign(at_s=at, failed=~ok).groupby("node", sort=False)
    made = grouped.agg(pulls=("ok", "size"), failed=("failed", "sum"), at_s=("at_s", "median")).reset_index()
    return made.sort_values("at_s", ascending=False, kind="stable", na_position="first", ignore_index=True)


def summary(cells: pd.DataFrame) -> list[str]:
    """A clause for each configuration; of more than two, the one with the earliest and the one with the latest last node."""
    rows = records(cells.sort_values("last_s", kind="stable"))
    shown = rows if len(rows) <= 2 else [rows[0], max(rows, key=_longest)]
    return list(map(_clause, shown))


def _longest(row: Mapping[str, Any]) -> float:
    return float(row["last_s"]) if numbers.known(row["last_s"]) else math.inf


def _clause(row: Mapping[str, Any]) -> str:
    if not numbers.known(row["half_s"]):
        return f"Fewer than half of the nodes received the image: {route(row)}"
    last = f"the last after {numbers.seconds(row['last_s'])}" if numbers.known(row["last_s"]) else "some nodes failed"
    share = numbers.percent(row["origin_share"])
    origin = f"; the registry served {share} of the bytes" if numbers.known(row["origin_share"]) else ""
    return f"Half of the nodes have the image after {numbers.seconds(row['half_s'])}, {last}: {route(row)}{origin}"


def route(row: Mapping[str, Any]) -> str:
    """A configuration of a fleet by its engine, registry and proxy."""
    by = "without a proxy" if row["proxy"] == DIRECT else f"through {row['proxy']}"
    return f"{row['engine']} from {row['registry']} {by}" + (
        "" if row["proxy_cache"] == "any" else f" ({row['proxy_cache']} proxy cache)"
    )
