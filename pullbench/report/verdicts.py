"""What the numbers say, in sentences for a person: honest where they say nothing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.report import numbers, tables
from pullbench.report.contrasts import wall_blocks
from pullbench.report.objectives import ALL, cells_of, overall
from pullbench.report.stored import StoredRun, records
from pullbench.stats.compare import Verdict, compare_paired
from pullbench.stats.summary import MIN_BLOCKS

OBJECTIVES = {
    "success_rate": "success rate",
    "mean_pull_s": "mean pull time",
    "p99_api_s": "99th percentile of API answers",
    "consecutive_failures": "failures in a row",
}
ENOUGH_BLOCKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The verdict over a run: `status` is met, missed, not_shown or failed; `title` a few words, `sentence` one."""

    status: str
    title: str
    sentence: str


def headline(stored: StoredRun, table: pd.DataFrame, scores: pd.DataFrame) -> Headline:
    """Which setting wins, by how much, and whether the objectives hold."""
    if table.empty or not table["pulls"].sum():
        return _nothing_measured(stored)
    succeeded, pulls = int(table["succeeded"].sum()), int(table["pulls"].sum())
    if not succeeded:
        failures = tables.errors(stored.pulls)
        code, remedy = failures.iloc[0]["code"], failures.iloc[0]["remedy"]
        said = f"None of {numbers.count(pulls, 'pull')} succeeded, so there is no time to report; most failed with {code}: {remedy}."
        return Headline(status="failed", title="Every pull failed", sentence=said)
    status, title, objectives = _objectives(scores)
    if stored.run.status == "incomplete":
        done, planned = len(stored.trials), stored.run.trials_planned
        title = f"{title} (incomplete run)"
        objectives += f"; the run is incomplete, {done} of {planned} trials are in it"
    return Headline(status=status, title=title, sentence=f"{_winner(stored, table)}; {objectives}.")


def contenders(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """The cells among which a setting can be chosen: one engine, one platform and, where there is one, cold cache.

    The engine is one that keeps images, as users' clients do, where there is one; the platform this machine's. What
    another engine or platform does is other work, not a faster way to the same.
    """
    stores = [engine for engine in table["engine_kind"].unique() if CAPABILITIES[engine].has_store]
    chosen: pd.DataFrame = table[table["engine_kind"] == (stores or [table["engine_kind"].iloc[0]])[0]]
    for column, wanted in (("platform", stored.host_platform), ("cache", "cold")):
        some = chosen[chosen[column] == wanted]
        chosen = some if len(some) else chosen[chosen[column] == chosen[column].iloc[0]]
    return chosen


def contrast_sentence(row: Mapping[str, Any]) -> str:
    """One comparison in words, with its interval, or why it cannot be told."""
    baseline, candidate = _named(row["factor"], row["baseline"]), _named(row["factor"], row["candidate"])
    if row["factor"] == "concurrency":
        candidate = f"The whole with {candidate}"
    within = f" ({row['within']})" if row["within"] else ""
    span = f"95% interval {numbers.ratio_range(row['low'], row['high'])}"
    match row["verdict"]:
        case Verdict.FASTER:
            speed = numbers.significant(1 / row["ratio"])
            span = f"95% interval {numbers.ratio_range(1 / row['high'], 1 / row['low'])}"
            return f"{candidate} is {speed} times as fast as {baseline}{within}, {span}."
        case Verdict.SLOWER:
            return f"{candidate} takes {numbers.significant(row['ratio'])} times as long as {baseline}{within}, {span}."
        case Verdict.NO_DIFFERENCE:
            return f"{candidate} and {baseline} differ by less than 5%{within}: {numbers.ratio(row['ratio'])}, {span}."
        case Verdict.TOO_FEW_SAMPLES:
            return (
                f"{candidate} against {baseline}{within}: too few samples, {numbers.count(row['blocks'], 'block')} in "
                f"common and {MIN_BLOCKS} needed."
            )
    return (
        f"{candidate} against {baseline}{within} cannot be told: {numbers.ratio(row['ratio'])}, {span}; "
        "more blocks narrow it."
    )


def objective_sentence(row: Mapping[str, Any], scores: pd.DataFrame) -> str:
    """What stands behind one objective's verdict over the whole run, and which cells differ from it."""
    noun = "API answer" if row["name"] == "p99_api_s" else "pull"
    behind = f"from {numbers.count(int(row['n']), noun)}" if row["n"] else f"no {noun} was seen"
    if not math.isnan(_number(row["low"])) and not math.isnan(_number(row["high"])):
        behind += f", 95% interval {_span(row['name'], row['low'], row['high'])}"
    if row["verdict"] == "not_shown" and row["n"]:
        behind += "; too few to say"
    missing = cells_of(scores, row["name"], "missed")
    if missing and row["verdict"] != "missed":
        behind += f"; missed by {numbers.count(len(missing), 'cell')} alone, such as {missing[0]}"
    elif missing:
        behind += f"; {numbers.count(len(missing), 'cell')} by themselves miss it"
    return behind


def objective_value(name: str, value: float | None) -> str:
    """An objective's number with its unit."""
    if value is None or math.isnan(value):
        return numbers.NOT_KNOWN
    if name == "success_rate":
        return numbers.percent(value)
    return numbers.seconds(value) if name.endswith("_s") else f"{value:g}"


def _span(name: str, low: float, high: float) -> str:
    if name.endswith("_s"):
        return numbers.seconds_range(low, high)
    return f"{objective_value(name, low)}–{objective_value(name, high)}"


def _number(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)


def _nothing_measured(stored: StoredRun) -> Headline:
    failed = stored.checks[stored.checks["status"] == "fail"] if len(stored.checks) else stored.checks
    if len(failed):
        checks = ", ".join(dict.fromkeys(f"{row['check']} of {row['target']}" for row in records(failed)[:3]))
        said = f"Preflight stopped the run before any load: {checks} failed; each finding below says what to do."
        return Headline(status="failed", title="Not ready: preflight failed", sentence=said)
    said = "No trial was finished, so there is nothing to report yet; `--resume` goes on where the run stopped."
    return Headline(status="not_shown", title="Nothing was measured", sentence=said)


def _objectives(scores: pd.DataFrame) -> tuple[str, str, str]:
    """Status, title and the clause about the objectives."""
    rows = scores[scores["scope"] == ALL]
    if rows.empty:
        return "not_shown", "No objectives were set", "the spec sets no objective to judge it by"
    missed = rows[rows["verdict"] == "missed"]
    open_ = rows[rows["verdict"] == "not_shown"]
    if overall(scores) == "missed":
        told = " and ".join(
            f"{OBJECTIVES[row['name']]} {objective_value(row['name'], row['measured'])} where "
            f"{objective_value(row['name'], row['target'])} is asked"
            for row in records(missed)
        )
        verb = "is" if len(missed) == 1 else "are"
        title = f"Not ready: {len(missed)} of {numbers.count(len(rows), 'objective')} missed"
        return "missed", title, f"{len(missed)} of {numbers.count(len(rows), 'objective')} {verb} missed: {told}"
    if len(open_):
        names = " and ".join(OBJECTIVES[name] for name in open_["name"])
        title = "No objective missed, not all shown"
        return "not_shown", title, f"no objective is missed, but more pulls are needed to show {names}"
    every = "the objective is met" if len(rows) == 1 else f"all {len(rows)} objectives are met"
    return "met", "Ready: every objective met", every


def _winner(stored: StoredRun, table: pd.DataFrame) -> str:
    chosen = contenders(stored, table)
    winner = tables.best(chosen)
    if winner is None:
        code = tables.errors(stored.pulls).iloc[0]["code"]
        return f"No setting was free of failures (most often {code}), so none can be recommended"
    cell = records(chosen.loc[[winner]])[0]
    every = numbers.seconds(cell["wall_per_pull_s"])
    span = numbers.seconds_range(cell["wall_per_pull_low_s"], cell["wall_per_pull_high_s"])
    spread = f" (95% interval {span})" if span != numbers.NOT_KNOWN else ""
    if len(chosen) == 1:
        said = f"{tables.setting(cell)}, brings an image every {every}{spread}, a single pull taking {numbers.seconds(cell['median_s'])}"
    else:
        said = f"Fastest is {tables.setting(cell)}: an image every {every}{spread}{_lead(stored, chosen, winner)}"
    if cell["blocks"] < MIN_BLOCKS:
        said += f"; take it as a hint, for {numbers.count(int(cell['blocks']), 'block')} give no interval ({ENOUGH_BLOCKS} do)"
    if cell["client_busy"] >= tables.BUSY_CLIENT:
        said += f"; the client itself was {cell['client_busy']:.0%} busy, so the registry may be faster than that"
    return said


def _lead(stored: StoredRun, chosen: pd.DataFrame, winner: Any) -> str:
    """By how much the winner leads the next route, or the next setting where there is one route alone."""
    cell = records(chosen.loc[[winner]])[0]
    route = (chosen["registry"] == cell["registry"]) & (chosen["proxy"] == cell["proxy"])
    others = chosen[~route] if (~route).any() else chosen.drop(index=winner)
    next_best = tables.best(others)
    if next_best is None:
        return ", and no other way was free of failures"
    second = records(others.loc[[next_best]])[0]
    (answer,) = compare_paired([(wall_blocks(stored, second), wall_blocks(stored, cell))])
    if answer.verdict == Verdict.FASTER and answer.ratio and answer.low and answer.high:
        span = numbers.ratio_range(1 / answer.high, 1 / answer.low)
        return f", {numbers.significant(1 / answer.ratio)} times ({span}) as fast as the next, {tables.setting(second)}"
    if answer.verdict == Verdict.TOO_FEW_SAMPLES and answer.ratio:
        return f", {numbers.significant(1 / answer.ratio)} times as fast as the next, {tables.setting(second)}"
    return f", though {tables.setting(second)} is as good as far as this run can tell"


def _named(factor: str, value: object) -> str:
    if factor != "concurrency":
        return str(value)
    return "one at a time" if value == 1 else f"{value} at once"
