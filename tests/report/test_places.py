"""Registries and routes side by side: over the same configurations, failures in no time."""

import math

import pytest

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.figures import grids
from pullbench.report.run.contrasts import places
from tests.report.synthetic import Recipe


def rows(stored: StoredRun) -> list[dict]:
    return records(places(tables.cells(stored.pulls, stored.trials)))


def test_a_place_is_the_geometric_mean_over_the_settings_that_all_have(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    for row in rows(full):
        same = (cells["engine"] == row["engine"]) & (cells["registry"] == row["registry"])
        mine = cells[same & (cells["proxy"] == row["proxy"])]
        assert row["median_s"] == pytest.approx(math.prod(mine["median_s"]) ** (1 / len(mine)))
        assert (row["settings"], row["pulls"]) == (2, mine["pulls"].sum())


def test_a_setting_that_a_place_lacks_is_in_no_other_places_number(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    slow_four = (cells["registry"] == "us") & (cells["proxy"] == "direct") & (cells["concurrency"] == 4)
    without = cells.assign(median_s=cells["median_s"].mask(slow_four))
    for row in records(places(without)):
        one = cells[(cells["concurrency"] == 1) & (cells["engine"] == row["engine"])]
        mine = one[(one["registry"] == row["registry"]) & (one["proxy"] == row["proxy"])]
        assert (row["settings"], row["median_s"]) == (1, pytest.approx(mine["median_s"].iloc[0]))


def test_the_least_of_each_engine_is_once(full: StoredRun) -> None:
    least = {row["engine"]: (row["registry"], row["way"]) for row in rows(full) if row["of_least"] == 1}
    assert least == {"docker": ("eu", "direct"), "wire": ("eu", "direct")}


def test_a_place_that_failed_everywhere_has_no_time(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"), ("us", "cache")), concurrency=(1,), blocks=3))
    far = stored.pulls["registry"] == "us"
    cells = tables.cells(stored.pulls.assign(ok=stored.pulls["ok"] & ~far), stored.trials)
    near, broken = records(places(cells))
    assert near["of_least"] == 1 and math.isnan(broken["median_s"]) and broken["succeeded"] == 0
    made = grids.heat(places(cells))
    assert made.count("24 failed") >= 2, "in the drawing and in the caption"


def test_one_place_has_no_map(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2), blocks=3, pulls=2))
    assert rows(stored) == []
    assert grids.heat(places(tables.cells(stored.pulls, stored.trials))) == ""


def test_the_map_has_a_number_in_each_place_and_says_which_is_slowest(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    made, found = grids.heat(places(cells)), rows(full)
    for row in found:
        assert made.count(f">{numbers.seconds(row['median_s'])}<") >= 2, "in the wide and the narrow drawing"
    worst = max(found, key=lambda row: row["of_least"])
    assert (worst["registry"], worst["way"]) == ("us", "direct")
    caption = made[made.index("<figcaption") :]
    parts = (worst["engine"], "us", "without a proxy", numbers.ratio(worst["of_least"]))
    found_at = [caption.index(part, len("<figcaption>")) for part in parts]
    assert found_at == sorted(found_at)
    assert made.count("not") >= 4, "eu through the mirror of us was not measured"
