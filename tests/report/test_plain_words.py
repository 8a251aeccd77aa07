"""The pages of stress tests, comparisons, trends, regions, fleets and calibrations, read by the glossary.

Sections that all pages share (SLO, errors, preflight, excluded configurations, environment) are tested where they are
made, and so are the names of configurations.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pullbench.errors import ErrorCode
from pullbench.report.calibration.page import CalibrationPage
from pullbench.report.compare.page import ComparisonPage
from pullbench.report.compare.runs import compare_runs
from pullbench.report.core.stored import StoredRun
from pullbench.report.fleet.page import FleetPage
from pullbench.report.regional.page import RegionalPage
from pullbench.report.regional.runs import RegionalRuns
from pullbench.report.render import render
from pullbench.report.stress.page import StressPage
from pullbench.report.trend.changes import trend_of
from pullbench.report.trend.page import TrendPage
from tests.report import synthetic_stress, test_fleet, test_regional, test_trend
from tests.report.conftest import Make
from tests.report.synthetic import STARTED_AT, Recipe
from tests.report.synthetic_calibration import calibrated_run
from tests.report.synthetic_stress import LONG, SHORT, Service
from tests.report.test_calibration import with_another_truth
from tests.report.test_stress import RATE, busy_from
from tests.words import plain_words_faults, sentences, text_of

_BOX_SENTENCES = 3
SLOWER = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), failure_rate=0.0)
LATER = replace(SLOWER, run_id="later", started_at=STARTED_AT + timedelta(days=90), seed=8)
STRESS = {
    "an SLO was missed": Service(stress=LONG),
    "slower after the overload": Service(slower_after=1.4, noise=0.005),
    "the top was reached": Service(mean_pull_s=10),
    "the first step missed": Service(mean_pull_s=0.05),
    "pulls failed": Service(fails=lambda stage: ErrorCode.SERVER_ERROR if stage.load >= 4 else None),
    "a rate limit": Service(
        fails=lambda stage: ErrorCode.RATE_LIMITED if stage.load >= 4 else None, end="incomplete", stopped="429"
    ),
    "the client's limit": Service(busy=busy_from(4)),
    "past the client's limit": Service(
        busy=busy_from(4), stress=SHORT.model_copy(update={"at_client_limit": "continue"})
    ),
    "the client's limit after the ramp up": Service(busy=lambda stage: 0.2 if stage.phase == "up" else 0.9),
    "a rate": Service(stress=RATE),
    "every SLO met": Service(mean_pull_s=10, success_rate=None),
    "stopped": Service(stop_after=2, end="incomplete", stopped="interrupted"),
}
COMPARED: dict[str, tuple[Recipe, Recipe]] = {
    "slower": (SLOWER, replace(LATER, slower=1.5)),
    "faster": (replace(LATER, slower=1.5), SLOWER),
    "the same": (SLOWER, LATER),
    "inconclusive": (replace(SLOWER, blocks=3, noise=0.15), replace(LATER, blocks=3, noise=0.15, slower=1.12)),
    "too few": (replace(SLOWER, blocks=1), replace(LATER, blocks=1)),
    "failed": (SLOWER, replace(LATER, fail_everywhere=True)),
    "incomplete": (SLOWER, replace(LATER, status="incomplete", concurrency=(4, 8))),
    "nothing in common": (SLOWER, replace(LATER, engines=("docker",))),
}
NOTEBOOKS = (
    render.STRESS_NOTEBOOK,
    render.COMPARE_NOTEBOOK,
    render.TREND_NOTEBOOK,
    render.REGIONAL_NOTEBOOK,
    render.FLEET_NOTEBOOK,
    render.CALIBRATION_NOTEBOOK,
)


def faults(page: str) -> list[str]:
    return plain_words_faults(text_of(page))


def sentences_of_the_box(page: str) -> list[str]:
    [box] = re.findall(r'<div class="verdict \w+">.*?</div>', page)
    return sentences(text_of(box))


@pytest.mark.parametrize("case", STRESS)
def test_a_stress_test_is_in_plain_words(case: str) -> None:
    page = StressPage(synthetic_stress.stored(STRESS[case]))
    figures = page.load_curve() + page.over_time()
    assert faults(page.header() + page.findings() + figures + page.steps() + page.method()) == []
    assert len(sentences_of_the_box(page.header())) <= _BOX_SENTENCES


@pytest.mark.parametrize("case", COMPARED)
def test_a_comparison_is_in_plain_words(make: Make, case: str) -> None:
    before, after = map(make, COMPARED[case])
    page = ComparisonPage(compare_runs(before, replace(after, run=replace(after.run, vantage="elsewhere"))))
    tables = page.different() + page.side_by_side() + page.only_in_one()
    assert faults(page.header() + page.ranked() + page.ratios() + tables) == []
    assert len(sentences_of_the_box(page.header())) <= _BOX_SENTENCES


@pytest.mark.parametrize("slower", [[1.0] * 7 + [1.5] * 5, [1.0] * 8, [1.0] * 3])
def test_a_trend_is_in_plain_words(tmp_path: Path, slower: list[float]) -> None:
    store = test_trend.history(tmp_path, slower)
    store.write_run(replace(store.run("run-00"), vantage="elsewhere"))
    page = TrendPage(trend_of(store, test_trend.NAME))
    assert faults(page.header() + page.run_by_run() + page.steps() + page.runs()) == []
    assert len(sentences_of_the_box(page.header())) <= _BOX_SENTENCES


@pytest.mark.parametrize("missing", ["", "nowhere"])
@pytest.mark.parametrize("in_turn", [True, False])
def test_a_regional_benchmark_is_in_plain_words(missing: str, in_turn: bool) -> None:
    different = {"congestion_control": "bbr"}
    found = _without_slo(test_regional.make({"east": 1.0, "west": 3.0}, missing=missing, west=different))
    page = RegionalPage(replace(found, record=replace(found.record, in_turn=in_turn)))
    tables = page.matrices() + page.unequal() + page.clocks()
    assert faults(page.header() + page.vantages() + page.regions() + tables) == []
    assert len(sentences_of_the_box(page.header())) <= _BOX_SENTENCES


def _without_slo(found: RegionalRuns) -> RegionalRuns:
    runs = {name: replace(run, spec=dict(run.spec) | {"slo": {}}) for name, run in found.runs.items()}
    return replace(found, runs=runs)


@pytest.mark.parametrize("origin", [None, test_fleet.SIZE])
@pytest.mark.parametrize("third", [3.0, None])
def test_a_fleet_is_in_plain_words(origin: int | None, third: float | None) -> None:
    blocks = {"direct": [[1.0, 4.0, third]] * 3, "cache": [[1.0, 2.0, 2.1]] * 3}
    page = FleetPage(test_fleet.stored(blocks, origin=origin, late_s=0.5))
    tables = page.cells() + page.comparisons() + page.nodes()
    assert faults(page.header() + page.spread() + tables) == []
    assert len(sentences_of_the_box(page.header())) <= _BOX_SENTENCES


def calibrations() -> Iterator[StoredRun]:
    right = calibrated_run()
    yield right
    yield with_another_truth(right, line_3={"service_s": 0.02}, line_1={"round_trip_s": 0.082})
    yield with_another_truth(right, line_1={"round_trip_s": 0.075}, references={"line-1": {"wait_s": 0.0805}})
    yield dataclasses.replace(right, run=dataclasses.replace(right.run, environment="{}", status="incomplete"))


def test_a_calibration_is_in_plain_words() -> None:
    for stored in calibrations():
        page = CalibrationPage(stored)
        texts = page.reading() + page.not_calibrated()
        assert faults(page.header() + page.rows() + page.error_by_goal() + texts) == []
        assert len(sentences_of_the_box(page.header())) <= _BOX_SENTENCES


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_texts_of_a_notebook_are_in_plain_words(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert plain_words_faults(text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("4 pulls at once.", "'at once'"),
        ("It takes ×4.", "'×4'"),
        ("The objective is met.", "'objective'"),
        ("The knee is at 4.", "'knee'"),
        (f"{'word ' * 31}end.", "32 words"),
    ],
)
def test_the_check_finds_what_it_looks_for(text: str, fault: str) -> None:
    [found] = plain_words_faults(text)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "text",
    [
        "The saturation point (knee) is concurrency 4.",
        "`--set matrix.cell=at once` is code.",
        f"One sentence. {'word ' * 20}end. Another of {'many ' * 20}words.",
        f"| {'word ' * 40}|",
        "Store it in a Secret block of Prefect.",
    ],
)
def test_the_check_passes_what_is_right(text: str) -> None:
    assert plain_words_faults(text) == []
