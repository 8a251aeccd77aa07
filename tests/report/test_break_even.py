"""When a pull-through cache pays: from the run's own cold, warm and direct pulls, or which run would show it."""

import dataclasses

import duckdb
import numpy as np
import pytest

from pullbench.cli.terminal.console import verdict_block
from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, read_run, records
from pullbench.report.figures import load
from pullbench.report.run.best import contenders
from pullbench.report.run.break_even import _pays_from, break_evens, payback, pays_line, unknown_paybacks
from pullbench.report.run.documents import document_of
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe

RECIPE = Recipe(
    engines=("wire",),
    routes=(("us", "direct"), ("us", "cache")),
    concurrency=(1,),
    pulls=4,
    failure_rate=0.0,
    proxy_cache=("any", "cold", "warm"),
)


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    return synthetic.make(tmp_path_factory.mktemp("cached"), RECIPE)


@pytest.fixture(scope="module")
def stored(cached: ResultStore) -> StoredRun:
    return read_run(cached, RUN_ID)


def test_the_three_times_and_their_ratio_agree_with_duckdb(cached: ResultStore, stored: StoredRun) -> None:
    (row,) = records(break_evens(stored))
    with duckdb.connect() as connection:
        found = connection.execute(
            f"""SELECT avg(m) FILTER (proxy_cache = 'cold'), avg(m) FILTER (proxy_cache = 'warm'),
                       avg(m) FILTER (proxy = 'direct')
                FROM (SELECT proxy, proxy_cache, block, median(duration_s) m
                      FROM read_parquet('{cached.url}/pulls/*/*.parquet') WHERE ok AND NOT warmup GROUP BY ALL)"""
        ).fetchone()
    assert found is not None
    cold, warm, direct = found
    assert (row["cold_s"], row["warm_s"], row["direct_s"]) == pytest.approx(found, rel=1e-12)
    assert row["pulls"] == pytest.approx((cold - warm) / (direct - warm), rel=1e-12)
    assert row["low"] < row["pulls"] < row["high"]


def test_a_run_without_cold_and_warm_pulls_says_which_matrix_to_measure(full: StoredRun) -> None:
    found = break_evens(full)
    assert set(found["verdict"]) == {"not_measured"} and found["pulls"].isna().all()
    assert payback(found) == ""
    (said,) = unknown_paybacks(found)
    assert "`matrix.proxy_cache: [any, cold, warm]`" in said, "once, not once a configuration"
    assert load.break_even(found) == ""


def test_a_run_without_a_mirror_has_no_such_section(full: StoredRun) -> None:
    alone = dataclasses.replace(full, spec={**full.spec, "proxies": []})
    assert payback(break_evens(alone)) == ""


def test_a_trial_whose_mirror_was_other_than_its_label_is_left_out(stored: StoredRun) -> None:
    trials = stored.trials.copy()
    cold = (trials["proxy_cache"] == "cold") & ~trials["warmup"].astype(bool)
    first = trials[cold].index[0]
    trials["proxy_cache_found"] = np.where(trials["proxy_cache"] == "any", None, trials["proxy_cache"])
    trials.loc[first, "proxy_cache_found"] = "warm"
    (row,) = records(break_evens(dataclasses.replace(stored, trials=trials)))
    assert row["blocks"] == 4


def test_failed_cold_pulls_make_no_cache_pay_sooner(stored: StoredRun) -> None:
    pulls = stored.pulls.copy()
    cold = (pulls["proxy_cache"] == "cold") & ~pulls["warmup"].astype(bool)
    pulls.loc[cold, ["ok", "duration_s"]] = [False, 1e-6]
    (row,) = records(break_evens(dataclasses.replace(stored, pulls=pulls)))
    assert row["verdict"] == "not_measured" and "cold" in row["says"] and "warm" not in row["says"].split(".")[0]


def test_section_and_figure_say_the_same(stored: StoredRun) -> None:
    found = break_evens(stored)
    (row,) = records(found)
    assert row["says"] in payback(found) and row["says"] in load.break_even(found)
    assert load.break_even(found).count("<svg role=") == 2


def test_states_that_the_run_did_not_plan_are_not_called_failures(full: StoredRun) -> None:
    assert not break_evens(full)["says"].str.contains("succeeded").any()


def test_states_that_were_planned_and_never_succeeded_are(stored: StoredRun) -> None:
    cold = stored.pulls["proxy_cache"] == "cold"
    failed = dataclasses.replace(stored, pulls=stored.pulls.assign(ok=stored.pulls["ok"].astype(bool) & ~cold))
    (row,) = records(break_evens(failed))
    assert row["verdict"] == "not_measured" and "succeeded" in row["says"] and "matrix." not in row["says"]


@pytest.mark.parametrize(("pulls", "first"), [(1.69, "2nd"), (2.0, "3rd"), (10.2, "11th"), (21.5, "22nd")])
def test_the_first_pull_that_pays_is_the_one_beyond_the_break_even(pulls: float, first: str) -> None:
    assert f" {first} pull" in _pays_from({"pulls": pulls, "low": 1.1, "high": 30.0})


def test_a_run_that_measured_no_break_even_has_no_line_on_it(full: StoredRun, stored: StoredRun) -> None:
    assert pays_line(break_evens(full), None) == ()
    assert pays_line(break_evens(stored), None)[0].startswith("cache pays from the ")


def test_a_run_with_a_mirror_has_a_line_on_it_and_a_block_of_eleven_lines(stored: StoredRun) -> None:
    document = document_of(stored)
    assert len(document["summary"]["mirror"]) == 1
    assert len(verdict_block(document, 100)) <= 11


def test_the_state_of_a_mirrors_cache_is_no_choice(stored: StoredRun) -> None:
    chosen = contenders(stored, tables.cells(stored.pulls, stored.trials))
    assert sorted(zip(chosen["proxy"], chosen["proxy_cache"], strict=True)) == [("cache", "warm"), ("direct", "any")]
    document = document_of(stored)
    assert any("same mirror" in note for note in document["summary"]["notes"])
    assert not any("same mirror" in note for note in document_of(without(stored, "warm"))["summary"]["notes"])


def without(stored: StoredRun, state: str) -> StoredRun:
    return dataclasses.replace(
        stored,
        pulls=stored.pulls[stored.pulls["proxy_cache"] != state],
        trials=stored.trials[stored.trials["proxy_cache"] != state],
    )


def test_the_verdict_of_a_page_says_whether_the_mirror_pays_and_for_which_images(stored: StoredRun) -> None:
    document = document_of(stored)
    (said,) = document["summary"]["mirror"]
    assert f"Mirror: {said}" in document["headline"]["clauses"] and "4 images of 47.5 MB" in said
