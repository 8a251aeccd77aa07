"""Where the time of a pull goes: the phases that each engine reports, and what follows from them."""

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.run.phases import Phase, PullPhases, cause, phases_section, pull_phases
from pullbench.report.run.slos import slos
from pullbench.report.run.verdicts import summary
from tests.report.conftest import Make
from tests.report.synthetic import Recipe

UNREPORTED = {f"{phase}_s": np.nan for phase in tables.PHASES}


def found_in(stored: StoredRun) -> dict[str, PullPhases]:
    return {found.engine: found for found in pull_phases(stored, tables.cells(stored.pulls, stored.trials))}


def made(
    full: StoredRun, engine: str, median_s: float, cell: dict[str, Any] | None = None, **shares: float
) -> PullPhases:
    """An engine's phases with these shares, by a configuration of the run that is changed so."""
    (first, *_) = [row for row in records(tables.cells(full.pulls, full.trials)) if row["engine"] == engine]
    phases = tuple(Phase(name=name, seconds=share * median_s, share=share, pulls=8) for name, share in shares.items())
    return PullPhases(place="", cell=first | (cell or {}), pulls=8, median_s=median_s, phases=phases)


@pytest.mark.parametrize("engine", ["wire", "docker"])
def test_a_share_is_the_median_of_the_phase_by_the_duration_of_each_pull(full: StoredRun, engine: str) -> None:
    found = found_in(full)[engine]
    mine = measured(tables.in_cell(full.pulls, found.cell))
    fine = mine[mine["ok"].astype(bool)]
    assert found.pulls == len(fine) == 40
    for phase in found.phases:
        seconds = fine[f"{phase.name}_s"].astype(float)
        assert phase.share == pytest.approx((seconds / fine["duration_s"]).median())
        assert phase.seconds == pytest.approx(seconds.median())
    assert found.share("download") == pytest.approx(found.cell["download_share"], rel=1e-12)


def test_failed_and_warm_up_pulls_are_in_no_share(make: Make) -> None:
    stored = make(Recipe(engines=("docker",), routes=(("eu", "direct"),), concurrency=(1,), failure_rate=0.0))
    left_out = stored.pulls["warmup"].astype(bool) | (stored.pulls["pull"] == 3)
    pulls = stored.pulls.assign(
        ok=stored.pulls["pull"] != 3, extract_s=stored.pulls["extract_s"].astype(float).mask(left_out, 1e6)
    )
    found = found_in(dataclasses.replace(stored, pulls=pulls))["docker"]
    assert found.pulls == 35 and (found.share("extract") or 2) < 1


def test_the_configuration_is_the_best_place_at_its_lowest_concurrency(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    for engine, found in found_in(full).items():
        mine = cells[cells["engine"] == engine]
        best = mine.loc[tables.best(mine)]
        assert best["concurrency"] == 4, "so that the lowest is another"
        assert found.cell["concurrency"] == 1
        assert [found.cell[name] for name in ("registry", "proxy")] == [best["registry"], best["proxy"]]
        assert found.median_s == found.cell["median_s"]


def test_a_concurrency_without_a_successful_pull_is_not_the_lowest(make: Make) -> None:
    stored = make(Recipe(engines=("docker",), routes=(("eu", "direct"),), concurrency=(1, 4), failure_rate=0.0))
    one = stored.pulls["concurrency"] == 1
    trials = stored.trials.assign(succeeded=stored.trials["succeeded"].where(stored.trials["concurrency"] != 1, 0))
    broken = dataclasses.replace(stored, pulls=stored.pulls.assign(ok=~one), trials=trials)
    assert found_in(broken)["docker"].cell["concurrency"] == 4


def test_engines_without_a_successful_pull_have_no_phases(make: Make) -> None:
    failed = make(Recipe(engines=("wire",), concurrency=(1,), blocks=3, pulls=2, fail_everywhere=True))
    assert found_in(failed) == {}
    assert cause([]) == [] and phases_section([]) == ""


def test_an_engine_that_reports_nothing_has_no_phases_and_a_sentence(full: StoredRun) -> None:
    stored = dataclasses.replace(full, pulls=full.pulls.assign(**UNREPORTED))
    found = found_in(stored)
    assert all((each.phases, each.main, each.share("download")) == ((), None, None) for each in found.values())
    assert all(each.document()["phases"] == [] for each in found.values())
    (said, _) = cause(list(found.values()))
    assert "docker" in said and numbers.seconds(found["docker"].median_s) in said and "does not report" in said
    assert said.count("%") == 0


def test_engines_that_unpack_come_first_and_the_registry_is_added(full: StoredRun) -> None:
    wire = made(full, "wire", 0.5, download=0.9)
    docker = made(full, "docker", 3.1, auth=0.01, download=0.3, extract=0.72)
    for order in ([wire, docker], [docker, wire]):
        first, second = cause(order)
        assert "docker" in first and "3.10 s" in first and first.index("72%") < first.index("30%")
        assert "1%" not in first, "what hardly matters is left out"
        assert "500 ms" in second and "wire" in second


@pytest.mark.parametrize(
    ("shares", "others"),
    [
        ({"resolve": 0.07, "download": 0.71, "extract": 0.16}, ["71%", "16%", "7%", "6%"]),
        ({"auth": 0.02, "resolve": 0.07, "download": 0.7, "extract": 0.16}, ["70%", "16%", "7%", "7%"]),
        ({"download": 0.84, "extract": 0.16}, ["84%", "16%"]),
        ({"download": 0.9, "extract": 0.72}, ["90%", "72%"]),
    ],
)
def test_the_shares_of_a_sentence_add_up_to_all_where_phases_do_not_overlap(
    full: StoredRun, shares: dict[str, float], others: list[str]
) -> None:
    (said,) = cause([made(full, "docker", 3.1, **shares)])
    assert re.findall(r"\d+%", said) == others


def test_what_only_some_pulls_report_leaves_no_other_share(full: StoredRun) -> None:
    docker = made(full, "docker", 3.1, download=0.5)
    (said,) = cause([dataclasses.replace(docker, pulls=12)])
    assert re.findall(r"\d+%", said) == ["50%"]


@pytest.mark.parametrize(
    ("other", "added"),
    [
        ({}, True),
        ({"registry": "elsewhere"}, False),
        ({"proxy": "elsewhere"}, False),
        ({"platform": "linux/arm64"}, False),
        ({"concurrency": 64}, True),
    ],
)
def test_the_registry_is_added_from_the_same_route_and_platform_only(
    full: StoredRun, other: dict[str, Any], added: bool
) -> None:
    docker = made(full, "docker", 3.1, extract=0.72)
    said = cause([docker, made(full, "wire", 0.5, other, download=0.9)])
    assert len(said) == 1 + added


def test_wire_is_preferred_among_the_engines_that_do_not_unpack(full: StoredRun) -> None:
    docker, wire = made(full, "docker", 3.1, extract=0.72), made(full, "wire", 0.5)
    skopeo = made(full, "wire", 0.9, {"engine": "skopeo", "engine_kind": "skopeo"})
    assert "(wire)" in cause([skopeo, docker, wire])[-1]
    assert "(skopeo)" in cause([skopeo, docker])[-1]


def test_without_an_engine_that_unpacks_each_engine_has_its_sentence_and_nothing_is_added(full: StoredRun) -> None:
    said = cause([made(full, "wire", 0.5, download=0.9), made(full, "wire", 0.7, {"engine": "serial"})])
    assert len(said) == 2 and ["wire" in said[0], "serial" in said[1]] == [True, True]


def test_the_summary_begins_with_the_cause(full: StoredRun) -> None:
    cells = tables.cells(full.pulls, full.trials)
    said = summary(full, cells, slos(full, cells))
    assert list(said.cause) == cause(pull_phases(full, cells))


def test_the_section_has_a_row_for_each_engine(full: StoredRun) -> None:
    found = pull_phases(full, tables.cells(full.pulls, full.trials))
    section = phases_section(found)
    assert section.partition("</table>")[0].count("<tr") == 1 + len(found) == 3
    for each in found:
        for phase in each.phases:
            assert f"{phase.share:.0%}" in section
    assert section.count(f">{numbers.NOT_KNOWN}<") == 1, "wire unpacks nothing"


def test_a_phase_that_no_engine_reports_has_no_column(full: StoredRun) -> None:
    wire = made(full, "wire", 0.5, download=0.9)
    every = phases_section([wire, made(full, "docker", 3.1, extract=0.72)])
    assert every.count("<th") == phases_section([wire]).count("<th") + 1


def test_the_document_of_phases_has_its_configuration_and_plain_numbers(full: StoredRun) -> None:
    document = found_in(full)["docker"].document()
    assert {"engine", "registry", "proxy", "platform", "concurrency", "cache"} <= set(document)
    assert (document["pulls"], document["concurrency"]) == (40, 1)
    assert [set(each) for each in document["phases"]] == [{"name", "seconds", "share", "pulls"}] * 4


def test_the_phases_are_those_of_this_machines_platform(make) -> None:
    stored = make(
        Recipe(engines=("wire",), platforms=("linux/amd64", "linux/arm64"), concurrency=(1,), blocks=1, pulls=2)
    )
    for platform in ("linux/amd64", "linux/arm64"):
        facts = json.dumps({"host_platform": platform, "engines": [], "images": []})
        mine = dataclasses.replace(stored, run=dataclasses.replace(stored.run, facts=facts))
        (found,) = pull_phases(mine, tables.cells(mine.pulls, mine.trials))
        assert found.cell["platform"] == platform


def test_a_share_that_few_pulls_report_says_of_how_many(make: Make) -> None:
    stored = make(Recipe(engines=("docker",), routes=(("eu", "direct"),), concurrency=(1,), failure_rate=0.0))
    silent = {f"{phase}_s": stored.pulls[f"{phase}_s"].mask(stored.pulls["block"] > 1) for phase in tables.PHASES}
    partly = dataclasses.replace(stored, pulls=stored.pulls.assign(**silent))
    for run, few in ((stored, False), (partly, True)):
        found = found_in(run)["docker"]
        cells = tables.cells(run.pulls, run.trials)
        known = found.pulls // 5 if few else found.pulls
        assert {phase.pulls for phase in found.phases} == {known} == set(cells["phases_pulls"])
        of = f"from {known} of {found.pulls} pulls"
        assert all((of in text) == few for text in (cause([found])[0], phases_section([found])))
