"""Objectives in the words that console and report share."""

import math
from typing import Any

import pytest

from pullbench.report.core import numbers
from pullbench.report.core.objective_words import (
    API_ANSWERS_TO_PROVE,
    evidence_text,
    measured_text,
    pulls_to_prove,
    target_text,
)
from pullbench.stats import slo


def row(name: str, verdict: str, **changes: Any) -> dict[str, Any]:
    given = {"target": 2.0, "measured": 1.0, "low": 0.9, "high": 1.1, "n": 40, "settings": 1, "missed_by": []}
    return given | {"name": name, "verdict": verdict} | changes


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("success_rate", 0.999, "at least 99.9%"),
        ("mean_pull_s", 3.0, "at most 3.00 s"),
        ("p99_api_s", 0.25, "at most 250 ms"),
        ("consecutive_failures", 3.0, "fewer than 3"),
    ],
)
def test_a_target_says_on_which_side_of_it_is_good(name: str, target: float, words: str) -> None:
    assert target_text(name, target) == words


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_has_no_value_shows_its_bound_or_a_dash(unknown: float | None) -> None:
    missed = row("p99_api_s", "missed", measured=unknown, low=5.0, high=unknown, n=20)
    assert measured_text(missed) == "at least 5.00 s"
    assert evidence_text(missed) == "from 20 API answers, 95% interval from 5.00 s up"
    assert measured_text(row("p99_api_s", "not_shown", measured=unknown, low=unknown)) == "–"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (row("mean_pull_s", "not_shown", low=None, high=None, n=8), "from 8 successful pulls; too few blocks to say"),
        (row("mean_pull_s", "not_shown", measured=None, low=None, high=None, n=0), "no successful pull was seen"),
        (
            row("p99_api_s", "not_shown", high=None, n=1),
            "from 1 API answer, 95% interval from 900 ms up; proof takes at least 368 answers",
        ),
        (row("consecutive_failures", "not_shown", low=None, high=None, n=2), "from 2 pulls; too few to say"),
        (
            row("success_rate", "not_shown", target=1.0, measured=1.0, low=0.9, high=1.0),
            "from 40 pulls, 95% interval 90.0%–100%; no number of pulls can prove 100%",
        ),
        (
            row("success_rate", "not_shown", target=0.999, measured=1.0, low=0.96, high=1.0, n=96),
            "from 96 pulls, 95% interval 96.0%–100%; proof takes about 3,838 pulls without a failure",
        ),
        (
            row("mean_pull_s", "not_shown", low=1.5, high=2.5),
            "from 40 successful pulls, 95% interval 1.50–2.50 s; the target lies within its interval",
        ),
    ],
)
def test_what_is_not_shown_says_why(given: dict[str, Any], reason: str) -> None:
    assert evidence_text(given) == reason


def test_several_settings_are_named_in_a_bounded_list() -> None:
    assert [numbers.first_few(list("abcdef"[:n])) for n in (1, 2, 3, 5)] == [
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 2 more",
    ]


@pytest.mark.parametrize("target", [0.9, 0.99, 0.999, 0.9995])
def test_so_many_pulls_prove_a_success_rate_and_hardly_fewer(target: float) -> None:
    pulls = pulls_to_prove(target)
    assert slo.score_success_rate(pulls, pulls, target).verdict == "met"
    assert slo.score_success_rate(pulls - 2, pulls - 2, target).verdict == "not_shown"


def test_so_many_answers_prove_a_percentile_and_none_fewer() -> None:
    answers = API_ANSWERS_TO_PROVE
    assert slo.score_percentile([0.1] * answers, 99, 2.0).verdict == "met"
    assert slo.score_percentile([0.1] * (answers - 1), 99, 2.0).verdict == "not_shown"
