"""The verdict over a run in plain sentences: where the time goes, which configuration is best, whether the SLOs are met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pullbench.errors import ErrorCode
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import limit_notices
from pullbench.report.core.slo_words import measured_text, over_all, slo_name, slo_place, target_text, what_it_needs
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.fleet import times as fleet_times
from pullbench.report.run.best import Choice, best, best_title, choose, one_route, reservations
from pullbench.report.run.break_even import break_evens, pays_line
from pullbench.report.run.claims import only_loopback
from pullbench.report.run.images import images_scope
from pullbench.report.run.phases import PullPhases, cause, pull_phases
from pullbench.report.run.slos import each_shown, slos, verdict_rows
from pullbench.stats.compare import MARGIN, ComparisonVerdict, matters
from pullbench.stats.summary import MIN_BLOCKS

_MOST_WORDS = 30
"""Of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The verdict over a run: `title` a few words, `clauses` one thought each; without SLOs the title names the result.

    `status` is met, partly (met or open in all, missed by some configuration), missed, not_shown or failed. A clause that
    is a sentence ends with its full stop.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run says, in sentences, the most important first in each list."""

    cause: tuple[str, ...]
    """Where the time of a pull goes."""
    mirror: tuple[str, ...] = ()
    """Whether each mirror's cache pays."""
    best: tuple[str, ...]
    """The best configuration, and how it compares with the next."""
    slo: tuple[str, ...]
    notes: tuple[str, ...]
    """What limits the above, each with what to do."""
    limits: tuple[str, ...] = ()
    """Those of `notes` that are no failures, an entry each."""
    choice: Choice | None = None
    """What `best` is about; None where no configuration can be chosen."""
    phases: tuple[PullPhases, ...] = ()
    """What `cause` is about."""

    def document(self) -> dict[str, list[str]]:
        """The lists by name."""
        return {name: list(getattr(self, name)) for name in ("cause", "best", "mirror", "slo", "notes")}


def summary(
    stored: StoredRun,
    cells: pd.DataFrame,
    scores: pd.DataFrame,
    phases: Sequence[PullPhases] | None = None,
    paid: pd.DataFrame | None = None,
) -> Summary:
    """The sentences of a benchmark run; those of a run without a successful pull say why there is none.

    `phases` and `paid` are those of `pull_phases` and `break_evens`, where they are known already.
    """
    if cells.empty or not cells["succeeded"].sum():
        found = (
            _nothing_measured(stored) if cells.empty or not cells["pulls"].sum() else _every_pull_failed(stored, cells)
        )
        missing = tuple(_incomplete(stored))
        return Summary(cause=found.clauses, best=(), slo=_slo(scores).clauses, notes=missing, limits=missing)
    of_nodes = stored.run.kind == "fleet"
    nodes = [f"{clause}." for clause in fleet_times.summary(fleet_times.cells(stored))] if of_nodes else []
    chosen = choose(stored, cells)
    incomplete, excluded = _incomplete(stored), excluded_notes(stored.planned_out)
    reserved = [*reservations(chosen), *one_route(cells)]
    limited = limit_notices(records(cells), stored.environment)
    here = ["The registry is on this machine too."] if limited and only_loopback(stored) else []
    known = () if of_nodes else pull_phases(stored, cells) if phases is None else phases
    return Summary(
        cause=tuple(cause(known)),
        best=tuple(nodes if of_nodes else best(stored, cells, chosen)),
        mirror=()
        if of_nodes
        else pays_line(
            break_evens(stored) if paid is None else paid,
            None if chosen is None else chosen.cell,
            images_scope(known[0].images) if known else "",
        ),
        choice=chosen,
        phases=tuple(known),
        slo=_slo(scores).clauses,
        notes=(*incomplete, *_failures(stored, cells), *reserved, *limited, *here, *excluded),
        limits=(*incomplete, *reserved, *limited, *excluded),
    )


def headline(stored: StoredRun, cells: pd.DataFrame, scores: pd.DataFrame, said: Summary | None = None) -> Headline:
    """Where the time goes, which configuration is best, whether a mirror pays, and whether the SLOs are met: a few sentences.

    A run that lacks trials says so, whatever its status. `said` is its `summary`, where that is known already.
    """
    if cells.empty or not cells["pulls"].sum():
        return _nothing_measured(stored)
    if not cells["succeeded"].sum():
        return _so_far(_every_pull_failed(stored, cells), stored)
    judged, said = _slo(scores), said or summary(stored, cells, scores)
    title = judged.title or _title_without_slos(stored, cells, said)
    return _so_far(
        Headline(
            status=judged.status,
            title=title,
            clauses=(
                *said.cause[:1],
                *_best_clause(stored, said),
                *(f"Mirror: {pays}" for pays in said.mirror[:1]),
                *said.slo[:1],
            ),
        ),
        stored,
    )


def _best_clause(stored: StoredRun, said: Summary) -> list[str]:
    there_is_one = (
        stored.run.kind != "fleet" and said.choice is not None and said.choice.is_clear and len(said.choice.chosen) > 1
    )
    return [f"Best: {said.best[0]}"] if there_is_one else list(said.best[:2])


def _title_without_slos(stored: StoredRun, cells: pd.DataFrame, said: Summary) -> str:
    if stored.run.kind == "fleet":
        return "Measured; the spec has no SLO"
    return best_title(cells, said.choice, said.phases)


def judged(stored: StoredRun) -> Headline | None:
    """The same of a run whose spec has SLOs; None where it has none, or nothing was measured."""
    table = tables.cells(stored.pulls, stored.trials)
    scores = slos(stored, table)
    return headline(stored, table, scores) if len(scores) and len(table) else None


def _so_far(found: Headline, stored: StoredRun) -> Headline:
    """The headline of a run that lacks trials: it may miss an SLO, but has not met any yet."""
    finished, planned = len(stored.trials), stored.run.trials_planned
    if finished >= planned:
        return found
    title = "Every SLO met so far" if found.status == "met" else found.title
    return Headline(
        status="not_shown" if found.status == "met" else found.status,
        title=f"{title} (run incomplete: {finished:,} of {numbers.count(planned, 'trial')})",
        clauses=(*found.clauses, *_incomplete(stored)),
    )


def _incomplete(stored: StoredRun) -> list[str]:
    finished, planned = len(stored.trials), stored.run.trials_planned
    if finished >= planned:
        return []
    return [f"The run is incomplete: {finished:,} of {numbers.count(planned, 'trial')} are stored."]


def _every_pull_failed(stored: StoredRun, cells: pd.DataFrame) -> Headline:
    failures = tables.errors(stored)
    code, remedy = failures.iloc[0]["code"], failures.iloc[0]["remedy"]
    pulls = numbers.count(int(cells["pulls"].sum()), "pull")
    first = f"None of {pulls} succeeded. The most frequent error is `{code}`."
    clauses = (first, *as_sentences(remedy), _causes(code))
    return Headline(status="failed", title="Every pull failed", clauses=clauses)


def _failures(stored: StoredRun, cells: pd.DataFrame) -> list[str]:
    failed, pulls = int((cells["pulls"] - cells["succeeded"]).sum()), int(cells["pulls"].sum())
    if not failed:
        return []
    found = tables.errors(stored)
    most = found.iloc[0]
    share = f"{numbers.count(failed, 'pull')} of {pulls:,} failed ({numbers.percent(failed / pulls)})"
    sentences = [f"{share}, most often with `{most['code']}`.", *as_sentences(most["remedy"]), _causes(most["code"])]
    for row in records(found[found["code"] == ErrorCode.UNKNOWN]):
        sentences.append(
            f"The text of {numbers.count(row['count'], 'pull')} with `unknown`: {row['example'] or 'none'}"
        )
        sentences += [one for one in as_sentences(row["remedy"]) if one not in sentences]
    return sentences


def _causes(code: str) -> str:
    return f"`pullbench errors {code}` lists the usual causes."


def as_sentences(remedy: str) -> list[str]:
    """A remedy, whose parts are separated by semicolons, as sentences."""
    return [f"{part[:1].upper()}{part[1:]}." for part in remedy.rstrip(".").split("; ") if part]


def excluded_notes(planned_out: Sequence[Mapping[str, Any]]) -> list[str]:
    """The configurations that could not be measured, with the most frequent reason."""
    reasons: dict[str, int] = {}
    for entry in planned_out:
        reasons[str(entry["reason"])] = reasons.get(str(entry["reason"]), 0) + 1
    if not reasons:
        return []
    most = max(reasons, key=lambda reason: reasons[reason])
    count = numbers.count(sum(reasons.values()), "configuration")
    verb = "was" if sum(reasons.values()) == 1 else "were"
    left = numbers.count(len(reasons) - 1, "reason").replace(" ", " more ", 1)
    more = f" ({left} in the report)" if len(reasons) > 1 else ""
    return [f"{count} {verb} excluded: {most}{more}."]


def contrast_sentence(row: Mapping[str, Any]) -> str:
    """One comparison in words, with its interval, or why there is no answer."""
    baseline, candidate = _named(row["factor"], row["baseline"]), _named(row["factor"], row["candidate"])
    if row["factor"] == "concurrency":
        candidate, baseline = f"A trial with {candidate}", f"one with {baseline}"
    within = f" ({row['within']})" if row["within"] else ""
    span = f"CI {numbers.ratio_range(row['low'], row['high'])}"
    match row["verdict"]:
        case ComparisonVerdict.FASTER:
            speed = numbers.significant(1 / row["ratio"])
            span = f"CI {numbers.ratio_range(1 / row['high'], 1 / row['low'])}"
            return f"{candidate} is {speed} times as fast as {baseline}{within}, {span}."
        case ComparisonVerdict.SLOWER:
            return f"{candidate} takes {numbers.significant(row['ratio'])} times as long as {baseline}{within}, {span}."
        case ComparisonVerdict.NO_DIFFERENCE:
            return f"{candidate} and {baseline} differ by less than 5%{within}: {numbers.ratio(row['ratio'])}, {span}."
        case ComparisonVerdict.TOO_FEW_SAMPLES:
            return (
                f"{candidate} compared with {baseline}{within}: too few samples, {row['blocks']} of the "
                f"{MIN_BLOCKS} common repetitions needed."
            )
    times = f"{numbers.ratio(row['ratio'])} the time of {baseline}"
    said = f"{candidate} takes {times} ({'; '.join(filter(None, [row['within'], span]))}): inconclusive."
    return f"{said} {_why_inconclusive(row)}"


def _why_inconclusive(row: Mapping[str, Any]) -> str:
    """Why a comparison has no verdict, and what would give one."""
    if not numbers.known(row["low"]) or row["low"] <= 1 <= row["high"]:
        return "More repetitions narrow the interval."
    if not matters(row["ratio"]):
        return f"The difference may be under {MARGIN:.0%}; more repetitions narrow the interval."
    return "The faster one failed more often, so its times are no fair sample."


def _nothing_measured(stored: StoredRun) -> Headline:
    finished, planned = len(stored.trials), stored.run.trials_planned
    failed = stored.checks[stored.checks["status"] == "fail"] if len(stored.checks) else stored.checks
    if len(failed) and not finished:
        checks = numbers.listed([f"{row['check']} of {row['target']}" for row in records(failed.drop_duplicates())[:3]])
        clauses = (f"Preflight stopped the run before any load: {checks} failed.", "The findings say what to do.")
        return Headline(status="failed", title="Not ready: preflight failed", clauses=clauses)
    what = (
        f"Only warm-up is finished, {finished:,} of {numbers.count(planned, 'trial')}"
        if finished
        else "No trial is finished"
    )
    clauses = (f"{what}, so there is nothing to report yet.", f"`--resume {stored.run.run_id}` continues the run.")
    return Headline(status="not_shown", title="Nothing was measured", clauses=clauses)


def _slo(scores: pd.DataFrame) -> Headline:
    """The SLOs, each engine's, and the configurations that miss one."""
    rows = verdict_rows(scores)
    if not rows:
        return Headline(status="not_shown", title="", clauses=())
    status, title, clauses = _of_rows(rows)
    missing = list(dict.fromkeys(name for row in rows for name in row["missed_by"]))
    if missing and status != "missed":
        more = f" and {numbers.count(len(missing) - 1, 'more configuration')}" if missing[1:] else ""
        verb = "miss" if missing[1:] else "misses"
        status, title = "partly", f"Not ready everywhere: {missing[0]}{more} {verb} an SLO"
        clauses.insert(0, f"{missing[0]}{more} {verb} an SLO that the engine meets over all configurations.")
    elif missing:
        clauses.append(
            f"{numbers.count(len(missing), 'configuration')} {'misses' if len(missing) == 1 else 'miss'} an SLO: {numbers.first_few(missing)}."
        )
    elif status == "met" and not each_shown(scores):
        clauses.append("No configuration misses an SLO; for some the pulls are too few to say.")
    return Headline(status=status, title=title, clauses=tuple(clauses))


def _of_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, list[str]]:
    """Status, title and sentences over the rows of a document's `slo`."""
    missed = [row for row in rows if row["verdict"] == "missed"]
    open_ = [row for row in rows if row["verdict"] == "not_shown"]
    several = len({row["engine"] for row in rows}) > 1
    met, of = len(rows) - len(missed) - len(open_), numbers.count(len(rows), "SLO")
    said = []
    if missed:
        counted = f"{len(missed)} of {of} {'is' if len(missed) == 1 else 'are'} missed"
        found = [
            f"{_name(row, several=several)} {measured_text(row)}{over_all(row)} "
            f"(target {target_text(row['name'], row['target'])})"
            for row in missed
        ]
        said.append(_listed_in_a_sentence(counted, found))
    if open_:
        counted = f"{len(open_)} of {of} {'is' if len(open_) == 1 else 'are'} inconclusive"
        found = [
            f"{slo_name(row['name'])} ({'; '.join(filter(None, [_place(row, several=several), what_it_needs(row)]))})"
            for row in open_
        ]
        said.append(_listed_in_a_sentence(counted, found))
    if missed:
        return "missed", f"Not ready: {len(missed)} of {of} missed", said
    if open_:
        return "not_shown", f"No SLO missed; {len(open_)} of {len(rows)} inconclusive", said
    every = (
        f"All {of} are met"
        if met > 1
        else f"The SLO is met: {_name(rows[0], several=several)} {measured_text(rows[0])}{over_all(rows[0])}"
    )
    return "met", "Ready: every SLO met", [f"{every}."]


def _listed_in_a_sentence(start: str, found: Sequence[str]) -> str:
    """`2 of 4 SLOs are missed: …, …`: as many as a sentence holds, at least one, and how many more there are."""
    kept = 1
    while kept < len(found) and len(" ".join([start, *found[: kept + 1], "and 9 more"]).split()) <= _MOST_WORDS:
        kept += 1
    more = f" and {len(found) - kept} more" if kept < len(found) else ""
    return f"{start}: {', '.join(found[:kept])}{more}."


def _name(row: Mapping[str, Any], *, several: bool) -> str:
    """An SLO with its configuration, or its engine where several are judged: `p95 pull time (docker)`."""
    place = _place(row, several=several)
    return f"{slo_name(row['name'])} ({place})" if place else slo_name(row["name"])


def _place(row: Mapping[str, Any], *, several: bool) -> str:
    return slo_place(row) if several or row["configuration"] else ""


def _named(factor: str, value: object) -> str:
    return str(value) if factor != "concurrency" else f"concurrency {value}"
