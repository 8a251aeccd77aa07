"""What to do after a run: the most pressing first, and nothing where there is nothing."""

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun
from pullbench.report.run import page
from pullbench.report.run.advice import Advice, advice
from pullbench.report.run.break_even import COLUMNS, break_evens
from pullbench.report.run.concurrency import curves
from pullbench.report.run.stability import warnings
from tests.report.synthetic import Recipe


def told(stored: StoredRun) -> list[Advice]:
    cells = tables.cells(stored.pulls, stored.trials)
    return advice(stored, cells, curves(stored), warnings(stored, cells), break_evens(stored))


@pytest.fixture(scope="module")
def paid_for(full: StoredRun) -> Callable[[pd.DataFrame], list[Advice]]:
    """What is advised after the full run, were the cache to pay so."""
    cells = tables.cells(full.pulls, full.trials)
    levels, unsure = curves(full), warnings(full, cells)
    return lambda paid: advice(full, cells, levels, unsure, paid)


def paying(*verdicts: str) -> pd.DataFrame:
    rows = [
        {"proxy": "cache", "verdict": verdict, "says": f"says {index}", "pulls": float(index), "concurrency": index}
        for index, verdict in enumerate(verdicts)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_failed_checks_come_first_then_errors_then_the_setting(full: StoredRun) -> None:
    failing = full.checks.assign(status=full.checks["status"].replace("warn", "fail"))
    found = [entry.what for entry in told(dataclasses.replace(full, checks=failing))]
    assert found[:2] == ["Mend rate-limit of us", "Look into reset"]
    assert found[2].startswith("Pull 4 at once (")


def test_checks_that_fail_in_many_targets_are_one_line(full: StoredRun) -> None:
    failing = pd.concat([full.checks[full.checks["check"] == "tcp"].assign(status="fail")] * 7)
    assert told(dataclasses.replace(full, checks=failing))[0].what == "Mend tcp of eu and 6 more targets"


def test_a_run_that_is_not_done_is_to_be_finished_first(full: StoredRun) -> None:
    run = dataclasses.replace(full.run, trials_planned=len(full.trials) + 3)
    first = told(dataclasses.replace(full, run=run))[0]
    assert first.what == "Finish the run" and f"--resume {run.run_id}" in first.why


def test_where_the_knee_may_be_anywhere_it_is_to_be_measured_again(full: StoredRun) -> None:
    unsure = [
        dataclasses.replace(
            mine, scaling=dataclasses.replace(mine.scaling, recommended=None, knee_low=1, knee_high=4, costs=())
        )
        for mine in curves(full)
    ]
    cells = tables.cells(full.pulls, full.trials)
    found = advice(full, cells, unsure, warnings(full, cells), break_evens(full))
    assert [entry.what for entry in found if "at once" in entry.what] == ["Measure again to choose how many at once"]


def test_where_every_setting_had_failures_none_is_recommended(make) -> None:
    stored = make(Recipe(engines=("wire",), concurrency=(1, 2), blocks=5, pulls=2, fail_everywhere=True))
    assert [entry.what for entry in told(stored)] == ["Look into reset"]


@pytest.mark.parametrize(
    ("verdicts", "what"),
    [
        (("after", "at_once"), ["Pull through cache what is pulled often"]),
        (("never", "never"), ["Pull past cache"]),
        (("never", "after"), []),
        (("not_shown", "not_measured", "too_few_blocks"), []),
    ],
)
def test_a_cache_is_advised_for_or_against_where_all_settings_agree(
    paid_for: Callable[[pd.DataFrame], list[Advice]], verdicts: tuple[str, ...], what: list[str]
) -> None:
    assert [entry.what for entry in paid_for(paying(*verdicts)) if "cache" in entry.what.split(" (")[0]] == what


def test_few_blocks_ask_for_care(make) -> None:
    stored = make(Recipe(engines=("wire",), concurrency=(1, 2), blocks=3, pulls=2, failure_rate=0.0))
    assert told(stored)[-1].what == "Take the numbers with care"


def test_hostile_text_stays_text_in_the_list() -> None:
    made = page.to_do_list([Advice(what="<script>" + "x" * 10_000, why="say `code` & <b>")])
    assert "<script" not in made and "<code>code</code> &amp; &lt;b&gt;" in made
    assert len(made) < 5_000
    assert page.to_do_list([]) == ""
