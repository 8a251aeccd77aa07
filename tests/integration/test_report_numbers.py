"""Every number of a run's page is in the JSON beside it, and comes out of the Parquet by another program's reckoning."""

import json
import math
from collections.abc import Iterable
from typing import Any

import duckdb
import pytest
from scipy.stats import t

from pullbench.model.plan import FACTORS
from pullbench.report.core import numbers
from pullbench.report.render.render import render_run_report
from tests.integration.page_numbers import Page, Table, from_json, told
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe

pytestmark = pytest.mark.integration

KEY = ", ".join(FACTORS)
RECIPE = Recipe(pulls=5, blocks=4, proxy_cache=("cold", "warm"), failure_rate=0.15)
CONSTANTS = {"95 %", "97 %", "0.03", "99", "99.9 %", "1 ×", "5 %", "20", "40", "200", "3,838", "1"}
CONSTANTS |= {"72", "368", "3.5 %", "30"}
"""What the page's own sentences say of any run: confidence, percentiles and what carries them, the line of no difference.

And how often a comparison is a false alarm, and how many configurations a figure has at most.
"""


class Report:
    """A page, the JSON beside it, and the Parquet that it was made from."""

    def __init__(self, folder: Any) -> None:
        self.store = synthetic.make(folder / "results", RECIPE)
        page = render_run_report(self.store.url, RUN_ID, folder / "reports")
        self.page = Page(page.read_text(encoding="utf-8"))
        self.json = json.loads((page.parent / "run.json").read_text(encoding="utf-8"))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of `sql`, in which {pulls}, {trials}, {transfers} and {runs} stand for the Parquet files."""
        tables = ("pulls", "trials", "transfers", "runs")
        files = {name: f"read_parquet('{self.store.url}/{name}/*/*.parquet')" for name in tables}
        with duckdb.connect() as connection:
            return connection.execute(sql.format(**files)).fetchall()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return Report(tmp_path_factory.mktemp("numbers"))


def interval(mean: float, spread: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Student's t over blocks' logarithms, reckoned apart from the library."""
    half = float(t.ppf(0.5 + level / 2, n - 1)) * spread / math.sqrt(n)
    return math.exp(mean - half), math.exp(mean + half)


def test_every_cell_of_the_settings_table_is_what_duckdb_reckons(report: Report) -> None:
    medians = report.query(
        f"""SELECT {KEY}, avg(ln(m)), stddev_samp(ln(m)), count(*), first(p90), first(unpacks), first(downloads) FROM (
                SELECT {KEY}, block, median(duration_s) m FROM {{pulls}} WHERE ok AND NOT warmup GROUP BY {KEY}, block)
            JOIN (SELECT {KEY}, quantile_cont(duration_s, 0.9) p90, median(extract_s / duration_s) unpacks,
                  median(download_s / duration_s) downloads FROM {{pulls}} WHERE ok AND NOT warmup
                  GROUP BY {KEY}) USING ({KEY})
            GROUP BY {KEY} ORDER BY {KEY}"""
    )
    walls = report.query(
        f"""SELECT {KEY}, exp(avg(ln(wall_s / pulls)) FILTER (succeeded = pulls)),
                exp(avg(ln(throughput_bytes_per_s)) FILTER (succeeded > 0)), sum(succeeded)::INT, sum(pulls)::INT
            FROM {{trials}} WHERE NOT warmup GROUP BY {KEY} ORDER BY {KEY}"""
    )
    shown = report.page.table(" configurations")
    assert len(shown.rows) == len(medians) == len(walls) == 32
    assert any(kind == "failed" for kind in shown.kinds)
    for row, times, wall, cell in zip(shown.rows, medians, walls, report.json["cells"], strict=True):
        low, high = interval(*times[8:11])
        found = dict(zip(shown.columns, row, strict=True))
        every, rate, succeeded, pulls = wall[8:]
        assert found["p50"] == numbers.seconds(math.exp(times[8]))
        assert found["95% CI"] == numbers.seconds_range(low, high)
        assert found["p90"] == (numbers.seconds(times[11]) if succeeded >= 20 else numbers.NOT_KNOWN)
        assert found["images/s"] == numbers.plain(None if every is None else 1 / every)
        assert found["MB/s"] == numbers.plain(rate / 1e6)
        assert found["Unpack"] == numbers.whole_percent(times[12])
        assert found["Download"] == numbers.whole_percent(times[13])
        assert found["Pulls"] == f"{succeeded}/{pulls}"
        told_of = [cell[name] for name in ("median_s", "median_low_s", "median_high_s", "wall_per_pull_s")]
        assert told_of[:3] == pytest.approx([math.exp(times[8]), low, high], rel=1e-9)
        assert told_of[3] == (None if every is None else pytest.approx(every, rel=1e-9))
        assert (cell["succeeded"], cell["pulls"]) == (succeeded, pulls)


def test_the_slos_of_each_engine_are_what_duckdb_computes(report: Report) -> None:
    ((rate, mean, p99),) = report.query(
        """SELECT (SELECT avg(ok::INT) FROM {pulls} WHERE NOT warmup AND engine = 'docker'),
            (SELECT avg(m) FROM (SELECT avg(duration_s) m FROM {pulls}
                                 WHERE ok AND NOT warmup AND engine = 'docker' GROUP BY block)),
            (SELECT quantile_cont(total_s, 0.99) FROM {transfers}
             WHERE kind IN ('token', 'manifest') AND error_code IS NULL AND NOT warmup AND engine = 'wire')"""
    )
    of_docker = "SELECT ok FROM {pulls} WHERE NOT warmup AND engine = 'docker' ORDER BY started_at, trial, pull"
    outcomes = [ok for (ok,) in report.query(of_docker)]
    streak = max(map(len, "".join("." if ok else "x" for ok in outcomes).split(".")))
    measured = {row["name"]: row["measured"] for row in report.json["slo"]}
    wanted = {"success_rate": rate, "mean_pull_s": mean, "p99_api_s": p99, "consecutive_failures": streak}
    assert measured == pytest.approx(wanted, rel=1e-9)
    engines = dict.fromkeys(wanted, "docker") | {"p99_api_s": "wire"}
    assert {row["name"]: row["engine"] for row in report.json["slo"]} == engines
    text = " ".join(report.page.prose)
    for shown in (numbers.percent(rate), numbers.seconds(mean), numbers.seconds(p99)):
        assert shown in text


def test_the_comparisons_are_what_duckdb_reckons(report: Report) -> None:
    """Regions: eu by us, direct, over all engines and concurrencies, paired by block."""
    rows = report.query(
        """WITH m AS (SELECT engine, registry, concurrency, block, median(duration_s) v FROM {pulls}
                      WHERE ok AND NOT warmup AND proxy = 'direct' GROUP BY ALL)
            SELECT engine, avg(r), stddev_samp(r), count(*) FROM (
                SELECT a.engine, block, avg(ln(b.v / a.v)) r FROM m a JOIN m b USING (engine, concurrency, block)
                WHERE a.registry = 'eu' AND b.registry = 'us' GROUP BY ALL)
            GROUP BY ALL ORDER BY ALL"""
    )
    told_of = {row["engine"]: row for row in report.json["comparisons"] if row["factor"] == "registry"}
    assert len(rows) == len(told_of) == 2
    text = " ".join(cell for row in report.page.table("paired by repetition").rows for cell in row)
    for engine, mean, spread, n in rows:
        mine = told_of[engine]
        low, high = interval(mean, spread, n, mine["confidence"])
        assert (mine["ratio"], mine["low"], mine["high"]) == pytest.approx((math.exp(mean), low, high), rel=1e-9)
        assert f"{numbers.significant(math.exp(mean))} times as long" in text
        assert numbers.ratio_range(low, high) in text
    assert sorted(row["confidence"] for row in told_of.values()) == pytest.approx([0.97, 0.985]), "Holm, of two"


def row_by_row(table: Table, documents: Iterable[Any]) -> list[tuple[list[str], set[str]]]:
    """The rows whose numbers are not all in the JSON of that row, with what is missing."""
    left = []
    for row, document in zip(table.rows, documents, strict=True):
        missing = told(" | ".join(row)) - set(from_json(document)) - CONSTANTS
        left += [(row, missing)] if missing else []
    return left


def test_the_rows_of_every_other_table_have_the_numbers_of_their_own_json(report: Report) -> None:
    page, document = report.page, report.json
    assert row_by_row(page.table("paired by repetition"), document["comparisons"]) == []
    assert row_by_row(page.table("Rules of thumb compared with this run"), document["claims"]) == []
    assert row_by_row(page.table("by error code"), document["errors"]) == []
    asked = [row for row in document["break_even"] if row["verdict"] != "not_measured"]
    assert len(asked) == 8 and row_by_row(page.table("After how many pulls of an image a cache pays"), asked) == []
    curves = document["scaling"]
    assert len(curves) == 8 and row_by_row(page.table("Saturation point of 8 configurations."), curves) == []
    levels = [
        [level, [cost for cost in curve["costs"] if cost["concurrency"] == level["concurrency"]]]
        for curve in curves
        for level in curve["levels"]
    ]
    assert row_by_row(page.table("a lower concurrency costs"), levels) == []


def test_no_number_of_any_sentence_caption_or_description_is_made_up(report: Report) -> None:
    """What is in no JSON is asked of the Parquet: what was received, how long it took, warm-up's failures, the machine."""
    (once,) = report.query(
        """SELECT sum(bytes) FILTER (NOT warmup)::BIGINT AS bytes, count(*) FILTER (NOT ok)::INT AS failed,
            count(*) FILTER (ok AND NOT warmup)::INT AS succeeded,
            (SELECT count(*)::INT FROM {trials}) AS trials,
            (SELECT date_diff('us', min(started_at), max(started_at)) / 1e6 FROM {trials}) AS between_s,
            (SELECT date_diff('us', started_at, finished_at) / 1e6 FROM {runs}) AS took_s FROM {pulls}"""
    )
    ((spec, environment),) = report.query("SELECT spec, environment FROM {runs}")
    asked = dict(zip(("bytes", "failed", "succeeded", "trials", "between_s", "took_s"), once, strict=True))
    known = set(
        from_json([report.json, asked, json.loads(spec), json.loads(environment), _spans(report), _rates(report)])
    )
    dates = {f"{int(day)}" for day in ("23", "2026", "16", "15")}
    left = {}
    for part in report.page.prose:
        missing = told(part) - known - CONSTANTS - (dates if "UTC" in part else set())
        if missing and not part.startswith("sha256:"):
            left[part] = missing
    assert left == {}


def _spans(report: Report) -> list[dict[str, float]]:
    """From one pull at once to the most: times of a pull, and images a second, as multiples, by setting."""
    rows = report.query(
        f"""WITH m AS (SELECT {KEY}, exp(avg(ln(v))) v FROM (
                SELECT {KEY}, block, median(duration_s) v FROM {{pulls}} WHERE ok AND NOT warmup GROUP BY {KEY}, block)
                GROUP BY {KEY}),
            w AS (SELECT {KEY}, exp(avg(ln(wall_s / pulls))) v FROM {{trials}}
                  WHERE NOT warmup AND succeeded = pulls GROUP BY {KEY})
            SELECT max(m.v) FILTER (m.concurrency = 8) / max(m.v) FILTER (m.concurrency = 1),
                   max(w.v) FILTER (w.concurrency = 1) / max(w.v) FILTER (w.concurrency = 8)
            FROM m LEFT JOIN w USING ({KEY}) GROUP BY m.engine, m.registry, m.proxy, m.proxy_cache"""
    )
    overall = report.query(
        f"""SELECT max(v) / min(v) FROM (SELECT exp(avg(ln(v))) v FROM (
                SELECT {KEY}, block, median(duration_s) v FROM {{pulls}} WHERE ok AND NOT warmup GROUP BY {KEY}, block)
            GROUP BY {KEY} ORDER BY v LIMIT 30)"""
    )
    return [{"ratio": value} for row in [*rows, *overall] for value in row if value is not None]


def _rates(report: Report) -> list[dict[str, float]]:
    """What the layers of the pulls that stand for their settings came at."""
    steps = [step for pull in report.json["median_pulls"] for step in pull["steps"] if step["transfer_s"]]
    return [{"rate_bytes_per_s": step["bytes"] / step["transfer_s"]} for step in steps]
