"""When a pull-through cache pays: from the run's own cold, warm and direct pulls, or which run would show it."""

import dataclasses

import duckdb
import numpy as np
import pytest

from pullbench.report.core.stored import StoredRun, read_run, records
from pullbench.report.figures import load
from pullbench.report.run.break_even import break_evens, payback
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
    made = payback(found)
    assert made.count("not known") == 1, "once, not once a configuration"
    assert "<code>matrix.proxy_cache: [any, cold, warm]</code>" in made
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
