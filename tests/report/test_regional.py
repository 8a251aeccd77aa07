"""Region × region, from runs whose differences are known."""

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from pullbench.report.core import tables
from pullbench.report.regional import runs
from pullbench.report.regional.page import RegionalPage
from pullbench.report.regional.runs import RegionalRuns, read_regional, regional_document
from pullbench.report.render.render import REGIONAL_NOTEBOOK, check_parameters
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import Regional, RegionalRecords, VantageResult
from tests.report import synthetic
from tests.report.synthetic import STARTED_AT, Recipe
from tests.words import text_of

ID = "20261123T160000Z-4e61"
_NUMBERS = itertools.count(1)
OFFSETS = {
    "east": {"eu": {"offset_s": 0.5, "known_to_s": 0.05}, "us": {"offset_s": 0.7, "known_to_s": 0.3}},
    "west": {"eu": {"offset_s": -1.5, "known_to_s": 0.06}},
}


def make(vantages: Mapping[str, float], *, missing: str = "", **environment: Any) -> RegionalRuns:
    """Vantages by how many times slower each is than the first; one more that is missing."""
    store, asked = ResultStore(f"memory://regional-report-{next(_NUMBERS)}"), []
    for number, (vantage, slower) in enumerate(vantages.items()):
        recipe = Recipe(
            engines=("wire",),
            routes=(("eu", "direct"), ("us", "direct")),
            concurrency=(1,),
            blocks=3,
            warmup=0,
            pulls=2,
            failure_rate=0,
            noise=0.01,
            slower=slower,
            run_id=f"20261123T161500Z-{number:04x}",
            name="regions",
        )
        synthetic.make(store.url, recipe)
        run = store.run(recipe.run_id)
        told = json.loads(run.environment) | {"clock_offset": OFFSETS.get(vantage, {})} | environment.get(vantage, {})
        labels = {"regional": ID}
        store.write_run(dataclasses.replace(run, vantage=vantage, labels=labels, environment=json.dumps(told)))
        asked.append(VantageResult(vantage=vantage, answer="complete", run_id=recipe.run_id))
    if missing:
        asked.append(VantageResult(vantage=missing, answer="missing", reason="no worker started the run: <script>"))
    record = Regional(
        regional_id=ID,
        name="regions",
        started_at=STARTED_AT,
        finished_at=STARTED_AT + timedelta(minutes=3),
        in_turn=False,
        asked=tuple(asked),
    )
    RegionalRecords(store).write(record)
    return read_regional(store, ID)


@pytest.fixture(scope="module")
def both() -> RegionalRuns:
    return make({"east": 1.0, "west": 3.0}, missing="nowhere")


def test_a_vantages_numbers_are_those_of_its_own_run(both: RegionalRuns) -> None:
    found = runs.cells(both)
    assert list(dict.fromkeys(found["vantage"])) == ["east", "west"]
    for vantage, run in both.runs.items():
        own = tables.cells(run.pulls, run.trials)
        mine = found[found["vantage"] == vantage].drop(columns="vantage").reset_index(drop=True)
        assert mine.equals(own)


def test_distances_are_within_a_vantage_and_never_between_two(both: RegionalRuns) -> None:
    found = runs.distances(both)
    assert found[["vantage", "baseline", "candidate"]].to_numpy().tolist() == [
        ["east", "eu", "us"],
        ["west", "eu", "us"],
    ]
    assert set(found["verdict"]) == {"slower"}


def test_clocks_are_compared_by_the_registry_with_the_smallest_uncertainty(both: RegionalRuns) -> None:
    [row] = runs.clocks(both).to_dict("records")
    assert (row["first"], row["second"], row["by"]) == ("east", "west", "eu")
    assert (row["offset_s"], row["known_to_s"]) == pytest.approx((2.0, 0.11))


def test_clocks_without_a_common_registry_are_not_compared() -> None:
    found = make({"east": 1.0, "silent": 1.0})
    assert runs.clocks(found).empty
    assert "<table" not in RegionalPage(found).clocks() and RegionalPage(found).clocks()


def test_differences_that_matter_are_listed_and_those_of_the_place_are_not() -> None:
    found = make({"east": 1.0, "west": 1.0}, west={"congestion_control": "bbr", "kernel": "other", "cpu": "other"})
    assert [entry.what for entry in runs.unequal(found)["west"]] == ["congestion_control"]
    assert "bbr" in RegionalPage(found).unequal()


def test_a_missing_vantage_is_in_the_title_and_in_the_table_with_its_reason(both: RegionalRuns) -> None:
    head = RegionalPage(both).header()
    assert "2 of 3 vantages" in head and "nowhere" in head
    listed = RegionalPage(both).vantages()
    assert "the run: &lt;script&gt;" in listed
    assert listed.count("answered") == 2


@pytest.mark.parametrize(
    "vantages",
    [{"a": 1.0}, {"a": 1.0, "b": 1.0}],
)
def test_where_all_vantages_answered_the_verdict_is_good(vantages: dict[str, float]) -> None:
    found = make(vantages)
    assert 'class="verdict good"' in RegionalPage(found).header()
    assert ">Why<" not in RegionalPage(found).vantages()


def test_the_ends_of_the_head_have_their_intervals(both: RegionalRuns) -> None:
    """Two medians without intervals would show one route slower, whatever their spread."""
    head = RegionalPage(both).header()
    assert head.count("(95% CI ") == 2


def test_a_vantage_that_misses_the_slo_is_named_in_the_verdict(both: RegionalRuns) -> None:
    asking = {
        vantage: dataclasses.replace(run, spec=dict(run.spec) | {"slo": {"mean_pull_s": target_s}})
        for (vantage, run), target_s in zip(both.runs.items(), (1e6, 1e-6), strict=True)
    }
    found = dataclasses.replace(both, runs=asking)
    head = RegionalPage(found).header()
    [missed] = re.findall(r"missed from ([^<]*)", head)
    assert "west" in missed and "east" not in missed
    assert ">SLO<" in RegionalPage(found).vantages()
    free = {vantage: dataclasses.replace(run, spec=dict(run.spec) | {"slo": {}}) for vantage, run in both.runs.items()}
    assert ">SLO<" not in RegionalPage(dataclasses.replace(both, runs=free)).vantages()


def test_the_golden_page_of_a_regional_benchmark(both: RegionalRuns, golden: Callable[[str, str], None]) -> None:
    page = RegionalPage(both)
    golden("report/regional.txt", text_of(page.header() + page.vantages() + page.matrices() + page.clocks()))


def test_the_matrix_has_a_row_a_vantage_and_a_column_a_registry_with_the_shortest_bold(both: RegionalRuns) -> None:
    found = RegionalPage(both).matrices()
    assert "eu (eu-west)" in found and "us (us-east)" in found
    assert found.count("<strong>") == 2
    assert found.count("<table>") == 1


def test_the_figure_has_a_mark_for_each_route(both: RegionalRuns) -> None:
    assert "intervals, 4 rows" in RegionalPage(both).regions()


def test_where_no_vantage_measured_anything_there_is_still_a_page() -> None:
    found = make({}, missing="nowhere")
    page = RegionalPage(found)
    assert 'class="verdict bad"' in page.header()
    assert page.matrices() == page.regions() == page.clocks() == ""


def test_the_document_has_every_vantage_its_clock_and_plain_numbers(both: RegionalRuns) -> None:
    document = json.loads(json.dumps(regional_document(both), allow_nan=False))
    assert document["status"] == "incomplete"
    assert [entry["answer"] for entry in document["vantages"]] == ["complete", "complete", "missing"]
    assert document["vantages"][0]["clock_offset"] == OFFSETS["east"]
    assert len(document["cells"]) == 4


def test_its_notebook_takes_its_parameters() -> None:
    check_parameters(REGIONAL_NOTEBOOK, {"results_url": "", "regional_id": ""})


def test_a_vantage_that_finished_after_the_wait_is_complete_when_it_is_read_again() -> None:
    make({"east": 1.0, "west": 1.0})
    store = ResultStore(f"memory://regional-report-{next(_NUMBERS) - 1}")
    record = RegionalRecords(store).read(ID)
    given_up = [record.asked[0], VantageResult(vantage="west", answer="missing", reason="not done within 3 minutes")]
    RegionalRecords(store).write(dataclasses.replace(record, asked=tuple(given_up)))
    found = read_regional(store, ID)
    assert found.lacking == []
    assert list(found.runs) == ["east", "west"]
    run = store.run(found.runs["west"].run.run_id)
    store.write_run(dataclasses.replace(run, status="incomplete"))
    again = read_regional(store, ID)
    assert again.lacking == ["west"]
    assert again.record.asked[1].reason == given_up[1].reason
