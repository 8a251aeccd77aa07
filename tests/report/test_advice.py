"""What to do after a run: the most pressing first, and nothing where there is nothing."""

import dataclasses
import json
from collections.abc import Callable

import pandas as pd
import pytest

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import page
from pullbench.report.run.advice import Advice, advice
from pullbench.report.run.best import choose
from pullbench.report.run.break_even import COLUMNS, break_evens
from pullbench.report.run.concurrency import curves
from pullbench.report.run.phases import Phase, PullPhases, pull_phases
from pullbench.report.run.stability import COLUMNS as WARNINGS
from pullbench.report.run.stability import REMEDIES, warnings
from tests.report.synthetic import Recipe


def told(stored: StoredRun) -> list[Advice]:
    cells = tables.cells(stored.pulls, stored.trials)
    phases = pull_phases(stored, cells)
    return advice(stored, choose(stored, cells), curves(stored), warnings(stored, cells), break_evens(stored), phases)


@pytest.fixture(scope="module")
def paid_for(full: StoredRun) -> Callable[[pd.DataFrame], list[Advice]]:
    """What is advised after the full run, were the cache to pay so."""
    cells = tables.cells(full.pulls, full.trials)
    levels, unsure = curves(full), warnings(full, cells)
    return lambda paid: advice(full, choose(full, cells), levels, unsure, paid, [])


def paying(*verdicts: str) -> pd.DataFrame:
    rows = [
        {"proxy": "cache", "verdict": verdict, "says": f"says {index}", "pulls": float(index), "concurrency": index}
        for index, verdict in enumerate(verdicts)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_failed_checks_come_first_then_errors_then_the_setting(full: StoredRun) -> None:
    failing = full.checks.assign(status=full.checks["status"].replace("warn", "fail"))
    found = [entry.what for entry in told(dataclasses.replace(full, checks=failing))]
    assert "rate-limit of us" in found[0] and "reset" in found[1]
    assert found[2].endswith("(docker)") and "concurrency 4" in found[3]


def test_checks_that_fail_in_many_targets_are_one_line(full: StoredRun) -> None:
    failing = pd.concat([full.checks[full.checks["check"] == "tcp"].assign(status="fail")] * 7)
    what = told(dataclasses.replace(full, checks=failing))[0].what
    assert "tcp of eu" in what and "6 more" in what


def test_a_run_that_is_not_done_is_to_be_finished_first(full: StoredRun) -> None:
    run = dataclasses.replace(full.run, trials_planned=len(full.trials) + 3)
    first = told(dataclasses.replace(full, run=run))[0]
    assert first.what == "Finish the run" and f"--resume {run.run_id}" in first.why


def test_where_the_knee_may_be_anywhere_the_advice_gives_the_range(full: StoredRun) -> None:
    unsure = [
        dataclasses.replace(
            mine, scaling=dataclasses.replace(mine.scaling, recommended=None, knee_low=1, knee_high=4, costs=())
        )
        for mine in curves(full)
    ]
    cells = tables.cells(full.pulls, full.trials)
    found = advice(full, choose(full, cells), unsure, warnings(full, cells), break_evens(full), [])
    (again,) = [entry for entry in found if "concurrency" in entry.what]
    assert again.what.startswith("Use concurrency ") and "from 1 to 4" in again.why


def test_where_every_setting_had_failures_none_is_recommended(make) -> None:
    stored = make(Recipe(engines=("wire",), concurrency=(1, 2), blocks=5, pulls=2, fail_everywhere=True))
    assert [entry.what for entry in told(stored)] == ["Look into reset"]


@pytest.mark.parametrize(
    ("verdicts", "what"),
    [
        (("after", "at_once"), ["Pull frequent images through cache"]),
        (("never", "never"), ["Do not pull through cache"]),
        (("never", "after"), []),
        (("not_shown", "not_measured", "too_few_blocks"), []),
    ],
)
def test_a_cache_is_advised_for_or_against_where_all_settings_agree(
    paid_for: Callable[[pd.DataFrame], list[Advice]], verdicts: tuple[str, ...], what: list[str]
) -> None:
    assert [entry.what for entry in paid_for(paying(*verdicts)) if "cache" in entry.what.split(" (")[0]] == what


def phases_of(full: StoredRun, engine: str, **shares: float) -> PullPhases:
    """Phases of a pull of ten seconds, with these shares."""
    cells = tables.cells(full.pulls, full.trials)
    (cell, *_) = records(cells[cells["engine"] == engine])
    phases = tuple(Phase(name=name, seconds=10 * share, share=share, pulls=8) for name, share in shares.items())
    return PullPhases(place="", cell=cell, pulls=8, median_s=10.0, phases=phases)


def of_phases(full: StoredRun, *phases: PullPhases) -> list[Advice]:
    """What is advised for phases alone."""
    nothing = full.pulls.head(0)
    quiet = dataclasses.replace(full, pulls=nothing, checks=full.checks.head(0))
    return advice(quiet, None, [], pd.DataFrame(columns=WARNINGS), pd.DataFrame(columns=COLUMNS), phases)


@pytest.mark.parametrize(("share", "entries"), [(0.72, 1), (0.5, 1), (0.49, 0)])
def test_unpacking_is_to_be_made_cheaper_from_half_of_a_pull_on(full: StoredRun, share: float, entries: int) -> None:
    found = of_phases(full, phases_of(full, "docker", download=0.3, extract=share))
    assert len(found) == entries
    for entry in found:
        assert "unpacking" in entry.what and entry.what.endswith("(docker)")
        assert f"{share:.0%}" in entry.why and numbers.seconds(10 * (1 - share)) in entry.why


def test_the_largest_phase_alone_is_advised_about(full: StoredRun) -> None:
    download = of_phases(full, phases_of(full, "docker", auth=0.1, download=0.8, extract=0.6))
    login = of_phases(full, phases_of(full, "docker", auth=0.7, download=0.2, extract=0.1))
    assert [len(download), len(login)] == [1, 1]
    assert "download" in download[0].what and "80%" in download[0].why
    assert "API" in login[0].what and "70%" in login[0].why


def test_phases_of_an_engine_that_does_not_unpack_call_for_nothing(full: StoredRun) -> None:
    assert of_phases(full, phases_of(full, "wire", download=0.9), phases_of(full, "docker")) == []


def test_few_blocks_ask_for_care(make) -> None:
    stored = make(Recipe(engines=("wire",), concurrency=(1, 2), blocks=3, pulls=2, failure_rate=0.0))
    last = told(stored)[-1]
    assert "care" in last.what and REMEDIES["few_blocks"] in last.why


def test_hostile_text_stays_text_in_the_list() -> None:
    made = page.to_do_list([Advice(what="<script>" + "x" * 10_000, why="say `code` & <b>")])
    assert "<script" not in made and "<code>code</code> &amp; &lt;b&gt;" in made
    assert len(made) < 5_000
    assert page.to_do_list([]) == ""


@pytest.mark.parametrize(("busy", "load", "advised"), [(0.95, 9.0, True), (0.95, 0.1, False), (0.2, 9.0, False)])
@pytest.mark.parametrize("engine", ["wire", "docker"])
def test_a_machine_that_others_used_is_to_be_idle_next_time(
    make, engine: str, busy: float, load: float, advised: bool
) -> None:
    stored = make(Recipe(engines=(engine,), routes=(("eu", "direct"),), concurrency=(1,)))
    environment = json.dumps(stored.environment | {"load_before": load, "cores": 2})
    record = dataclasses.replace(stored.run, environment=environment)
    run = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=busy), run=record)
    assert ("Repeat on an idle node" in [entry.what for entry in told(run)]) == advised
