"""The one source of every number that console, JSON, metrics and report show.

Frames come in as the store gives them, warm-up included, and a missing number is NaN. Failed pulls count in success
rates and errors, and in no latency.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pullbench.errors import ErrorCode
from pullbench.model.factor_words import factor_text, factor_title
from pullbench.model.plan import FACTORS
from pullbench.model.reference import Reference
from pullbench.model.remedy import NO_ROUTE, remedy
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun
from pullbench.stats.summary import median_estimate, percentile, wilson

CELL_KEY = [
    "engine",
    "engine_kind",
    "registry",
    "region",
    "proxy",
    "platform",
    "concurrency",
    "cache",
    "proxy_cache",
    "auth",
]
PHASES = ("auth", "resolve", "download", "extract")
"""What engines report of a pull, where they do: a login, manifests, layers received, layers unpacked. The last two overlap."""
_OF_PULLS = (
    *("block", "ok", "latency_s", "duration_s", "bytes", "attempts", "layers_cached"),
    *(f"{phase}_s" for phase in PHASES),
)
_OF_TRIALS = (
    "block",
    "wall_s",
    "pulls",
    "succeeded",
    "throughput_bytes_per_s",
    "client_busy",
    "client_limit",
    "proxy_cache_found",
)
"""What a configuration's numbers need of its pulls and trials."""
Rows = Mapping[str, NDArray[Any]]
"""Columns by name."""
CELL_COLUMNS = [
    *CELL_KEY,
    *("blocks", "pulls", "succeeded", "success_rate", "success_low", "success_high"),
    *("median_s", "median_low_s", "median_high_s", "p90_s", "p95_s", "p99_s"),
    *(f"{phase}_share" for phase in PHASES),
    "phases_pulls",
    *("wall_per_pull_s", "wall_per_pull_low_s", "wall_per_pull_high_s"),
    *("images_per_s", "images_per_s_low", "images_per_s_high"),
    *("throughput_bytes_per_s", "throughput_low_bytes_per_s", "throughput_high_bytes_per_s"),
    *("bytes", "retried", "found_cached", "proxy_other", "proxy_unshown", "client_busy", "client_limit"),
]


def cells(pulls: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration, in the order of the factors; CELL_COLUMNS names the columns.

    `median_s` is the geometric mean of the repetitions' medians over successful pulls, with a 95% interval over repetitions;
    `wall_per_pull_s` a trial's wall time by its pulls, over trials in which all succeeded; throughput is over trials in
    which any did. `images_per_s` is its inverse. A phase's share is the median over successful pulls of its part of the
    pull's duration; NaN where the engine does not report it. `phases_pulls` counts the pulls that report any phase. `found_cached` counts cold pulls that found layers in the client's store; `proxy_other` trials whose mirror
    was not as the configuration says, `proxy_unshown` those where nothing showed it. `client_busy` and `client_limit` are the worst trial's.
    """
    trials_of, pulls_of = CellRows(trials, _OF_TRIALS), CellRows(pulls, _OF_PULLS)
    rows = [cell | _cell(cell, pulls_of.of(cell), trials_of.of(cell)) for cell in trials_of.cells()]
    found = pd.DataFrame(rows, columns=CELL_COLUMNS)
    return found.sort_values(list(FACTORS), kind="stable", ignore_index=True) if rows else found


def cell(pulls: pd.DataFrame, trials: pd.DataFrame) -> dict[str, Any]:
    """The row of `cells` for rows that are all of one configuration; there is at least one trial that counts."""
    trials_of = CellRows(trials, _OF_TRIALS)
    (only,) = trials_of.cells()
    return only | _cell(only, CellRows(pulls, _OF_PULLS).of(only), trials_of.of(only))


def _cell(cell: Mapping[str, Any], pulls: Rows, trials: Rows) -> dict[str, Any]:
    ok, n = pulls["ok"].astype(bool), len(pulls["ok"])
    succeeded, times = int(ok.sum()), pulls["latency_s"][ok]
    whole, moved = trials["succeeded"] == trials["pulls"], trials["succeeded"] > 0
    bounds = wilson(succeeded, n)
    row: dict[str, Any] = {
        "blocks": len(np.unique(trials["block"])),
        "pulls": n,
        "succeeded": succeeded,
        "success_rate": succeeded / n if n else math.nan,
        "success_low": bounds.low,
        "success_high": bounds.high,
    }
    wall_per_pull_s = trials["wall_s"][whole] / trials["pulls"][whole]
    row |= _estimate("median{}_s", by_block(times, pulls["block"][ok]))
    row |= {f"p{q}_s": _number(percentile(cast(Any, times), q)) for q in numbers.PERCENTILES}
    row |= {f"{phase}_share": phase_share(pulls[f"{phase}_s"][ok], pulls["duration_s"][ok]) for phase in PHASES}
    row |= _estimate("wall_per_pull{}_s", by_block(wall_per_pull_s, trials["block"][whole]))
    row |= {
        f"images_per_s{end}": 1 / row[f"wall_per_pull{other}_s"]
        for end, other in (("", ""), ("_low", "_high"), ("_high", "_low"))
    }
    row |= _estimate(
        "throughput{}_bytes_per_s", by_block(trials["throughput_bytes_per_s"][moved], trials["block"][moved])
    )
    reported = np.any([~np.isnan(pulls[f"{phase}_s"][ok].astype(np.float64)) for phase in PHASES], axis=0)
    return row | {
        "phases_pulls": int(reported.sum()),
        "bytes": int(np.nansum(pulls["bytes"])),
        "retried": int((pulls["attempts"] > 1).sum()),
        "found_cached": int((pulls["layers_cached"][ok] > 0).sum()) if cell["cache"] == "cold" else 0,
        **_proxy_cache(cell, trials["proxy_cache_found"]),
        **_client_limit(trials["client_busy"], trials["client_limit"]),
    }


def _client_limit(busy: NDArray[Any], limits: NDArray[Any]) -> dict[str, Any]:
    """How near the worst trial came to the client's ceiling, and what the limit was."""
    known = np.asarray(pd.Series(busy), dtype=np.float64)
    if not len(known) or np.isnan(known).all():
        return {"client_busy": math.nan, "client_limit": None}
    worst = int(np.nanargmax(known))
    limit = limits[worst]
    return {"client_busy": float(known[worst]), "client_limit": limit if isinstance(limit, str) else None}


def _proxy_cache(cell: Mapping[str, Any], found: NDArray[Any]) -> dict[str, int]:
    """How many trials of a configuration found the mirror's cache in another state than the label, and how many could not see it."""
    if cell["proxy_cache"] == "any":
        return {"proxy_other": 0, "proxy_unshown": 0}
    known = [state for state in found.tolist() if isinstance(state, str)]
    return {
        "proxy_other": sum(state != cell["proxy_cache"] for state in known),
        "proxy_unshown": len(found) - len(known),
    }


def phase_share(phase_s: NDArray[Any], duration_s: NDArray[Any]) -> float:
    """The median over pulls of a phase's part of the duration; NaN where no pull reports the phase."""
    seen = np.asarray(phase_s, dtype=np.float64), np.asarray(duration_s, dtype=np.float64)
    known = ~np.isnan(seen[0]) & (seen[1] > 0)
    return float(np.median(seen[0][known] / seen[1][known])) if known.any() else math.nan


def latency_s(pulls: pd.DataFrame) -> pd.Series:
    """What a user waits for: from the intended start on, which in closed load is the start."""
    return pulls["queued_s"].fillna(0.0) + pulls["duration_s"]


class CellRows:
    """The counted rows of a table by configuration: one pass over the table serves any number of configurations."""

    def __init__(self, frame: pd.DataFrame, columns: Sequence[str]) -> None:
        """`columns` are those of the rows, so that no more of a large table is copied; `latency_s` may be one."""
        counted = ~frame["warmup"].to_numpy(dtype=bool)
        factors = [_coded(frame[name]) for name in CELL_KEY]
        number = _numbered(factors, len(frame))
        order = np.flatnonzero(counted)[np.argsort(number[counted], kind="stable")]
        _, starts = np.unique(number[order], return_index=True)
        edges = [*starts.tolist(), len(order)]
        firsts = order[starts].tolist()
        keys = zip(*([values[codes[row]] for row in firsts] for codes, values in factors), strict=True)
        self._slices = dict(zip(keys, map(slice, edges[:-1], edges[1:]), strict=True))
        self._columns = {name: _values(frame, name)[order] for name in columns}

    def cells(self) -> list[dict[str, Any]]:
        """The factors of each configuration, in the order in which the configurations come."""
        return [dict(zip(CELL_KEY, key, strict=True)) for key in self._slices]

    def of(self, cell: Mapping[str, Any]) -> Rows:
        """The rows of a configuration, which is named by the factors of CELL_KEY; none of a configuration that is not there."""
        place = self._slices.get(tuple(cell[name] for name in CELL_KEY), slice(0, 0))
        return {name: values[place] for name, values in self._columns.items()}

    def engines(self) -> list[str]:
        """The engines that have rows, in the order in which they come."""
        return list(dict.fromkeys(str(cell["engine"]) for cell in self.cells()))

    def of_engine(self, engine: str) -> Rows:
        """The rows of every configuration of an engine, configuration after configuration."""
        of = CELL_KEY.index("engine")
        places = [place for key, place in self._slices.items() if key[of] == engine] or [slice(0, 0)]
        return {name: np.concatenate([values[place] for place in places]) for name, values in self._columns.items()}


def _coded(column: pd.Series) -> tuple[NDArray[Any], list[Any]]:
    """Each row's value as its place in a list of values; what is missing has one of its own."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), [*column.cat.categories.tolist(), math.nan]  # a code of -1 is the last
    codes, values = pd.factorize(column, use_na_sentinel=False)
    return codes, values.tolist()


def _numbered(factors: Sequence[tuple[NDArray[Any], list[Any]]], rows: int) -> NDArray[Any]:
    """Each row's combination of factors as a number, in the order in which they come, as groupby's, without its detours."""
    combined = np.zeros(rows, dtype=np.int64)
    for codes, values in factors:
        if len(values) > 1:
            combined = combined * (len(values) + 1) + codes
    return pd.factorize(combined)[0]


def _values(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    """A column; missing numbers are NaN, and categories are their codes."""
    column = latency_s(frame) if name == "latency_s" else frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy()
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.to_numpy(dtype="datetime64[us]")
    if pd.api.types.is_extension_array_dtype(column.dtype) and pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=math.nan)
    return column.to_numpy()


def in_cell(frame: pd.DataFrame, cell: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of one configuration; for more than a few configurations there is `CellRows`."""
    if frame.empty:
        return frame
    same = pd.Series(True, index=frame.index)
    for name in CELL_KEY:
        same &= frame[name] == cell[name]
    return frame[same]


def by_block(values: pd.Series | NDArray[Any], blocks: pd.Series | NDArray[Any]) -> dict[int, list[float]]:
    """The known values of each repetition, in the order of the repetitions; a repetition without any is left out."""
    seen = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(seen)
    of, seen = np.asarray(blocks, dtype=np.int64)[known], seen[known]
    order = np.argsort(of, kind="stable")
    found, starts = np.unique(of[order], return_index=True)
    parts = np.split(seen[order], starts)[1:]
    return {int(block): part.tolist() for block, part in zip(found, parts, strict=True)}


def _estimate(name: str, values: Mapping[int, list[float]]) -> dict[str, float]:
    found = median_estimate(list(values.values()))
    parts = (found.value, found.low, found.high)
    return {name.format(part): _number(value) for part, value in zip(("", "_low", "_high"), parts, strict=True)}


def _number(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)


def varying(table: pd.DataFrame) -> list[str]:
    """The factors that have more than one value in a table of configurations: what tells its rows apart."""
    return [factor for factor in FACTORS if factor in table and table[factor].nunique(dropna=False) > 1]


def label(row: Mapping[str, Any], factors: list[str]) -> str:
    """A configuration's short name by the factors given: `docker · eu · direct · concurrency 4`.

    A route without a proxy has no mirror cache to name.
    """
    words = [_word(row, name) for name in factors]
    return " · ".join(filter(None, words)) or " · ".join(str(row[name]) for name in factors)


def _word(row: Mapping[str, Any], name: str) -> str:
    if name == "proxy_cache" and row[name] == "any" and row["proxy"] != DIRECT:
        return f"any {factor_title(name)}"
    return str(row[name]) if name == "proxy" else factor_text(name, row[name])


def configuration(
    cell: Mapping[str, Any], factors: Collection[str] = ("engine", "concurrency", "registry", "proxy")
) -> str:
    """A configuration in words: `docker, concurrency 4, from eu without a proxy`.

    The factors given are named, and what differs from a factor's usual value.
    """
    words = [str(cell["engine"])] if "engine" in factors else []
    words += [f"concurrency {cell['concurrency']}"] if "concurrency" in factors else []
    way = f"from {cell['registry']}" if "registry" in factors else ""
    if "proxy" in factors or cell["proxy"] != DIRECT:
        way += " without a proxy" if cell["proxy"] == DIRECT else f" through {cell['proxy']}"
    way += "" if cell["proxy_cache"] == "any" else f", {factor_text('proxy_cache', cell['proxy_cache'])}"
    words += [way.strip()] if way else []
    words += [str(cell["platform"])] if "platform" in factors else []
    words += [] if cell["cache"] == "cold" and "cache" not in factors else [factor_text("cache", cell["cache"])]
    words += [factor_text("auth", cell["auth"])]
    return ", ".join(filter(None, words)) or f"{cell['engine']}, concurrency {cell['concurrency']}"


def errors(stored: StoredRun, cells: Sequence[Mapping[str, Any]] | None = None) -> pd.DataFrame:
    """The failures by code, most frequent first: code, count, cells, share, first_at, last_at, example, remedy.

    Of every configuration, or of those given. The remedy speaks of the route, image and platform that failed with the code
    most often.
    """
    pulls = stored.pulls if cells is None else pd.concat([in_cell(stored.pulls, cell) for cell in cells])
    columns = ["code", "count", "cells", "share", "first_at", "last_at", "example", "remedy"]
    counted = ~pulls["warmup"].astype(bool)
    failed = pulls[counted & ~pulls["ok"].astype(bool)]
    if failed.empty:
        return pd.DataFrame(columns=columns)
    rows = []
    for code, group in failed.groupby("error_code", sort=False):
        texts = group["error"].dropna()
        rows.append(
            {
                "code": str(code),
                "count": len(group),
                "cells": int(group.groupby(CELL_KEY, dropna=False).ngroups),
                "share": len(group) / int(counted.sum()),
                "first_at": group["started_at"].min(),
                "last_at": group["started_at"].max(),
                "example": str(texts.mode().iloc[0]) if len(texts) else "",
                "remedy": _remedy(stored, _code(str(code)), group, str(texts.mode().iloc[0]) if len(texts) else ""),
            }
        )
    return pd.DataFrame(rows, columns=columns).sort_values("count", ascending=False, kind="stable", ignore_index=True)


def _remedy(stored: StoredRun, code: ErrorCode, failed: pd.DataFrame, error: str) -> str:
    """What to do about a code where most of the failed pulls had it."""
    names = ["registry", "proxy", "image", "platform"]
    most: Any = failed.groupby(names, observed=True).size().idxmax()
    registry, proxy, image, platform = map(str, most)
    route = stored.route(registry, proxy) or NO_ROUTE
    return remedy(code, route, reference=_reference(image), platform=platform, error=error)


def _reference(image: str) -> Reference | None:
    """An image's name as a remedy may put it into a command; None for a stored text that is no name."""
    try:
        return Reference.parse(image)
    except ValueError:
        return None


def _code(text: str) -> ErrorCode:
    return ErrorCode(text) if text in set(ErrorCode) else ErrorCode.UNKNOWN


def trials_over_time(pulls: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """One row a trial in the order of start, warm-up included.

    at_s (since the first), block, warmup, engine, median_s (of successful pulls), ratio (of that to the median of its
    configuration's counted trials: configurations differ by design, so only this shows drift), pulls, failed, code (the error code of most of
    its failures, NaN without any).
    """
    ok = pulls["ok"].astype(bool)
    medians = latency_s(pulls)[ok].groupby(pulls["trial"]).median().rename("median_s")
    known = trials[["trial", "started_at", "block", "warmup", "pulls", "succeeded", *CELL_KEY]]
    rows = known.merge(medians, left_on="trial", right_index=True, how="left").sort_values("started_at")
    counted = rows.assign(counted_s=rows["median_s"].mask(rows["warmup"].astype(bool)))
    rows["ratio"] = rows["median_s"] / counted.groupby(CELL_KEY, dropna=False)["counted_s"].transform("median")
    rows["at_s"] = (rows["started_at"] - rows["started_at"].min()).dt.total_seconds()
    rows["failed"] = rows["pulls"] - rows["succeeded"]
    counts = pulls[~ok].groupby(["trial", "error_code"]).size().sort_values(kind="stable").reset_index("error_code")
    rows["code"] = rows["trial"].map(counts.groupby(level="trial")["error_code"].last())
    return rows.reset_index(drop=True)


def planned_out(stored: StoredRun) -> pd.DataFrame:
    """What the plan left out, by reason: reason, count, example (a configuration's name)."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in stored.planned_out:
        groups.setdefault(str(entry["reason"]), []).append(entry["cell"])
    rows = [
        {"reason": reason, "count": len(out), "example": label(out[0], [f for f in FACTORS if f in out[0]][:6])}
        for reason, out in groups.items()
    ]
    return pd.DataFrame(rows, columns=["reason", "count", "example"])


_MIRROR_STATES = ("warm", "any", "cold")
"""Of the states of a mirror's cache that were measured, the first is that of everyday pulls: `any` warms up during a run."""


def in_everyday_mirrors(table: pd.DataFrame) -> pd.DataFrame:
    """The configurations of a table whose mirror is as in everyday pulls: its cache's state is nobody's choice."""
    rank = table["proxy_cache"].map(_MIRROR_STATES.index)
    usual: pd.DataFrame = table[rank == rank.groupby(table["proxy"]).transform("min")]
    return usual


def trusted(table: pd.DataFrame) -> pd.DataFrame:
    """The configurations that can be compared for the most images/s; empty where every one had failures.

    Every pull succeeded, no cold pull found layers, and no mirror was other than its label. Where no configuration is free of
    the last two, they count again. A client-limited configuration is slower than the registry and never faster, so it stays.
    """
    whole = table[(table["succeeded"] == table["pulls"]) & table["wall_per_pull_s"].notna()]
    honest = whole[(whole["found_cached"] == 0) & (whole["proxy_other"] == 0)]
    return whole if honest.empty else honest


def best(table: pd.DataFrame) -> Any:
    """The row label of the best configuration (most images/s) of the trusted ones; None where there is none."""
    candidates = trusted(table)
    return None if candidates.empty else candidates["wall_per_pull_s"].idxmin()
