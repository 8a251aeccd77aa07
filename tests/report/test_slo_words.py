"""SLOs in the words that console, events and report share."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from pullbench.model.spec import SLO_NAMES
from pullbench.report.core import numbers
from pullbench.report.core.slo_words import (
    SLO_TITLES,
    evidence_text,
    measured_text,
    pulls_needed,
    slo_title,
    target_text,
    values_to_meet,
    verdict_text,
)
from pullbench.stats import slo


def row(name: str, verdict: str, **changes: Any) -> dict[str, Any]:
    given = {"target": 2.0, "measured": 1.0, "low": 0.9, "high": 1.1, "n": 40, "settings": 1, "missed_by": []}
    return given | {"engine": "docker", "configuration": None, "name": name, "verdict": verdict} | changes


def test_every_slo_of_a_spec_has_a_title() -> None:
    assert tuple(SLO_TITLES) == SLO_NAMES


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("success_rate", 0.999, "at least 99.9%"),
        ("mean_pull_s", 3.0, "at most 3.00 s"),
        ("p99_api_s", 0.25, "at most 250 ms"),
        ("p95_pull_s", 12.0, "at most 12.0 s"),
        ("consecutive_failures", 3.0, "fewer than 3"),
    ],
)
def test_a_target_says_on_which_side_of_it_is_good(name: str, target: float, words: str) -> None:
    assert target_text(name, target) == words


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_has_no_value_shows_its_bound_or_a_dash(unknown: float | None) -> None:
    missed = row("p99_api_s", "missed", measured=unknown, low=5.0, high=unknown, n=20)
    assert measured_text(missed).endswith("5.00 s") and "5.00 s" in evidence_text(missed)
    assert measured_text(row("p99_api_s", "not_shown", measured=unknown, low=unknown)) == numbers.NOT_KNOWN


NOT_SHOWN = (
    row("success_rate", "not_shown", target=0.999, measured=1.0, low=0.96, high=1.0, n=96),
    row("success_rate", "not_shown", target=0.99, measured=0.995, low=0.972, high=0.9991, n=200),
    row("success_rate", "not_shown", target=1.0, measured=1.0, low=0.9, high=1.0),
    row("mean_pull_s", "not_shown", low=None, high=None, n=8),
    row("mean_pull_s", "not_shown", measured=None, low=None, high=None, n=0),
    row("mean_pull_s", "not_shown", measured=1.8, low=1.4, high=2.2),
    row("mean_pull_s", "not_shown", measured=1.999, low=1.5, high=2.5),
    row("p95_pull_s", "not_shown", measured=1.5, low=1.2, high=None, n=60),
    row("p99_pull_s", "not_shown", measured=None, low=1.2, high=None, n=60, settings=4),
    row("p99_api_s", "not_shown", high=None, n=1),
    row("p99_api_s", "not_shown", measured=None, low=None, high=None, n=0, engine=None),
    row("consecutive_failures", "not_shown", target=3, low=None, high=None, n=2),
)
MISSED = (
    row("mean_pull_s", "missed", measured=4.1, low=3.8, high=4.4, settings=4, missed_by=["us · ×1", "us · ×4"]),
    row("mean_pull_s", "met", settings=2, missed_by=["us · ×1"]),
)


def test_what_an_slo_needs_is_the_golden_page(golden: Callable[[str, str], None]) -> None:
    lines = [
        f"{slo_title(each['name'])}\n    {verdict_text(each)}\n    {evidence_text(each)}" for each in NOT_SHOWN + MISSED
    ]
    golden("slo-verdicts.txt", "\n".join(lines) + "\n")


def test_several_configurations_are_named_in_a_bounded_list() -> None:
    assert [numbers.first_few(list("abcdef"[:n])) for n in (1, 2, 3, 5)] == [
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 2 more",
    ]


@pytest.mark.parametrize("target", [0.9, 0.99, 0.999, 0.9995])
def test_so_many_pulls_without_a_failure_meet_a_success_rate_and_hardly_fewer(target: float) -> None:
    pulls = pulls_needed(target)
    assert slo.score_success_rate(pulls, pulls, target).verdict == "met"
    assert slo.score_success_rate(pulls - 2, pulls - 2, target).verdict == "not_shown"


@pytest.mark.parametrize(("target", "rate", "verdict"), [(0.9, 0.95, "met"), (0.99, 0.98, "missed"), (0.5, 0.6, "met")])
def test_so_many_pulls_at_a_success_rate_give_its_verdict(target: float, rate: float, verdict: str) -> None:
    pulls = pulls_needed(target, rate)
    assert slo.score_success_rate(math.floor(pulls * rate), pulls, target).verdict in (verdict, "not_shown")
    enough, few = 1000 * math.ceil(1.05 * pulls / 1000), pulls // 2
    assert slo.score_success_rate(round(enough * rate), enough, target).verdict == verdict
    assert slo.score_success_rate(round(few * rate), few, target).verdict == "not_shown"


@pytest.mark.parametrize(("q", "values"), [(50, 6), (95, 72), (99, 368)])
def test_so_many_values_meet_a_percentile_and_none_fewer(q: float, values: int) -> None:
    assert values_to_meet(q) == values
    assert slo.score_percentile([0.1] * values, q, 2.0).verdict == "met"
    assert slo.score_percentile([0.1] * (values - 1), q, 2.0).verdict == "not_shown"
