"""What a fleet's numbers say, in sentences: how long its nodes wait for an image."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.report.core import numbers
from pullbench.report.core.stored import records


def said(cells: pd.DataFrame) -> str:
    """Each setting in a sentence; of more than two, the one whose last node has it first, and the one where it waits longest."""
    rows = records(cells.sort_values("last_s", kind="stable"))
    shown = rows if len(rows) <= 2 else [rows[0], max(rows, key=_longest)]
    return " ".join(map(_sentence, shown))


def _longest(row: Mapping[str, Any]) -> float:
    return float(row["last_s"]) if numbers.known(row["last_s"]) else math.inf


def _sentence(row: Mapping[str, Any]) -> str:
    named = way(row)
    named = named[0].upper() + named[1:]
    if not numbers.known(row["half_s"]):
        return f"{named}: fewer than half of the nodes got the image."
    last = f", the last {numbers.seconds(row['last_s'])}" if numbers.known(row["last_s"]) else ", not all"
    origin = (
        f"; the registry itself served {numbers.percent(row['origin_share'])} of what the nodes got"
        if numbers.known(row["origin_share"])
        else ""
    )
    return f"{named}: half of the nodes have it after {numbers.seconds(row['half_s'])}{last}{origin}."


def way(row: Mapping[str, Any]) -> str:
    """A setting of a fleet by its engine, registry and proxy."""
    by = "directly" if row["proxy"] == "direct" else f"through {row['proxy']}"
    return f"{row['engine']} from {row['registry']} {by}" + (
        "" if row["proxy_cache"] == "any" else f" ({row['proxy_cache']})"
    )
