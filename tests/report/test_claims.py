"""Rules of thumb: each is answered, from the numbers that the rest of the report shows."""

import dataclasses
import math
from typing import Any

import pandas as pd
import pytest

from pullbench.report.core import tables
from pullbench.report.core.sections import pill
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import claims as guide
from pullbench.report.run.claims import claims
from pullbench.report.run.contrasts import contrasts
from pullbench.report.run.slos import slos, verdict_rows
from tests.report.synthetic import Recipe

EVERY = {guide.REGION, guide.CONCURRENCY, guide.PROXY, guide.PEERS, guide.SUCCESS, guide.MEAN}


def made(stored: StoredRun, differences: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    """The claims of a run; `differences` are its own where none are given."""
    return records(claims(contrasts(stored) if differences is None else differences, stored))


def about(claim: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["claim"] == claim]


def with_mirror(stored: StoredRun) -> StoredRun:
    return dataclasses.replace(stored, spec={**stored.spec, "proxies": [{"name": "cache", "kind": "mirror"}]})


def test_every_claim_is_answered_with_its_source(full: StoredRun, differences: pd.DataFrame) -> None:
    rows = made(with_mirror(full), differences)
    assert {row["claim"] for row in rows} == EVERY
    assert all(row["source"].startswith("guide, ") and row["where"] for row in rows)
    assert {row["verdict"] for row in rows} <= {guide.HOLDS, guide.DOES_NOT_HOLD, guide.CANNOT_SAY}


def test_an_inconclusive_rule_says_which_run_would_decide(full: StoredRun, differences: pd.DataFrame, make) -> None:
    one = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), pulls=2, blocks=2))
    of_one = made(one)
    for rows in (made(with_mirror(full), differences), of_one):
        open_ = [row for row in rows if row["verdict"] == guide.CANNOT_SAY]
        assert open_ and all(row["says"] for row in open_)
    assert {row["claim"] for row in of_one} == EVERY
    assert {row["verdict"] for row in of_one} == {guide.CANNOT_SAY}


@pytest.mark.parametrize(
    ("low", "high", "verdict", "says"),
    [
        (3.1, 4.9, "holds", ""),
        (4.65, 5.03, "cannot_say", ""),
        (2.9, 3.4, "cannot_say", ""),
        (2.0, 6.0, "cannot_say", ""),
        (5.1, 5.9, "does_not_hold", "more"),
        (1.2, 2.9, "does_not_hold", "less"),
        (math.nan, math.nan, "cannot_say", "5 repetitions"),
    ],
)
def test_a_range_holds_where_the_whole_interval_lies_within_it(
    full: StoredRun, differences: pd.DataFrame, low: float, high: float, verdict: str, says: str
) -> None:
    regions = differences[differences["factor"] == "registry"].head(1)
    (row,) = about(guide.REGION, made(full, regions.assign(ratio=4.0, low=low, high=high)))
    assert row["verdict"] == verdict
    assert says in row["says"]


def test_regions_and_concurrency_have_the_comparisons_own_numbers(full: StoredRun, differences: pd.DataFrame) -> None:
    rows = made(full, differences)
    regions = records(differences[differences["factor"] == "registry"])
    assert [row["measured"] for row in about(guide.REGION, rows)] == [
        pytest.approx(max(row["ratio"], 1 / row["ratio"])) for row in regions
    ]
    at_once = records(differences[differences["factor"] == "concurrency"])
    assert [(row["measured"], row["low"], row["high"]) for row in about(guide.CONCURRENCY, rows)] == [
        (1 - row["ratio"], 1 - row["high"], 1 - row["low"]) for row in at_once
    ]


def test_success_and_mean_have_the_numbers_of_the_slos_for_each_engine(
    full: StoredRun, differences: pd.DataFrame
) -> None:
    slo = {"success_rate": 0.999, "mean_pull_s": 3.0, "engines": ["wire", "docker"]}
    stored = dataclasses.replace(full, spec={**full.spec, "slo": slo})
    scores = verdict_rows(slos(stored, tables.cells(stored.pulls, stored.trials)))
    rows = made(stored, differences)
    claims_of = {"success_rate": guide.SUCCESS, "mean_pull_s": guide.MEAN}
    assert len(scores) == 4
    for score in scores:
        (row,) = [each for each in about(claims_of[score["name"]], rows) if each["where"] == score["engine"]]
        assert (row["measured"], row["low"], row["high"]) == (score["measured"], score["low"], score["high"])
        assert row["verdict"] == {"met": "holds", "missed": "does_not_hold"}.get(score["verdict"], "cannot_say")


def test_the_targets_are_judged_whatever_the_spec_asks_for(make) -> None:
    slow = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), pulls=4, slo={}))
    (success,), (mean,) = about(guide.SUCCESS, made(slow)), about(guide.MEAN, made(slow))
    assert (success["verdict"], mean["verdict"]) == ("cannot_say", "holds")
    assert "3,838" in success["says"]
    pulls = slow.pulls.assign(duration_s=slow.pulls["duration_s"] + 9)
    (mean,) = about(guide.MEAN, made(dataclasses.replace(slow, pulls=pulls)))
    assert mean["verdict"] == "does_not_hold"


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        ("faster", "holds"),
        ("slower", "does_not_hold"),
        ("no_difference", "does_not_hold"),
        ("inconclusive", "cannot_say"),
        ("too_few_samples", "cannot_say"),
    ],
)
def test_a_proxy_saves_time_where_the_comparison_says_faster(
    full: StoredRun, differences: pd.DataFrame, verdict: str, answer: str
) -> None:
    proxies = differences[differences["factor"] == "proxy"].head(1).assign(verdict=verdict)
    (row,) = about(guide.PROXY, made(with_mirror(full), proxies))
    assert row["verdict"] == answer
    assert row["measured"] == pytest.approx(1 - proxies["ratio"].iloc[0])


def test_few_repetitions_or_a_client_limit_decide_no_rule(full: StoredRun, differences: pd.DataFrame) -> None:
    regions = differences[differences["factor"] == "registry"].head(1).assign(ratio=4.0, low=3.1, high=4.9)
    mirrors = differences[differences["factor"] == "proxy"].head(1).assign(verdict="faster")
    for claim, rows in ((guide.REGION, regions), (guide.PROXY, mirrors)):
        answers = {
            (blocks, limited): about(
                claim, made(with_mirror(full), rows.assign(blocks=blocks, client_limited=limited))
            )[0]["verdict"]
            for blocks in (4, 5)
            for limited in (False, True)
        }
        assert answers == {(5, False): "holds"} | dict.fromkeys([(5, True), (4, False), (4, True)], "cannot_say")


@pytest.mark.parametrize("engine", ["wire", "docker"])
def test_a_client_limited_mean_can_show_that_the_rule_is_true_but_not_that_it_is_untrue(make, engine: str) -> None:
    recipe = Recipe(engines=(engine,), routes=(("eu", "direct"),), concurrency=(1,), pulls=4, slo={})
    quick = make(recipe)
    slow = dataclasses.replace(quick, pulls=quick.pulls.assign(duration_s=quick.pulls["duration_s"] + 9))
    quick_limited, slow_limited = (
        dataclasses.replace(run, trials=run.trials.assign(client_busy=0.95)) for run in (quick, slow)
    )
    few = make(dataclasses.replace(recipe, blocks=4))
    assert [about(guide.MEAN, made(run))[0]["verdict"] for run in (quick_limited, slow, slow_limited, few)] == [
        "holds",
        "does_not_hold",
        "cannot_say",
        "cannot_say",
    ]


def test_a_forward_proxy_is_no_registry(full: StoredRun, differences: pd.DataFrame) -> None:
    forward = dataclasses.replace(full, spec={**full.spec, "proxies": [{"name": "cache", "kind": "forward"}]})
    (row,) = about(guide.PROXY, made(forward, differences))
    assert (row["verdict"], math.isnan(row["measured"])) == (guide.CANNOT_SAY, True)


def test_peers_need_more_than_one_vantage(full: StoredRun, differences: pd.DataFrame) -> None:
    (row,) = about(guide.PEERS, made(full, differences))
    assert (row["verdict"], math.isnan(row["measured"])) == ("cannot_say", True)
    assert row["says"]


def test_a_run_that_failed_everywhere_has_a_success_rate_and_no_time(make) -> None:
    rows = made(make(Recipe(engines=("wire",), concurrency=(1,), blocks=5, pulls=2, fail_everywhere=True)))
    assert about(guide.SUCCESS, rows)[0]["verdict"] == "does_not_hold"
    assert math.isnan(about(guide.MEAN, rows)[0]["measured"])
    assert {row["verdict"] for row in rows} == {"does_not_hold", "cannot_say"}


def test_a_comparison_within_nothing_is_one_over_all_settings(full: StoredRun, differences: pd.DataFrame) -> None:
    (row, *_) = about(guide.CONCURRENCY, made(full, differences.assign(within="")))
    assert row["where"] == "all configurations"


def test_the_section_shows_every_claim_with_its_unit(full: StoredRun, differences: pd.DataFrame) -> None:
    shown = guide.claimed(claims(differences, full), full)
    assert shown.count("<tr") == 1 + len(made(full, differences))
    assert all(pill(row["verdict"]) in shown for row in made(full, differences))


def test_registries_of_one_region_are_no_evidence_about_regions(full: StoredRun) -> None:
    one = dataclasses.replace(full, trials=full.trials.assign(region="same"))
    (row,) = about(guide.REGION, made(one))
    assert (row["verdict"], math.isnan(row["measured"])) == (guide.CANNOT_SAY, True)


@pytest.mark.parametrize(
    ("urls", "lab"),
    [
        (["http://127.0.0.1:5000", "http://[::1]:5001", "https://localhost"], True),
        (["http://127.0.0.1:5000", "https://registry.example.com"], False),
        ([], False),
    ],
)
def test_a_lab_on_loopback_links_to_what_it_cannot_show(
    full: StoredRun, differences: pd.DataFrame, urls: list[str], lab: bool
) -> None:
    spec = {**full.spec, "registries": [{"name": str(n), "url": url} for n, url in enumerate(urls)]}
    stored = dataclasses.replace(full, spec=spec)
    made = guide.claimed(claims(differences, full), stored)
    assert ('href="#what-this-run-cannot-show"' in made) == lab
