"""Two runs compared: what got slower, what fails more, and nothing said that is not known."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from pullbench.report.compare.page import ComparisonPage
from pullbench.report.compare.runs import FAILS_LESS, FAILS_MORE, RunsCompared, compare_runs
from pullbench.report.compare.verdict import comparison_document, headline, warnings
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures import forest
from tests.report.conftest import Make
from tests.report.synthetic import STARTED_AT, Recipe

BASE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), failure_rate=0.0)
LATER = replace(BASE, run_id="later", started_at=STARTED_AT + timedelta(days=90), seed=8)


@pytest.fixture(scope="module")
def before(make: Make) -> StoredRun:
    return make(BASE)


@pytest.fixture(scope="module")
def slower(make: Make, before: StoredRun) -> RunsCompared:
    return compare_runs(before, make(replace(LATER, slower=1.5)))


def test_a_run_that_takes_half_as_long_again_is_slower_in_every_setting_and_in_the_whole(slower: RunsCompared) -> None:
    assert set(slower.cells["verdict"]) == {"slower"}
    assert slower.whole.verdict == "slower"
    assert slower.whole.ratio == pytest.approx(1.5, rel=0.1)
    said = headline(slower)
    assert (said.status, said.title) == ("slower", "Slower in 2 of 2 settings")


def test_the_other_way_round_it_is_faster(slower: RunsCompared) -> None:
    found = compare_runs(slower.candidate, slower.baseline)

    assert set(found.cells["verdict"]) == {"faster"}
    assert headline(found).title == "Better in 2 of 2 settings, worse in none"


def test_settings_that_share_no_block_have_ratios_and_none_over_all(before: StoredRun, slower: RunsCompared) -> None:
    """As the steps of a stress test are, one after the other."""
    later = {
        name: frame.assign(block=frame["block"].where(frame["concurrency"] == 1, frame["block"] + 100))
        for name, frame in (("trials", slower.candidate.trials), ("pulls", slower.candidate.pulls))
    }
    found = compare_runs(before, replace(slower.candidate, **later))
    assert found.whole.ratio is None and found.cells["ratio"].notna().all()
    said = headline(found).sentence
    assert "no block has every setting" in said and "No setting succeeded" not in said


@pytest.mark.parametrize(("at_least", "cells"), [(0.0, 2), (0.2, 2), (0.9, 0)])
def test_a_regression_counts_from_the_share_that_is_asked_for(
    slower: RunsCompared, at_least: float, cells: int
) -> None:
    assert len(slower.regressions(at_least)) == cells


def test_a_run_compared_with_itself_is_never_faster_or_slower(before: StoredRun) -> None:
    found = compare_runs(before, before)

    assert not set(found.cells["verdict"]) & {"faster", "slower"}
    assert found.regressions().empty
    assert found.improvements().empty
    assert warnings(found)[0] == "Both are the same run: nothing can differ."


def test_one_block_against_one_is_too_few_samples(make: Make) -> None:
    one = replace(BASE, blocks=1)
    found = compare_runs(make(one), make(replace(one, run_id="later", slower=2.0)))

    assert set(found.cells["verdict"]) == {"too_few_samples"}
    assert headline(found).title == "Too few samples to say"
    assert found.regressions().empty


def test_a_setting_that_fails_everywhere_is_a_regression_without_a_time(make: Make, before: StoredRun) -> None:
    found = compare_runs(before, make(replace(LATER, fail_everywhere=True)))

    assert set(found.cells["success_verdict"]) == {FAILS_MORE}
    assert found.cells["candidate_s"].isna().all()
    assert len(found.regressions(0.5)) == 2
    said = headline(found)
    assert (said.status, said.title) == ("failed", "More pulls fail in 2 of 2 settings")
    assert "40 of 40 → 0 of 40 pulls succeeded" in said.sentence
    assert "No setting succeeded in both runs" in said.sentence


def test_a_setting_whose_failures_are_gone_is_an_improvement(make: Make, before: StoredRun) -> None:
    found = compare_runs(make(replace(LATER, fail_everywhere=True)), before)

    assert set(found.improvements()["success_verdict"]) == {FAILS_LESS}


def test_survivors_of_failures_are_not_called_faster(make: Make) -> None:
    far = replace(BASE, routes=(("us", "direct"),), pulls=24)
    failing = replace(far, run_id="later", failure_rate=0.6, slower=0.5, seed=9)
    found = compare_runs(make(far), make(failing))

    assert set(found.cells["success_verdict"]) == {FAILS_MORE}
    assert (found.cells["ratio"] < 0.7).all()
    assert set(found.cells["verdict"]) == {"inconclusive"}


def test_settings_that_one_run_alone_has_are_named_and_in_no_ratio(make: Make, before: StoredRun) -> None:
    found = compare_runs(before, make(replace(LATER, concurrency=(4, 8))))

    assert found.cells["concurrency"].tolist() == [4]
    assert [cell["concurrency"] for cell in found.only_in["baseline"]] == [1]
    assert [cell["concurrency"] for cell in found.only_in["candidate"]] == [8]
    assert "baseline alone" in ComparisonPage(found).only_in_one()


def test_runs_without_a_common_setting_say_so(make: Make, before: StoredRun) -> None:
    found = compare_runs(before, make(replace(LATER, engines=("docker",))))

    assert headline(found).title == "Nothing to compare"
    assert forest.ratios(found.cells) == ""
    assert "no setting in common" in ComparisonPage(found).side_by_side()


def test_an_unfinished_run_another_machine_and_other_content_are_warned_of(make: Make, before: StoredRun) -> None:
    other = make(replace(LATER, status="incomplete"))
    image = {"registry": "eu", "image": "app:1", "platforms": {"linux/amd64": {"digest": "sha256:aa"}}}
    run = replace(other.run, vantage="elsewhere", facts=json.dumps({"images": [image], "engines": []}))

    said = warnings(compare_runs(before, replace(other, run=run)))

    assert [text.split()[0:3] for text in said] == [
        ["The", "runs", "were"],
        ["The", "runs", "did"],
        ["The", "candidate", "is"],
    ]


def test_the_document_is_json_and_has_what_is_relied_upon(slower: RunsCompared) -> None:
    document = json.loads(json.dumps(comparison_document(slower)))

    assert document["baseline"]["run_id"] == BASE.run_id
    assert document["candidate"]["run_id"] == "later"
    assert {"engine", "concurrency", "ratio", "low", "high", "p", "verdict"} <= set(document["cells"][0])
    assert document["whole"]["cells"] == 2


def test_every_ratio_of_the_page_is_that_of_the_document(slower: RunsCompared) -> None:
    page = ComparisonPage(slower).side_by_side() + ComparisonPage(slower).ranked()

    for cell in comparison_document(slower)["cells"]:
        assert page.count(f"{cell['ratio']:.2f}×") >= 2


def test_a_hostile_name_stays_text(make: Make) -> None:
    evil = '<script>alert("x")</script>'
    found = compare_runs(make(replace(BASE, name=evil)), make(replace(LATER, name=evil)))

    page = ComparisonPage(found).header() + ComparisonPage(found).different()

    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_picture_tells_in_words_what_it_shows(slower: RunsCompared) -> None:
    drawn = forest.ratios(slower.cells)

    assert re.search(r"\b2 \w+ slower and 0 faster\b", drawn)
    assert "<desc" in drawn
