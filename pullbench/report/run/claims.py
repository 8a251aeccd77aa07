"""Rules of thumb about pulling images, compared with one run; and which run would decide, where this one cannot."""

import ipaddress
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.client_limit import LIMITED_FROM
from pullbench.report.core.sections import pill, unknown_link
from pullbench.report.core.slo_words import pulls_needed
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.render.html import Column, Html, Row, join, marked, paragraph, table, tag
from pullbench.report.run.slos import engine_scores, judged_engines, measured_engines
from pullbench.report.run.stability import ENOUGH_BLOCKS
from pullbench.stats.compare import ComparisonVerdict
from pullbench.stats.slo import Score, SloVerdict

COLUMNS = [
    *("claim", "source", "where", "measures", "expected_low", "expected_high"),
    *("measured", "low", "high", "verdict", "says"),
]
HOLDS, DOES_NOT_HOLD, CANNOT_SAY = "holds", "does_not_hold", "cannot_say"
REGION = "The same region is 3 to 5 times as fast as another"
CONCURRENCY = "Concurrency 4 takes about 55% (50% to 60%) less time in all than concurrency 1"
SUCCESS = "At least 99.9% of pulls succeed"
MEAN = "A pull takes less than 3 s on average"
PROXY = "A proxy registry saves time"
PEERS = "Peer-to-peer distribution makes a cluster of 100 nodes pull 60% more efficiently"
SUCCESS_RATE, MEAN_PULL_S, SAVED = 0.999, 3.0, (0.50, 0.60)
_FASTER_SOURCE, _TARGETS_SOURCE = "guide, 2 Pulling faster", "guide, 4 Watching it"
_SOURCES = {SUCCESS: _TARGETS_SOURCE, MEAN: _TARGETS_SOURCE}
_PULLS_NEEDED = pulls_needed(SUCCESS_RATE)
_ENOUGH = f"{ENOUGH_BLOCKS} repetitions"
_LARGER = "client-limited: a run from a larger machine would decide"
_MORE = "more repetitions narrow the interval"


def claims(differences: pd.DataFrame, stored: StoredRun) -> pd.DataFrame:
    """One row for each claim and comparison about it, and one for a claim without any; COLUMNS.

    `measures` says what the numbers are: ratio, share or seconds. `verdict` is `holds` where the whole interval is within
    what is claimed, `does_not_hold` where it is outside, else `cannot_say`; `says` gives the side on which it is, or the
    run that would decide. Fewer than 5 repetitions and client-limited comparisons decide nothing; a client-limited mean can
    hold, but not fail to. Success rate and mean are scored per engine, as SLOs are. Numbers are those of `contrasts` and `slos`.
    """
    rows = [*_by_region(differences, stored), *_by_concurrency(differences), *_by_proxy(differences, stored)]
    rows += [_peers(), *_targets(stored)]
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


def _by_region(differences: pd.DataFrame, stored: StoredRun) -> Iterator[dict[str, Any]]:
    """The faster of two is the nearer: where the client is, is not known."""
    regions = dict(zip(stored.trials["registry"], stored.trials["region"], strict=True)) if len(stored.trials) else {}
    found = False
    for row in records(differences[differences["factor"] == "registry"]):
        if regions.get(row["baseline"]) == regions.get(row["candidate"]):
            continue
        found = True
        near, far, times = row["baseline"], row["candidate"], (row["ratio"], row["low"], row["high"])
        if row["ratio"] < 1:
            near, far, times = far, near, (1 / row["ratio"], 1 / row["high"], 1 / row["low"])
        where = " · ".join(filter(None, [f"{near} compared with {far}", str(row["within"])]))
        yield _weaker(_between(REGION, where, "ratio", (3.0, 5.0), times), row["blocks"], limited=row["client_limited"])
    if not found:
        yield _open(REGION, "ratio", (3.0, 5.0), f"a run over registries in two regions, with {_ENOUGH}")


def _by_concurrency(differences: pd.DataFrame) -> Iterator[dict[str, Any]]:
    mine = differences[differences["factor"] == "concurrency"]
    mine = mine[(mine["baseline"] == 1) & (mine["candidate"] == 4)]
    for row in records(mine):
        found = _between(CONCURRENCY, _within(row), "share", SAVED, _saving(row))
        yield _weaker(found, row["blocks"], limited=row["client_limited"])
    if mine.empty:
        yield _open(CONCURRENCY, "share", SAVED, f"a run with `concurrency: [1, 4]` and {_ENOUGH}")


def _by_proxy(differences: pd.DataFrame, stored: StoredRun) -> Iterator[dict[str, Any]]:
    """The claim names no figure: any saving beyond the margin is one, as the comparison's own verdict has it."""
    mirrors = {entry["name"] for entry in stored.spec.get("proxies") or [] if entry.get("kind") == "mirror"}
    mine = differences[differences["factor"] == "proxy"]
    mine = mine[(mine["baseline"] == DIRECT) & mine["candidate"].isin(mirrors)]
    for row in records(mine):
        verdict, says = {
            ComparisonVerdict.FASTER: (HOLDS, ""),
            ComparisonVerdict.SLOWER: (DOES_NOT_HOLD, "takes longer"),
            ComparisonVerdict.NO_DIFFERENCE: (DOES_NOT_HOLD, "saves nothing that matters"),
            ComparisonVerdict.TOO_FEW_SAMPLES: (CANNOT_SAY, f"a run with {_ENOUGH} would decide"),
        }.get(ComparisonVerdict(row["verdict"]), (CANNOT_SAY, _MORE))
        where = " · ".join(filter(None, [f"{row['candidate']} compared with {row['baseline']}", str(row["within"])]))
        found = _row(PROXY, where, "share", (0.0, math.nan), _saving(row), verdict, says)
        yield _weaker(found, row["blocks"], limited=row["client_limited"])
    if mine.empty:
        needed = f"a run with `proxies: [direct, …]`, a mirror among them, and {_ENOUGH}"
        yield _open(PROXY, "share", (0.0, math.nan), needed)


def _peers() -> dict[str, Any]:
    needed = "one vantage sees the pulls of one node; a run on all nodes, with and without the peers,"
    return _open(PEERS, "share", (0.60, math.nan), needed)


def _targets(stored: StoredRun) -> Iterator[dict[str, Any]]:
    """Success rate and mean pull time, of each engine that is scored; of each that was measured where none of those was."""
    there = list(measured_engines(stored))
    engines = [engine for engine in judged_engines(stored) if engine in there] or there
    for name, target, row_of in (("success_rate", SUCCESS_RATE, _success), ("mean_pull_s", MEAN_PULL_S, _mean)):
        for _, engine, found, n in engine_scores(stored, {name: target}, engines):
            row = row_of(str(engine) if len(there) > 1 else "all configurations", found, n)
            yield _weaker_mean(stored, engine, row) if name == "mean_pull_s" else row
    if not engines:
        yield _open(SUCCESS, "share", (SUCCESS_RATE, math.nan), f"a run of at least {_PULLS_NEEDED:,} pulls")
        yield _open(MEAN, "seconds", (math.nan, MEAN_PULL_S), f"a run with {_ENOUGH} and pulls that succeed")


def _success(where: str, found: Score, n: int) -> dict[str, Any]:
    says = _failing(found.verdict, "fewer do")
    if found.verdict is SloVerdict.NOT_SHOWN:
        says = f"a run of at least {_PULLS_NEEDED:,} pulls would decide; this one has {n:,}"
    return _scored(SUCCESS, where, "share", (SUCCESS_RATE, math.nan), found, says)


def _mean(where: str, found: Score, _n: int) -> dict[str, Any]:
    says = _failing(found.verdict, "takes longer")
    if found.verdict is SloVerdict.NOT_SHOWN:
        says = _MORE if found.low is not None else f"a run with {_ENOUGH} and pulls that succeed would decide"
    return _scored(MEAN, where, "seconds", (math.nan, MEAN_PULL_S), found, says)


def _failing(verdict: SloVerdict, says: str) -> str:
    return says if verdict is SloVerdict.MISSED else ""


def _scored(
    claim: str, where: str, measures: str, expected: tuple[float, float], found: Score, says: str
) -> dict[str, Any]:
    verdict = {SloVerdict.MET: HOLDS, SloVerdict.MISSED: DOES_NOT_HOLD}.get(found.verdict, CANNOT_SAY)
    measured, low, high = (
        math.nan if number is None else float(number) for number in (found.measured, found.low, found.high)
    )
    return _row(claim, where, measures, expected, (measured, low, high), verdict, says)


def _weaker_mean(stored: StoredRun, engine: str | None, row: dict[str, Any]) -> dict[str, Any]:
    """A mean of few repetitions decides nothing; nor does one that is too long where a trial was client-limited.

    A larger machine pulls faster with every engine: a limited mean is an upper bound, which can only show that a rule is true.
    """
    trials = measured(stored.trials)
    mine = trials[trials["engine"] == engine]
    limited = bool((mine["client_busy"] >= LIMITED_FROM).any())
    return _weaker(row, int(mine["block"].nunique()), limited=limited and row["verdict"] == DOES_NOT_HOLD)


def _weaker(row: dict[str, Any], blocks: int, *, limited: bool) -> dict[str, Any]:
    """A row whose evidence is too weak for its verdict is inconclusive, and says why."""
    if row["verdict"] == CANNOT_SAY or (blocks >= ENOUGH_BLOCKS and not limited):
        return row
    seen = numbers.count(int(blocks), "repetition")
    why = _LARGER if limited else f"{seen} only: a run with {_ENOUGH} would decide"
    return row | {"verdict": CANNOT_SAY, "says": why}


def _between(
    claim: str, where: str, measures: str, expected: tuple[float, float], found: tuple[float, float, float]
) -> dict[str, Any]:
    _, low, high = found
    if math.isnan(low) or math.isnan(high):
        verdict, says = CANNOT_SAY, f"a run with {_ENOUGH} would decide"
    elif low > expected[1]:
        verdict, says = DOES_NOT_HOLD, "more than claimed"
    elif high < expected[0]:
        verdict, says = DOES_NOT_HOLD, "less than claimed"
    elif expected[0] <= low and high <= expected[1]:
        verdict, says = HOLDS, ""
    else:
        verdict, says = CANNOT_SAY, f"the interval is partly outside the claim; {_MORE}"
    return _row(claim, where, measures, expected, found, verdict, says)


def _open(claim: str, measures: str, expected: tuple[float, float], needed: str) -> dict[str, Any]:
    nothing = (math.nan, math.nan, math.nan)
    return _row(claim, "not in this run", measures, expected, nothing, CANNOT_SAY, f"{needed} would decide")


def _row(
    claim: str,
    where: str,
    measures: str,
    expected: tuple[float, float],
    found: tuple[float, float, float],
    verdict: str,
    says: str,
) -> dict[str, Any]:
    source = _SOURCES.get(claim, _FASTER_SOURCE)
    return dict(zip(COLUMNS, (claim, source, where, measures, *expected, *found, verdict, says), strict=True))


def _within(row: Mapping[str, Any]) -> str:
    return str(row["within"]) or "all configurations"


def _saving(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """A ratio of times and its interval as the share that is saved."""
    return 1 - row["ratio"], 1 - row["high"], 1 - row["low"]


def claimed(found: pd.DataFrame, stored: StoredRun) -> Html:
    """Each rule with what was measured, whether it is true here, and which run would decide; of a lab with a link."""
    columns = [
        Column(title="Rule of thumb", prose=True),
        Column(title="Where"),
        Column(title="Measured", number=True),
        Column(title="Interval", number=True, hint="of a comparison: as in Comparisons; else 95%"),
        Column(title="Here"),
        Column(title="What this run lacks, or how it differs", prose=True),
    ]
    texts = {"ratio": numbers.ratio, "share": numbers.percent, "seconds": numbers.seconds}
    rows = []
    for row in records(found):
        text = texts[row["measures"]]
        span = numbers.NOT_KNOWN if row["low"] != row["low"] else f"{text(row['low'])} – {text(row['high'])}"
        claim = tag("span", row["claim"], title=row["source"])
        rows.append(
            Row(contents=[claim, row["where"], text(row["measured"]), span, pill(row["verdict"]), marked(row["says"])])
        )
    said = (
        "Guides to pulling images across regions give these rules, and teams quote them. A rule is true here where the "
        "whole interval is within it, and not true where the interval is outside. Fewer than "
        f"{_ENOUGH} decide nothing about times, and nor does a client-limited comparison. A client-limited mean, of docker too, can "
        "show that a pull takes less than 3 s, but not that it takes longer: a larger machine pulls faster."
    )
    of_a_lab = [" This run is of a lab: see ", unknown_link(), "."] if only_loopback(stored) else []
    made = table(columns, rows, caption="Rules of thumb compared with this run")
    return join([made, paragraph(said, *of_a_lab, kind="note")])
