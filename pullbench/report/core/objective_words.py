"""The service's objectives in words, for console, metrics and report; from the rows of a document, without pandas."""

import math
from collections.abc import Mapping
from typing import Any

from pullbench.report.core import numbers

OBJECTIVE_NAMES = {
    "success_rate": "success rate",
    "mean_pull_s": "mean pull time",
    "p99_api_s": "99th percentile of API answers",
    "consecutive_failures": "failures in a row",
}
VERDICT_WORDS = {"met": "met", "missed": "missed", "not_shown": "not proven"}
"""The verdicts of the JSON as people read them."""
API_ANSWERS_TO_PROVE = math.ceil(math.log(0.025) / math.log(0.99))
"""From so many values on a 99th percentile has an upper 95% bound."""
_Z95 = 1.959964
_SEEN = {"mean_pull_s": "successful pull", "p99_api_s": "API answer"}
"""What an objective is computed from, where it is not every pull."""


def objective_title(name: str) -> str:
    """An objective's name at the start of a line."""
    return OBJECTIVE_NAMES[name][0].upper() + OBJECTIVE_NAMES[name][1:]


def objective_value(name: str, number: float | None) -> str:
    """An objective's number with its unit."""
    if number is None or not numbers.known(number):
        return numbers.NOT_KNOWN
    if name == "success_rate":
        return numbers.percent(number)
    return numbers.seconds(number) if name.endswith("_s") else f"{number:g}"


def target_text(name: str, target: float) -> str:
    """The target with its direction: `at most 3.00 s`."""
    side = {"success_rate": "at least", "consecutive_failures": "fewer than"}.get(name, "at most")
    return f"{side} {objective_value(name, target)}"


def measured_text(row: Mapping[str, Any]) -> str:
    """What was measured: the lower bound where there are too few values for the percentile itself and it was missed."""
    if not numbers.known(row["measured"]) and numbers.known(row["low"]) and row["verdict"] == "missed":
        return f"at least {objective_value(row['name'], row['low'])}"
    return objective_value(row["name"], row["measured"])


def evidence_text(row: Mapping[str, Any]) -> str:
    """What stands behind a verdict over the whole run, and which settings miss the objective by themselves."""
    noun, n = _SEEN.get(row["name"], "pull"), int(row["n"])
    if not n:
        return f"no {noun} was seen"
    said = f"from {numbers.count(n, noun)}{over_all(row['settings'])}"
    if numbers.known(row["low"]) and numbers.known(row["high"]):
        said += f", 95% interval {_span(row['name'], row['low'], row['high'])}"
    elif numbers.known(row["low"]):
        said += f", 95% interval from {objective_value(row['name'], row['low'])} up"
    if row["verdict"] == "not_shown":
        said += f"; {why_not_shown(row)}"
    if missing := row["missed_by"]:
        verb = "by itself misses it" if len(missing) == 1 else "by themselves miss it"
        said += f"; {numbers.count(len(missing), 'setting')} {verb}: {numbers.first_few(missing)}"
    return said


def why_not_shown(row: Mapping[str, Any]) -> str:
    """Why there is no verdict."""
    if not row["n"]:
        return f"no {_SEEN.get(row['name'], 'pull')} was seen"
    if row["name"] == "success_rate" and row["target"] >= 1:
        return "no number of pulls can prove 100%"
    if row["name"] == "success_rate" and row["measured"] == 1:
        return f"proof takes about {numbers.count(pulls_to_prove(row['target']), 'pull')} without a failure"
    if row["name"] == "p99_api_s" and not numbers.known(row["high"]):
        return f"proof takes at least {API_ANSWERS_TO_PROVE} answers"
    if numbers.known(row["low"]) and numbers.known(row["high"]):
        return "the target lies within its interval"
    return "too few blocks to say" if row["name"] == "mean_pull_s" else "too few to say"


def pulls_to_prove(target: float) -> int:
    """Pulls without a failure until Wilson's lower bound, n / (n + z²), reaches a success rate under 1."""
    return math.ceil(target / (1 - target) * _Z95**2)


def over_all(settings: int) -> str:
    """Over what a whole-run number is: nothing to say where there is one setting alone."""
    return f" over all {settings} settings together" if settings > 1 else ""


def _span(name: str, low: float, high: float) -> str:
    return (
        numbers.seconds_range(low, high)
        if name.endswith("_s")
        else f"{objective_value(name, low)}–{objective_value(name, high)}"
    )
