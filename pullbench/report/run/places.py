"""What a pull takes from each registry by each way, over the settings that all of them have."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.report.core.stored import records

_WAY = ("registry", "proxy", "proxy_cache")
COLUMNS = [
    *("engine", "registry", "region", "proxy", "proxy_cache", "way"),
    *("median_s", "of_least", "settings", "pulls", "succeeded"),
]


def places(table: pd.DataFrame) -> pd.DataFrame:
    """One row an engine, registry and way, as COLUMNS; `table` is that of `tables.cells`. Empty where there is one place.

    `way` is the proxy's name, with the state of its store where the run sets it. `median_s` is the geometric mean of the
    medians over the settings (platform, concurrency, cache, auth) that every place of the engine has a time for, `settings`
    how many those are; where there is none, over each place's own, and `settings` is 0. `of_least` is its multiple of the
    engine's least. A place without a successful pull has NaN.
    """
    if table.empty or len(table[["registry", "proxy", "proxy_cache"]].drop_duplicates()) < 2:
        return pd.DataFrame(columns=COLUMNS)
    rows: list[dict[str, Any]] = []
    for _, mine in table.groupby("engine", sort=False):
        rows += _of_an_engine(mine)
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_an_engine(table: pd.DataFrame) -> list[dict[str, Any]]:
    others = [name for name in FACTORS if name not in ("engine", *_WAY)]
    groups = [(records(mine)[0], mine) for _, mine in table.groupby(list(_WAY), sort=False)]
    known = [
        {tuple(row[name] for name in others): row["median_s"] for row in records(mine) if row["median_s"] > 0}
        for _, mine in groups
    ]
    common = set.intersection(*(set(times) for times in known if times)) if any(known) else set()
    rows = [_place(first, mine, times, common) for (first, mine), times in zip(groups, known, strict=True)]
    least = min((row["median_s"] for row in rows if row["median_s"] == row["median_s"]), default=math.nan)
    return [row | {"of_least": row["median_s"] / least} for row in rows]


def _place(
    first: Mapping[str, Any], mine: pd.DataFrame, times: Mapping[Any, float], common: set[Any]
) -> dict[str, Any]:
    values = [math.log(time) for key, time in times.items() if key in common or not common]
    state = "" if first["proxy_cache"] == "any" else f" ({first['proxy_cache']})"
    return {name: first[name] for name in ("engine", "region", *_WAY)} | {
        "way": f"{first['proxy']}{state}",
        "median_s": math.exp(sum(values) / len(values)) if values else math.nan,
        "settings": len(common),
        "pulls": int(mine["pulls"].sum()),
        "succeeded": int(mine["succeeded"].sum()),
    }
