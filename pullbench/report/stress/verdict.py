"""What a stress test found, in sentences and as a document: the highest load without a missed SLO, the saturation point, the recovery."""

from collections.abc import Mapping
from typing import Any

from pullbench.model.ramp import EndReason, StepVerdict
from pullbench.model.spec import RampKind
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import is_limited, of_its_ceiling, other_load
from pullbench.report.core.slo_words import measured_text, slo_name, target_text, what_it_needs
from pullbench.report.core.stored import StoredRun, json_records, json_row, json_value, records
from pullbench.report.run.verdicts import Headline
from pullbench.report.run.verdicts import headline as nothing_measured
from pullbench.report.stress.steps import Recovery, Stressed, judged_step, of_step, step_scores, stressed
from pullbench.stats.compare import MARGIN, ComparisonVerdict, more_repetitions

PHASES = {"up": "up", "hold": "hold", "down": "down"}
STEP_VERDICTS = {"held": "met", "open": "inconclusive", "missed": "missed"}
"""The verdicts of the JSON as people read them."""
CLIENT_IS_THE_LIMIT = "This client, not the registry, is the limit"
_AS_OFFERED = 1 - MARGIN
_KEEP_GOING = "To measure past this client's limit all the same, use `--keep-going`."


def load(ramp: RampKind, value: float) -> str:
    """A load with its unit: `concurrency 8`, `2.5 pulls/s`."""
    return f"concurrency {value:g}" if ramp == "concurrency" else f"{value:g} pulls/s"


def rate(value: float | None) -> str:
    """Pulls per second in a table: `49.1/s`."""
    return f"{numbers.significant(float(value))}/s" if value is not None and numbers.known(value) else numbers.NOT_KNOWN


def rate_range(low: float | None, high: float | None) -> str:
    """An interval of pulls per second in a table: `47.0–51.3/s`."""
    if not (numbers.known(low) and numbers.known(high)):
        return numbers.NOT_KNOWN
    return f"{numbers.ratio_range(low, high)}/s"


def headline(found: Stressed, stored: StoredRun) -> Headline:
    """The verdict over a stress test; that of any run where no step was measured."""
    if found.steps.empty:
        return nothing_measured(stored, found.steps, found.steps)
    status, title = _title(found)
    sentences = [
        _client_limited(found) if client_is_the_limit(found) else "",
        _why(found, stored),
        _met(found),
        _missed(found, stored),
        *_between(found),
        _inconclusive(found, stored),
        knee(found),
        *recovery(found),
        "" if client_is_the_limit(found) else _client_limited(found),
        _client_limited_later(found),
        _repeat(found, stored),
        _KEEP_GOING if found.end is EndReason.CLIENT else "",
        _lower_first_step(found) if first_step_missed(found) else "",
    ]
    return Headline(status=status, title=title, clauses=tuple(filter(None, sentences)))


def _repeat(found: Stressed, stored: StoredRun) -> str:
    """What to do where this client is the limit; a node that other processes used must be idle first."""
    busy = other_load(stored.environment)
    if client_is_the_limit(found):
        idle = f"on an idle node ({busy}); if it is the limit there too, " if busy else ""
        return f"The registry may handle more than measured: repeat {idle}from more machines, or from a larger one."
    return f"Repeat on an idle node: {busy}." if busy and any(map(is_limited, records(found.steps))) else ""


def first_step_missed(found: Stressed) -> bool:
    """Whether the very first step that counts misses an SLO."""
    return not found.up.empty and found.up.iloc[0]["verdict"] == StepVerdict.MISSED.value


def client_limited_step(found: Stressed) -> dict[str, Any] | None:
    """The lowest step of the ramp up whose bottleneck was this client; None where there is none."""
    return next((row for row in records(found.up) if is_limited(row)), None)


def client_is_the_limit(found: Stressed) -> bool:
    """Whether the rate of the highest load is this client's, not the registry's."""
    return not found.up.empty and is_limited(records(found.up.tail(1))[0])


def knee(found: Stressed) -> str:
    """From which load on more load adds no pulls per second."""
    up = found.up
    if found.knee is not None:
        if knee_undecided(found):
            return (
                f"The saturation point (knee) is inconclusive: {found.knee_low:g} to {found.knee_high:g} (95% CI); "
                "more trials per step narrow it."
            )
        interval = ""
        if found.knee_low is not None and found.knee_high is not None and found.knee_low != found.knee_high:
            interval = f" (95% CI {found.knee_low:g}–{found.knee_high:g})"
        at = load(found.stress.ramp, found.knee)
        whose = " from this client" if client_is_the_limit(found) else ""
        return f"The saturation point (knee) is {at}{interval}: more load adds no pulls/s{whose}."
    if len(up) < 2 or found.end not in (EndReason.TOP, EndReason.CLIENT, EndReason.BROKE):
        return ""
    last = records(up.tail(1))[0]
    if found.stress.ramp == "rate" and last["rate_high"] < _AS_OFFERED * last["load"]:
        return f"Of {load('rate', last['load'])} offered, {_pulls_per_s(last['rate'])} completed: the most this route handles."
    return f"No saturation point (knee) up to {load(found.stress.ramp, last['load'])}: more load still added pulls/s."


def knee_undecided(found: Stressed) -> bool:
    """Whether the saturation point may be any load of the ramp up, as far as these trials show."""
    loads = found.up["load"]
    return len(loads) > 1 and (found.knee_low, found.knee_high) == (loads.min(), loads.max())


def recovery(found: Stressed) -> list[str]:
    """What happened when the load was lowered again, a sentence each. Where no SLO was missed there was no overload."""
    seen = found.recovery
    if seen is None:
        return []
    ramp, said = found.stress.ramp, []
    if found.broke is not None and seen.held_at is None:
        said = [f"After the overload, {_unrecovered(found)}."]
    elif found.broke is not None and seen.held_at is not None:
        again = load(ramp, seen.held_at)
        said = [f"After the overload, {again} missed no SLO; that step began {numbers.seconds(seen.after_s)} later."]
    elif any(row["verdict"] == StepVerdict.MISSED for row in _down(found)):
        said = ["On the ramp down, an SLO was missed at a load that missed none on the ramp up."]
    return [*said, *_against_before(found, seen)]


def _down(found: Stressed) -> list[dict[str, Any]]:
    """The steps of the ramp down."""
    return records(found.steps[found.steps["phase"] == "down"])


def _unrecovered(found: Stressed) -> str:
    """What the steps of the ramp down did, where none of them met the SLO again."""
    if all(row["verdict"] == StepVerdict.MISSED for row in _down(found)):
        return "every lower load missed an SLO too"
    return "no lower load is shown to meet the SLO again"


def recovered(found: Stressed) -> bool | None:
    """Whether it recovered: it met the SLO again, and the lowest load is not significantly slower; None where not measured."""
    seen = found.recovery
    if seen is None:
        return None
    before = seen.against_before
    return seen.held_at is not None and (before is None or before.verdict is not ComparisonVerdict.SLOWER)


def bracket(found: Stressed) -> str:
    """Between which loads the limit is, as far as the ramp went."""
    highest = found.up["load"].max()
    if found.broke is not None:
        return f"under {found.broke:g}" if found.held is None else f"{found.held:g} to under {found.broke:g}"
    return numbers.NOT_KNOWN if found.held is None else f"not reached (highest load tested: {highest:g})"


def _title(found: Stressed) -> tuple[str, str]:
    """The status of the headline, and its title. Only where every SLO is met is it green."""
    if first_step_missed(found):
        first = load(found.stress.ramp, float(found.up.iloc[0]["load"]))
        return "missed", f"The first step misses an SLO: {first}"
    if client_is_the_limit(found) and found.end in (EndReason.CLIENT, EndReason.BROKE, EndReason.TOP):
        return "not_shown", CLIENT_IS_THE_LIMIT
    highest, up_to = _limit_row(found), _up_to(found)
    status = "met" if highest is not None and not highest["inconclusive"] else "not_shown"
    status = "partly" if highest is not None and recovered(found) is False else status
    match found.end:
        case EndReason.BROKE:
            return status, f"{up_to}; missed at {found.broke:g}"
        case EndReason.TOP:
            top = float(found.up["load"].max())
            if found.held is not None and found.held < top:
                return "not_shown", f"{up_to}; inconclusive at {top:g}"
            return status, f"{up_to}, the highest load tested"
        case EndReason.RATE_LIMITED:
            return "not_shown", f"{up_to}; then a rate limit stopped the test"
    return "not_shown", f"{up_to} so far; the test is incomplete"


def _limit_row(found: Stressed) -> dict[str, Any] | None:
    """The step at the highest load without a missed SLO."""
    rows = records(found.up[found.up["load"] == found.held])
    return rows[0] if rows else None


def _up_to(found: Stressed) -> str:
    """Up to which load no SLO is missed: `Every SLO met up to concurrency 8`."""
    row = _limit_row(found)
    if row is not None:
        word = "No SLO missed" if row["inconclusive"] else "Every SLO met"
        return f"{word} up to {load(found.stress.ramp, row['load'])}"
    unclear = found.up[found.up["verdict"] == StepVerdict.OPEN]["load"]
    if unclear.empty:
        return "No load was judged"
    return f"SLO inconclusive up to {load(found.stress.ramp, float(unclear.max()))}"


def _lower_first_step(found: Stressed) -> str:
    """What to do where the first step misses an SLO: start lower, where there is a lower load."""
    if found.stress.ramp == "rate" or float(found.up.iloc[0]["load"]) > 1:
        return "Start with a lower load to find the limit: `--steps`."
    return "No lower concurrency is left: `pullbench run` shows where the time of a single pull goes."


def _client_limited(found: Stressed) -> str:
    """Where this client was the bottleneck, and what follows."""
    row = client_limited_step(found)
    if row is None:
        return ""
    at = f"At {load(found.stress.ramp, row['load'])} this client was {of_its_ceiling(row)}"
    if found.end is EndReason.CLIENT:
        return f"{at}, so the ramp stopped."
    if not client_is_the_limit(found):
        return f"{at}; at the highest load it was not."
    higher = row["load"] < found.up["load"].max()
    return f"{at}, so the rates from there on are this client's." if higher else f"{at}, so that rate is this client's."


def _client_limited_later(found: Stressed) -> str:
    """The steps after the ramp up whose bottleneck was this client: they show its recovery, not only the registry's."""
    steps = [str(step_number(row)) for row in records(found.steps[found.steps["phase"] != "up"]) if is_limited(row)]
    if not steps:
        return ""
    return f"Client-limited in {'step' if len(steps) == 1 else 'steps'} {numbers.listed(steps)}: the registry may recover faster."


def _met(found: Stressed) -> str:
    row = _limit_row(found)
    if row is None:
        return ""
    interval = numbers.ratio_range(row["rate_low"], row["rate_high"])
    rate_and_time = f"{_pulls_per_s(row['rate'])} (95% CI {interval})"
    if found.stress.ramp == "rate":
        return f"Of {load('rate', row['load'])} offered, {rate_and_time} completed; mean pull {numbers.seconds(row['mean_s'])}."
    return f"{_at_start(load('concurrency', row['load']))} gives {rate_and_time}; mean pull {numbers.seconds(row['mean_s'])}."


def _missed(found: Stressed, stored: StoredRun) -> str:
    if found.broke is None:
        return ""
    row = records(found.up[found.up["load"] == found.broke])[0]
    return f"{_at_start(load(found.stress.ramp, found.broke))} misses {missed(stored, row)}."


def missed(stored: StoredRun, row: Mapping[str, Any]) -> str:
    """Which SLOs a step missed, each with what was measured and its target."""
    return numbers.listed(
        [
            f"the SLO of the {slo_name(entry['name'])}: {measured_text(entry)}, target {target_text(entry['name'], entry['target'])}"
            for entry in step_scores(stored, int(row["step"]))
            if entry["verdict"] == "missed"
        ]
    )


def _between(found: Stressed) -> list[str]:
    """The loads between the highest that misses no SLO and the lowest that misses one: they show neither."""
    if found.held is None or found.broke is None:
        return []
    loads = found.up["load"]
    between = [f"{value:g}" for value in loads[(loads > found.held) & (loads < found.broke)]]
    if not between:
        return []
    verb = "is" if len(between) == 1 else "are"
    return [f"The SLO at {numbers.listed(between)}, between the two, {verb} inconclusive; more trials per step decide."]


def _inconclusive(found: Stressed, stored: StoredRun) -> str:
    """Which SLOs are inconclusive at the highest load that misses none, and what they need."""
    row = _limit_row(found)
    if row is None:
        return ""
    unclear = [
        f"{slo_name(entry['name'])} {what_it_needs(entry)}"
        for entry in step_scores(stored, int(row["step"]))
        if entry["verdict"] == "not_shown"
    ]
    at = load(found.stress.ramp, row["load"])
    return (
        f"Inconclusive at {at} after {numbers.count(int(row['pulls']), 'pull')}: {numbers.listed(unclear)}."
        if unclear
        else ""
    )


def _why(found: Stressed, stored: StoredRun) -> str:
    """Why it ended before an SLO was missed or the top was reached."""
    if found.end is EndReason.RATE_LIMITED:
        row = records(found.steps.tail(1))[0]
        times = numbers.count(int(row["rate_limited"]), "time")
        return (
            f"At {load(found.stress.ramp, row['load'])} the registry answered 429 (too many requests) {times}; "
            "`--resume` measures that step again."
        )
    if found.end is None:
        return f"The test stopped before its end: {stored.run.stopped or 'the reason is unknown'}."
    return ""


def _against_before(found: Stressed, seen: Recovery) -> list[str]:
    """The lowest load of the ramp down compared with the same load of the ramp up."""
    before = seen.against_before
    if seen.load is None or before is None or before.ratio is None:
        return []
    words = {
        ComparisonVerdict.SLOWER: "is significantly slower than on the ramp up",
        ComparisonVerdict.FASTER: "is significantly faster than on the ramp up",
        ComparisonVerdict.NO_DIFFERENCE: "is as fast as on the ramp up",
        ComparisonVerdict.INCONCLUSIVE: "compared with the ramp up is inconclusive",
        ComparisonVerdict.TOO_FEW_SAMPLES: "has too few trials to compare it with the ramp up",
    }
    span = numbers.ratio_range(before.low, before.high)
    interval = "" if span == numbers.NOT_KNOWN else f", 97% CI {span}"
    said = f"{numbers.ratio(before.ratio)} the time{interval}"
    if before.verdict is ComparisonVerdict.INCONCLUSIVE and (more := more_repetitions(before)):
        said += f"; needs about {numbers.count(more, 'more trial')} per step"
    return [f"On the ramp down, {load(found.stress.ramp, seen.load)} {words[before.verdict]} ({said})."]


def _pulls_per_s(value: float | None) -> str:
    """Pulls per second in a sentence: `49.1 pulls/s`."""
    return (
        f"{numbers.significant(float(value))} pulls/s" if value is not None and numbers.known(value) else "no pulls/s"
    )


def _at_start(words: str) -> str:
    """Words as they begin a sentence."""
    return words[:1].upper() + words[1:]


def step_line(ramp: RampKind, row: Mapping[str, Any]) -> str:
    """A step in one line, for whoever watches."""
    said = (
        f"step {step_number(row)} ({PHASES[row['phase']]}): {load(ramp, row['load'])}, mean pull {numbers.seconds(row['mean_s'])}, "
        f"{_pulls_per_s(row['rate'])}, {row['succeeded']:,} of {numbers.count(int(row['pulls']), 'pull')} succeeded"
    )
    near = f"; client-limited: this client was {of_its_ceiling(row)}" if is_limited(row) else ""
    return f"{said}; SLO {outcome(row)}{near}"


def step_number(row: Mapping[str, Any]) -> int:
    """A step as people count, from 1; the stored numbers count from 0."""
    return int(row["step"]) + 1


def is_unclear(row: Mapping[str, Any]) -> bool:
    """Whether a step misses no SLO, and some are inconclusive."""
    return row["verdict"] == StepVerdict.HELD and bool(row["inconclusive"])


def outcome(row: Mapping[str, Any]) -> str:
    """What a step says of the SLO: `met`, `not missed` where some SLOs are inconclusive, `missed: mean pull time`."""
    if row["rate_limited"]:
        return f"not judged: {numbers.count(int(row['rate_limited']), 'answer')} of 429 (rate limit)"
    names = numbers.listed([slo_name(name) for name in row["missed"]])
    if is_unclear(row):
        return "not missed"
    return f"{STEP_VERDICTS[row['verdict']]}{f': {names}' if names else ''}"


def stress_part(stored: StoredRun) -> dict[str, Any]:
    """Verdict, configurations, SLO and `stress` of a stress test.

    `cells` has a row for each load of the ramp up. `slo` is judged at the highest load that meets it
    (`stress.judged_load`), or at the first step where none does.
    """
    found = stressed(stored)
    judged = judged_step(found)
    said = headline(found, stored)
    limited = client_limited_step(found)
    scores = [] if judged is None else step_scores(stored, int(judged["step"]))
    return {
        "headline": said.document(),
        "cells": [_cell(found, stored, row) for row in records(found.up)],
        "comparisons": [],
        "claims": [],
        "stability": [],
        "slo": [json_row(row) for row in scores],
        "stress": {
            "ramp": found.stress.ramp,
            "end": None if found.end is None else found.end.value,
            "stopped": stored.run.stopped,
            "held": found.held,
            "broke": found.broke,
            "knee": found.knee,
            "knee_low": found.knee_low,
            "knee_high": found.knee_high,
            "first_step_missed": first_step_missed(found),
            "at_client_limit": found.stress.at_client_limit,
            "client_limited_at": None if limited is None else limited["load"],
            "client_busy": None if limited is None else json_value(limited["client_busy"]),
            "client_limit": None if limited is None else limited["client_limit"],
            "recovered": recovered(found),
            "recovery": None if found.recovery is None else _recovery(found.recovery),
            "judged_load": None if judged is None else judged["load"],
            "steps": json_records(found.steps),
        },
    }


def _cell(found: Stressed, stored: StoredRun, row: dict[str, Any]) -> dict[str, Any]:
    mine = of_step(stored, int(row["step"]))
    cell = json_row(tables.cell(mine.pulls, mine.trials))
    return cell | {"offered_rate": row["load"] if found.stress.ramp == "rate" else None}


def _recovery(seen: Recovery) -> dict[str, Any]:
    before = seen.against_before
    return {
        "held_at": seen.held_at,
        "after_s": json_value(seen.after_s),
        "load": seen.load,
        "ratio": None if before is None else before.ratio,
        "low": None if before is None else before.low,
        "high": None if before is None else before.high,
        "verdict": None if before is None else before.verdict.value,
    }
