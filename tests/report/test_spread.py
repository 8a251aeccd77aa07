"""The spread of a configuration's pulls: exact where they are few, bounded where they are many, failures in no curve."""

import dataclasses

import numpy as np
import pytest

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures import pulls
from pullbench.report.run.pulls import MOST_POINTS, MOST_SETTINGS, Spread, spreads
from tests.report.synthetic import Recipe


@pytest.fixture(scope="module")
def drawn(full: StoredRun) -> tuple[list[Spread], list[str]]:
    return spreads(full, tables.cells(full.pulls, full.trials))


def test_the_configurations_are_spread_evenly_from_the_shortest_median_to_the_longest(
    full: StoredRun, drawn: tuple[list[Spread], list[str]]
) -> None:
    shown, left_out = drawn
    cells = tables.cells(full.pulls, full.trials).sort_values("median_s")
    names = [tables.label(cell, tables.varying(cells)) for cell in cells.to_dict("records")]
    assert len(shown) == MOST_SETTINGS and len(left_out) == 6
    assert (shown[0].name, shown[-1].name) == (names[0], names[-1])
    assert {each.name for each in shown} | set(left_out) == set(names)


def test_a_curve_is_the_share_of_successful_pulls(full: StoredRun, drawn: tuple[list[Spread], list[str]]) -> None:
    (first, *_), _ = drawn
    pulls = full.pulls[full.pulls["ok"] & ~full.pulls["warmup"]]
    mine = pulls[(pulls["engine"] == "wire") & (pulls["registry"] == "eu") & (pulls["concurrency"] == 1)]
    assert first.n == len(mine) == 40
    assert first.times_s.tolist() == pytest.approx(sorted(mine["duration_s"]))
    assert first.shares.tolist() == pytest.approx([(n + 1) / 40 for n in range(40)])


def test_failed_pulls_are_in_no_curve(full: StoredRun, drawn: tuple[list[Spread], list[str]]) -> None:
    quick = full.pulls.assign(duration_s=full.pulls["duration_s"].where(full.pulls["ok"], 1e-9))
    stored = dataclasses.replace(full, pulls=quick)
    again, _ = spreads(stored, tables.cells(stored.pulls, stored.trials))
    assert [each.times_s[0] for each in again] == [each.times_s[0] for each in drawn[0]]


def test_many_pulls_are_thinned_and_keep_both_ends(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), blocks=3, pulls=4))
    many = stored.pulls.loc[stored.pulls.index.repeat(200)].reset_index(drop=True)
    many["duration_s"] = np.random.default_rng(1).lognormal(0, 0.3, len(many))
    ((one,), _) = spreads(dataclasses.replace(stored, pulls=many), tables.cells(stored.pulls, stored.trials))
    counted = many[~many["warmup"].astype(bool)]["duration_s"]
    assert one.n == len(counted) == 2400 and len(one.times_s) == MOST_POINTS
    assert (one.times_s[0], one.times_s[-1], one.shares[-1]) == (counted.min(), counted.max(), 1.0)


def test_the_figure_names_every_n_and_what_is_left_out(drawn: tuple[list[Spread], list[str]]) -> None:
    shown, left_out = drawn
    made = pulls.ecdf(shown, left_out, ["docker", "wire"])
    for each in shown:
        assert f"{each.name} (n = {each.n})" in made
    assert f"Not drawn: {left_out[0]}" in made and "Failed pulls" in made
    assert pulls.ecdf([], [], []) == ""
