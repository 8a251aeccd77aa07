"""After how many pulls a pull-through cache pays, setting by setting; and which matrix would tell, where this one cannot."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import latency_s, varying
from pullbench.report.render.html import Column, Html, Row, join, marked, paragraph, table
from pullbench.report.run.concurrency import at_once
from pullbench.stats.break_even import BreakEven, Payback, break_even
from pullbench.stats.summary import MIN_BLOCKS

MOST_ROWS = 24
HELD = [name for name in FACTORS if name not in ("proxy", "proxy_cache")]
COLUMNS = [
    *(*HELD[:2], "proxy", *HELD[2:]),
    *("cold_s", "warm_s", "direct_s", "pulls", "low", "high", "blocks", "verdict", "says"),
]
_COLUMNS = [*FACTORS, "trial", "block", "warmup", "ok", "queued_s", "duration_s"]
"""What is read here of a pull: a copy of every column of a million pulls is large."""
_NAMES = {"cold": "through a cold cache", "warm": "through a warm one", DIRECT: "directly"}

_Blocks = dict[int, float]


def break_evens(stored: StoredRun) -> pd.DataFrame:
    """One row a setting that pulls through a mirror, as COLUMNS; empty where no proxy is a mirror.

    `pulls` is after how many the cache has paid, beside `low` and `high` at 95%; `verdict` is one of
    `stats.break_even.Payback`, or `not_measured` where the matrix lacks one of the three; `says` tells it in words. Trials
    whose mirror was shown to be other than its label are left out.
    """
    mirrors = _mirrors(stored)
    times = _times(stored) if mirrors else {}
    rows: list[dict[str, Any]] = []
    for key, mine in times.items():
        held = dict(zip(HELD, key, strict=True))
        for proxy in sorted({proxy for proxy, _ in mine if proxy in mirrors}):
            rows.append(held | {"proxy": proxy} | _answer(mine, proxy))
    return pd.DataFrame(rows, columns=COLUMNS)


def setting_name(row: Mapping[str, Any], factors: Sequence[str]) -> str:
    """A setting by the factors given, its concurrency in words."""
    words = [at_once(row[name]) if name == "concurrency" else str(row[name]) for name in factors]
    return " · ".join(words)


def _mirrors(stored: StoredRun) -> set[str]:
    listed = stored.spec.get("proxies") or []
    return {str(entry["name"]) for entry in listed if entry.get("kind") == "mirror"}


def _times(stored: StoredRun) -> dict[tuple[Any, ...], dict[tuple[str, str], _Blocks]]:
    """By all other factors, then by proxy and state of its store: each block's median time of a successful pull."""
    if stored.pulls.empty:
        return {}
    pulls = measured(stored.pulls[_COLUMNS])
    trials = stored.trials
    found, labelled = trials["proxy_cache_found"], trials["proxy_cache"]
    other = trials.loc[(labelled != "any") & found.notna() & (found != labelled), "trial"]
    fine = pulls[pulls["ok"].astype(bool) & ~pulls["trial"].isin(other)]
    grouped = fine.assign(time_s=latency_s(fine)).groupby([*FACTORS, "block"], dropna=False)["time_s"].median()
    by_setting: dict[tuple[Any, ...], dict[tuple[str, str], _Blocks]] = {}
    for row in records(grouped.reset_index()):
        mine = by_setting.setdefault(tuple(row[name] for name in HELD), {})
        mine.setdefault((row["proxy"], row["proxy_cache"]), {})[int(row["block"])] = float(row["time_s"])
    return by_setting


def _answer(times: Mapping[tuple[str, str], _Blocks], proxy: str) -> dict[str, Any]:
    parts = {"cold": times.get((proxy, "cold")), "warm": times.get((proxy, "warm")), DIRECT: times.get((DIRECT, "any"))}
    missing = [name for name, blocks in parts.items() if not blocks]
    if missing:
        nothing = dict.fromkeys(("cold_s", "warm_s", "direct_s", "pulls", "low", "high"), math.nan)
        says = (
            f"cannot be said: no pull {_listed([_NAMES[name] for name in missing], 'or')} succeeded in this run; one with "
            "`matrix.proxy_cache: [any, cold, warm]` and `direct` among `matrix.proxies` would tell"
        )
        return nothing | {"blocks": 0, "verdict": "not_measured", "says": says}
    found = break_even(parts["cold"] or {}, parts["warm"] or {}, parts[DIRECT] or {})
    known = {name: math.nan if value is None else value for name, value in dataclasses.asdict(found).items()}
    return known | {"verdict": found.verdict.value, "says": _says(found)}


def _says(found: BreakEven) -> str:
    saved = f"{numbers.seconds(abs(found.direct_s - found.warm_s))} a pull"
    first = found.cold_s - found.warm_s
    match found.verdict:
        case Payback.AT_ONCE:
            return f"pays from the first pull on: even cold it is no slower than direct, and warm it saves {saved}"
        case Payback.AFTER:
            span = (
                f"95% interval {numbers.significant(found.low or 0.0, 2)}–{numbers.significant(found.high or 0.0, 2)}"
            )
            return (
                f"pays after {numbers.significant(found.pulls or 0.0, 2)} pulls of an image ({span}): its first costs "
                f"{numbers.seconds(first)} more than a warm one, each saves {saved} beside direct"
            )
        case Payback.NEVER:
            return f"never pays in time: even warm it takes {saved} longer than direct"
        case Payback.NOT_SHOWN:
            return "cannot be said: this run cannot tell a warm pull from a direct one; more repetitions would"
    return f"cannot be said: {numbers.count(found.blocks, 'block')} with all three, and {MIN_BLOCKS} are needed"


def _listed(names: list[str], last: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def payback(found: pd.DataFrame) -> Html:
    """A row a setting whose break-even was asked for, and what matrix would tell of the others; nothing without a mirror."""
    if found.empty:
        return Html()
    asked = found[found["verdict"] != "not_measured"]
    silent = found[found["verdict"] == "not_measured"]
    notes = [
        paragraph(marked(f"After how many pulls {', '.join(dict.fromkeys(mine['proxy']))} pays {says}."), kind="note")
        for says, mine in silent.groupby("says", sort=False)
    ]
    if asked.empty:
        return join(notes)
    factors = varying(asked) or ["proxy"]
    columns = [
        Column(title="Setting", setting=True),
        Column(title="Cold", number=True, hint="a pull of an image that the cache has never seen; mean over blocks"),
        Column(title="Warm", number=True, hint="a pull of one that it has"),
        Column(title="Direct", number=True, hint="the same past the cache"),
        Column(title="Pays after", number=True, hint="pulls of one image: (cold - warm) / (direct - warm)"),
        Column(title="95% interval", number=True, hint="Fieller's, over blocks"),
        Column(title="What it says", prose=True),
    ]
    rows = [
        Row(
            contents=[
                setting_name(row, factors),
                *(numbers.seconds(row[name]) for name in ("cold_s", "warm_s", "direct_s")),
                _pulls_text(row["pulls"]),
                numbers.ratio_range(row["low"], row["high"]),
                row["says"],
            ]
        )
        for row in records(asked.head(MOST_ROWS))
    ]
    left = f"; {len(asked) - len(rows)} more are in `pullbench show --json`" if len(asked) > len(rows) else ""
    return join([table(columns, rows, caption=f"After how many pulls of an image a cache pays{left}"), *notes])


def _pulls_text(value: float) -> str:
    return numbers.significant(value) if numbers.known(value) else numbers.NOT_KNOWN
