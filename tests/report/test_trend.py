"""A benchmark over its runs: change points are found, and runs of other configurations are left out."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.report.core import tables
from pullbench.report.core.stored import read_run
from pullbench.report.figures import over_time
from pullbench.report.trend.changes import Trend, headline, quarter, trend_document, trend_of
from pullbench.report.trend.page import TrendPage
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import STARTED_AT, Recipe
from tests.words import text_of

ONE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), blocks=3, warmup=0, pulls=4)
NAME = ONE.name


def history(directory: Path, slower: list[float], recipe: Recipe = ONE) -> ResultStore:
    """A run every fortnight, each with its multiple of the usual time."""
    for number, factor in enumerate(slower):
        started_at = STARTED_AT + timedelta(days=14 * number)
        made = replace(recipe, run_id=f"run-{number:02d}", seed=number, started_at=started_at, slower=factor)
        store = synthetic.make(directory, made)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """Twelve runs, 1.5 times slower from the eighth on, where the kernel changed too."""
    made = history(tmp_path_factory.mktemp("history"), [1.0] * 7 + [1.5] * 5)
    for number in range(7, 12):
        run = made.run(f"run-{number:02d}")
        made.write_run(replace(run, environment=json.dumps({**json.loads(run.environment), "kernel": "Linux 6.2"})))
    return made


@pytest.fixture(scope="module")
def found(store: ResultStore) -> Trend:
    return trend_of(store, NAME)


def test_a_change_point_is_found_with_its_size_and_what_else_changed(found: Trend) -> None:
    whole = found.steps[found.steps["setting"] == ""]

    assert whole["run_id"].tolist() == ["run-07"]
    assert whole["ratio"].iloc[0] == pytest.approx(1.5, rel=0.1)
    assert [entry.what for entry in found.changes["run-07"]] == ["kernel"]
    said = headline(found)
    assert said.status == "slower" and "since 1 March 2027" in said.title


def test_a_run_s_level_is_that_of_its_table_of_cells(store: ResultStore, found: Trend) -> None:
    stored = read_run(store, "run-03")
    cells = tables.cells(stored.pulls, stored.trials)

    level = found.runs.set_index("run_id").loc["run-03", "level_s"]

    assert level == pytest.approx((cells["median_s"].prod()) ** (1 / len(cells)), rel=1e-9)


def test_another_vantage_is_no_change_point_of_this_one(tmp_path: Path) -> None:
    """Two regions that measure one spec in turn are two levels, and neither has changed."""
    store = history(tmp_path, [1.0, 3.0] * 4)
    for number in range(1, 8, 2):
        store.write_run(replace(store.run(f"run-{number:02d}"), vantage="far"))
    store.write_run(replace(store.run("run-06"), vantage="far"))
    found = trend_of(store, NAME, last=2)
    assert found.vantage == "far" and found.runs["run_id"].tolist() == ["run-06", "run-07"]
    near = store.run("run-00").vantage
    assert found.elsewhere == {near: 3}
    assert f"({near} 3)" in headline(found).sentence
    assert trend_document(found)["elsewhere"] == {near: 3}
    assert trend_of(store, NAME, vantage=near).runs["run_id"].tolist() == ["run-00", "run-02", "run-04"]
    with pytest.raises(UsageError, match=r"^--vantage nowhere: .*: far, "):
        trend_of(store, NAME, vantage="nowhere")


def test_engines_that_do_different_work_have_a_series_each(tmp_path: Path) -> None:
    """Neither level has anything of the other's."""
    store = history(tmp_path, [1.0, 1.0], replace(ONE, engines=("wire", "docker"), concurrency=(1,)))
    found = trend_of(store, NAME)
    assert [list(entry.engines) for entry in found.series] == [["docker"], ["wire"]]
    levels = [entry.runs["level_s"] for entry in found.series]
    stored = read_run(store, "run-01")
    cells = tables.cells(stored.pulls, stored.trials).set_index("engine")
    assert [level.iloc[-1] for level in levels] == pytest.approx(cells.loc[["docker", "wire"], "median_s"].tolist())
    document = trend_document(found)
    assert document["engines"] == ["docker"] and document["runs"] == document["series"][0]["runs"]
    assert [entry["settings"] for entry in document["series"]] == [1, 1]
    assert "with docker" in TrendPage(found).runs() and "with wire" in TrendPage(found).run_by_run()


def test_a_change_point_of_one_configuration_is_in_the_verdict(found: Trend) -> None:
    alone = found.series[0].steps
    single = alone[alone["setting"] == "concurrency 4"]
    said = headline(replace(found, series=[replace(found.series[0], steps=single)]))
    assert said.status == "slower" and said.title.startswith("1 of 2 ")


def test_a_steady_history_has_no_change_point(tmp_path: Path) -> None:
    found = trend_of(history(tmp_path, [1.0] * 8), NAME)

    assert found.steps.empty
    assert headline(found).status == "no_difference"
    assert "<table" not in TrendPage(found).steps()


def test_few_runs_have_no_change_point(tmp_path: Path) -> None:
    found = trend_of(history(tmp_path, [1.0, 1.0, 3.0, 3.0]), NAME)

    assert found.steps.empty
    assert headline(found).status == "too_few_samples"
    assert "at least 3 runs" in headline(found).clauses[-1]


def test_a_run_of_other_configurations_is_left_out_and_named(tmp_path: Path) -> None:
    history(tmp_path, [1.0, 1.0])
    newest = replace(ONE, run_id="newest", started_at=STARTED_AT + timedelta(days=99), concurrency=(1, 8))

    found = trend_of(synthetic.make(tmp_path, newest), NAME)

    assert found.left_out == ["run-00", "run-01"]
    assert found.runs["run_id"].tolist() == ["newest"]
    assert "run-00, run-01" in TrendPage(found).header()
    assert TrendPage(found).run_by_run() == ""


def test_a_newest_run_in_which_everything_failed_shows_nothing_rather_than_a_number(tmp_path: Path) -> None:
    history(tmp_path, [1.0])
    newest = replace(ONE, run_id="newest", started_at=STARTED_AT + timedelta(days=99), fail_everywhere=True)

    found = trend_of(synthetic.make(tmp_path, newest), NAME)

    assert found.runs.empty
    assert headline(found).status == "inconclusive"


def test_only_the_newest_runs_can_be_chosen_and_unfinished_ones_never(store: ResultStore) -> None:
    assert trend_of(store, NAME, last=3).runs["run_id"].tolist() == ["run-09", "run-10", "run-11"]
    calibration = replace(store.runs()[0], run_id="calibrated", name="calibration", kind="calibration")
    store.write_run(calibration)
    for name in ("nope", "calibration"):
        with pytest.raises(UsageError, match=f"^'{name}': .*: {NAME}$"):
            trend_of(store, name)


@pytest.mark.parametrize(
    ("month", "name"), [(1, "2026 Q1"), (3, "2026 Q1"), (4, "2026 Q2"), (9, "2026 Q3"), (12, "2026 Q4")]
)
def test_quarters_are_those_of_the_calendar(month: int, name: str) -> None:
    assert quarter(datetime(2026, month, 15, tzinfo=UTC)) == name


def test_the_picture_and_the_document_have_the_same_change_point(found: Trend) -> None:
    document = json.loads(json.dumps(trend_document(found)))

    assert document["steps"][0]["run_id"] == "run-07"
    assert document["steps"][0]["changes"] == ["environment: kernel"]
    assert f"{document['steps'][0]['ratio']:.2f}×" in TrendPage(found).run_by_run()
    assert len(document["runs"]) == 12
    assert "run-07" in TrendPage(found).steps()
    assert TrendPage(found).runs().count("<tr") == 13


def test_the_golden_page_of_a_trend(found: Trend, golden: Callable[[str, str], None]) -> None:
    page = TrendPage(found)
    golden("report/trend.txt", text_of(page.header() + page.steps() + page.runs()))


@pytest.mark.parametrize(
    ("apart", "words"),
    [(timedelta(minutes=7), "16:15"), (timedelta(days=2), "24 Nov 2026"), (timedelta(days=100), "2027 Q1")],
)
def test_the_axis_has_times_days_or_quarters_as_the_runs_lie(found: Trend, apart: timedelta, words: str) -> None:
    runs = found.runs.head(3).assign(started_at=[STARTED_AT + number * apart for number in range(3)])
    assert f">{words}<" in over_time.trend(runs, found.steps.iloc[:0])
