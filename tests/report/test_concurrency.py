"""What a higher concurrency gives: the curve of each configuration, checked with DuckDB, and in words."""

import dataclasses
import json
import math
from collections.abc import Callable

import duckdb
import pytest

from pullbench.report.core.stored import StoredRun
from pullbench.report.run import concurrency
from pullbench.report.run.concurrency import Curve, curve_of, curve_says, curves, json_curves, law_says, undecided
from pullbench.stats.scaling import Cost, scaling
from pullbench.store.dataset import ResultStore
from tests.report.synthetic import Recipe

CELL = {"engine": "wire", "registry": "eu", "proxy": "direct"}


def curve(rates: dict[int, float], blocks: int = 5, **given: object) -> Curve:
    """A curve without noise."""
    found = scaling({n: {block: rate * (1 + 0.01 * block) for block in range(blocks)} for n, rate in rates.items()})
    made = Curve(factors=CELL, name="eu", scaling=found, limited_from=None, may_be_more="", left_out=())
    return dataclasses.replace(made, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(full: StoredRun) -> list[Curve]:
    return curves(full)


def test_rates_and_speed_ups_agree_with_duckdb(store: ResultStore, found: list[Curve]) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"""WITH rates AS (
                    SELECT engine, registry, proxy, block, concurrency, pulls / wall_s AS rate
                    FROM read_parquet('{store.url}/trials/*/*.parquet') WHERE NOT warmup AND succeeded = pulls),
                pairs AS (
                    SELECT one.engine, one.registry, one.proxy, one.rate AS slow, four.rate AS fast
                    FROM rates one JOIN rates four USING (engine, registry, proxy, block)
                    WHERE one.concurrency = 1 AND four.concurrency = 4)
                SELECT engine, registry, proxy, exp(avg(ln(slow))), exp(avg(ln(fast))), exp(avg(ln(fast / slow))), count(*)
                FROM pairs GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
    assert len(rows) == len(found) == 6
    for row, mine in zip(rows, found, strict=True):
        assert row[:3] == tuple(mine.factors[name] for name in ("engine", "registry", "proxy"))
        one, four = mine.levels
        assert (one.rate, four.rate, four.speedup) == pytest.approx(row[3:6], rel=1e-12)
        assert mine.scaling.blocks == row[6]


def test_a_trial_with_a_failure_is_in_no_rate(full: StoredRun, found: list[Curve]) -> None:
    broken = full.trials["succeeded"] < full.trials["pulls"]
    assert broken.any()
    fast = full.trials.assign(wall_s=full.trials["wall_s"].where(~broken, 1e-6))
    assert json_curves(curves(dataclasses.replace(full, trials=fast))) == json_curves(found)


def test_a_concurrency_that_always_fails_is_left_out_and_said_so(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), blocks=4, pulls=4, failure_rate=0.0))
    highest = stored.trials["concurrency"] == 8
    trials = stored.trials.assign(succeeded=stored.trials["succeeded"].where(~highest, 3))
    (mine,) = curves(dataclasses.replace(stored, trials=trials))
    assert (mine.left_out, [level.concurrency for level in mine.levels]) == ((8,), [1, 2, 4])
    assert "oncurrency 8" not in curve_says(mine)


def test_one_concurrency_makes_no_curve(make) -> None:
    assert curves(make(Recipe(engines=("wire",), concurrency=(2,), blocks=3, pulls=2))) == []


def test_a_cell_finds_the_curve_it_lies_on(found: list[Curve]) -> None:
    cell = dict(found[3].factors) | {"concurrency": 4, "median_s": 1.0}
    assert curve_of(found, cell) is found[3]
    assert curve_of(found, cell | {"registry": "elsewhere"}) is None


def test_the_recommendation_says_its_gain_and_what_a_lower_concurrency_costs() -> None:
    said = curve_says(curve({1: 10.0, 2: 18.0, 4: 30.0, 8: 30.2}))
    gain, more, cost = said.split(". ")
    assert gain.startswith("Concurrency 4 ") and "3.00 times (3.00–3.00)" in gain
    assert "no gain" in more
    assert cost.startswith("Concurrency 2 ") and "40.0%" in cost


def test_a_loss_that_is_not_significant_has_no_number() -> None:
    noisy = {1: (10, 11, 9), 2: (20, 33, 22), 4: (36, 34, 40)}
    found = scaling({n: dict(enumerate(map(float, rates))) for n, rates in noisy.items()})
    said = curve_says(Curve(factors=CELL, name="", scaling=found, limited_from=None, may_be_more="", left_out=()))
    *_, cost = said.split(". ")
    assert found.recommended == 4 and cost.startswith("Concurrency 2 ") and "not significant" in cost
    assert "%" not in cost


@pytest.mark.parametrize(
    ("lows", "said"),
    [
        ({1: -0.1, 2: 0.2, 4: -0.2}, "Concurrency 1 and 4 may be as good: their loss is not significant."),
        ({1: 0.0, 2: -0.1, 4: -0.2}, "Concurrency 1, 2 and 4 may be as good: their loss is not significant."),
        ({1: 0.3, 2: 0.2, 4: -0.2}, "Concurrency 4 may be as good: its loss is not significant."),
        ({1: -0.1, 2: 0.2, 4: 0.1}, "Concurrency 1 may be as good: its loss is not significant. Concurrency 4 loses"),
        ({1: None, 2: None, 4: None}, "Concurrency 4 loses"),
    ],
)
def test_every_lower_concurrency_that_may_be_as_good_is_named(lows: dict[int, float | None], said: str) -> None:
    mine = curve({1: 10.0, 2: 18.0, 4: 30.0, 8: 50.0})
    costs = tuple(Cost(concurrency=n, lost=0.3, low=low, high=None if low is None else 0.5) for n, low in lows.items())
    mine = dataclasses.replace(mine, scaling=dataclasses.replace(mine.scaling, costs=costs))
    assert mine.scaling.recommended == 8
    found = curve_says(mine)
    assert f". {said}" in found and found.count("may be as good") == said.count("may be as good")
    below = [n for n in (1, 2) if (lows[n] or 0) <= 0 and lows[n] is not None]
    assert ("may be as good" in concurrency.recommendations([mine, mine])) is bool(below)


@pytest.mark.parametrize("load", [0.0, 12.0])
@pytest.mark.parametrize("engine", ["wire", "docker"])
def test_the_bottleneck_leaves_the_registry_open_only_where_the_client_measures_it(
    make: Callable[[Recipe], StoredRun], engine: str, load: float
) -> None:
    stored = make(Recipe(engines=(engine,), routes=(("eu", "direct"),), concurrency=(1, 4), blocks=3, warmup=0))
    environment = json.dumps({"load_before": load, "cores": 2})
    busy = dataclasses.replace(
        stored,
        trials=stored.trials.assign(client_busy=0.95),
        run=dataclasses.replace(stored.run, environment=environment),
    )
    (mine,) = curves(busy)
    said = curve_says(mine)
    assert "From concurrency 1 on" in said
    assert ("the registry may" in said) is (engine == "wire" and not load)
    assert ("a faster node" in said) is (engine == "docker" and not load)
    assert ("an idle node" in said) is bool(load)


def test_a_rate_that_still_rises_asks_for_more() -> None:
    said = curve_says(curve({1: 10.0, 2: 20.0, 4: 40.0, 8: 80.0}))
    assert said.startswith("Concurrency 8") and "higher one may be better" in said and "no gain" not in said


def test_at_the_laws_peak_nothing_more_is_asked_for() -> None:
    rates = {n: 10 * n / (1 + n * (n - 1) / 64) for n in (1, 2, 4, 8)}
    said = curve_says(curve(rates))
    assert said.startswith("Concurrency 8") and "peak" in said and "may be better" not in said


def test_concurrency_1_is_enough_where_more_gives_no_gain() -> None:
    assert curve_says(curve({1: 10.0, 2: 10.1, 4: 9.0})).startswith("Concurrency 1 ")


def test_an_inconclusive_run_recommends_no_concurrency() -> None:
    noisy = {1: (1.0, 2.0, 0.4), 2: (0.5, 1.1, 1.5)}
    found = scaling({n: dict(enumerate(rates)) for n, rates in noisy.items()})
    mine = Curve(factors=CELL, name="", scaling=found, limited_from=None, may_be_more="", left_out=())
    assert undecided(found) and found.recommended is None
    assert "from 1 to 2" in curve_says(mine) and "repetitions" in curve_says(mine)
    assert "is enough" not in concurrency.recommendations([mine, mine])


def test_a_gain_that_is_inconclusive_is_not_called_none() -> None:
    sure = curve({1: 10.0, 2: 18.0, 4: 18.0, 8: 18.0}).scaling
    said = curve_says(
        Curve(
            factors=CELL,
            name="",
            scaling=dataclasses.replace(sure, knee_high=4),
            limited_from=None,
            may_be_more="",
            left_out=(),
        )
    )
    assert sure.knee == 2 and "no gain" not in said
    assert "concurrency 4" in said and "inconclusive" in said


def test_two_blocks_recommend_nothing_and_say_why() -> None:
    mine = curve({1: 10.0, 2: 18.0}, blocks=2)
    assert mine.scaling.recommended is None
    assert "2 of the 3" in curve_says(mine)
    assert "3 repetitions" in law_says(mine)


def test_a_client_limit_is_reported_with_the_recommendation() -> None:
    limited, free = (curve_says(curve({1: 10.0, 2: 18.0, 4: 30.0}, limited_from=at)) for at in (4, None))
    assert "oncurrency 4 on" in limited and "bottleneck" in limited and "bottleneck" not in free


def test_the_section_marks_the_recommended_level_and_shows_every_level(found: list[Curve]) -> None:
    made = concurrency.recommendations(found)
    assert made.count("<tr") == 1 + 6 + 1 + 12
    assert made.count('<tr class="best"') == sum(mine.scaling.recommended is not None for mine in found)
    assert concurrency.recommendations([]) == ""


def test_the_lowest_concurrency_has_no_interval_of_a_speed_up() -> None:
    flat, rising = curve({1: 10.0, 2: 10.0, 4: 10.0}), curve({1: 10.0, 2: 18.0, 4: 30.0})
    made = concurrency.recommendations([flat, rising])
    assert flat.scaling.recommended == 1 and rising.scaling.recommended == 4
    assert "1.00× (" not in made and "3.00× (" in made


def test_a_single_curve_is_reported_in_sentences() -> None:
    only = curve({1: 10.0, 2: 18.0, 4: 30.0, 8: 30.2})
    made = concurrency.recommendations([only])
    assert curve_says(only) in made and law_says(only) in made


def test_the_json_of_a_curve_has_no_nan(found: list[Curve]) -> None:
    def values(part: object) -> list[object]:
        if isinstance(part, dict):
            return [each for value in part.values() for each in values(value)]
        return [each for value in part for each in values(value)] if isinstance(part, list | tuple) else [part]

    assert not [value for value in values(json_curves(found)) if isinstance(value, float) and math.isnan(value)]
