"""`compare` and `baseline` from the shell: what is printed, and when a build fails."""

import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from pullbench.app.compare import compare_with_baseline
from pullbench.cli.baseline import list_baselines, remove_baseline, set_baseline
from pullbench.cli.compare import compare
from pullbench.cli.terminal.tables import comparison_table, trend_table
from pullbench.errors import UsageError
from pullbench.report.compare.runs import compare_runs
from pullbench.report.core import numbers
from pullbench.report.core.stored import read_run
from pullbench.report.trend.changes import trend_of
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, STARTED_AT, Recipe

BASE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), failure_rate=0.0)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run, one with 1.5 times its time a day later, and the latter from another vantage."""
    folder = str(tmp_path_factory.mktemp("results"))
    synthetic.make(folder, BASE)
    synthetic.make(folder, replace(BASE, run_id="slow", slower=1.5, seed=8, started_at=STARTED_AT + timedelta(days=1)))
    store = synthetic.make(
        folder, replace(BASE, run_id="far", slower=1.5, seed=8, started_at=STARTED_AT + timedelta(days=-1))
    )
    store.write_run(replace(store.run("far"), vantage="elsewhere"))
    return folder


def outcome(results: str, baseline: str, candidate: str, **options: object) -> int:
    defaults = {"fail_on": None, "any_machine": False, "no_report": True, "as_json": False}
    return compare(baseline, candidate, results=results, reports=Path("reports"), **{**defaults, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fail_on", "code"),
    [(None, 0), ("regression", 1), ("regression:20", 1), ("regression:20%", 1), ("regression:90", 0)],
)
def test_a_regression_fails_a_build_only_where_that_is_asked_for(results: str, fail_on: str | None, code: int) -> None:
    assert outcome(results, RUN_ID, "slow", fail_on=fail_on) == code


def test_an_improvement_never_fails(results: str) -> None:
    assert outcome(results, "slow", RUN_ID, fail_on="regression") == 0


def test_across_machines_a_regression_is_shown_and_fails_only_with_any_machine(
    results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(results, RUN_ID, "far", fail_on="regression") == 0
    shown = capsys.readouterr()
    assert "warning: " in shown.out and "vantages" in shown.out
    assert "--any-machine" in shown.err
    assert outcome(results, RUN_ID, "far", fail_on="regression", any_machine=True) == 1


def test_what_is_printed_names_both_runs_the_ratio_and_the_verdict(
    results: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome(results, "latest", "slow")

    shown = capsys.readouterr().out
    assert f"baseline   {RUN_ID}" in shown
    assert "slower" in shown
    assert "1 of 1" in shown


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_no_cell_of_the_tables_is_cut(tmp_path: Path, width: int) -> None:
    many = Recipe(concurrency=(1, 4), blocks=3, noise=0.1, failure_rate=0.1)
    synthetic.make(tmp_path, many)
    later = replace(many, run_id="20270221T161500Z-9b1c", seed=8, started_at=STARTED_AT + timedelta(days=90))
    store = synthetic.make(tmp_path, later)
    found = compare_runs(read_run(store, RUN_ID), read_run(store, later.run_id))
    console = Console(width=width, file=io.StringIO())
    console.print(comparison_table(found.cells))
    console.print(trend_table(trend_of(store, many.name)))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    for row in found.cells.to_dict("records"):
        assert numbers.ratio_range(row["low"], row["high"]) in shown
        assert numbers.seconds(row["candidate_s"]) in shown
    assert len(re.findall(r"\b(inconclusive|slower|faster|no difference)\b", shown)) == len(found.cells)
    assert later.run_id in shown


def test_a_route_without_a_mirror_has_no_mirror_cache(tmp_path: Path) -> None:
    both = replace(BASE, routes=(("us", "direct"), ("us", "cache")), proxy_cache=("warm",), blocks=3)
    synthetic.make(tmp_path, both)
    store = synthetic.make(tmp_path, replace(both, run_id="later", started_at=STARTED_AT + timedelta(days=1)))
    found = compare_runs(read_run(store, RUN_ID), read_run(store, "later")).cells
    assert set(found["proxy_cache"]) == {"any", "warm"}
    console = Console(width=200, file=io.StringIO())
    console.print(comparison_table(found))
    shown = {line.split()[0]: line.split()[1] for line in console.file.getvalue().splitlines()}  # type: ignore[attr-defined]
    assert (shown["direct"], shown["cache"]) == (numbers.NOT_KNOWN, "warm")


def test_with_json_stdout_is_one_document(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    outcome(results, RUN_ID, "slow", as_json=True)

    assert json.loads(capsys.readouterr().out)["cells"][0]["verdict"] == "slower"


def nothing_in_common(folder: Path, candidate: Recipe) -> str:
    """A run and a later one that shares no judged configuration with it."""
    synthetic.make(folder, BASE)
    synthetic.make(folder, replace(candidate, run_id="later", started_at=STARTED_AT + timedelta(days=1)))
    return str(folder)


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (replace(BASE, concurrency=(2,)), "no configuration is in both runs"),
        (replace(BASE, blocks=0, warmup=0, status="failed"), "the candidate later has no trials"),
        (replace(BASE, blocks=0, warmup=1, status="incomplete"), "the candidate later has no trials"),
        (replace(BASE, blocks=2), "no configuration has 3 repetitions"),
    ],
    ids=["no configuration", "no trial", "warm-up only", "too few repetitions"],
)
def test_a_gate_that_compared_nothing_does_not_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], candidate: Recipe, why: str, as_json: bool
) -> None:
    folder = nothing_in_common(tmp_path, candidate)
    assert outcome(folder, RUN_ID, "later", as_json=as_json) == 0, "nobody asked"
    capsys.readouterr()
    for condition in ("regression", "regression:10"):
        assert outcome(folder, RUN_ID, "later", fail_on=condition, as_json=as_json) == 3
        shown = capsys.readouterr()
        assert shown.out
        assert shown.err.count("\n") == 1 and f"cannot decide: {why}" in shown.err


def test_a_run_compared_with_itself_decides_nothing(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(results, "slow", "slow", fail_on="regression") == 3
    assert "the same run" in capsys.readouterr().err


def test_more_failures_fail_a_build_also_where_no_time_can_be_compared(tmp_path: Path) -> None:
    folder = nothing_in_common(tmp_path, replace(BASE, fail_everywhere=True))
    assert outcome(folder, RUN_ID, "later", fail_on="regression") == 1


@pytest.mark.parametrize(("blocks", "status"), [(0, "failed"), (0, "incomplete"), (2, "incomplete")])
def test_the_warning_of_a_run_that_did_not_end_tells_whether_it_has_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blocks: int, status: str
) -> None:
    folder = nothing_in_common(tmp_path, replace(BASE, blocks=blocks, status=status))
    outcome(folder, RUN_ID, "later")
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ") and status in line]
    assert ("no results" in said) is (blocks == 0) and ("intervals" in said) is (blocks > 0)


def test_a_run_is_not_compared_with_the_baseline_of_another_kind_of_its_name(tmp_path: Path) -> None:
    store = ResultStore(nothing_in_common(tmp_path, replace(BASE, slower=1.5)))
    set_baseline(RUN_ID, results=store.url)
    assert compare_with_baseline(store, "later") is not None
    store.write_run(replace(store.run(RUN_ID), kind="stress"))
    assert compare_with_baseline(store, "later") is None


@pytest.mark.parametrize("text", ["latest", "later"])
def test_a_run_without_trials_becomes_no_baseline(tmp_path: Path, text: str) -> None:
    folder = nothing_in_common(tmp_path, replace(BASE, blocks=0, status="failed"))
    with pytest.raises(UsageError, match=r"^later is failed and has no trials"):
        set_baseline(text, results=folder)
    assert Baselines(ResultStore(folder)).all() == []


@pytest.mark.parametrize("text", ["regressions", "regression:", "regression:ten", "slower"])
def test_a_wrong_condition_is_a_usage_error(results: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"^--fail-on: '{text}' "):
        outcome(results, RUN_ID, "slow", fail_on=text)


def test_a_baseline_is_set_listed_used_and_removed(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set_baseline("slow", results=results) == 0
    told = capsys.readouterr().out
    assert "slow" in told and "'concurrency-sweep'" in told

    list_baselines(results=results, as_json=True)
    assert [entry["run_id"] for entry in json.loads(capsys.readouterr().out)] == ["slow"]

    outcome(results, "baseline", RUN_ID, as_json=True)
    assert json.loads(capsys.readouterr().out)["baseline"]["run_id"] == "slow"

    remove_baseline("concurrency-sweep", results=results)
    with pytest.raises(UsageError, match="'concurrency-sweep'"):
        outcome(results, "baseline", RUN_ID)


def test_without_a_baseline_the_list_names_the_command_that_sets_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_baselines(results=str(tmp_path), as_json=False) == 0
    assert "pullbench baseline set RUN_ID" in capsys.readouterr().err
    assert ResultStore(str(tmp_path)).runs() == []
