"""A failure never improves a number that a verdict stands on."""

import dataclasses
import html
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullbench.errors import ErrorCode
from pullbench.model.error_guide import GUIDES
from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import page
from pullbench.report.run.contrasts import contrasts
from pullbench.report.run.documents import document_of
from pullbench.report.run.markdown import run_summary
from pullbench.report.run.slos import engine_scores
from tests.report.synthetic import Recipe

ROUTES = (("eu", "direct"), ("us", "cache"))


@pytest.fixture(scope="module")
def two(make) -> StoredRun:
    return make(Recipe(engines=("wire",), routes=ROUTES, concurrency=(1,), blocks=5, pulls=4, failure_rate=0.0))


def failing(stored: StoredRun, which: set[int]) -> StoredRun:
    """The run in which the pulls of these rows failed."""
    pulls, trials = stored.pulls.copy(), stored.trials.copy()
    rows = pulls.index[sorted(which)]
    pulls.loc[rows, "ok"], pulls.loc[rows, "error_code"] = False, "timeout"
    trials["succeeded"] = trials["trial"].map(pulls.groupby("trial")["ok"].sum()).astype(int)
    return dataclasses.replace(stored, pulls=pulls, trials=trials)


def table(stored: StoredRun) -> list[dict]:
    return records(tables.cells(stored.pulls, stored.trials))


@settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=15,
)
@given(st.sets(st.integers(0, 47), max_size=30), st.sets(st.integers(0, 47), max_size=10))
def test_more_failures_raise_no_success_rate_and_make_no_winner(
    two: StoredRun, first: set[int], more: set[int]
) -> None:
    assert len(two.pulls) == 48
    before, after = failing(two, first), failing(two, first | more)
    for one, other in zip(table(before), table(after), strict=True):
        for name in ("success_rate", "success_low", "success_high", "succeeded"):
            assert other[name] <= one[name]
    ((*_, worse, _),), ((*_, better, _),) = (
        engine_scores(run, {"success_rate": 0.9}, ["wire"]) for run in (after, before)
    )
    assert worse.verdict in {"not_shown", "missed", better.verdict}
    cells = tables.cells(after.pulls, after.trials)
    winner = tables.best(cells)
    assert winner is None or cells.loc[winner, "succeeded"] == cells.loc[winner, "pulls"]


def test_a_side_does_not_win_by_losing_its_slow_pulls(two: StoredRun) -> None:
    us = (two.pulls["registry"] == "us").to_numpy()
    rank = two.pulls["pull"].to_numpy()
    pulls = two.pulls.assign(
        duration_s=np.where(us & (rank == 0), 0.5, np.where(us, 3.0, 1.0)) * np.exp(0.02 * (two.pulls["block"] % 3))
    )
    stored = dataclasses.replace(two, pulls=pulls)

    def verdict(run: StoredRun) -> str:
        (row,) = [row for row in records(contrasts(run)) if row["factor"] == "registry"] or [{"verdict": "none"}]
        return row["verdict"]

    # Alike in all but the registry, so that the two are compared.
    alike = dataclasses.replace(
        stored, pulls=stored.pulls.assign(proxy="direct"), trials=stored.trials.assign(proxy="direct")
    )
    rng = np.random.default_rng(1)
    noisy = alike.pulls["duration_s"] * np.exp(rng.normal(0, 0.03, len(alike.pulls)))
    alike = dataclasses.replace(alike, pulls=alike.pulls.assign(duration_s=noisy))
    slow = {int(row) for row in np.flatnonzero(us & (rank > 0))}
    assert verdict(alike) == "slower"
    assert verdict(failing(alike, slow)) == "inconclusive"


def test_a_cell_that_failed_everywhere_has_no_latency_and_a_red_row(two: StoredRun) -> None:
    stored = failing(two, {int(row) for row in np.flatnonzero(two.pulls["registry"] == "us")})
    (cell,) = [cell for cell in table(stored) if cell["registry"] == "us"]
    for name, value in cell.items():
        if name.endswith("_s") and name != "client_busy":
            assert math.isnan(value), name
    assert cell["success_rate"] == 0
    shown = page.RunPage(stored).configurations()
    assert shown.count('<tr class="failed"') == 1


OF_NO_HOST = {ErrorCode.DISK_FULL, ErrorCode.ENGINE_UNAVAILABLE, ErrorCode.CANCELLED}
PLACEHOLDER = re.compile(r"\b(HOST|ADDRESS|NAME|PORT|REPOSITORY|IMAGE|PLATFORM|CURL|CA_FILE|URL/v2)\b")


@pytest.mark.parametrize("code", sorted(ErrorCode))
@pytest.mark.parametrize("known", [True, False], ids=["the spec names the registry", "it does not"])
def test_no_remedy_in_a_report_has_a_placeholder_in_it(make, code: ErrorCode, known: bool) -> None:
    stored = make(
        Recipe(engines=("docker",), routes=(("us", "direct"),), concurrency=(1,), blocks=3, fail_everywhere=True)
    )
    spec = dict(stored.spec) if known else {}
    stored = dataclasses.replace(stored, spec=spec, pulls=stored.pulls.assign(error_code=str(code)))
    (row,) = records(tables.errors(stored))
    made = page.RunPage(stored)
    shown = [row["remedy"], made.header(), made.to_do(), made.errors(), run_summary(document_of(stored))]
    for text in map(html.unescape, shown):
        assert not PLACEHOLDER.search(text), PLACEHOLDER.search(text)
    assert ("us.example.com" in row["remedy"]) == (known and code not in OF_NO_HOST)


@pytest.mark.parametrize("codes", [("reset",), ("reset", "timeout", "dns"), ("reset", "a code of tomorrow")])
def test_each_code_of_a_run_leads_to_what_it_means_on_the_same_page(two: StoredRun, codes: tuple[str, ...]) -> None:
    stored = failing(two, set(range(len(two.pulls))))
    of_rows = [codes[row % len(codes)] for row in range(len(two.pulls))]
    shown = page.RunPage(dataclasses.replace(stored, pulls=stored.pulls.assign(error_code=of_rows))).errors()
    known = sorted(f"error-{code}" for code in codes if code in set(ErrorCode))
    assert sorted(re.findall(r'href="#([^"]+)"', shown)) == known
    assert sorted(re.findall(r'id="([^"]+)"', shown)) == known
    text = html.unescape(shown)
    for code in map(ErrorCode, (code for code in codes if code in set(ErrorCode))):
        assert all(cause in re.sub(r"<[^>]+>", "", text) for cause in GUIDES[code].causes)


def test_a_run_without_a_failed_pull_explains_no_code(two: StoredRun) -> None:
    assert "error-" not in page.RunPage(two).errors()


def test_a_stored_image_that_is_no_name_gets_into_no_command(make) -> None:
    stored = make(
        Recipe(engines=("docker",), routes=(("us", "direct"),), concurrency=(1,), blocks=3, fail_everywhere=True)
    )
    (row,) = records(
        tables.errors(dataclasses.replace(stored, pulls=stored.pulls.assign(image="; rm -r /", error_code="not_found")))
    )
    assert "rm -r" not in row["remedy"] and "<repository>" in row["remedy"]
