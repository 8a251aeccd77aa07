"""After how many pulls a pull-through cache pays, configuration by configuration; and which matrix would show it."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.sections import unknown_link
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import label, latency_s, varying
from pullbench.report.render.html import Column, Html, Row, join, paragraph, table
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
_NAMES = {"cold": "through a cold mirror cache", "warm": "through a warm mirror cache", DIRECT: "without a proxy"}

_Blocks = dict[int, float]


def break_evens(stored: StoredRun) -> pd.DataFrame:
    """One row a configuration that pulls through a mirror, as COLUMNS; empty where no proxy is a mirror.

    `pulls` is after how many the cache pays, with its 95% interval `low` and `high`; `verdict` is one of
    `stats.break_even.Payback`, or `not_measured` where the matrix lacks one of the three; `says` is the sentence. Trials
    whose mirror was not in the state of their label are left out.
    """
    mirrors = _mirrors(stored)
    times = _times(stored) if mirrors else {}
    tried = _tried(stored)
    rows: list[dict[str, Any]] = []
    for key, mine in times.items():
        held = dict(zip(HELD, key, strict=True))
        for proxy in sorted({proxy for proxy, _ in mine if proxy in mirrors}):
            rows.append(held | {"proxy": proxy} | _answer(mine, tried[key], proxy))
    return pd.DataFrame(rows, columns=COLUMNS)


def _mirrors(stored: StoredRun) -> set[str]:
    listed = stored.spec.get("proxies") or []
    return {str(entry["name"]) for entry in listed if entry.get("kind") == "mirror"}


def _times(stored: StoredRun) -> dict[tuple[Any, ...], dict[tuple[str, str], _Blocks]]:
    """By all other factors, then by proxy and state of its store: each repetition's median time of a successful pull."""
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


def _tried(stored: StoredRun) -> dict[tuple[Any, ...], set[tuple[str, str]]]:
    """By all other factors: the proxies and states of their store that the run pulled through, whatever came of it."""
    found: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for row in records(measured(stored.trials)[list(FACTORS)].drop_duplicates()):
        found.setdefault(tuple(row[name] for name in HELD), set()).add((row["proxy"], row["proxy_cache"]))
    return found


def _answer(times: Mapping[tuple[str, str], _Blocks], tried: Collection[tuple[str, str]], proxy: str) -> dict[str, Any]:
    places = {"cold": (proxy, "cold"), "warm": (proxy, "warm"), DIRECT: (DIRECT, "any")}
    parts = {name: times.get(place) for name, place in places.items()}
    missing = [name for name, blocks in parts.items() if not blocks]
    if missing:
        nothing = dict.fromkeys(("cold_s", "warm_s", "direct_s", "pulls", "low", "high"), math.nan)
        says = _why_unknown(missing, [name for name in missing if places[name] not in tried])
        return nothing | {"blocks": 0, "verdict": "not_measured", "says": says}
    found = break_even(parts["cold"] or {}, parts["warm"] or {}, parts[DIRECT] or {})
    known = {name: math.nan if value is None else value for name, value in dataclasses.asdict(found).items()}
    return known | {"verdict": found.verdict.value, "says": _says(found)}


def _why_unknown(missing: Sequence[str], absent: Sequence[str]) -> str:
    """What a run lacks, and what to measure: pulls that it did not plan, or else pulls that did not succeed."""
    if absent:
        names = _listed([_NAMES[name] for name in absent], "or")
        return (
            f"is not known: this run has no pulls {names}. "
            "Measure `matrix.proxy_cache: [any, cold, warm]` with `direct` among `matrix.proxies`"
        )
    names = _listed([_NAMES[name] for name in missing], "or")
    failed = "succeeded" if list(missing) == [DIRECT] else "succeeded with its cache in that state"
    return f"is not known: no pull {names} {failed}"


def _says(found: BreakEven) -> str:
    saved = f"{numbers.seconds(abs(found.direct_s - found.warm_s))} a pull"
    match found.verdict:
        case Payback.AT_ONCE:
            return f"pays from the first pull on: a warm mirror cache saves {saved}, and a cold one is not slower"
        case Payback.AFTER:
            return (
                f"{_pays_from(dataclasses.asdict(found))}. On average, the first pull through the mirror takes {numbers.seconds(found.cold_s)} instead "
                f"of {numbers.seconds(found.direct_s)}, and each later one {numbers.seconds(found.warm_s)}"
            )
        case Payback.NEVER:
            return f"does not pay: a warm mirror cache takes {saved} longer than no proxy"
        case Payback.NOT_SHOWN:
            return "is inconclusive: the difference between a warm pull and one without a proxy is not significant; use more repetitions"
    return f"is not known: {found.blocks} of the {MIN_BLOCKS} repetitions needed have all three"


def pays_line(found: pd.DataFrame, cell: Mapping[str, Any] | None, images: str = "") -> tuple[str, ...]:
    """Whether each mirror pays, a sentence each, where the run measured that: of the configuration given, else of the first.

    `images` says what was pulled: `4 images of 0.474–1.01 MB`. The configuration is named where there are several.
    """
    said = []
    for proxy, mine in found[found["verdict"] != "not_measured"].groupby("proxy", sort=False):
        same = (
            mine if cell is None else mine[(mine[HELD] == pd.Series({name: cell[name] for name in HELD})).all(axis=1)]
        )
        row = records((same if len(same) else mine).head(1))[0]
        scope = ", ".join(filter(None, [images, label(row, varying(mine)) if len(mine) > 1 else ""]))
        said.append(f"{proxy}{f' ({scope})' if scope else ''} {_short(row)}.")
    return tuple(said)


def _short(row: Mapping[str, Any]) -> str:
    """The first clause of what is known."""
    return str(row["says"]).partition("; ")[0].partition(". ")[0]


def _pays_from(found: Mapping[str, Any]) -> str:
    """`pays from the 2nd pull of an image (break-even 1.67, 95% CI 1.12–2.50)`: the first pull that is beyond the break-even."""
    number = math.floor(found["pulls"]) + 1
    span = numbers.ratio_range(found["low"] or 0.0, found["high"])
    return (
        f"pays from the {_ordinal(number)} pull of an image (break-even {_pulls_text(found['pulls'])}, 95% CI {span})"
    )


def _ordinal(number: int) -> str:
    """`2nd`, `11th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _listed(names: list[str], last: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def payback(found: pd.DataFrame) -> Html:
    """A row a configuration whose break-even is known; nothing where none is."""
    if found.empty:
        return Html()
    known = found[found["verdict"] != "not_measured"]
    unknown = unknown_paybacks(found)
    note = (
        paragraph("When a mirror pays is not known for all. See ", unknown_link(), ".", kind="note") if unknown else ""
    )
    if known.empty:
        return Html()
    factors = varying(known) or ["proxy"]
    columns = [
        Column(title="Configuration", setting=True),
        Column(
            title="Cold mirror",
            number=True,
            hint="a pull of an image that the cache has never seen; mean over repetitions",
        ),
        Column(title="Warm mirror", number=True, hint="a pull of an image that the cache has"),
        Column(title="No proxy", number=True, hint="the same pull without a proxy"),
        Column(
            title="Break-even",
            number=True,
            hint="pulls of one image, the first included: (cold - warm) / (no proxy - warm)",
        ),
        Column(title="95% interval", number=True, hint="Fieller's interval over repetitions"),
        Column(title="Result", prose=True),
    ]
    rows = [
        Row(
            contents=[
                label(row, list(factors)),
                *(numbers.seconds(row[name]) for name in ("cold_s", "warm_s", "direct_s")),
                _pulls_text(row["pulls"]),
                numbers.ratio_range(row["low"], row["high"]),
                row["says"],
            ]
        )
        for row in records(known.head(MOST_ROWS))
    ]
    left = f"; {len(known) - len(rows)} more are in `pullbench show --json`" if len(known) > len(rows) else ""
    return join([table(columns, rows, caption=f"After how many pulls of an image a cache pays{left}"), note])


def unknown_paybacks(found: pd.DataFrame) -> list[str]:
    """Of the mirrors whose break-even is not known: why, and which matrix would show it."""
    silent = found[found["verdict"] == "not_measured"]
    return [
        f"When the mirror `{', '.join(dict.fromkeys(mine['proxy']))}` pays {says}."
        for says, mine in silent.groupby("says", sort=False)
    ]


def _pulls_text(value: float) -> str:
    return numbers.significant(value) if numbers.known(value) else numbers.NOT_KNOWN
