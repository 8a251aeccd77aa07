"""What to do after a run, the most pressing first: what a reader with two minutes takes along."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.break_even import setting_name
from pullbench.report.run.concurrency import Curve, at_once, curve_of, curve_says, undecided
from pullbench.report.run.verdicts import contenders
from pullbench.stats.break_even import Payback

MOST_CHECKS = 3
MOST_ERRORS = 2
_CACHE = {
    Payback.AT_ONCE.value: "Pull through {} what is pulled often",
    Payback.AFTER.value: "Pull through {} what is pulled often",
    Payback.NEVER.value: "Pull past {}",
}
_HURTS_ALL = ("drift", "few_blocks")
"""Warnings of the whole run that bear on every recommendation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to do, in a few words, and why."""

    what: str
    why: str


def advice(
    stored: StoredRun, table: pd.DataFrame, curves: Sequence[Curve], warnings: pd.DataFrame, paid: pd.DataFrame
) -> list[Advice]:
    """What to mend, what to set and what to measure again; the arguments are those of the report's other sections."""
    return [
        *_go_on(stored),
        *_checks(stored.checks),
        *_failures(stored),
        *_setting(stored, table, curves),
        *_cache(paid),
        *_again(warnings),
    ]


def _go_on(stored: StoredRun) -> Iterator[Advice]:
    finished, planned = len(stored.trials), stored.run.trials_planned
    if finished < planned and finished:
        yield Advice(
            what="Finish the run",
            why=f"{finished:,} of {numbers.count(planned, 'trial')} are in it: `pullbench run SPEC --resume {stored.run.run_id}`",
        )


def _checks(checks: pd.DataFrame) -> Iterator[Advice]:
    """A line a failed check, whatever the number of its targets."""
    failed = checks[checks["status"] == "fail"] if len(checks) else checks
    groups = [] if failed.empty else [records(mine) for _, mine in failed.groupby("check", sort=False)]
    for rows in groups[:MOST_CHECKS]:
        more = f" and {numbers.count(len(rows) - 1, 'more target')}" if len(rows) > 1 else ""
        yield Advice(what=f"Mend {rows[0]['check']} of {rows[0]['target']}{more}", why=str(rows[0]["remedy"]))
    if len(groups) > MOST_CHECKS:
        yield Advice(
            what=f"Mend {numbers.count(len(groups) - MOST_CHECKS, 'more failed check')}",
            why="they stand under Preflight",
        )


def _failures(stored: StoredRun) -> Iterator[Advice]:
    for row in records(tables.errors(stored).head(MOST_ERRORS)):
        yield Advice(
            what=f"Look into {row['code']}",
            why=f"{numbers.count(int(row['count']), 'pull')} ({numbers.percent(row['share'])}) failed with it: {row['remedy']}",
        )


def _setting(stored: StoredRun, table: pd.DataFrame, curves: Sequence[Curve]) -> Iterator[Advice]:
    """How many at once are enough where an image takes the least time; how sure that way is, the headline says."""
    chosen = contenders(stored, table) if len(table) else table
    winner = tables.best(chosen) if len(table) else None
    if winner is None:
        return
    cell = records(chosen.loc[[winner]])[0]
    curve = curve_of(curves, cell)
    if curve is not None and undecided(curve.scaling):
        yield Advice(what="Measure again to choose how many at once", why=curve_says(curve))
    if curve is not None and curve.scaling.recommended is not None:
        way = tables.label(cell, [name for name in tables.varying(chosen) if name != "concurrency"])
        what = f"Pull {at_once(curve.scaling.recommended)}"
        yield Advice(what=f"{what} ({way})" if way else what, why=curve_says(curve))


def _cache(paid: pd.DataFrame) -> Iterator[Advice]:
    """Whether a cache pays, where every setting that can tell says the same of it."""
    if paid.empty:
        return
    told = paid[paid["verdict"].isin(_CACHE)].assign(what=lambda rows: rows["verdict"].map(_CACHE))
    for proxy, mine in told.groupby("proxy", sort=False):
        if mine["what"].nunique() == 1:
            longest = records(mine.loc[[mine["pulls"].fillna(0.0).idxmax()]])[0]
            where = f"with {setting_name(longest, tables.varying(mine))} it " if tables.varying(mine) else "it "
            yield Advice(what=longest["what"].format(proxy), why=f"{where}{longest['says']}")


def _again(warnings: pd.DataFrame) -> Iterator[Advice]:
    for row in records(warnings):
        if row["kind"] in _HURTS_ALL and row["scope"] == "all":
            yield Advice(what="Take the numbers with care", why=f"{row['says']}; {row['remedy']}")
