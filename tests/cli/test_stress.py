"""The order of a stress test, with a scripted engine and plain functions in place of Prefect's tasks."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pullbench.app.progress import Outcome
from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.cli.plan import plan as show_plan
from pullbench.cli.stress import assignments
from pullbench.cli.terminal.progress import StressProgress, stress_line
from pullbench.cli.terminal.tables import result_table
from pullbench.errors import UsageError
from pullbench.store.dataset import ResultStore
from tests.app.test_run import Calls, begin
from tests.bench.samples import facts_for, spec_data

OK = 0.001
MATRIX = {"engines": ["scripted"], "platforms": ["linux/amd64"]}
STRESS = {"steps": [1, 2], "trials": 3, "pulls_per_worker": 1, "hold": 3}
"""Two images, so two pulls a trial: six a step."""
SLO = {"success_rate": 0.999, "mean_pull_s": 3.0}
UP_ALONE = STRESS | {"hold": 0, "down": []}


def script(*steps: object) -> list[object]:
    return [each for step in steps for each in [step] * 6]


def prepare(folder: Path, answers: Sequence[object] = (OK,), *, resume: str | None = None, **changes: Any) -> Prepared:
    path = folder / "spec.yaml"
    data = {
        "engines": [{"name": "scripted", "kind": "fake", "script": list(answers)}],
        "matrix": MATRIX,
        "warmup": 0,
        "stress": STRESS,
        "slo": SLO,
    }
    path.write_text(yaml.safe_dump(spec_data(**{**data, **changes})))
    prepared = Prepared(
        RunRequest(spec=path, results=str(folder / "results"), resume=resume, skip_preflight=True, kind="stress")
    )
    prepared.use_facts(facts_for(prepared.bench.spec))
    return prepared


class Noting(Calls):
    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__(stop_after=stop_after)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(prepared: Prepared, calls: Calls | None = None) -> Outcome:
    calls = calls or Calls()
    return conduct(prepared, calls, calls)


def trials_of(folder: Path, run_id: str) -> list[tuple[int, str]]:
    frame = ResultStore(str(folder / "results")).frame("trials", run_id)
    return list(zip(frame["step"], frame["phase"], strict=True))


def test_a_stress_test_goes_up_holds_comes_down_and_is_stored_as_one(tmp_path: Path) -> None:
    calls = Noting()
    outcome = run(prepare(tmp_path, script(OK, "server_error", "server_error", OK)), calls)
    stored = ResultStore(str(tmp_path / "results")).run(outcome.run_id)
    assert (stored.kind, stored.status, stored.trials_planned, stored.stopped) == ("stress", "complete", 12, None)
    assert trials_of(tmp_path, outcome.run_id) == (
        [(0, "up")] * 3 + [(1, "up")] * 3 + [(2, "hold")] * 3 + [(3, "down")] * 3
    )
    assert (outcome.exit_code, outcome.message) == (0, "complete")
    assert outcome.document["headline"]["status"] == "not_shown", "the success rate has too few pulls"
    assert (outcome.document["stress"]["held"], outcome.document["stress"]["broke"]) == (1, 2)
    assert outcome.document["stress"]["recovered"] is True
    assert [note.split(":")[0] for note in calls.notes if note.startswith("step")] == [
        "step 1 (up)",
        "step 2 (up)",
        "step 3 (hold)",
        "step 4 (down)",
    ]


def test_a_first_step_that_misses_is_exit_1(tmp_path: Path) -> None:
    outcome = run(prepare(tmp_path, script("server_error")))
    assert outcome.exit_code == 1 and "success_rate" in outcome.message
    assert outcome.document["stress"]["first_step_missed"] is True
    assert len(trials_of(tmp_path, outcome.run_id)) == 3


def test_a_break_above_the_first_step_is_no_bad_verdict(tmp_path: Path) -> None:
    outcome = run(prepare(tmp_path, script(OK, "timeout"), stress=UP_ALONE))
    assert outcome.exit_code == 0
    assert (outcome.document["stress"]["held"], outcome.document["stress"]["broke"]) == (1, 2)


def test_a_rate_limit_stops_the_test_and_a_resume_measures_that_step_again(tmp_path: Path) -> None:
    outcome = run(prepare(tmp_path, script(OK, "rate_limited")))
    assert outcome.exit_code == 3
    assert "(429)" in outcome.message and f"--resume {outcome.run_id}" in outcome.message
    assert trials_of(tmp_path, outcome.run_id) == [(0, "up")] * 3 + [(1, "up")]
    # The script starts again with the engine: the repeated step gets its first six answers.
    again = run(prepare(tmp_path, script(OK, "rate_limited"), resume=outcome.run_id))
    assert trials_of(tmp_path, outcome.run_id) == [(0, "up")] * 3 + [(1, "up")] + [(2, "up")] * 3 + [(3, "hold")]
    assert again.document["stress"]["held"] == 2


def test_a_budget_stops_it_with_a_report_and_a_greater_one_goes_on(tmp_path: Path) -> None:
    calls = Calls()
    outcome = run(prepare(tmp_path, budget={"bytes": 8000}, stress=UP_ALONE), calls)
    assert outcome.exit_code == 3
    assert all(part in outcome.message for part in ("budget.bytes: 8.04 kB of 8.00 kB", "trial 1"))
    assert len(calls.pages) == 1
    stopped = ResultStore(str(tmp_path / "results")).run(outcome.run_id)
    assert (stopped.status, stopped.stopped) == ("incomplete", outcome.document["stress"]["stopped"])
    assert outcome.document["headline"]["status"] == "not_shown"

    rest = run(prepare(tmp_path, resume=outcome.run_id, budget={"bytes": 10**9}, stress=UP_ALONE))
    assert rest.exit_code == 0
    assert trials_of(tmp_path, outcome.run_id) == [(0, "up")] * 3 + [(1, "up")] * 3


def test_an_interrupted_test_goes_on_with_the_step_that_it_was_in(tmp_path: Path) -> None:
    begin(prepare(tmp_path, stress=UP_ALONE), Calls(), 4)
    store = ResultStore(str(tmp_path / "results"))
    stopped = store.runs()[0]
    assert (stopped.status, stopped.stopped) == ("incomplete", "interrupted")
    calls = Calls()
    run(prepare(tmp_path, resume=stopped.run_id, stress=UP_ALONE), calls)
    assert calls.measured_trials == [4, 5]
    assert store.run(stopped.run_id).status == "complete"


def test_a_test_interrupted_on_its_ramp_down_repeats_the_overload(tmp_path: Path) -> None:
    begin(prepare(tmp_path), Calls(), 10)
    run_id = ResultStore(str(tmp_path / "results")).runs()[0].run_id
    run(prepare(tmp_path, resume=run_id))
    assert trials_of(tmp_path, run_id)[9:] == [(3, "down")] + [(4, "hold")] * 3 + [(5, "down")] * 3


def test_a_complete_test_that_is_resumed_measures_nothing(tmp_path: Path) -> None:
    short = STRESS | {"steps": [1], "hold": 0, "down": []}
    outcome = run(prepare(tmp_path, stress=short))
    calls = Calls()
    again = run(prepare(tmp_path, resume=outcome.run_id, stress=short), calls)
    assert calls.measured_trials == []
    assert again.exit_code == 0


def test_a_benchmark_is_not_resumed_as_a_stress_test_nor_the_other_way_round(tmp_path: Path) -> None:
    begin(prepare(tmp_path), Calls(), 1)
    (begun,) = ResultStore(str(tmp_path / "results")).runs()
    spec = tmp_path / "spec.yaml"
    request = RunRequest(spec=spec, results=str(tmp_path / "results"), resume=begun.run_id, skip_preflight=True)
    with pytest.raises(UsageError, match="`pullbench stress`"):
        run(Prepared(request))


def test_the_warm_up_is_in_no_step(tmp_path: Path) -> None:
    outcome = run(prepare(tmp_path, warmup=2, stress=UP_ALONE))
    frame = ResultStore(str(tmp_path / "results")).frame("trials", outcome.run_id)
    assert frame["warmup"].tolist() == [True, True] + [False] * 6
    assert frame["step"].isna().tolist() == [True, True] + [False] * 6
    assert sum(step["pulls"] for step in outcome.document["stress"]["steps"]) == 12


def test_a_rate_is_offered_step_by_step(tmp_path: Path) -> None:
    ramp = {"ramp": "rate", "steps": [100, 200], "trial_s": 0.02, "hold": 0, "down": [], "in_flight": 4}
    outcome = run(prepare(tmp_path, stress=ramp))
    frame = ResultStore(str(tmp_path / "results")).frame("trials", outcome.run_id)
    assert frame["offered_rate"].tolist() == [100] * 3 + [200] * 3
    assert set(frame["load_mode"]) == {"open"}
    assert set(frame["concurrency"]) == {4}
    assert frame["pulls"].tolist() == [2] * 3 + [4] * 3
    assert [cell["offered_rate"] for cell in outcome.document["cells"]] == [100, 200]


def test_the_stored_spec_has_the_defaults_that_the_file_left_out(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data(matrix=MATRIX, slo=SLO)))
    prepared = Prepared(RunRequest(spec=path, results=str(tmp_path / "results"), kind="stress"))
    prepared.use_facts(facts_for(prepared.bench.spec))
    assert json.loads(prepared.begin().record.spec)["stress"]["steps"] == [1, 2, 4, 8, 16, 32, 64]


def test_a_second_configuration_is_refused_before_any_request(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    changed = {"matrix": MATRIX | {"auth": ["persisted", "per-pull"]}, "slo": {"mean_pull_s": 3.0}}
    path.write_text(yaml.safe_dump(spec_data(**changed)))
    with pytest.raises(UsageError, match=r"spec\.yaml: matrix\.auth: "):
        Prepared(RunRequest(spec=path, kind="stress"))


def test_a_stress_test_without_an_slo_is_refused_with_the_setting_that_adds_one(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data(matrix=MATRIX)))
    with pytest.raises(UsageError) as refused:
        Prepared(RunRequest(spec=path, kind="stress"))
    found = re.search(r"`--set (slo\.\w+)=([\d.]+)`", str(refused.value))
    assert found is not None and "\n" not in str(refused.value)
    Prepared(RunRequest(spec=path, kind="stress", sets=(f"{found[1]}={found[2]}",)))


class Screen:
    """A console that keeps what is printed."""

    is_terminal = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def print(self, text: object, **_: object) -> None:
        self.lines.append(str(text))


def test_the_shell_shows_the_ramp_and_its_most_before_it_starts(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    active = prepared.begin()
    stored, plan = active.record, active.plan
    for part in ("up 1, 2, hold 2, down 1", "12 trials, 24 pulls, 48.2 kB", "48 manifest requests"):
        assert part in stress_line(plan)
    screen = Screen()
    StressProgress(screen).planned(stored, plan, 0)  # type: ignore[arg-type]
    assert screen.lines == [f"run {stored.run_id}: {stress_line(plan)}"]


def test_a_results_table_has_a_row_a_step(tmp_path: Path) -> None:
    outcome = run(prepare(tmp_path, script(OK, "server_error"), stress=UP_ALONE))
    table = result_table(outcome.document)
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    rows = console.file.getvalue().splitlines()[1:]  # type: ignore[attr-defined]
    assert [row.split()[:3] for row in rows] == [["1", "up", "1"], ["2", "up", "2"]]
    assert result_table({"stress": {"steps": []}, "cells": []}) is None
    assert result_table({"cells": []}) is None


@pytest.mark.parametrize(
    ("options", "keep_going", "made"),
    [
        ((None, None, None), False, []),
        (("rate", "0.5,2", 0), False, ["stress.ramp=rate", "stress.steps=[0.5, 2]", "stress.hold=0"]),
        ((None, "1, 2,4", None), False, ["stress.steps=[1, 2, 4]"]),
        ((None, None, None), True, ["stress.at_client_limit=continue"]),
    ],
)
def test_the_commands_options_are_changes_to_the_spec(
    options: tuple[str | None, str | None, int | None], keep_going: bool, made: list[str]
) -> None:
    assert assignments(*options, keep_going=keep_going) == made


def test_keep_going_reaches_the_stored_spec_and_the_json(tmp_path: Path) -> None:
    outcome = run(prepare(tmp_path, stress=UP_ALONE | {"at_client_limit": "continue"}))
    assert outcome.document["stress"]["at_client_limit"] == "continue"
    stored = ResultStore(str(tmp_path / "results")).run(outcome.run_id)
    assert json.loads(stored.spec)["stress"]["at_client_limit"] == "continue"


def test_loads_that_are_no_numbers_are_refused_by_the_options_name() -> None:
    with pytest.raises(UsageError, match=r"^--steps 1,x: "):
        assignments(None, "1,x", None)


def test_the_plan_has_the_most_that_a_stress_test_measures_or_why_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data(matrix=MATRIX, stress=STRESS, slo=SLO)))
    show_plan(path, sets=[], offline=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["stress"]["manifest_requests"] == 2 * 26
    show_plan(path, sets=["matrix.auth=[persisted, per-pull]"], offline=True, as_json=True)
    assert json.loads(capsys.readouterr().out)["stress"]["refused"].startswith("matrix.auth: ")
    show_plan(path, sets=[], offline=True, as_json=False)
    shown = capsys.readouterr().out
    assert "up 1, 2, hold 2, down 1" in shown and "13 trials, 26 pulls, " in shown
