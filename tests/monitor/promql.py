"""Which series and labels a PromQL expression asks for: enough of the language to hold queries to the catalog."""

import re
from dataclasses import dataclass

from pullbench.model.spec import SLO_NAMES
from pullbench.monitor import catalog

SERIES: dict[str, tuple[str, ...]] = {
    name: labels for metric in catalog.METRICS for name, labels in metric.series.items()
}
"""Every series that pullbench exports, with its labels."""

_SELECTOR = re.compile(r"\b(pullbench_\w+)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_CLOSED = {
    "status": {*catalog.RUN_STATUSES, "pass", "warn", "fail", "skip", "error"},
    "verdict": {*catalog.RUN_VERDICTS, *catalog.SLO_VERDICTS},
    "objective": set(SLO_NAMES),
    "kind": {"benchmark", "stress", "calibration"},
}


@dataclass(frozen=True)
class Selector:
    """One `metric{label="value", …}`; matchers are label, operator and value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(expr: str) -> list[Selector]:
    found = []
    for metric, inside in _SELECTOR.findall(expr):
        matchers = _MATCHER.findall(inside)
        left = _MATCHER.sub("", inside).strip()
        assert not left, f"cannot read '{left}' in {expr}"
        found.append(Selector(metric, tuple(matchers)))
    return found


def faults(expr: str, *, bounds: frozenset[str] = frozenset()) -> list[str]:
    """What an expression asks for that pullbench does not export; `bounds` are the histogram's `le`."""
    found = selectors(expr)
    wrong = [] if found else [f"no series of pullbench in: {expr}"]
    known = {label for entry in found for label in SERIES.get(entry.metric, ())}
    for entry in found:
        if entry.metric not in SERIES:
            wrong.append(f"{entry.metric} is not exported")
            continue
        for label, operator, value in entry.matchers:
            if label not in SERIES[entry.metric]:
                wrong.append(f"{entry.metric} has no label {label}")
            wrong += _values_faults(label, operator, value, bounds)
    for inside in _GROUPING.findall(expr):
        wrong += [f"no series in '{expr}' has the label {name}" for name in _names(inside) if name not in known]
    return wrong


def labels_left(expr: str) -> set[str]:
    """The labels that the result may have, for legends: those of its outermost `by`, else of its series."""
    groupings = [set(_names(inside)) for inside in re.findall(r"\bby\s*\(([^)]*)\)", expr)]
    if groupings:
        return set.intersection(*groupings)
    return {label for entry in selectors(expr) for label in SERIES.get(entry.metric, ())}


def _values_faults(label: str, operator: str, value: str, bounds: frozenset[str]) -> list[str]:
    if "$" in value:
        return []
    values = value.split("|") if operator in ("=~", "!~") else [value]
    closed = bounds if label == "le" and bounds else _CLOSED.get(label)
    return [] if closed is None else [f'no {label} is ever "{each}"' for each in values if each not in closed]


def _names(inside: str) -> list[str]:
    return [name.strip() for name in inside.split(",") if name.strip()]
