"""A stress test in sentences and as a document: the highest load that meets the SLO, the lowest that misses it, knee, recovery."""

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
from pullbench.stats.compare import MARGIN, ComparisonVerdict

PHASES = {"up": "up", "hold": "hold", "down": "down"}
STEP_VERDICTS = {"held": "met", "open": "inconclusive", "missed": "missed"}
_AS_OFFERED = 1 - MARGIN
_CLIENT = "Continue from more clients, or from a stronger one."


def load(ramp: RampKind, value: float) -> str:
    """A load with its unit: `concurrency 8`, `2.5 pulls/s`."""
    return f"concurrency {value:g}" if ramp == "concurrency" else f"{value:g} pulls/s"


def rate(value: float | None) -> str:
    """A rate of pulls: `49.1/s`."""
    return f"{numbers.significant(float(value))}/s" if value is not None and numbers.known(value) else numbers.NOT_KNOWN


def rate_range(low: float | None, high: float | None) -> str:
    """An interval of it: `47.0–51.3/s`."""
    if not (numbers.known(low) and numbers.known(high)):
        return numbers.NOT_KNOWN
    return f"{numbers.ratio_range(low, high)}/s"


def headline(found: Stressed, stored: StoredRun) -> Headline:
    """The verdict over a stress test; that of any run where no step was measured."""
    if found.steps.empty:
        return nothing_measured(stored, found.steps, found.steps)
    status, title = _title(found)
    sentences = [_held(found, stored), _broke(found, stored), _why(found, stored), knee(found), recovery(found)]
    return Headline(status=status, title=title, clauses=tuple(filter(None, sentences)))


def judgement(found: Stressed) -> str:
    """How a test ended, in a few words for a shell's last line."""
    return _title(found)[1]


def first_step_missed(found: Stressed) -> bool:
    """Whether the very first step that counts misses an SLO."""
    return not found.up.empty and found.up.iloc[0]["verdict"] == StepVerdict.MISSED.value


def knee(found: Stressed) -> str:
    """Where more load brings nothing."""
    up = found.up
    if found.knee is not None:
        if knee_undecided(found):
            return (
                f"The saturation point (knee) is inconclusive: anywhere from {found.knee_low:g} to {found.knee_high:g} "
                "(95% interval). More trials per step narrow it."
            )
        said = f"The saturation point (knee) is {load(found.stress.ramp, found.knee)}: more load brings no more pulls/s"
        if found.knee_low is not None and found.knee_high is not None and found.knee_low != found.knee_high:
            said += f" (95% interval {found.knee_low:g} to {found.knee_high:g})"
        return f"{said}."
    if len(up) < 2 or found.end not in (EndReason.TOP, EndReason.CLIENT, EndReason.BROKE):
        return ""
    last = records(up.tail(1))[0]
    if found.stress.ramp == "rate" and last["rate_high"] < _AS_OFFERED * last["load"]:
        return (
            f"Of {load('rate', last['load'])} offered, {rate(last['rate'])} came through: the registry handles no more."
        )
    return f"No saturation point (knee) is seen: up to {load(found.stress.ramp, last['load'])} more load brings more pulls/s."


def knee_undecided(found: Stressed) -> bool:
    """Whether the knee may be any of the loads of the way up, as far as these trials can tell."""
    loads = found.up["load"]
    return len(loads) > 1 and (found.knee_low, found.knee_high) == (loads.min(), loads.max())


def recovery(found: Stressed) -> str:
    """How it fared when the load was taken back."""
    seen = found.recovery
    if seen is None:
        return ""
    if seen.held_at is None:
        said = "On the way down the SLO was not met again"
    elif found.broke is None:
        said = f"On the way down the SLO was met, from {load(found.stress.ramp, seen.held_at)} on"
    else:
        said = (
            f"After the overload the SLO was met again at {load(found.stress.ramp, seen.held_at)}, "
            f"at most {numbers.seconds(seen.after_s)} after its end"
        )
    return f"{said}." + _compared(found, seen)


def recovered(found: Stressed) -> bool | None:
    """Whether it recovered: met again, and the lowest load not shown slower; None where it was not measured."""
    seen = found.recovery
    if seen is None:
        return None
    return seen.held_at is not None and (seen.beside is None or seen.beside.verdict is not ComparisonVerdict.SLOWER)


def bracket(found: Stressed) -> str:
    """Between which loads the limit is."""
    if found.held is None:
        return f"below {found.broke:g}" if found.broke is not None else numbers.NOT_KNOWN
    return f"at least {found.held:g}" if found.broke is None else f"{found.held:g} to under {found.broke:g}"


def missed(stored: StoredRun, row: Mapping[str, Any]) -> str:
    """How many SLOs a step missed, and which, with what was measured and the target."""
    told = [
        f"{slo_name(entry['name'])} {measured_text(entry)}, target {target_text(entry['name'], entry['target'])}"
        for entry in step_scores(stored, int(row["step"]))
        if entry["verdict"] == "missed"
    ]
    verb = "is" if len(told) == 1 else "are"
    return f"{numbers.count(len(told), 'SLO')} {verb} missed: {numbers.listed(told)}"


def _title(found: Stressed) -> tuple[str, str]:
    """The status of the headline, and its title."""
    if first_step_missed(found):
        return "missed", f"Misses the SLO at the first step: {load(found.stress.ramp, float(found.up.iloc[0]['load']))}"
    up_to = (
        "No load is shown to meet the SLO"
        if found.held is None
        else f"Meets the SLO up to {load(found.stress.ramp, found.held)}"
    )
    match found.end:
        case EndReason.BROKE:
            status = "partly" if recovered(found) is False or found.held is None else "met"
            return status, f"{up_to}, misses it at {found.broke:g}"
        case EndReason.TOP:
            status = "not_shown" if found.held is None else "partly" if recovered(found) is False else "met"
            return status, f"{up_to}; no load misses it"
        case EndReason.CLIENT:
            return "not_shown", f"{up_to}; then this machine, not the registry, was the bottleneck"
        case EndReason.RATE_LIMITED:
            return "not_shown", f"{up_to}; then a rate limit ended the test"
    return "not_shown", f"{up_to} (the test is incomplete)"


def _held(found: Stressed, stored: StoredRun) -> str:
    if found.held is None:
        return ""
    row = records(found.up[found.up["load"] == found.held])[0]
    said = (
        f"At {load(found.stress.ramp, found.held)} no SLO is missed: {numbers.significant(float(row['rate']))} pulls/s "
        f"(95% interval {rate_range(row['rate_low'], row['rate_high'])}), mean pull time {numbers.seconds(row['mean_s'])}."
    )
    for entry in step_scores(stored, int(row["step"])):
        if entry["name"] == "success_rate" and entry["verdict"] == "not_shown":
            said += f" The success rate is inconclusive: {what_it_needs(entry)}."
    return said


def _broke(found: Stressed, stored: StoredRun) -> str:
    if found.broke is None:
        return ""
    row = records(found.up[found.up["load"] == found.broke])[0]
    said = f"At {load(found.stress.ramp, found.broke)}, {missed(stored, row)}."
    if found.held is not None:
        said += f" The limit is between {found.held:g} and {found.broke:g}."
    return said


def _why(found: Stressed, stored: StoredRun) -> str:
    """Why it ended before an SLO was missed or the top was reached."""
    if found.end is EndReason.CLIENT:
        row = records(found.up.tail(1))[0]
        where = f"At {load(found.stress.ramp, row['load'])} this client was {of_its_ceiling(row)}"
        return f"{where}, so the ramp stopped. {_CLIENT}"
    if found.end is EndReason.RATE_LIMITED:
        row = records(found.steps.tail(1))[0]
        times = numbers.count(int(row["rate_limited"]), "time")
        return (
            f"At {load(found.stress.ramp, row['load'])} the registry answered 429 (too many requests) {times}. "
            "The ramp stopped immediately; `--resume` measures that step again."
        )
    if found.end is None:
        return f"It was stopped before its end: {stored.run.stopped or 'no reason is known'}."
    return ""


def _compared(found: Stressed, seen: Recovery) -> str:
    """The lowest load of the way down compared with the same load of the way up."""
    if seen.load is None or seen.beside is None or seen.beside.ratio is None:
        return ""
    span = numbers.ratio_range(seen.beside.low, seen.beside.high)
    word = {
        ComparisonVerdict.SLOWER: "still slower than before",
        ComparisonVerdict.FASTER: "faster than before",
        ComparisonVerdict.NO_DIFFERENCE: "as fast as before",
        ComparisonVerdict.INCONCLUSIVE: "inconclusive",
        ComparisonVerdict.TOO_FEW_SAMPLES: "too few trials to compare",
    }[seen.beside.verdict]
    at = load(found.stress.ramp, seen.load).capitalize()
    return f" {at} takes {numbers.ratio(seen.beside.ratio)} the time of the way up (95% interval {span}): {word}."


def step_line(ramp: RampKind, row: Mapping[str, Any]) -> str:
    """A step in one line, for whoever watches."""
    said = (
        f"step {row['step']}, {PHASES[row['phase']]}: {load(ramp, row['load'])}: mean pull time {numbers.seconds(row['mean_s'])}, "
        f"{rate(row['rate'])}, {row['succeeded']:,} of {numbers.count(int(row['pulls']), 'pull')} succeeded"
    )
    near = f"; this client was {of_its_ceiling(row)}" if is_limited(row) else ""
    return f"{said}; {outcome(row)}{near}"


def outcome(row: Mapping[str, Any]) -> str:
    """What a step says of the SLOs: `met`, `missed: mean pull time`."""
    if row["rate_limited"]:
        return f"rate limited ({numbers.count(int(row['rate_limited']), 'answer')} of 429)"
    names = numbers.listed([slo_name(name) for name in row["missed"]])
    return f"{STEP_VERDICTS[row['verdict']]}{f': {names}' if names else ''}"


def stress_part(stored: StoredRun) -> dict[str, Any]:
    """Verdict, cells, SLOs and `stress` of a stress test.

    `cells` has a row a load of the way up; `slo` are the SLOs at the highest load that met them (`stress.judged_load`),
    or of the first step where none did.
    """
    found = stressed(stored)
    judged = judged_step(found)
    said = headline(found, stored)
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
    beside = seen.beside
    return {
        "held_at": seen.held_at,
        "after_s": json_value(seen.after_s),
        "load": seen.load,
        "ratio": None if beside is None else beside.ratio,
        "low": None if beside is None else beside.low,
        "high": None if beside is None else beside.high,
        "verdict": None if beside is None else beside.verdict.value,
    }
