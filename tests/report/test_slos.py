"""SLOs of a run: scored per engine, per configuration where that is asked for, and never over two engines."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pullbench.report.core import tables
from pullbench.report.core.sections import scorecard
from pullbench.report.core.slo_words import evidence_text
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.documents import document_of
from pullbench.report.run.slos import engine_scores, judged_engines, slos, verdict_rows
from pullbench.report.run.verdicts import headline
from tests.report.synthetic import Recipe


def with_slo(stored: StoredRun, *, matrix: list[str] | None = None, **slo: Any) -> StoredRun:
    spec = {**stored.spec, "slo": slo}
    return dataclasses.replace(stored, spec=spec if matrix is None else {**spec, "matrix": {"engines": matrix}})


def scored(stored: StoredRun) -> list[dict[str, Any]]:
    return verdict_rows(slos(stored, tables.cells(stored.pulls, stored.trials)))


def places(rows: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(row["name"], row["engine"]) for row in rows]


@pytest.fixture(scope="module")
def both(make) -> StoredRun:
    """wire and docker on one route, at two concurrencies, without failures."""
    return make(Recipe(routes=(("us", "direct"),), concurrency=(1, 4), failure_rate=0.0))


def test_each_slo_has_one_row_for_each_engine_that_unpacks(both: StoredRun) -> None:
    rows = scored(with_slo(both, success_rate=0.999, mean_pull_s=3.0))
    assert places(rows) == [("success_rate", "docker"), ("mean_pull_s", "docker")]
    assert {row["configuration"] for row in rows} == {None}
    assert [row["settings"] for row in rows] == [2, 2]


def test_the_engines_of_the_spec_are_scored_each_alone(both: StoredRun) -> None:
    stored = with_slo(both, mean_pull_s=3.0, engines=["wire", "docker"])
    rows = scored(stored)
    assert places(rows) == [("mean_pull_s", "wire"), ("mean_pull_s", "docker")]
    counted = both.pulls[~both.pulls["warmup"].astype(bool)]
    for row in rows:
        mine = counted[counted["engine"] == row["engine"]]
        means = tables.latency_s(mine).groupby(mine["block"]).mean()
        assert row["measured"] == pytest.approx(means.mean())
        assert row["n"] == len(mine)


def test_an_engine_of_the_slo_that_was_excluded_is_inconclusive(both: StoredRun) -> None:
    stored = with_slo(both, matrix=["wire", "docker", "podman"], mean_pull_s=3.0, engines=["podman"])
    (row,) = scored(stored)
    assert (row["engine"], row["verdict"], row["n"], row["measured"]) == ("podman", "not_shown", 0, None)
    assert document_of(stored)["headline"]["status"] == "not_shown"


def test_without_an_engine_that_unpacks_all_engines_of_the_matrix_are_scored(make) -> None:
    wire = make(Recipe(engines=("wire",), routes=(("us", "direct"),), concurrency=(1,)))
    assert judged_engines(wire) == ["wire"]
    named = {"engines": [{"name": "serial", "kind": "wire"}], "matrix": {"engines": ["wire", "serial"]}}
    assert judged_engines(dataclasses.replace(wire, spec={**wire.spec, **named})) == ["wire", "serial"]
    second = {"engines": [{"name": "docker-2", "kind": "docker"}], "matrix": {"engines": ["wire", "docker-2"]}}
    assert judged_engines(dataclasses.replace(wire, spec={**wire.spec, **second})) == ["docker-2"]


def test_api_answers_are_scored_for_the_engines_that_report_them_whatever_the_slo_names(both: StoredRun) -> None:
    rows = scored(with_slo(both, p99_api_s=2.0, engines=["docker"]))
    assert places(rows) == [("p99_api_s", "wire")]


def test_where_no_engine_reports_api_answers_one_row_without_an_engine_says_so(make) -> None:
    docker = make(Recipe(engines=("docker",), routes=(("us", "direct"),), concurrency=(1,)))
    (row,) = scored(with_slo(docker, p99_api_s=2.0))
    assert (row["engine"], row["verdict"], row["n"], row["measured"]) == (None, "not_shown", 0, None)
    assert "API answers" in row["reason"]


def test_a_configuration_that_misses_is_named_and_a_verdict_of_its_own_only_on_request(both: StoredRun) -> None:
    slow = (both.pulls["engine"] == "docker") & (both.pulls["concurrency"] == 4)
    stored = dataclasses.replace(both, pulls=both.pulls.assign(duration_s=np.where(slow, 9.0, 1.0)))
    (row,) = scored(with_slo(stored, p50_pull_s=8.0))
    assert (row["verdict"], row["missed_by"]) == ("not_shown", ["docker · concurrency 4"])
    rows = scored(with_slo(stored, p50_pull_s=8.0, per_configuration=True))
    assert [(row["configuration"], row["verdict"]) for row in rows[1:]] == [
        ("docker · concurrency 1", "met"),
        ("docker · concurrency 4", "missed"),
    ]
    assert all((row["settings"], row["missed_by"]) == (1, []) for row in rows[1:])
    assert document_of(with_slo(stored, p50_pull_s=8.0))["headline"]["status"] == "partly"
    assert document_of(with_slo(stored, p50_pull_s=8.0, per_configuration=True))["headline"]["status"] == "missed"


def test_an_engine_with_one_configuration_has_no_second_row_for_it(make) -> None:
    one = make(Recipe(engines=("docker",), routes=(("us", "direct"),), concurrency=(1,)))
    assert len(scored(with_slo(one, mean_pull_s=3.0, per_configuration=True))) == 1


@pytest.mark.parametrize(("name", "q"), [("p50_pull_s", 50), ("p95_pull_s", 95)])
def test_a_percentile_is_that_of_the_successful_pulls_within_its_interval(both: StoredRun, name: str, q: float) -> None:
    (row,) = scored(with_slo(both, **{name: 60.0}))
    counted = both.pulls[~both.pulls["warmup"].astype(bool) & (both.pulls["engine"] == "docker")]
    assert row["measured"] == pytest.approx(np.percentile(tables.latency_s(counted), q), rel=0.02)
    assert row["low"] <= row["measured"] <= row["high"] <= 60.0
    assert row["verdict"] == "met"


def test_a_high_percentile_of_few_pulls_can_be_missed_and_not_met(both: StoredRun) -> None:
    (row,) = scored(with_slo(both, p99_pull_s=60.0))
    assert (row["verdict"], row["measured"], row["high"]) == ("not_shown", None, None)
    assert "368" in row["reason"]
    (row,) = scored(with_slo(both, p99_pull_s=0.001))
    assert (row["verdict"], row["low"] > 0.001, row["reason"]) == ("missed", True, None)


def test_failures_in_a_row_are_counted_within_one_engine(both: StoredRun) -> None:
    """The engines take turns, and every pull of wire fails: docker's pulls between them end no streak of wire's."""
    pulls = both.pulls.assign(ok=both.pulls["engine"] != "wire")
    stored = with_slo(dataclasses.replace(both, pulls=pulls), consecutive_failures=3, engines=["wire", "docker"])
    wire, docker = scored(stored)
    assert wire["measured"] == wire["n"] and wire["verdict"] == "missed"
    assert (docker["measured"], docker["verdict"]) == (0, "met")


@pytest.mark.parametrize("slo", [None, {}, {"engines": ["wire"], "per_configuration": True}])
def test_a_spec_without_slos_is_judged_by_nothing(both: StoredRun, slo: dict[str, Any] | None) -> None:
    stored = dataclasses.replace(both, spec={**both.spec, "slo": slo})
    cells = tables.cells(stored.pulls, stored.trials)
    found = slos(stored, cells)
    assert found.empty and verdict_rows(found) == []
    assert headline(stored, cells, found).status == "not_shown"
    assert document_of(stored)["slo"] == []


def test_a_stored_spec_of_an_older_version_is_scored_by_its_own_values(both: StoredRun) -> None:
    old = {"success_rate": 0.999, "mean_pull_s": 3.0, "p99_api_s": None, "consecutive_failures": 3}
    assert [row["name"] for row in scored(dataclasses.replace(both, spec={**both.spec, "slo": old}))] == [
        "success_rate",
        "mean_pull_s",
        "consecutive_failures",
    ]


def test_the_rows_of_the_document_have_engine_and_configuration(both: StoredRun) -> None:
    rows = document_of(with_slo(both, mean_pull_s=3.0, per_configuration=True))["slo"]
    keys = {"name", "engine", "configuration", "target", "measured", "low", "high", "verdict", "n", "pools"}
    assert all(set(row) == keys | {"settings", "missed_by", "reason"} for row in rows)
    assert rows[0]["configuration"] is None and isinstance(rows[1]["configuration"], str)


def test_any_target_can_be_scored_for_any_engine(both: StoredRun) -> None:
    found = engine_scores(both, {"mean_pull_s": 1.0}, ["wire"])
    frame = pd.DataFrame(records(slos(with_slo(both, mean_pull_s=1.0, engines=["wire"]), both.pulls.head(0))))
    ((name, engine, score, n),) = found
    assert (name, engine, score.measured, n) == ("mean_pull_s", "wire", frame["measured"][0], frame["n"][0])


def test_engines_have_cards_and_configurations_rows_of_a_table(both: StoredRun) -> None:
    rows = scored(with_slo(both, mean_pull_s=3.0, p50_pull_s=2.0, per_configuration=True))
    made = scorecard(rows)
    assert made.count("<li") == 2 and made.count("<tr") == 1 + 4
    assert all(str(row["configuration"]) in made for row in rows if row["configuration"])
    assert "<table" not in scorecard(scored(with_slo(both, mean_pull_s=3.0)))
    assert not scorecard([])


@pytest.mark.parametrize(
    ("states", "pools"),
    [
        ({"cache": ["cold", "warm"]}, ["cache"]),
        ({"proxy": ["cache", "cache"], "proxy_cache": ["warm", "cold"]}, ["proxy_cache"]),
        ({"proxy": ["direct", "cache"], "proxy_cache": ["any", "cold"]}, []),
        ({}, []),
    ],
)
def test_a_percentile_over_cold_and_warm_pulls_says_so(
    make: Any, states: dict[str, list[str]], pools: list[str]
) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2)))
    table = tables.cells(stored.pulls, stored.trials).assign(**states)
    judged = with_slo(stored, p95_pull_s=3.0, success_rate=0.9)
    rows = {row["name"]: row for row in verdict_rows(slos(judged, table))}
    assert (rows["p95_pull_s"]["pools"], rows["success_rate"]["pools"]) == (pools, [])
    assert ("per_configuration" in evidence_text(rows["p95_pull_s"])) == bool(pools)
