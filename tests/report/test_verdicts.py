"""The sentences of the report in the situations that matter."""

import dataclasses
import json
import re

import pytest

from pullbench.report import tables, verdicts
from pullbench.report.contrasts import contrasts
from pullbench.report.objectives import objectives
from pullbench.report.stored import StoredRun, records
from pullbench.report.verdicts import Headline
from tests.report.synthetic import Recipe

NEAR_AND_FAR = (("eu", "direct"), ("us", "direct"))


def headline(stored: StoredRun) -> Headline:
    cells = tables.cells(stored.pulls, stored.trials)
    return verdicts.headline(stored, cells, objectives(stored, cells))


def small(**changes: object) -> Recipe:
    given = {
        "engines": ("wire",),
        "routes": NEAR_AND_FAR,
        "concurrency": (1,),
        "pulls": 4,
        "failure_rate": 0.0,
    } | changes
    return Recipe(**given)


def with_slo(stored: StoredRun, **slo: float) -> StoredRun:
    return dataclasses.replace(stored, spec={**stored.spec, "slo": slo})


def test_the_winner_is_named_with_its_lead_and_interval(make) -> None:
    said = headline(make(small())).sentence
    assert said.startswith("Fastest is wire from eu directly, one pull at a time: an image every ")
    assert "95% interval" in said
    assert re.search(r" [34]\.\d\d times \([\d.]+–[\d.]+\) as fast as the next, wire from us directly", said), said


def test_objectives_that_hold_make_a_run_ready(make) -> None:
    said = headline(with_slo(make(small()), mean_pull_s=30.0, consecutive_failures=3))
    assert (said.status, said.title) == ("met", "Ready: every objective met")


def test_a_missed_objective_is_named_with_its_numbers(make) -> None:
    said = headline(with_slo(make(small()), mean_pull_s=0.01))
    assert said.status == "missed"
    assert "1 of 1 objective is missed: mean pull time" in said.sentence
    assert "where 10.0 ms is asked" in said.sentence


def test_too_few_pulls_leave_an_objective_open_and_say_so(make) -> None:
    said = headline(with_slo(make(small()), success_rate=0.999))
    assert said.status == "not_shown"
    assert "more pulls are needed to show success rate" in said.sentence


def test_equal_routes_are_not_ranked(make) -> None:
    stored = make(small(noise=0.2, routes=(("us", "cache"), ("eu", "cache"))))
    assert "is as good as far as this run can tell" in headline(stored).sentence


def test_two_blocks_are_a_hint_and_no_verdict(make) -> None:
    said = headline(make(small(blocks=2))).sentence
    assert "take it as a hint, for 2 blocks give no interval" in said
    assert "95%" not in said


def test_a_run_that_failed_everywhere_says_why_and_what_to_do(make) -> None:
    said = headline(make(small(fail_everywhere=True)))
    assert (said.status, said.title) == ("failed", "Every pull failed")
    assert "most failed with reset: the connection was cut" in said.sentence


def test_no_setting_without_failures_is_no_recommendation(make) -> None:
    said = headline(make(small(routes=(("us", "direct"),), failure_rate=0.5))).sentence
    assert said.startswith("No setting was free of failures (most often reset)")


def test_an_incomplete_run_says_how_much_of_it_there_is(make) -> None:
    stored = make(small(status="incomplete"))
    run = dataclasses.replace(stored.run, trials_planned=40)
    assert "12 of 40 trials are in it" in headline(dataclasses.replace(stored, run=run)).sentence


def test_a_failed_preflight_is_named(make) -> None:
    stored = make(small())
    checks = stored.checks.assign(status=["fail", *["pass"] * (len(stored.checks) - 1)])
    nothing = {"trials": stored.trials.iloc[:0], "pulls": stored.pulls.iloc[:0], "transfers": stored.transfers.iloc[:0]}
    said = headline(dataclasses.replace(stored, checks=checks, **nothing))
    assert said.title == "Not ready: preflight failed"
    assert "dns of eu failed" in said.sentence


def test_a_run_without_a_trial_says_so(make) -> None:
    stored = make(small())
    nothing = {"trials": stored.trials.iloc[:0], "pulls": stored.pulls.iloc[:0], "transfers": stored.transfers.iloc[:0]}
    assert headline(dataclasses.replace(stored, **nothing)).title == "Nothing was measured"


def test_a_busy_client_is_told(make) -> None:
    stored = make(small())
    stored = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=0.93))
    assert "the client itself was 93% busy" in headline(stored).sentence


def test_users_engines_win_over_wire_which_unpacks_nothing(full: StoredRun) -> None:
    assert headline(full).sentence.startswith("Fastest is docker from eu directly")


def test_the_platform_of_this_machine_is_chosen(make) -> None:
    stored = make(small(platforms=("linux/amd64", "linux/arm64")))
    facts = json.dumps({"host_platform": "linux/arm64", "engines": [], "images": []})
    stored = dataclasses.replace(stored, run=dataclasses.replace(stored.run, facts=facts))
    cells = tables.cells(stored.pulls, stored.trials)
    assert set(verdicts.contenders(stored, cells)["platform"]) == {"linux/arm64"}


def sentences(stored: StoredRun) -> list[str]:
    return [verdicts.contrast_sentence(row) for row in records(contrasts(stored))]


def test_comparisons_say_how_much_slower_or_faster(full: StoredRun) -> None:
    said = sentences(full)
    assert any(one.startswith("us takes ") and "times as long as eu (wire · direct)" in one for one in said)
    assert any(one.startswith("cache is ") and "times as fast as direct (docker · us)" in one for one in said)
    assert any(one.startswith("The whole with 4 at once is ") for one in said)


def test_a_comparison_of_two_blocks_is_none(make) -> None:
    (said,) = sentences(make(small(blocks=2)))
    assert said == "us against eu: too few samples, 2 blocks in common and 3 needed."


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("no_difference", "differ by less than 5%"), ("inconclusive", "cannot be told")],
)
def test_a_comparison_may_say_that_it_does_not_know(verdict: str, words: str) -> None:
    row = {"factor": "proxy", "baseline": "direct", "candidate": "cache", "within": "", "verdict": verdict}
    assert words in verdicts.contrast_sentence(row | {"ratio": 1.01, "low": 0.99, "high": 1.03, "blocks": 5})


def test_an_objective_names_the_cells_that_miss_it(full: StoredRun) -> None:
    stored = with_slo(full, mean_pull_s=1.9)
    cells = tables.cells(stored.pulls, stored.trials)
    scores = objectives(stored, cells)
    (row,) = records(scores[scores["scope"] == "all"])
    assert row["verdict"] == "met"
    assert "such as docker · us · direct · ×4" in verdicts.objective_sentence(row, scores)
