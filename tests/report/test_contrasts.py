"""Comparisons recover what the made-up run has in it, and compare nothing that differs in two things."""

import dataclasses
import math

import pytest

from pullbench.report import sections
from pullbench.report.claims import claims
from pullbench.report.contrasts import contrasts
from pullbench.report.stored import StoredRun, records
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


def test_rules_of_thumb_are_held_against_the_interval(full: StoredRun) -> None:
    made = records(claims(contrasts(full), full))
    assert {row["claim"].split()[0] for row in made} == {"The", "4"}
    assert all(row["where"] for row in made)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (3.1, 4.9, "holds"),
        (4.65, 5.03, "cannot_say"),
        (2.9, 3.4, "cannot_say"),
        (2.0, 6.0, "cannot_say"),
        (5.1, 5.9, "more"),
        (1.2, 2.9, "less"),
        (math.nan, math.nan, "too_few_samples"),
    ],
)
def test_a_rule_of_thumb_holds_where_the_whole_interval_lies_within_it(
    full: StoredRun, low: float, high: float, verdict: str
) -> None:
    differences = contrasts(full)
    regions = differences[differences["factor"] == "registry"].head(1)
    (row,) = records(claims(regions.assign(ratio=4.0, low=low, high=high), full))
    assert row["verdict"] == verdict


def test_a_comparison_within_nothing_is_one_over_all_settings(full: StoredRun) -> None:
    differences = contrasts(full)
    (row, *_) = records(claims(differences[differences["factor"] == "concurrency"].assign(within=""), full))
    assert row["where"] == "all settings"


@pytest.mark.parametrize(
    ("urls", "lab"),
    [
        (["http://127.0.0.1:5000", "http://[::1]:5001", "https://localhost"], True),
        (["http://127.0.0.1:5000", "https://registry.example.com"], False),
        ([], False),
    ],
)
def test_a_lab_on_loopback_says_that_it_tells_nothing_of_regions(full: StoredRun, urls: list[str], lab: bool) -> None:
    spec = {**full.spec, "registries": [{"name": str(n), "url": url} for n, url in enumerate(urls)]}
    stored = dataclasses.replace(full, spec=spec)
    made = sections.claimed(claims(contrasts(full), full), stored)
    assert ("nothing about real regions" in made) == lab


def test_registries_of_one_region_are_no_evidence_about_regions(full: StoredRun) -> None:
    one = dataclasses.replace(full, trials=full.trials.assign(region="same"))
    assert not [row for row in records(claims(contrasts(full), one)) if row["claim"].startswith("The same region")]
