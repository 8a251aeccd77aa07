"""Warnings about a run's numbers: what was seen, what it does to the result, and what to do. A row a warning."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pullbench.report.core import numbers
from pullbench.report.core.client_limit import is_limited, limit_kind, limit_remedy, limit_says
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import CellRows, Rows, by_block, label, trials_over_time, varying
from pullbench.report.render.html import (
    Column,
    Html,
    Row,
    join,
    marked,
    paragraph,
    table,
    tag,
)
from pullbench.stats import stability
from pullbench.stats.compare import MARGIN, holm
from pullbench.stats.summary import CONFIDENCE, MIN_BLOCKS, MOST_REPETITIONS, blocks_needed

_MOST_ALIKE = 3
"""Configurations with the same kind of warning that have a row each."""
ALL = "all"
COLUMNS = ["scope", "kind", "value", "n", "says", "remedy"]
ENOUGH_BLOCKS = 5
"""Under these an interval is more than half as wide again as the spread alone would make it."""
_QUIETER = "Measure on a quieter machine and network."
LATE = 0.1
"""A pull of an open loop that waited for more than this share of its duration before it started."""
REMEDIES = {
    "drift": "Comparisons within the run are still fair, since all configurations drift together. The times themselves are not: "
    "repeat the run when registry and network are quiet, or increase `warmup`.",
    "odd_block": "Look at the trials over time and at what else ran then. With more repetitions one of them weighs less.",
    "outliers": "The median is safe; means and high percentiles are not. Look at the phases of these pulls in pulls.parquet.",
    "two_kinds": "The median describes neither kind. Compare served_by and layers_shared of the fast and the slow pulls: two caches, "
    "two hosts or shared layers are usual causes. Measure them separately, by `proxy_cache` or by registry.",
    "few_blocks": "Set `repetitions` to 5 or more.",
    "wide": "Set `repetitions` to that number where differences under 10% matter.",
    "late_starts": "The time counts from the intended start. Raise `concurrency` if the registry keeps up; otherwise "
    "the offered `rate` is more than it can handle.",
}


def warnings(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """One row a warning, those of the whole run (scope `all`) first; COLUMNS. `table` is that of `tables.cells`.

    `value` is what was seen: a ratio for drift, odd_block and two_kinds, a share for outliers, client_busy and machine_busy, repetitions for
    few_blocks and wide (how many would do), a share for late_starts; `n` the repetitions or pulls behind it. Of an odd
    repetition and a configuration's drift, p is Holm-corrected over the configurations.
    """
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    factors, cells = varying(table), records(table)
    names = [label(cell, factors) or ALL for cell in cells]
    rows_of = CellRows(stored.pulls, ("block", "image", "ok", "latency_s", "queued_s", "duration_s"))
    mine = [_succeeded(rows_of.of(cell)) for cell in cells]
    rows = [*_of_the_run(stored, int(table["blocks"].max())), *_odd_blocks(names, mine)]
    for name, cell, fine in zip(names, cells, mine, strict=True):
        rows += _of_a_cell(name, cell, fine, stored.environment)
    return pd.DataFrame(_one_on_repetitions(rows), columns=COLUMNS)


def _one_on_repetitions(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One warning on how many repetitions there are: too few for any interval, else the configuration that needs the most."""
    wide = [row for row in rows if row["kind"] == "wide"]
    others = [row for row in rows if row["kind"] != "wide"]
    if not wide or any(row["kind"] == "few_blocks" for row in rows):
        return others
    most = max(wide, key=lambda row: row["value"])
    verb = "vary less" if most["remedy"] == _QUIETER else "need fewer"
    if len(wide) == 2:
        verb = verb.replace("vary", "varies").replace("need", "needs")
    more = f"; {numbers.count(len(wide) - 1, 'other configuration')} {verb}" if len(wide) > 1 else ""
    return [*others, most | {"says": most["says"] + more}]


def _succeeded(pulls: Rows) -> Rows:
    ok = pulls["ok"].astype(bool)
    return {name: values[ok] for name, values in pulls.items()}


def _of_the_run(stored: StoredRun, blocks: int) -> Iterator[dict[str, Any]]:
    if blocks < ENOUGH_BLOCKS:
        gives = (
            "give wide intervals" if blocks >= MIN_BLOCKS else "give no interval" if blocks > 1 else "gives no interval"
        )
        says = f"{numbers.count(blocks, 'repetition')} {gives}"
        yield _row(ALL, "few_blocks", blocks, blocks, says)
    trials = trials_over_time(stored.pulls, stored.trials)
    counted = trials[~trials["warmup"].astype(bool) & trials["ratio"].notna()]
    ratios = by_block(counted["ratio"], counted["block"])
    shared = {block: float(np.median(values)) for block, values in ratios.items()}
    found = stability.drift(shared)
    if found is not None and found.p < 1 - CONFIDENCE and not 1 / (1 + MARGIN) <= found.ratio <= 1 + MARGIN:
        trend = "slower" if found.ratio > 1 else "faster"
        says = (
            f"Pulls became {trend} from the first repetition to the last: {numbers.ratio(found.ratio)} the time "
            f"(95% CI {numbers.ratio_range(found.low, found.high)})"
        )
        yield _row(ALL, "drift", found.ratio, found.blocks, says)


def _odd_blocks(names: Sequence[str], cells: Sequence[Rows]) -> Iterator[dict[str, Any]]:
    found = []
    for name, fine in zip(names, cells, strict=True):
        blocks = by_block(fine["latency_s"], fine["block"])
        odd = stability.odd_block({block: float(np.median(values)) for block, values in blocks.items()})
        if odd is not None:
            found.append((name, odd, len(blocks)))
    for (name, odd, n), p in zip(found, holm([odd.p for _, odd, _ in found]), strict=True):
        if p < 1 - CONFIDENCE:
            says = f"Repetition {odd.block} took {numbers.ratio(odd.ratio)} the time of the others"
            yield _row(name, "odd_block", odd.ratio, n, says)


def _of_a_cell(
    name: str, cell: Mapping[str, Any], fine: Rows, environment: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    times = fine["latency_s"]
    if len(times) and (times > 0).all():
        left = stability.centred(times, fine["block"], fine["image"])
        yield from _of_pulls(name, left)
    if numbers.known(cell["median_low_s"]):
        needed = blocks_needed(list(by_block(times, fine["block"]).values()), 2 * MARGIN)
        if needed is not None and needed > cell["blocks"]:
            yield _wide(name, needed, int(cell["blocks"]))
    late = fine["queued_s"][fine["queued_s"] > LATE * fine["duration_s"]]
    if len(late):
        says = (
            f"{len(late)} of {numbers.count(len(times), 'pull')} started late (median "
            f"{numbers.seconds(float(np.median(late)))}): the highest concurrency was in use"
        )
        yield _row(name, "late_starts", len(late) / len(times), len(times), says)
    if is_limited(cell):
        said = (cell["client_busy"], int(cell["pulls"]), limit_says(cell, environment))
        yield _row(name, limit_kind(cell), *said, remedy=limit_remedy([cell], environment))


def _wide(name: str, needed: int, blocks: int) -> dict[str, Any]:
    """How many repetitions narrow the interval, where that is a number that someone measures."""
    if needed - blocks > MOST_REPETITIONS:
        says = "The interval of the median is wider than ±10%, and the times are too noisy to narrow it by repeating"
        return _row(name, "wide", needed, blocks, says, remedy=_QUIETER)
    says = f"For a median within ±10%, about {needed} repetitions are needed; this run has {blocks}"
    return _row(name, "wide", needed, blocks, says)


def _of_pulls(name: str, left: Any) -> Iterator[dict[str, Any]]:
    """Two kinds of pulls explain what else would be outliers, so only one of the two is reported."""
    kinds, far = stability.modes(left), stability.outliers(left)
    if kinds is not None:
        says = (
            f"There are two kinds of pulls: {numbers.percent(kinds.slower_share)} take {numbers.ratio(kinds.ratio)} as long as "
            "the rest, for the same image"
        )
        yield _row(name, "two_kinds", kinds.ratio, len(left), says)
    elif far is not None and far.many:
        says = (
            f"{far.count} of {numbers.count(far.n, 'pull')} are outliers, the farthest at "
            f"{numbers.ratio(far.farthest)} the typical time"
        )
        yield _row(name, "outliers", far.count / far.n, far.n, says)


def _row(scope: str, kind: str, value: float, n: int, says: str, remedy: str = "") -> dict[str, Any]:
    return dict(zip(COLUMNS, (scope, kind, value, n, says, remedy or REMEDIES[kind]), strict=True))


def stability_section(found: pd.DataFrame) -> Html:
    """The warnings, each with what to do.

    A warning that many configurations share is listed once, for the one where it weighs most; all are folded below.
    """
    if found.empty:
        return paragraph(
            "No warnings: no drift, outliers, two kinds of pulls, too few repetitions or client limit was found.",
            kind="note",
        )
    columns = [
        Column(title="Where", setting=True),
        Column(title="What was seen", prose=True),
        Column(title="What to do", prose=True),
    ]
    every = [_warning(row, row["scope"]) for row in records(found)]
    rows: list[Row] = []
    for kind, mine in found.groupby("kind", sort=False):
        if len(mine) <= _MOST_ALIKE:
            rows += [_warning(row, row["scope"]) for row in records(mine)]
            continue
        # A repetition may be odd because it is faster.
        weight = np.log(mine["value"]).abs() if kind == "odd_block" else mine["value"]
        worst = records(mine.loc[[weight.idxmax()]])[0]
        rows.append(_warning(worst, f"{numbers.count(len(mine), 'configuration')}, most in {worst['scope']}"))
    made = table(columns, rows, caption=numbers.count(len(found), "warning"))
    if len(rows) == len(every):
        return made
    folded = table(columns, every, caption="Every warning, configuration by configuration")
    return join([made, tag("details", tag("summary", "Every warning"), folded)])


def _warning(row: Mapping[str, Any], where: str) -> Row:
    return Row(contents=[where, row["says"], marked(row["remedy"])])
