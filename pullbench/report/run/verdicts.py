"""What the numbers say, in sentences for a person: honest where they say nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.fleet import times as fleet_times
from pullbench.report.run import objective_words
from pullbench.report.run.fastest import fastest_sentence
from pullbench.report.run.objectives import each_shown, objectives, whole_run
from pullbench.stats.compare import ComparisonVerdict
from pullbench.stats.summary import MIN_BLOCKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The verdict over a run: `title` a few words, `sentence` one.

    `status` is met, partly (met or open in all, missed by some setting), missed, not_shown or failed.
    """

    status: str
    title: str
    sentence: str


def headline(stored: StoredRun, table: pd.DataFrame, scores: pd.DataFrame) -> Headline:
    """Which setting wins, by how much, and whether the objectives hold; what lacks trials says so, whatever its status."""
    if table.empty or not table["pulls"].sum():
        return _nothing_measured(stored)
    if not table["succeeded"].sum():
        found = _every_pull_failed(stored, int(table["pulls"].sum()))
    else:
        judged = _objectives(scores)
        of_nodes = stored.run.kind == "fleet"
        how_fast = fleet_times.summary(fleet_times.cells(stored)) if of_nodes else fastest_sentence(stored, table)
        found = replace(judged, sentence=f"{how_fast.removesuffix('.')}; {judged.sentence}.")
    return _so_far(found, len(stored.trials), stored.run.trials_planned)


def judged(stored: StoredRun) -> Headline | None:
    """The same of a run whose spec has objectives; None where it has none, or nothing was measured."""
    table = tables.cells(stored.pulls, stored.trials)
    wanted = any(target is not None for target in stored.slo.values()) and len(table)
    return headline(stored, table, objectives(stored, table)) if wanted else None


def _so_far(found: Headline, finished: int, planned: int) -> Headline:
    """The headline of a run that lacks trials: it may miss an objective, but has not met any yet."""
    if finished >= planned:
        return found
    title = "Every objective met so far" if found.status == "met" else found.title
    return Headline(
        status="not_shown" if found.status == "met" else found.status,
        title=f"{title} (run incomplete: {finished:,} of {numbers.count(planned, 'trial')})",
        sentence=f"{found.sentence.removesuffix('.')}; the run is incomplete, {finished:,} of {numbers.count(planned, 'trial')} are in it.",
    )


def _every_pull_failed(stored: StoredRun, pulls: int) -> Headline:
    failures = tables.errors(stored.pulls)
    code, remedy = failures.iloc[0]["code"], failures.iloc[0]["remedy"]
    said = f"None of {numbers.count(pulls, 'pull')} succeeded, so there is no time to report; the most frequent error is {code}: {remedy}."
    return Headline(status="failed", title="Every pull failed", sentence=said)


def contrast_sentence(row: Mapping[str, Any]) -> str:
    """One comparison in words, with its interval, or why it cannot be told."""
    baseline, candidate = _named(row["factor"], row["baseline"]), _named(row["factor"], row["candidate"])
    if row["factor"] == "concurrency":
        candidate = f"The whole with {candidate}"
    within = f" ({row['within']})" if row["within"] else ""
    span = f"95% interval {numbers.ratio_range(row['low'], row['high'])}"
    match row["verdict"]:
        case ComparisonVerdict.FASTER:
            speed = numbers.significant(1 / row["ratio"])
            span = f"95% interval {numbers.ratio_range(1 / row['high'], 1 / row['low'])}"
            return f"{candidate} is {speed} times as fast as {baseline}{within}, {span}."
        case ComparisonVerdict.SLOWER:
            return f"{candidate} takes {numbers.significant(row['ratio'])} times as long as {baseline}{within}, {span}."
        case ComparisonVerdict.NO_DIFFERENCE:
            return f"{candidate} and {baseline} differ by less than 5%{within}: {numbers.ratio(row['ratio'])}, {span}."
        case ComparisonVerdict.TOO_FEW_SAMPLES:
            return (
                f"{candidate} against {baseline}{within}: too few samples, {numbers.count(row['blocks'], 'block')} in "
                f"common and {MIN_BLOCKS} needed."
            )
    return (
        f"{candidate} against {baseline}{within} cannot be told: {numbers.ratio(row['ratio'])}, {span}; "
        "more blocks narrow it."
    )


def _nothing_measured(stored: StoredRun) -> Headline:
    finished, planned = len(stored.trials), stored.run.trials_planned
    failed = stored.checks[stored.checks["status"] == "fail"] if len(stored.checks) else stored.checks
    if len(failed) and not finished:
        checks = ", ".join(dict.fromkeys(f"{row['check']} of {row['target']}" for row in records(failed)[:3]))
        said = f"Preflight stopped the run before any load: {checks} failed; the findings say what to do."
        return Headline(status="failed", title="Not ready: preflight failed", sentence=said)
    what = (
        f"Only warm-up was finished, {finished:,} of {numbers.count(planned, 'trial')}"
        if finished
        else "No trial was finished"
    )
    said = f"{what}, so there is nothing to report yet; `--resume` goes on where the run stopped."
    return Headline(status="not_shown", title="Nothing was measured", sentence=said)


def _objectives(scores: pd.DataFrame) -> Headline:
    """The objectives over the whole run and setting by setting; the sentence is a clause, without a full stop."""
    rows = whole_run(scores)
    if not rows:
        said = "the spec sets no objective to judge it by"
        return Headline(status="not_shown", title="No objectives were set", sentence=said)
    status, title, said = _in_all(rows)
    missing = list(dict.fromkeys(name for row in rows for name in row["missed_by"]))
    if missing:
        by_objective = [
            f"{objective_words.NAMES[row['name']]} is missed by {objective_words.some(row['missed_by'])}"
            for row in rows
            if row["missed_by"]
        ]
        said += f"; setting by setting, {objective_words.listed(by_objective)}"
        if status != "missed":
            more = (
                f" and {len(missing) - 1} more {'setting' if len(missing) == 2 else 'settings'}" if missing[1:] else ""
            )
            verb = "miss" if missing[1:] else "misses"
            return Headline(
                status="partly", title=f"Not ready everywhere: {missing[0]}{more} {verb} an objective", sentence=said
            )
    elif status == "met" and not each_shown(scores):
        said += "; setting by setting none is missed, though it is not proven for each"
    return Headline(status=status, title=title, sentence=said)


def _in_all(rows: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Status, title and clause over the whole run."""
    missed = [row for row in rows if row["verdict"] == "missed"]
    open_ = [row for row in rows if row["verdict"] == "not_shown"]
    count, over = numbers.count(len(rows), "objective"), objective_words.over_all(rows[0]["settings"])
    if missed:
        told = objective_words.listed(
            [
                f"{objective_words.NAMES[row['name']]} {objective_words.measured(row)} where "
                f"{objective_words.asked(row['name'], row['target'])} is asked"
                for row in missed
            ]
        )
        verb = "is" if len(missed) == 1 else "are"
        return (
            "missed",
            f"Not ready: {len(missed)} of {count} missed",
            f"{len(missed)} of {count} {verb} missed{over}: {told}",
        )
    if open_:
        names = [f"{objective_words.NAMES[row['name']]} ({objective_words.why_not_shown(row)})" for row in open_]
        verb = "is" if len(names) == 1 else "are"
        said = f"no objective is missed{over}, but {objective_words.listed(names)} {verb} not proven"
        return "not_shown", f"No objective missed; {len(open_)} not proven", said
    every = "the objective is met" if len(rows) == 1 else f"all {count} are met"
    return "met", "Ready: every objective met", every + over


def _named(factor: str, value: object) -> str:
    if factor != "concurrency":
        return str(value)
    return "one at a time" if value == 1 else f"{value} at once"
