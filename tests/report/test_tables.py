"""The cells table against DuckDB reading the same Parquet, and what may not count."""

import math

import duckdb
import pandas as pd
import pytest

from pullbench.errors import REMEDIES, ErrorCode
from pullbench.model.plan import FACTORS
from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun
from pullbench.store.dataset import ResultStore
from tests.report.synthetic import Recipe

KEY = ", ".join(FACTORS)


@pytest.fixture(scope="module")
def cells(full: StoredRun) -> pd.DataFrame:
    return tables.cells(full.pulls, full.trials)


def query(store: ResultStore, sql: str) -> list[tuple]:
    """Rows of `sql`, in which {pulls}, {trials} stand for the Parquet files of the run."""
    files = {name: f"read_parquet('{store.url}/{name}/*/*.parquet')" for name in ("pulls", "trials", "transfers")}
    with duckdb.connect() as connection:
        return connection.execute(sql.format(**files)).fetchall()


def test_counts_and_percentiles_agree_with_duckdb_to_the_last_digit(store: ResultStore, cells: pd.DataFrame) -> None:
    rows = query(
        store,
        f"""SELECT {KEY}, count(*), count(*) FILTER (ok), sum(bytes), max(attempts),
                   quantile_cont(duration_s, 0.9) FILTER (ok)
            FROM {{pulls}} WHERE NOT warmup GROUP BY {KEY} ORDER BY {KEY}""",
    )
    assert len(rows) == len(cells) == 12
    for row, (_, cell) in zip(rows, cells.iterrows(), strict=True):
        assert row[:8] == tuple(cell[name] for name in FACTORS)
        assert row[8:11] == (cell["pulls"], cell["succeeded"], cell["bytes"])
        assert cell["p90_s"] == pytest.approx(row[12], rel=1e-14)


def test_medians_agree_with_duckdb(store: ResultStore, cells: pd.DataFrame) -> None:
    rows = query(
        store,
        f"""SELECT exp(avg(ln(m))) FROM (
                SELECT {KEY}, block, median(duration_s) m FROM {{pulls}} WHERE ok AND NOT warmup GROUP BY {KEY}, block)
            GROUP BY {KEY} ORDER BY {KEY}""",
    )
    assert [row[0] for row in rows] == pytest.approx(cells["median_s"].tolist(), rel=1e-14)


def test_throughput_agrees_with_duckdb(store: ResultStore, cells: pd.DataFrame) -> None:
    rows = query(
        store,
        f"""SELECT exp(avg(ln(throughput_bytes_per_s))) FROM {{trials}} WHERE NOT warmup AND succeeded > 0
            GROUP BY {KEY} ORDER BY {KEY}""",
    )
    assert [row[0] for row in rows] == pytest.approx(cells["throughput_bytes_per_s"].tolist(), rel=1e-14)


def test_images_per_s_is_the_inverse_of_the_wall_time_of_a_pull_with_its_interval_turned_round(
    cells: pd.DataFrame,
) -> None:
    for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
        assert cells[f"images_per_s{end}"].tolist() == (1 / cells[f"wall_per_pull{other}_s"]).tolist()
    assert (cells["images_per_s_low"] < cells["images_per_s"]).all()
    assert (cells["images_per_s"] < cells["images_per_s_high"]).all()


def test_images_per_s_of_trials_without_failures_agrees_with_duckdb(store: ResultStore, cells: pd.DataFrame) -> None:
    rows = query(
        store,
        f"""SELECT exp(avg(ln(pulls / wall_s))) FROM {{trials}} WHERE NOT warmup AND succeeded = pulls
            GROUP BY {KEY} ORDER BY {KEY}""",
    )
    assert [row[0] for row in rows] == pytest.approx(cells["images_per_s"].tolist(), rel=1e-12)


def test_shares_of_phases_agree_with_duckdb_and_what_is_not_reported_is_nan(
    store: ResultStore, cells: pd.DataFrame
) -> None:
    for phase in tables.PHASES:
        rows = query(
            store,
            f"""SELECT median({phase}_s / duration_s) FILTER (ok) FROM {{pulls}} WHERE NOT warmup
                GROUP BY {KEY} ORDER BY {KEY}""",
        )
        known = [math.nan if row[0] is None else row[0] for row in rows]
        assert known == pytest.approx(cells[f"{phase}_share"].tolist(), rel=1e-14, nan_ok=True)
    assert cells.loc[cells["engine"] == "wire", "extract_share"].isna().all()
    assert cells.loc[cells["engine"] == "docker", "extract_share"].notna().all()


def test_warm_up_is_in_no_number(full: StoredRun, cells: pd.DataFrame) -> None:
    assert full.pulls["warmup"].any()
    counted = full.pulls[~full.pulls["warmup"]], full.trials[~full.trials["warmup"]]
    pd.testing.assert_frame_equal(cells, tables.cells(*counted))


def test_a_failed_pull_is_in_no_latency_and_in_the_success_rate(full: StoredRun, cells: pd.DataFrame) -> None:
    slow = full.pulls.copy()
    slow.loc[~slow["ok"], "duration_s"] = 1e6
    again = tables.cells(slow, full.trials)
    assert (again["pulls"] > again["succeeded"]).any()
    pd.testing.assert_frame_equal(cells, again)


def test_a_cell_that_failed_everywhere_has_no_latency(make) -> None:
    stored = make(
        Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), pulls=2, fail_everywhere=True)
    )
    (cell,) = tables.cells(stored.pulls, stored.trials).to_dict("records")
    assert (cell["pulls"], cell["succeeded"], cell["success_rate"]) == (10, 0, 0.0)
    for name in ("median_s", "p90_s", "wall_per_pull_s", "throughput_bytes_per_s"):
        assert math.isnan(cell[name]), name


def test_a_percentile_is_withheld_where_n_does_not_carry_it(cells: pd.DataFrame) -> None:
    assert (cells["p99_s"].isna()).all()
    assert cells[cells["succeeded"] >= 40]["p95_s"].notna().all()
    assert cells[cells["succeeded"] < 40]["p95_s"].isna().all()


def test_under_three_blocks_there_is_no_interval(make) -> None:
    stored = make(Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), blocks=2, pulls=2))
    (cell,) = tables.cells(stored.pulls, stored.trials).to_dict("records")
    assert cell["median_s"] > 0
    assert math.isnan(cell["median_low_s"])


def test_the_time_to_wait_in_open_load_counts(full: StoredRun) -> None:
    late = full.pulls.assign(queued_s=10.0)
    assert (tables.cells(late, full.trials)["median_s"] > 10).all()


def test_cold_pulls_that_found_layers_are_counted(full: StoredRun) -> None:
    found = full.pulls.copy()
    rows = found[(found["engine"] == "docker") & found["ok"] & ~found["warmup"]].index[:3]
    found.loc[rows, "layers_cached"] = 2
    assert tables.cells(found, full.trials)["found_cached"].sum() == 3


def test_trials_whose_mirror_was_not_as_labelled_are_counted_and_so_are_those_that_nothing_shows(
    full: StoredRun,
) -> None:
    found = full.trials.copy()
    rows = found[~found["warmup"] & (found["proxy"] == "cache")].index
    assert len(rows) >= 4
    found.loc[rows, "proxy_cache"] = "cold"
    found.loc[rows[:3], "proxy_cache_found"] = ["cold", "warm", "mixed"]
    cells = tables.cells(full.pulls, found)
    assert (cells["proxy_other"].sum(), cells["proxy_unshown"].sum()) == (2, len(rows) - 3)
    found.loc[rows, "proxy_cache"] = "any"
    cells = tables.cells(full.pulls, found)
    assert (cells["proxy_other"].sum(), cells["proxy_unshown"].sum()) == (0, 0), "any is never wrong"


def test_an_empty_run_gives_an_empty_table(full: StoredRun) -> None:
    empty = tables.cells(full.pulls.iloc[:0], full.trials.iloc[:0])
    assert empty.empty
    assert list(empty.columns) == tables.CELL_COLUMNS


def test_errors_come_with_their_remedy_and_their_count(full: StoredRun) -> None:
    failed = full.pulls[~full.pulls["ok"] & ~full.pulls["warmup"]]
    (row,) = tables.errors(full).to_dict("records")
    assert (row["code"], row["count"]) == ("reset", len(failed))
    assert row["remedy"].startswith(REMEDIES[ErrorCode.RESET])
    assert "`openssl s_client -connect us.example.com:5000`" in row["remedy"], "the registry whose pulls failed"
    assert "connection reset" in row["example"]


def test_the_best_cell_is_no_cell_with_failures(cells: pd.DataFrame) -> None:
    tempting = cells.copy()
    broken = tempting[tempting["succeeded"] < tempting["pulls"]].index[0]
    tempting.loc[broken, "wall_per_pull_s"] = 1e-6
    assert tables.best(tempting) != broken


@pytest.mark.parametrize(("column", "value"), [("found_cached", 3), ("proxy_other", 1)])
def test_the_best_cell_is_none_that_cannot_be_trusted(cells: pd.DataFrame, column: str, value: float) -> None:
    tempting = cells.copy()
    first = tables.best(tempting)
    tempting.loc[first, column] = value
    assert tables.best(tempting) != first


@pytest.mark.parametrize("engine", ["wire", "docker"])
def test_a_client_at_its_limit_makes_nothing_faster_so_the_fastest_stays_so(cells: pd.DataFrame, engine: str) -> None:
    mine = cells.assign(engine_kind=engine)
    first = tables.best(mine)
    mine.loc[first, "client_busy"] = 0.95
    assert tables.best(mine) == first


def test_there_is_no_best_cell_where_all_had_failures(cells: pd.DataFrame) -> None:
    assert tables.best(cells.assign(succeeded=cells["pulls"] - 1)) is None


def test_planned_out_cells_are_grouped_by_reason(full: StoredRun) -> None:
    (row,) = tables.planned_out(full).to_dict("records")
    assert row["count"] == 2
    assert "mirror" in row["reason"]


def test_a_trial_over_time_is_measured_by_its_own_cell_so_that_only_drift_shows(make) -> None:
    stored = make(Recipe(noise=0.0, failure_rate=0.0, concurrency=(1, 4), blocks=4, pulls=4))
    slow = stored.pulls["block"] == 4
    pulls = stored.pulls.assign(duration_s=stored.pulls["duration_s"].where(~slow, 2 * stored.pulls["duration_s"]))
    rows = tables.trials_over_time(pulls, stored.trials)
    assert rows["median_s"].max() / rows["median_s"].min() > 3
    counted = rows[~rows["warmup"].astype(bool)]
    assert counted[counted["block"] < 4]["ratio"].tolist() == pytest.approx([1.0] * 36)
    assert counted[counted["block"] == 4]["ratio"].tolist() == pytest.approx([2.0] * 12)
    assert (rows[rows["warmup"].astype(bool)]["ratio"] > 1.1).all(), "warm-up is drawn, and in no median"


def test_a_mirrors_cache_is_named_where_it_is_any_and_a_route_without_a_proxy_has_none() -> None:
    rows = [{"proxy": "cache", "proxy_cache": "any"}, {"proxy": "cache", "proxy_cache": "warm"}]
    rows += [{"proxy": "direct", "proxy_cache": "any"}]
    named = [tables.label(row, ["proxy", "proxy_cache"]) for row in rows]
    assert named == ["cache · any mirror cache", "cache · warm mirror cache", "direct"]
