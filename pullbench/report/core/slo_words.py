"""SLOs in words, for console, events and report; from the rows of a document, without pandas."""

import math
from collections.abc import Mapping
from typing import Any

from pullbench.model.factor_words import factor_title
from pullbench.report.core import numbers

SLO_TITLES = {
    "success_rate": "Success rate",
    "mean_pull_s": "Mean pull time",
    "p50_pull_s": "Median pull time (p50)",
    "p95_pull_s": "p95 pull time",
    "p99_pull_s": "p99 pull time",
    "p99_api_s": "p99 API response time",
    "consecutive_failures": "Consecutive failures",
}
VERDICT_WORDS = {"met": "met", "missed": "missed", "not_shown": "inconclusive"}
"""The verdicts of the JSON as people read them."""
_API = "p99_api_s"
_Z95 = 1.959964
_MOST_TIMES = 100
"""Where it takes more than so many times the repetitions, the target is too close to what was measured."""


def slo_title(name: str) -> str:
    """An SLO's name at the start of a line: `Mean pull time`."""
    return SLO_TITLES[name]


def slo_name(name: str) -> str:
    """The same inside a sentence: `mean pull time`."""
    title = SLO_TITLES[name]
    return title if title[:1] == "p" else title[0].lower() + title[1:]


def slo_place(row: Mapping[str, Any]) -> str:
    """What a row is about: its configuration, else its engine; nothing where no engine reports API answers."""
    return str(row["configuration"] or row["engine"] or "")


def slo_value(name: str, number: float | None) -> str:
    """An SLO's number with its unit."""
    if number is None or not numbers.known(number):
        return numbers.NOT_KNOWN
    if name == "success_rate":
        return numbers.percent(number)
    return numbers.seconds(number) if name.endswith("_s") else f"{number:g}"


def target_text(name: str, target: float) -> str:
    """The target with its direction: `at most 3.00 s`."""
    side = {"success_rate": "at least", "consecutive_failures": "fewer than"}.get(name, "at most")
    return f"{side} {slo_value(name, target)}"


def measured_text(row: Mapping[str, Any]) -> str:
    """What was measured: the lower bound where there are too few values for the percentile itself and it was missed."""
    if not numbers.known(row["measured"]) and numbers.known(row["low"]) and row["verdict"] == "missed":
        return f"at least {slo_value(row['name'], row['low'])}"
    return slo_value(row["name"], row["measured"])


def verdict_text(row: Mapping[str, Any]) -> str:
    """`met`, `missed`, or `inconclusive: needs about 3,838 pulls without a failure`."""
    word = VERDICT_WORDS[row["verdict"]]
    return f"{word}: {what_it_needs(row)}" if row["verdict"] == "not_shown" else word


def evidence_text(row: Mapping[str, Any]) -> str:
    """What a verdict is based on, and which configurations miss the SLO alone."""
    if not row["n"]:
        return _nothing_seen(row)
    said = f"from {numbers.count(int(row['n']), _noun(row['name']))}{over_all(row)}"
    if numbers.known(row["low"]) and numbers.known(row["high"]):
        said += f", 95% interval {_span(row['name'], row['low'], row['high'])}"
    elif numbers.known(row["low"]):
        said += f", 95% interval from {slo_value(row['name'], row['low'])} up"
    if row["verdict"] == "not_shown":
        said += f"; {what_it_needs(row)}"
    if row.get("pools"):
        said += "; slo.per_configuration gives each configuration a verdict of its own"
    if missing := row["missed_by"]:
        verb = "misses it alone" if len(missing) == 1 else "miss it alone"
        said += f"; {numbers.count(len(missing), 'configuration')} {verb}: {numbers.first_few(missing)}"
    return said


def what_it_needs(row: Mapping[str, Any]) -> str:
    """Why there is no verdict, and what would give one."""
    name, target, measured = row["name"], row["target"], row["measured"]
    if not row["n"]:
        return _nothing_seen(row)
    if name == "success_rate":
        return _success_needs(target, measured)
    if name == "consecutive_failures":
        return f"needs at least {numbers.count(int(target), 'pull')}"
    if not numbers.known(row["high"]):
        return _bound_needs(name)
    side = row["high"] if numbers.known(measured) and measured <= target else row["low"]
    if not (numbers.known(measured) and numbers.known(side)) or measured == target:
        return "needs more repetitions: the target is within the 95% interval"
    times = math.ceil(((side - measured) / (target - measured)) ** 2)
    if times > _MOST_TIMES:
        return "the target is too close to what was measured"
    return f"needs about {max(times, 2)} times as many repetitions"


def pulls_needed(target: float, rate: float = 1.0) -> int:
    """Pulls at a success rate until Wilson's interval is on one side of a target under 1: n = z² t (1 - t) / (rate - t)²."""
    return math.ceil(target * (1 - target) / (rate - target) ** 2 * _Z95**2)


def values_to_meet(q: float) -> int:
    """From so many values on a q-th percentile has an upper 95% bound, without which it cannot be met."""
    return math.ceil(math.log(0.025) / math.log(q / 100))


def over_all(row: Mapping[str, Any]) -> str:
    """What a number is computed over: nothing to say where there is one configuration."""
    if row["settings"] < 2:
        return ""
    pooled = [f"cold and warm {factor_title(name)}s" for name in row.get("pools") or ()]
    return f" over {row['settings']} configurations{f' ({numbers.listed(pooled)} together)' if pooled else ''}"


def _success_needs(target: float, measured: float) -> str:
    if target >= 1:
        return "no number of pulls can show 100%"
    if measured == target:
        return "the target is exactly what was measured"
    needed = numbers.count(pulls_needed(target, measured), "pull")
    return f"needs about {needed} {'without a failure' if measured == 1 else 'at this success rate'}"


def _bound_needs(name: str) -> str:
    if name == "mean_pull_s":
        return "needs at least 3 repetitions"
    least = values_to_meet(float(name[1:3]))
    return f"needs at least {numbers.count(least, 'API answer' if name == _API else 'pull')} to be met"


def _nothing_seen(row: Mapping[str, Any]) -> str:
    if row["name"] == _API and row["engine"] is None:
        return "no engine of this run reports API answers"
    return f"no {_noun(row['name'])} was measured"


def _noun(name: str) -> str:
    """What an SLO is computed from."""
    if name == _API:
        return "API answer"
    return "pull" if name in ("success_rate", "consecutive_failures") else "successful pull"


def _span(name: str, low: float, high: float) -> str:
    return (
        numbers.seconds_range(low, high) if name.endswith("_s") else f"{slo_value(name, low)}–{slo_value(name, high)}"
    )
