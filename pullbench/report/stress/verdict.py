"""What a stress test found, in sentences and as a document: the highest load that meets the SLO, the saturation point, the recovery."""

from collections.abc import Mapping
from typing import Any

from pullbench.model.ramp import EndReason, StepVerdict
from pullbench.model.spec import RampKind
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import is_limited, of_its_ceiling
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
_MAY_HANDLE_MORE = "The registry may handle more than measured: repeat from more machines, or from a larger one."
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
        _client_limited(found),
        _why(found, stored),
        _met(found),
        _missed(found, stored),
        *_between(found),
        _success_rate(found, stored),
        knee(found),
        *recovery(found),
        _client_limited_later(found),
        "" if client_limited_step(found) is None else _MAY_HANDLE_MORE,
        _KEEP_GOING if found.end is EndReason.CLIENT else "",
    ]
    return Headline(status=status, title=title, clauses=tuple(filter(None, sentences)))


def judgement(found: Stressed) -> str:
    """How a test ended, in a few words for a shell's last line."""
    return _title(found)[1]


def first_step_missed(found: Stressed) -> bool:
    """Whether the very first step that counts misses an SLO."""
    return not found.up.empty and found.up.iloc[0]["verdict"] == StepVerdict.MISSED.value


def client_limited_step(found: Stressed) -> dict[str, Any] | None:
    """The lowest step of the ramp up whose bottleneck was this client; None where there is none."""
    return next((row for row in records(found.up) if is_limited(row)), None)


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
        return f"The saturation point (knee) is {at}{interval}: more load adds no pulls/s."
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
    """What happened when the load was lowered again, a sentence each."""
    seen = found.recovery
    if seen is None:
        return []
    if seen.held_at is None:
        said = "On the ramp down, no step met the SLO again."
    elif found.broke is None:
        said = f"On the ramp down, the SLO was met from {load(found.stress.ramp, seen.held_at)} on."
    else:
        again = load(found.stress.ramp, seen.held_at)
        said = f"After the overload, {again} met the SLO again within {numbers.seconds(seen.after_s)}."
    return [said, *_against_before(found, seen)]


def recovered(found: Stressed) -> bool | None:
    """Whether it recovered: it met the SLO again, and the lowest load is not significantly slower; None where not measured."""
    seen = found.recovery
    if seen is None:
        return None
    before = seen.against_before
    return seen.held_at is not None and (before is None or before.verdict is not ComparisonVerdict.SLOWER)


def bracket(found: Stressed) -> str:
    """Between which loads the limit is."""
    if found.held is None:
        return f"below {found.broke:g}" if found.broke is not None else numbers.NOT_KNOWN
    return f"at least {found.held:g}" if found.broke is None else f"{found.held:g} to under {found.broke:g}"


def _title(found: Stressed) -> tuple[str, str]:
    """The status of the headline, and its title."""
    if first_step_missed(found):
        first = load(found.stress.ramp, float(found.up.iloc[0]["load"]))
        return "missed", f"Misses the SLO at the first step: {first}"
    if client_limited_step(found) is not None and found.end in (EndReason.CLIENT, EndReason.BROKE, EndReason.TOP):
        return "not_shown", CLIENT_IS_THE_LIMIT
    up_to = "No load is shown to meet the SLO"
    if found.held is not None:
        up_to = f"Meets the SLO up to {load(found.stress.ramp, found.held)}"
    match found.end:
        case EndReason.BROKE:
            status = "partly" if recovered(found) is False or found.held is None else "met"
            return status, f"{up_to}; misses it at {found.broke:g}"
        case EndReason.TOP:
            status = "not_shown" if found.held is None else "partly" if recovered(found) is False else "met"
            return status, f"{up_to}, the highest load tested" if found.held == max(found.up["load"]) else up_to
        case EndReason.RATE_LIMITED:
            return "not_shown", f"{up_to}; then a rate limit stopped the test"
    return "not_shown", f"{up_to} (test incomplete)"


def _client_limited(found: Stressed) -> str:
    """Where this client was the bottleneck, and what follows."""
    row = client_limited_step(found)
    if row is None:
        return ""
    then = "so the ramp stopped" if found.end is EndReason.CLIENT else "so higher loads measure this client"
    return f"At {load(found.stress.ramp, row['load'])} this client was {of_its_ceiling(row)}, {then}."


def _client_limited_later(found: Stressed) -> str:
    """The steps after the ramp up whose bottleneck was this client: they show its recovery, not only the registry's."""
    steps = [str(row["step"]) for row in records(found.steps[found.steps["phase"] != "up"]) if is_limited(row)]
    if not steps:
        return ""
    return f"Client-limited in {'step' if len(steps) == 1 else 'steps'} {numbers.listed(steps)}: the registry may recover faster."


def _met(found: Stressed) -> str:
    if found.held is None:
        return ""
    row = records(found.up[found.up["load"] == found.held])[0]
    return (
        f"At {load(found.stress.ramp, found.held)}: {_pulls_per_s(row['rate'])} "
        f"(95% CI {numbers.ratio_range(row['rate_low'], row['rate_high'])}), mean pull {numbers.seconds(row['mean_s'])}."
    )


def _missed(found: Stressed, stored: StoredRun) -> str:
    if found.broke is None:
        return ""
    row = records(found.up[found.up["load"] == found.broke])[0]
    return f"At {load(found.stress.ramp, found.broke)}: {missed(stored, row)}."


def missed(stored: StoredRun, row: Mapping[str, Any]) -> str:
    """Which SLOs a step missed, each with what was measured and its target."""
    return numbers.listed(
        [
            f"{slo_name(entry['name'])} {measured_text(entry)} (SLO: {target_text(entry['name'], entry['target'])})"
            for entry in step_scores(stored, int(row["step"]))
            if entry["verdict"] == "missed"
        ]
    )


def _between(found: Stressed) -> list[str]:
    """The loads between the highest that meets the SLO and the lowest that misses it: they show neither."""
    if found.held is None or found.broke is None:
        return []
    loads = found.up["load"]
    between = [f"{value:g}" for value in loads[(loads > found.held) & (loads < found.broke)]]
    return (
        [f"Between them, {numbers.listed(between)} {'is' if len(between) == 1 else 'are'} inconclusive."]
        if between
        else []
    )


def _success_rate(found: Stressed, stored: StoredRun) -> str:
    """How many pulls the success rate still needs, where the step has too few."""
    if found.held is None:
        return ""
    row = records(found.up[found.up["load"] == found.held])[0]
    for entry in step_scores(stored, int(row["step"])):
        if entry["name"] == "success_rate" and entry["verdict"] == "not_shown" and entry["target"] < 1:
            return f"The success rate is inconclusive after {row['pulls']:,} pulls: {what_it_needs(entry)}."
    return ""


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
        ComparisonVerdict.SLOWER: "is still significantly slower than before the overload",
        ComparisonVerdict.FASTER: "is significantly faster than before the overload",
        ComparisonVerdict.NO_DIFFERENCE: "is as fast as before the overload",
        ComparisonVerdict.INCONCLUSIVE: "compared with before the overload is inconclusive",
        ComparisonVerdict.TOO_FEW_SAMPLES: "has too few trials to compare",
    }
    span = numbers.ratio_range(before.low, before.high)
    interval = "" if span == numbers.NOT_KNOWN else f", 95% CI {span}"
    said = f"{numbers.ratio(before.ratio)} the time{interval}"
    if before.verdict is ComparisonVerdict.INCONCLUSIVE and (more := more_repetitions(before)):
        said += f"; needs about {numbers.count(more, 'more trial')} per step"
    return [f"{_at_start(load(found.stress.ramp, seen.load))} {words[before.verdict]} ({said})."]


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
        f"step {row['step']} ({PHASES[row['phase']]}): {load(ramp, row['load'])}, mean pull {numbers.seconds(row['mean_s'])}, "
        f"{_pulls_per_s(row['rate'])}, {row['succeeded']:,} of {numbers.count(int(row['pulls']), 'pull')} succeeded"
    )
    near = f"; client-limited: this client was {of_its_ceiling(row)}" if is_limited(row) else ""
    return f"{said}; SLO {outcome(row)}{near}"


def outcome(row: Mapping[str, Any]) -> str:
    """What a step says of the SLO: `met`, `missed: mean pull time`."""
    if row["rate_limited"]:
        return f"not judged: {numbers.count(int(row['rate_limited']), 'answer')} of 429 (rate limit)"
    names = numbers.listed([slo_name(name) for name in row["missed"]])
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
