"""Comparisons recover what the made-up run has in it, and compare nothing that differs in two things."""

import dataclasses

import pytest

from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.contrasts import contrasts
from tests.report.synthetic import Recipe


def rows(stored: StoredRun, factor: str) -> list[dict]:
    return [row for row in records(contrasts(stored)) if row["factor"] == factor]


def test_routes_are_compared_within_one_engine_and_registry(full: StoredRun) -> None:
    made = rows(full, "proxy")
    assert [(row["baseline"], row["candidate"], row["within"]) for row in made] == [
        ("direct", "cache", "wire · us"),
        ("direct", "cache", "docker · us"),
    ]
    assert [row["pairs"] for row in made] == [2, 2]


def test_regions_are_compared_where_the_route_is_the_same(full: StoredRun) -> None:
    assert {row["within"] for row in rows(full, "registry")} == {"wire · direct", "docker · direct"}


def test_engines_that_do_the_same_work_are_compared_with_each_other_too(make) -> None:
    recipe = Recipe(engines=("wire", "docker", "podman"), routes=(("eu", "direct"),), concurrency=(1,))
    made = [(row["baseline"], row["candidate"]) for row in rows(make(recipe), "engine")]
    assert made == [("wire", "docker"), ("wire", "podman"), ("docker", "podman")]
    stores_alone = dataclasses.replace(recipe, engines=("docker", "podman"))
    assert [(row["baseline"], row["candidate"]) for row in rows(make(stores_alone), "engine")] == [("docker", "podman")]


def test_a_known_ratio_is_recovered_within_its_interval(make) -> None:
    stored = make(
        Recipe(
            engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), platforms=("linux/amd64", "linux/arm64")
        )
    )
    pulls = stored.pulls.copy()
    arm = pulls["platform"] == "linux/arm64"
    amd = pulls[~arm].set_index(["block", "pull"])["duration_s"]
    pulls.loc[arm, "duration_s"] = [
        (1.5 + 0.01 * block) * amd[block, pull]
        for block, pull in zip(pulls[arm]["block"], pulls[arm]["pull"], strict=True)
    ]
    (row,) = rows(dataclasses.replace(stored, pulls=pulls), "platform")
    assert row["ratio"] == pytest.approx(1.53, abs=1e-3)
    assert row["low"] < 1.53 < row["high"]
    assert (row["candidate"], row["verdict"]) == ("linux/arm64", "slower")


def test_concurrency_is_judged_by_the_whole_and_not_by_the_single_pull(full: StoredRun) -> None:
    for row in rows(full, "concurrency"):
        assert (row["baseline"], row["candidate"], row["metric"]) == (1, 4, "wall_per_pull_s")
        assert row["verdict"] == "faster"


def test_failed_pulls_and_warm_up_change_no_comparison(full: StoredRun) -> None:
    pulls = full.pulls.copy()
    pulls.loc[~pulls["ok"] | pulls["warmup"], "duration_s"] = 1e6
    assert records(contrasts(dataclasses.replace(full, pulls=pulls))) == records(contrasts(full))


def test_a_single_cell_is_compared_with_nothing(make) -> None:
    assert contrasts(make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), pulls=2))).empty
