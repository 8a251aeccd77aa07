"""Two runs compared: what got slower, what fails more, and what is inconclusive."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pullbench.report.compare.page import ComparisonPage
from pullbench.report.compare.runs import ALIKE, FAILS_LESS, FAILS_MORE, RunsCompared, compare_runs
from pullbench.report.compare.verdict import comparison_document, headline, needs_more, pooled_sentences, warnings
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures import forest
from pullbench.stats.compare import ComparisonVerdict
from tests.report.conftest import Make
from tests.report.synthetic import STARTED_AT, Recipe
from tests.words import text_of

BASE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), failure_rate=0.0)
LATER = replace(BASE, run_id="later", started_at=STARTED_AT + timedelta(days=90), seed=8)


@pytest.fixture(scope="module")
def before(make: Make) -> StoredRun:
    return make(BASE)


@pytest.fixture(scope="module")
def slower(make: Make, before: StoredRun) -> RunsCompared:
    return compare_runs(before, make(replace(LATER, slower=1.5)))


def test_a_run_with_1_5_times_the_time_is_slower_in_every_configuration_and_in_the_whole(slower: RunsCompared) -> None:
    assert set(slower.cells["verdict"]) == {"slower"}
    assert slower.whole.verdict == "slower"
    assert slower.whole.ratio == pytest.approx(1.5, rel=0.1)
    said = headline(slower)
    assert said.status == "slower" and said.title.startswith("2 of 2 ")


def test_the_same_runs_exchanged_are_faster(slower: RunsCompared) -> None:
    found = compare_runs(slower.candidate, slower.baseline)

    assert set(found.cells["verdict"]) == {"faster"}
    assert headline(found).status == "faster" and headline(found).title.startswith("2 of 2 ")


def scaled(stored: StoredRun, engine: str, factor: float) -> StoredRun:
    """The run with other times of one engine."""
    pulls = stored.pulls
    mine = pulls["engine"] == engine
    return replace(
        stored, pulls=pulls.assign(duration_s=pulls["duration_s"].where(~mine, pulls["duration_s"] * factor))
    )


def test_engines_that_do_different_work_have_a_pooled_ratio_each(make: Make) -> None:
    both = make(replace(BASE, engines=("wire", "docker")))
    found = compare_runs(both, scaled(both, "docker", 2.0))

    assert [(list(entry.engines), entry.cells) for entry in found.pooled] == [(["docker"], 2), (["wire"], 2)]
    assert [entry.times.ratio for entry in found.pooled] == pytest.approx([2.0, 1.0])
    document = comparison_document(found)
    assert document["whole"] == document["pooled"][0]
    assert (document["whole"]["engines"], document["whole"]["ratio"]) == (["docker"], pytest.approx(2.0))


def test_the_engines_whose_slos_are_judged_come_first(make: Make) -> None:
    both = make(replace(BASE, engines=("wire", "docker")))
    found = compare_runs(both, replace(both, spec=dict(both.spec) | {"slo": {"engines": ["wire"]}}))
    assert [list(entry.engines) for entry in found.pooled] == [["wire"], ["docker"]]


def test_what_only_the_configurations_together_show_is_the_verdict_and_contradicts_no_sentence(make: Make) -> None:
    many = replace(BASE, concurrency=(1, 2, 4, 8), noise=0.08)
    found = compare_runs(make(many), make(replace(many, run_id="later", seed=9, slower=1.12)))
    assert set(found.cells["verdict"]) == {"inconclusive"}
    assert found.whole.verdict == "slower"
    said = headline(found)
    assert said.status == "slower" and f"{found.whole.ratio - 1:.0%}" in said.title  # type: ignore[operator]
    assert f"{found.whole.ratio:.2f}×" in said.clauses[0]


def test_another_engine_that_is_slower_is_named_in_the_title(make: Make) -> None:
    both = make(replace(BASE, engines=("wire", "docker"), blocks=3, noise=0.1))
    found = compare_runs(both, both)
    wire = replace(found.pooled[1].times, ratio=1.2, verdict=ComparisonVerdict.SLOWER)
    said = headline(replace(found, pooled=[found.pooled[0], replace(found.pooled[1], times=wire)]))
    assert said.status == "slower" and "wire" in said.title


def test_configurations_without_a_common_repetition_have_ratios_and_none_over_all(
    before: StoredRun, slower: RunsCompared
) -> None:
    """As the steps of a stress test are, one after the other."""
    later = {
        name: frame.assign(block=frame["block"].where(frame["concurrency"] == 1, frame["block"] + 100))
        for name, frame in (("trials", slower.candidate.trials), ("pulls", slower.candidate.pulls))
    }
    found = compare_runs(before, replace(slower.candidate, **later))
    assert found.whole.ratio is None and found.cells["ratio"].notna().all()
    assert pooled_sentences(found) != pooled_sentences(compare_runs(before, before))
    assert comparison_document(found)["whole"]["ratio"] is None


@pytest.mark.parametrize(("at_least", "cells"), [(0.0, 2), (0.2, 2), (0.9, 0)])
def test_a_regression_counts_from_the_given_share(slower: RunsCompared, at_least: float, cells: int) -> None:
    assert len(slower.regressions(at_least)) == cells


def test_a_run_compared_with_itself_is_never_faster_or_slower(before: StoredRun) -> None:
    found = compare_runs(before, before)

    assert not set(found.cells["verdict"]) & {"faster", "slower"}
    assert found.regressions().empty
    assert found.improvements().empty
    assert found.same_run and "same run" in warnings(found)[0]


def test_one_block_against_one_is_too_few_samples(make: Make) -> None:
    one = replace(BASE, blocks=1)
    found = compare_runs(make(one), make(replace(one, run_id="later", slower=2.0)))

    assert set(found.cells["verdict"]) == {"too_few_samples"}
    assert headline(found).status == "too_few_samples"
    assert found.regressions().empty
    assert "too few samples" in ComparisonPage(found).side_by_side(), "a missing p in every row has a page too"


def test_an_inconclusive_configuration_says_how_many_more_repetitions_it_needs(make: Make) -> None:
    few = replace(BASE, blocks=3, noise=0.15)
    found = compare_runs(make(few), make(replace(LATER, blocks=3, noise=0.15, slower=1.12)))

    unsure = found.cells[found.cells["verdict"] == "inconclusive"]
    more = int(unsure["more_repetitions"].dropna().iloc[0])
    assert f"needs about {more} more" in ComparisonPage(found).side_by_side()
    assert more in [cell["more_repetitions"] for cell in comparison_document(found)["cells"]]
    assert found.cells.loc[found.cells["verdict"] != "inconclusive", "more_repetitions"].isna().all()


@pytest.mark.parametrize(
    ("verdict", "success", "says"),
    [("inconclusive", ALIKE, True), ("inconclusive", FAILS_MORE, False), ("slower", ALIKE, False)],
)
def test_a_configuration_too_noisy_for_any_usual_number_says_so(verdict: str, success: str, says: bool) -> None:
    row = {"more_repetitions": math.nan, "verdict": verdict, "success_verdict": success}
    assert bool(needs_more(row)) is says


def test_a_configuration_that_fails_in_every_pull_is_a_regression_without_a_time(make: Make, before: StoredRun) -> None:
    found = compare_runs(before, make(replace(LATER, fail_everywhere=True)))

    assert set(found.cells["success_verdict"]) == {FAILS_MORE}
    assert found.cells["candidate_s"].isna().all()
    assert len(found.regressions(0.5)) == 2
    said = headline(found)
    assert said.status == "failed" and "2 of 2" in said.title
    assert "40 of 40 → 0 of 40 pulls" in said.clauses[0]
    assert found.whole.ratio is None


def test_a_configuration_without_its_former_failures_is_an_improvement(make: Make, before: StoredRun) -> None:
    found = compare_runs(make(replace(LATER, fail_everywhere=True)), before)

    assert set(found.improvements()["success_verdict"]) == {FAILS_LESS}


def test_survivors_of_failures_are_not_called_faster(make: Make) -> None:
    far = replace(BASE, routes=(("us", "direct"),), pulls=24)
    failing = replace(far, run_id="later", failure_rate=0.6, slower=0.5, seed=9)
    found = compare_runs(make(far), make(failing))

    assert set(found.cells["success_verdict"]) == {FAILS_MORE}
    assert (found.cells["ratio"] < 0.7).all()
    assert set(found.cells["verdict"]) == {"inconclusive"}
    assert found.cells["more_repetitions"].isna().all(), "more repetitions do not make it a fair sample"


def test_configurations_of_one_run_only_are_named_and_in_no_ratio(make: Make, before: StoredRun) -> None:
    found = compare_runs(before, make(replace(LATER, concurrency=(4, 8))))

    assert found.cells["concurrency"].tolist() == [4]
    assert [cell["concurrency"] for cell in found.only_in["baseline"]] == [1]
    assert [cell["concurrency"] for cell in found.only_in["candidate"]] == [8]
    assert ComparisonPage(found).only_in_one().count("<li>") == 2


def test_runs_without_a_common_configuration_have_no_table(make: Make, before: StoredRun) -> None:
    found = compare_runs(before, make(replace(LATER, engines=("docker",))))

    assert headline(found).status == "inconclusive"
    assert forest.ratios(found.cells) == ""
    assert "<table" not in ComparisonPage(found).side_by_side()


def test_an_unfinished_run_another_machine_and_other_content_are_warned_of(make: Make, before: StoredRun) -> None:
    other = make(replace(LATER, status="incomplete"))
    image = {"registry": "eu", "image": "app:1", "platforms": {"linux/amd64": {"digest": "sha256:aa"}}}
    run = replace(other.run, vantage="elsewhere", facts=json.dumps({"images": [image], "engines": []}))

    found = compare_runs(before, replace(other, run=run))

    assert found.other_machine and "images" in {entry.kind for entry in found.differences}
    assert len(warnings(found)) == 3
    assert "--resume later" in warnings(found)[2]


def test_an_image_of_a_registry_that_is_not_compared_is_no_other_content(make: Make, before: StoredRun) -> None:
    other = make(LATER)
    image = {"registry": "us", "image": "app:1", "platforms": {"linux/amd64": {"digest": "sha256:aa"}}}
    run = replace(other.run, facts=json.dumps({"images": [image], "engines": []}))
    assert warnings(compare_runs(before, replace(other, run=run))) == []


def test_the_document_is_json_and_has_what_is_relied_upon(slower: RunsCompared) -> None:
    document = json.loads(json.dumps(comparison_document(slower)))

    assert document["baseline"]["run_id"] == BASE.run_id
    assert document["candidate"]["run_id"] == "later"
    assert {"engine", "concurrency", "ratio", "low", "high", "p", "verdict"} <= set(document["cells"][0])
    assert document["whole"]["cells"] == 2


def test_the_golden_page_of_a_comparison(slower: RunsCompared, golden: Callable[[str, str], None]) -> None:
    page = ComparisonPage(slower)
    golden("report/compare.txt", text_of(page.header() + page.different() + page.ranked() + page.side_by_side()))


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


def test_the_picture_describes_itself_in_words(slower: RunsCompared) -> None:
    drawn = forest.ratios(slower.cells)

    assert "2 significantly slower and 0 " in drawn
    assert "<desc" in drawn
