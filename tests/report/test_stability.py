"""Warnings say what was seen and what to do, and a steady run has none."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pullbench.report.core import tables
from pullbench.report.core.client_limit import limit_remedy
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import stability
from pullbench.stats.summary import MOST_REPETITIONS
from tests.report.synthetic import Recipe

SMALL = {"engines": ("wire",), "routes": (("eu", "direct"),), "concurrency": (1,), "failure_rate": 0.0}


def warned(stored: StoredRun) -> dict[str, dict]:
    table = tables.cells(stored.pulls, stored.trials)
    return {row["kind"]: row for row in records(stability.warnings(stored, table))}


def slower(stored: StoredRun, which: pd.Series, times: float | pd.Series) -> StoredRun:
    pulls = stored.pulls.copy()
    pulls["duration_s"] = pulls["duration_s"].where(~which, pulls["duration_s"] * times)
    return dataclasses.replace(stored, pulls=pulls)


@pytest.fixture(scope="module")
def steady(make) -> StoredRun:
    return make(Recipe(blocks=8, pulls=8, **SMALL))


def test_a_steady_run_has_no_warning(steady: StoredRun) -> None:
    assert warned(steady) == {}


def test_every_warning_says_what_to_do(full: StoredRun) -> None:
    made = records(stability.warnings(full, tables.cells(full.pulls, full.trials)))
    assert all(row["says"] and row["remedy"] == stability.REMEDIES[row["kind"]] for row in made)


def test_a_drift_that_all_configurations_share_is_a_warning_of_the_run(steady: StoredRun) -> None:
    grown = np.exp(0.08 * steady.pulls["block"])
    found = warned(slower(steady, steady.pulls["pull"] >= 0, grown))["drift"]
    assert found["scope"] == "all"
    assert found["value"] == pytest.approx(np.exp(0.08 * 7), rel=0.1)
    assert "slower" in found["says"] and "1.8" in found["says"]
    faster = warned(slower(steady, steady.pulls["pull"] >= 0, 1 / grown))["drift"]
    assert faster["value"] < 1 and "faster" in faster["says"]


def test_one_slow_repetition_is_named(steady: StoredRun) -> None:
    found = warned(slower(steady, steady.pulls["block"] == 4, 3.0))["odd_block"]
    assert "epetition 4 " in found["says"]
    assert found["value"] == pytest.approx(3.0, rel=0.1)


def test_outliers_and_pulls_of_two_kinds_are_distinguished(steady: StoredRun) -> None:
    few = (steady.pulls["pull"] == 3) & (steady.pulls["block"] % 2 == 0)
    assert "outliers" in warned(slower(steady, few, 9.0))
    half = (steady.pulls["pull"] + steady.pulls["block"]) % 8 < 3
    found = warned(slower(steady, half, 3.0))
    assert "two_kinds" in found and "outliers" not in found


def test_few_repetitions_and_a_client_limit_are_warnings_and_a_wide_interval_is_not_one_more(make) -> None:
    stored = make(Recipe(blocks=3, noise=0.3, **SMALL))
    stored = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=0.93))
    found = warned(stored)
    assert {"few_blocks", "client_busy"} <= set(found) and "wide" not in found
    assert found["client_busy"]["value"] == 0.93


def test_of_wide_intervals_the_one_that_needs_the_most_repetitions_is_warned_of(make) -> None:
    stored = make(Recipe(blocks=5, noise=0.3, **{**SMALL, "concurrency": (1, 2, 4)}))
    rows = stability.warnings(stored, tables.cells(stored.pulls, stored.trials))
    wide = rows[rows["kind"] == "wide"]
    assert len(wide) == 1 and wide["value"].iloc[0] > 5 and "few_blocks" not in set(rows["kind"])


def test_a_number_of_repetitions_that_nobody_measures_is_not_advised(make) -> None:
    stored = make(Recipe(blocks=5, noise=1.5, **SMALL))
    rows = stability.warnings(stored, tables.cells(stored.pulls, stored.trials))
    (row,) = records(rows[rows["kind"] == "wide"])
    assert row["value"] > row["n"] + MOST_REPETITIONS
    assert str(int(row["value"])) not in row["says"] and row["remedy"] != stability.REMEDIES["wide"]


def test_of_docker_it_is_the_machine_that_was_the_bottleneck_and_the_remedy_is_another(make) -> None:
    stored = make(Recipe(**{**SMALL, "engines": ("docker",)}))
    found = warned(dataclasses.replace(stored, trials=stored.trials.assign(client_busy=0.93)))
    assert "client_busy" not in found
    assert found["machine_busy"]["value"] == 0.93
    assert "docker" in found["machine_busy"]["says"] and "93%" in found["machine_busy"]["says"]
    assert found["machine_busy"]["remedy"] != limit_remedy([{"engine_kind": "wire", "concurrency": 1}])


def test_pulls_of_an_open_loop_that_started_late_are_a_warning(steady: StoredRun) -> None:
    waited = np.where(steady.pulls["pull"] % 4 == 0, 3.0 * steady.pulls["duration_s"], 0.001)
    late = dataclasses.replace(steady, pulls=steady.pulls.assign(queued_s=waited))
    found = warned(late)["late_starts"]
    assert (found["value"], found["n"]) == (0.25, 64)
    assert "16 of 64 pulls" in found["says"]
    assert "`concurrency`" in found["remedy"] and "`rate`" in found["remedy"]
    on_time = dataclasses.replace(steady, pulls=steady.pulls.assign(queued_s=0.001))
    assert "late_starts" not in warned(on_time)


def test_a_run_that_failed_everywhere_has_no_warning_of_its_times(make) -> None:
    failed = make(Recipe(blocks=5, pulls=2, **{**SMALL, "fail_everywhere": True}))
    assert set(warned(failed)) == set()


def test_the_section_shows_warnings_and_says_where_there_is_none(full: StoredRun, steady: StoredRun) -> None:
    none = stability.warnings(steady, tables.cells(steady.pulls, steady.trials))
    assert none.empty and "<table>" not in stability.stability_section(none)
    assert "No warnings" in stability.stability_section(none)
    row = ["<b>eu</b>", "drift", 1.5, 8, "pulls took longer", "repeat"]
    shown = stability.stability_section(pd.DataFrame([row], columns=stability.COLUMNS))
    assert "&lt;b&gt;eu" in shown and "repeat" in shown


def test_a_warning_that_many_configurations_share_is_listed_once_for_the_one_where_it_weighs_most() -> None:
    wide = [[f"cell {number}", "wide", float(number), 5, f"{number} blocks would do", "do"] for number in (7, 30, 9, 8)]
    few = [["all", "few_blocks", 4.0, 4, "4 blocks", "set more"]]
    shown, _, folded = stability.stability_section(pd.DataFrame(few + wide, columns=stability.COLUMNS)).partition(
        "<details>"
    )
    assert (
        "5 warnings" in shown and "4 configurations" in shown and "cell 30" in shown and "30 blocks would do" in shown
    )
    assert "cell 7" not in shown and all(f"cell {number}" in folded for number in (7, 8, 9, 30))


def test_the_odd_repetition_that_is_farthest_from_the_others_may_be_a_fast_one() -> None:
    rows = [[f"cell {n}", "odd_block", ratio, 8, f"{ratio}", "look"] for n, ratio in enumerate((1.2, 0.4, 1.5, 1.3))]
    shown, _, _ = stability.stability_section(pd.DataFrame(rows, columns=stability.COLUMNS)).partition("<details>")
    assert "4 configurations" in shown and "cell 1" in shown
    assert not any(f"cell {number}" in shown for number in (0, 2, 3))
