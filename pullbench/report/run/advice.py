"""What to do after a run, the most pressing first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pullbench.model.factor_words import factor_text
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import LIMIT_KINDS, other_load
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.best import Choice, said_of_a_tie
from pullbench.report.run.concurrency import Curve, curve_of, curve_says, undecided
from pullbench.report.run.phases import LARGE, PullPhases
from pullbench.stats.break_even import Payback

MOST_CHECKS = 3
MOST_ERRORS = 2
_CACHE = {
    Payback.AT_ONCE.value: "Pull frequent images through {}",
    Payback.AFTER.value: "Pull frequent images through {}",
    Payback.NEVER.value: "Do not pull through {}",
}
_HURTS_ALL = ("drift", "few_blocks")
"""Warnings of the whole run that bear on every recommendation."""
_ONE_LAYER = 0.5
"""A layer from this share of its image on is named: splitting or shrinking others changes little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing to do, in a few words, and why."""

    what: str
    why: str


def advice(
    stored: StoredRun,
    choice: Choice | None,
    curves: Sequence[Curve],
    warnings: pd.DataFrame,
    paid: pd.DataFrame,
    phases: Sequence[PullPhases],
) -> list[Advice]:
    """What to fix, what to set and what to measure again; the arguments are those of the report's other sections."""
    found = [
        *_resume(stored),
        *_checks(stored.checks),
        *_failures(stored),
        *_phase(phases),
        *_concurrency(stored, choice, curves),
        *_cache(paid),
        *_idle(stored, warnings),
        *_again(warnings),
    ]
    return [replace(entry, why=f"{entry.why.rstrip('.')}.") for entry in found]


def _resume(stored: StoredRun) -> Iterator[Advice]:
    finished, planned = len(stored.trials), stored.run.trials_planned
    if finished < planned and finished:
        yield Advice(
            what="Finish the run",
            why=f"{finished:,} of {numbers.count(planned, 'trial')} are stored: `pullbench run SPEC --resume {stored.run.run_id}`",
        )


def _checks(checks: pd.DataFrame) -> Iterator[Advice]:
    """A line a failed check, whatever the number of its targets."""
    failed = checks[checks["status"] == "fail"] if len(checks) else checks
    groups = [] if failed.empty else [records(mine) for _, mine in failed.groupby("check", sort=False)]
    for rows in groups[:MOST_CHECKS]:
        more = f" and {numbers.count(len(rows) - 1, 'more target')}" if len(rows) > 1 else ""
        yield Advice(what=f"Fix {rows[0]['check']} of {rows[0]['target']}{more}", why=str(rows[0]["remedy"]))
    if len(groups) > MOST_CHECKS:
        yield Advice(
            what=f"Fix {numbers.count(len(groups) - MOST_CHECKS, 'more failed check')}",
            why="the section Preflight lists them",
        )


def _failures(stored: StoredRun) -> Iterator[Advice]:
    for row in records(tables.errors(stored).head(MOST_ERRORS)):
        yield Advice(
            what=f"Look into {row['code']}",
            why=f"{numbers.count(int(row['count']), 'pull')} ({numbers.percent(row['share'])}) failed with it: {row['remedy']}",
        )


def _phase(phases: Sequence[PullPhases]) -> Iterator[Advice]:
    """What the largest phase of a pull by an engine that unpacks calls for: nothing where no phase is large."""
    for found in phases:
        main = found.main
        if main is None or main.share < LARGE or not found.unpacks:
            continue
        share, took = f"{main.share:.0%}{found.from_some(main)}", numbers.seconds(found.median_s)
        if main.name == "extract":
            rest = numbers.seconds((1 - round(main.share, 2)) * found.median_s)
            yield Advice(
                what=f"Make unpacking cheaper ({found.engine})",
                why=f"it is {share} of the {took} of a pull. {_layers(found)} or a faster disk and CPU reduce it. "
                f"A faster registry or network can save at most the other {rest}.",
            )
        elif main.name == "download":
            yield Advice(
                what=f"Make the download faster ({found.engine})",
                why=f"it is {share} of the {took} of a pull. A nearer registry or mirror, smaller images, or more bandwidth reduce it.",
            )
        else:
            yield Advice(
                what=f"Look at the registry's API ({found.engine})",
                why=f"{share} of a pull is spent before the first layer: on login, manifests or waiting for them.",
            )


def _layers(found: PullPhases) -> str:
    """What to change about the layers: the one that is most of the image, where there is such a one."""
    if not found.layers:
        return "Fewer or smaller layers, zstd layers (Docker 23 or newer),"
    largest, whole = max(found.layers), sum(found.layers)
    if len(found.layers) > 1 and largest < _ONE_LAYER * whole:
        return "Fewer or smaller layers, zstd layers (Docker 23 or newer),"
    where = f"The largest layer has {numbers.size(largest)} of {numbers.size(whole)}, and a layer unpacks on one core."
    return f"{where} A smaller layer, zstd (Docker 23 or newer),"


def _concurrency(stored: StoredRun, choice: Choice | None, curves: Sequence[Curve]) -> Iterator[Advice]:
    """Which concurrency is enough where the verdict's configuration is; how sure that is, the verdict says."""
    curve = None if choice is None else curve_of(curves, choice.cell)
    if choice is None or curve is None:
        return
    if undecided(curve.scaling) or curve.scaling.recommended is not None:
        named = [name for name in tables.varying(choice.chosen) if name != "concurrency"]
        place = ", ".join(filter(None, (factor_text(name, choice.cell[name]) for name in named)))
        agrees = curve.scaling.recommended == choice.cell["concurrency"]
        what = f"Use concurrency {choice.cell['concurrency']}"
        why = curve_says(curve) if agrees or choice.is_clear else said_of_a_tie(stored, choice)
        yield Advice(what=f"{what} ({place})" if place else what, why=why)


def _cache(paid: pd.DataFrame) -> Iterator[Advice]:
    """Whether a cache pays, where every configuration that shows it agrees."""
    if paid.empty:
        return
    known = paid[paid["verdict"].isin(_CACHE)].assign(what=lambda rows: rows["verdict"].map(_CACHE))
    for proxy, mine in known.groupby("proxy", sort=False):
        if mine["what"].nunique() == 1:
            longest = records(mine.loc[[mine["pulls"].fillna(0.0).idxmax()]])[0]
            varying = tables.varying(mine)
            where = f"with {tables.label(longest, varying)} it " if varying else "it "
            yield Advice(what=longest["what"].format(proxy), why=f"{where}{longest['says']}")


def _idle(stored: StoredRun, warnings: pd.DataFrame) -> Iterator[Advice]:
    """Where this machine was the bottleneck, and other processes had a part in that."""
    load = other_load(stored.environment)
    if load and warnings["kind"].isin(LIMIT_KINDS).any():
        yield Advice(
            what="Repeat on an idle node",
            why=f"this machine was the bottleneck, also with other processes ({load})",
        )


def _again(warnings: pd.DataFrame) -> Iterator[Advice]:
    for row in records(warnings):
        if row["kind"] in _HURTS_ALL and row["scope"] == "all":
            yield Advice(what="Take the numbers with care", why=f"{row['says']}. {row['remedy']}")
