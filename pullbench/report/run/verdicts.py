"""The verdict over a run in sentences: which setting is fastest, by how much, how sure that is, and whether the SLOs are met.

Fastest means one thing in headline, tables and console: the least time per image, a trial's wall time by its pulls.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import is_limited, limit_kind, limit_says
from pullbench.report.core.slo_words import measured_text, slo_name, slo_place, target_text, what_it_needs
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.fleet import times as fleet_times
from pullbench.report.run.contrasts import wall_blocks
from pullbench.report.run.slos import each_shown, slos, verdict_rows
from pullbench.stats.compare import Comparison, ComparisonVerdict, compare_paired
from pullbench.stats.summary import MIN_BLOCKS

ENOUGH_BLOCKS = 5
_HELD = ("engine_kind", "platform", "cache")
"""What contenders have in common: another value of these is other work, not a faster way to the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The verdict over a run: `title` a few words, `clauses` one thought each.

    `status` is met, partly (met or open in all, missed by some setting), missed, not_shown or failed. A clause that is a
    sentence ends with its full stop.
    """

    status: str
    title: str
    clauses: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The clauses as one text."""
        said = ""
        for clause in self.clauses:
            said += ("" if not said else " " if said.endswith(".") else "; ") + clause
        return said if said.endswith(".") else f"{said}."

    def document(self) -> dict[str, Any]:
        """The verdict as a run's document has it."""
        return {"status": self.status, "title": self.title, "sentence": self.sentence, "clauses": list(self.clauses)}


def headline(stored: StoredRun, table: pd.DataFrame, scores: pd.DataFrame) -> Headline:
    """Which setting wins, by how much, and whether the SLOs are met; what lacks trials says so, whatever its status."""
    if table.empty or not table["pulls"].sum():
        return _nothing_measured(stored)
    if not table["succeeded"].sum():
        found = _every_pull_failed(stored, int(table["pulls"].sum()))
    else:
        judged = _by_slo(scores)
        of_nodes = stored.run.kind == "fleet"
        how_fast = fleet_times.summary(fleet_times.cells(stored)) if of_nodes else fastest_clauses(stored, table)
        found = replace(judged, clauses=(*how_fast, *judged.clauses))
    return _so_far(found, len(stored.trials), stored.run.trials_planned)


def judged(stored: StoredRun) -> Headline | None:
    """The same of a run whose spec sets an SLO; None where it sets none, or nothing was measured."""
    table = tables.cells(stored.pulls, stored.trials)
    wanted = stored.targets and len(table)
    return headline(stored, table, slos(stored, table)) if wanted else None


def _so_far(found: Headline, finished: int, planned: int) -> Headline:
    """The headline of a run that lacks trials: it may miss an SLO, but has not met any yet."""
    if finished >= planned:
        return found
    title = "Every SLO met so far" if found.status == "met" else found.title
    so_far = f"{finished:,} of {numbers.count(planned, 'trial')}"
    return Headline(
        status="not_shown" if found.status == "met" else found.status,
        title=f"{title} (run incomplete: {so_far})",
        clauses=(*found.clauses, f"the run is incomplete, {so_far} are in it"),
    )


def _every_pull_failed(stored: StoredRun, pulls: int) -> Headline:
    failures = tables.errors(stored)
    code, remedy = failures.iloc[0]["code"], failures.iloc[0]["remedy"]
    clauses = (
        f"None of {numbers.count(pulls, 'pull')} succeeded, so there is no time to report",
        f"the most frequent error is {code}: {remedy}",
    )
    return Headline(status="failed", title="Every pull failed", clauses=clauses)


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
        clauses = (f"Preflight stopped the run before any load: {checks} failed", "the findings say what to do")
        return Headline(status="failed", title="Not ready: preflight failed", clauses=clauses)
    what = (
        f"Only warm-up was finished, {finished:,} of {numbers.count(planned, 'trial')}"
        if finished
        else "No trial was finished"
    )
    clauses = (f"{what}, so there is nothing to report yet", "`--resume` goes on where the run stopped")
    return Headline(status="not_shown", title="Nothing was measured", clauses=clauses)


def _by_slo(scores: pd.DataFrame) -> Headline:
    """The SLOs by engine and by configuration."""
    rows = verdict_rows(scores)
    if not rows:
        clauses = ("no SLO is configured, so nothing is judged",)
        return Headline(status="not_shown", title="No SLO is configured", clauses=clauses)
    status, title, *said = _in_all(rows)
    missing = list(dict.fromkeys(name for row in rows for name in row["missed_by"]))
    if missing and not any(row["configuration"] for row in rows):
        by_slo = [
            f"the {slo_name(row['name'])} is missed by {numbers.first_few(row['missed_by'])}"
            for row in rows
            if row["missed_by"]
        ]
        said.append(f"by configuration, {numbers.listed(by_slo)}")
        if status != "missed":
            more = (
                f" and {numbers.count(len(missing) - 1, 'configuration').replace(' ', ' more ', 1)}"
                if missing[1:]
                else ""
            )
            verb = "miss" if missing[1:] else "misses"
            status, title = "partly", f"Not ready everywhere: {missing[0]}{more} {verb} an SLO"
    elif status == "met" and not each_shown(scores):
        said.append("no configuration misses one, but some are inconclusive")
    return Headline(status=status, title=title, clauses=tuple(said))


def _in_all(rows: list[dict[str, Any]]) -> tuple[str, str, str]:
    """Status, title and clause over the rows that are verdicts of their own."""
    missed = [row for row in rows if row["verdict"] == "missed"]
    open_ = [row for row in rows if row["verdict"] == "not_shown"]
    count, of = numbers.count(len({row["name"] for row in rows}), "SLO"), len({row["name"] for row in missed})
    if missed:
        said = numbers.listed(
            [f"{_slo_of(row)} {measured_text(row)}, target {target_text(row['name'], row['target'])}" for row in missed]
        )
        verb, missing = "is" if of == 1 else "are", f"{of} of {count}"
        return "missed", f"Not ready: {missing} missed", f"{missing} {verb} missed: {said}"
    if open_:
        names = [f"{_slo_of(row)} ({what_it_needs(row)})" for row in open_]
        verb = "is" if len(names) == 1 else "are"
        said = f"no SLO is missed, but {numbers.listed(names)} {verb} inconclusive"
        return "not_shown", f"No SLO missed; {len({row['name'] for row in open_})} inconclusive", said
    return "met", "Ready: every SLO met", "the SLO is met" if count == "1 SLO" else f"all {count} are met"


def _slo_of(row: Mapping[str, Any]) -> str:
    """`mean pull time of docker`."""
    return " of ".join(filter(None, [slo_name(row["name"]), slo_place(row)]))


def _named(factor: str, value: object) -> str:
    if factor != "concurrency":
        return str(value)
    return "one at a time" if value == 1 else f"{value} at once"


def contenders(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """The cells among which a setting can be chosen: engines that do the same work, one platform, one state of the cache.

    The engines are those that unpack into a store, as users' clients do, where there are any, else one kind; the platform
    is this machine's; the cache cold. What other engines or platforms do is other work, not a faster way to the same.
    """
    kinds = list(table["engine_kind"].unique())
    stores = [kind for kind in kinds if CAPABILITIES[kind].has_store]
    chosen: pd.DataFrame = table[table["engine_kind"].isin(stores or kinds[:1])]
    for column, wanted in (("platform", stored.host_platform), ("cache", "cold")):
        some = chosen[chosen[column] == wanted]
        chosen = some if len(some) else chosen[chosen[column] == chosen[column].iloc[0]]
    return chosen


def fastest_clauses(stored: StoredRun, table: pd.DataFrame) -> list[str]:
    """The fastest of the contenders with its lead, and what keeps that from being the last word; or why there is none."""
    chosen = contenders(stored, table)
    winner = tables.best(chosen)
    held = _held(table, chosen)
    if winner is None:
        return [f"No setting{held} was free of failures{_most_often(stored, chosen)}, so none can be recommended"]
    cell = records(chosen.loc[[winner]])[0]
    span = numbers.seconds_range(cell["wall_per_pull_low_s"], cell["wall_per_pull_high_s"])
    every = numbers.seconds(cell["wall_per_pull_s"])
    every += f" (95% interval {span})" if span != numbers.NOT_KNOWN else ""
    if len(chosen) == 1:
        said = f"{tables.setting(cell)}{held}, brings an image every {every}, a single pull taking {numbers.seconds(cell['median_s'])}"
    else:
        of = f" of the {numbers.count(len(chosen), 'setting')}{held}" if held else ""
        said = f"Fastest by time per image{of} is {tables.setting(cell)}: an image every {every}{_lead(stored, chosen, winner)}"
    return [said, *_reservations(chosen, cell)]


def _held(table: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """` with docker, cold cache`: what all contenders have, where not every cell of the run has it."""
    words = {"cache": "{} cache"}
    values = [
        words.get(name, "{}").format(" or ".join(map(str, chosen[name].unique())))
        for name in _HELD
        if table[name].nunique() > chosen[name].nunique()
    ]
    return f" with {', '.join(values)}" if values else ""


def _most_often(stored: StoredRun, chosen: pd.DataFrame) -> str:
    """The most frequent error of the contenders, in brackets."""
    failures = tables.errors(stored, records(chosen))
    return f" (most often {failures.iloc[0]['code']})" if len(failures) else ""


def _lead(stored: StoredRun, chosen: pd.DataFrame, winner: Any) -> str:
    """By how much the winner leads the best other route, or the next setting where there is one route alone.

    The winner was picked as the least of all, so its p is corrected for every contender it could have been beside.
    """
    cell, rivals = records(chosen.loc[[winner]])[0], chosen.drop(index=winner)
    same_route = (rivals["registry"] == cell["registry"]) & (rivals["proxy"] == cell["proxy"])
    others, kind = (rivals, "setting") if same_route.all() else (rivals[~same_route], "route")
    second = tables.best(others)
    if second is None:
        return f", and no other {kind} was free of failures"
    mine, *theirs = wall_blocks(stored, [cell, *records(rivals)])
    answers = compare_paired([(blocks, mine) for blocks in theirs])
    answer = answers[rivals.index.get_loc(second)]
    beside = f"the {'best other route' if kind == 'route' else 'next'}"
    return _lead_over(answer, beside, tables.setting(records(rivals.loc[[second]])[0]))


def _lead_over(answer: Comparison, beside: str, second: str) -> str:
    if answer.verdict == ComparisonVerdict.NO_DIFFERENCE:
        return f", though {second} differs by less than 5%"
    if (
        answer.ratio
        and answer.ratio < 1
        and answer.verdict in (ComparisonVerdict.FASTER, ComparisonVerdict.TOO_FEW_SAMPLES)
    ):
        speed = numbers.significant(1 / answer.ratio)
        if answer.low and answer.high:
            return f", {speed} times ({numbers.ratio_range(1 / answer.high, 1 / answer.low)}) as fast as {beside}, {second}"
        return f", {speed} times as fast as {beside}, {second}, in {numbers.count(answer.blocks, 'block')}"
    return f", though this run cannot tell it from {second}"


def _reservations(chosen: pd.DataFrame, cell: dict[str, Any]) -> Iterator[str]:
    """What keeps the winner from being the last word."""
    if not numbers.known(cell["wall_per_pull_low_s"]):
        verb = "gives" if cell["blocks"] == 1 else "give"
        yield (
            f"take it as a hint, for {numbers.count(int(cell['blocks']), 'block')} {verb} no interval "
            f"({ENOUGH_BLOCKS} do)"
        )
    yield from _left_out(chosen[chosen["wall_per_pull_s"] < cell["wall_per_pull_s"]])
    if cell["found_cached"]:
        yield f"{numbers.count(int(cell['found_cached']), 'pull')} that should have been cold found layers"
    if cell["proxy_other"]:
        trials = numbers.count(int(cell["proxy_other"]), "trial")
        yield f"the mirror was not {cell['proxy_cache']} in {trials} that should have found it so"
    if is_limited(cell):
        yield f"{limit_says(cell)}, so the registry may be faster than that"
    elif held_back := sum(is_limited(row) and limit_kind(row) == "client_busy" for row in records(chosen)):
        may = "another setting" if held_back == 1 else f"{held_back} other settings"
        yield f"{may} may be faster than {'it looks' if held_back == 1 else 'they look'}, for there the client was at its limit"


def _left_out(faster: pd.DataFrame) -> Iterator[str]:
    """The settings that looked faster and cannot be the winner, with the reasons that there are."""
    if faster.empty:
        return
    failed = bool((faster["succeeded"] < faster["pulls"]).any())
    other = bool((faster["found_cached"] > 0).any() or (faster["proxy_other"] > 0).any())
    reasons = " or ".join([*(["failures"] if failed else []), *(["wrong cache states"] if other else [])])
    left = "is" if len(faster) == 1 else "are"
    yield f"left out {left} {numbers.count(len(faster), 'setting')} that looked faster, with {reasons}"
