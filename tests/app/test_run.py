"""The policy of a run, with a scripted engine and plain functions in place of Prefect's tasks."""

import dataclasses
import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.app import run as run_policy
from pullbench.app.budget import BudgetMeter, shortfalls
from pullbench.app.progress import Progress
from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.app.steps import MadeT, TrialBatch
from pullbench.bench.active_run import ActiveRun
from pullbench.engines.base import TrialSetup
from pullbench.engines.fake import FakeEngine
from pullbench.errors import ErrorCode, IncompleteError, PreflightFailed, UsageError
from pullbench.model.facts import EngineFacts, Facts, ImageFacts
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import Trial, plan
from pullbench.model.record import RunKind, RunRecord, TrialResult
from pullbench.model.spec import Budget
from pullbench.preflight.checks import CHECKS
from pullbench.store.dataset import ResultStore
from tests.bench.samples import facts_for, spec_data


class Calls(Progress):
    """Steps as plain calls, and progress that remembers."""

    def __init__(self, findings: Sequence[Finding] = (), stop_after: int | None = None) -> None:
        self.findings = list(findings)
        self.stop_after = stop_after
        self.measured_trials: list[int] = []
        self.pages: list[str] = []
        self.notes: list[str] = []

    def preflight(self, active: ActiveRun) -> list[Finding]:
        return self.findings

    def trials(self, batch: TrialBatch) -> None:
        batch.run()

    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:
        self.pages.append(what)
        return Path("report.html")  # type: ignore[return-value]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        self.measured_trials.append(trial.number)
        if len(self.measured_trials) == self.stop_after:
            raise KeyboardInterrupt


class Checking(Calls):
    """Asks for the findings as a run does."""

    def preflight(self, active: ActiveRun) -> list[Finding]:
        return active.preflight()


def prepare(
    folder: Path,
    *,
    resume: str | None = None,
    skip_preflight: bool = False,
    kind: RunKind = "benchmark",
    only: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    **changes: object,
) -> Prepared:
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data(**changes)))
    request = RunRequest(
        spec=path,
        results=str(folder / "results"),
        resume=resume,
        skip_preflight=skip_preflight,
        kind=kind,
        only=only,
        skip=skip,
    )
    prepared = Prepared(request)
    prepared.use_facts(facts_for(prepared.bench.spec))
    return prepared


def without_image(facts: Facts, name: str) -> Facts:
    """Facts of a registry that did not show one image."""
    images = {
        key: ImageFacts(registry=key[0], image=key[1], error_code=ErrorCode.NOT_FOUND, error="manifest unknown")
        if key[1] == name
        else image
        for key, image in facts.images.items()
    }
    return dataclasses.replace(facts, images=images)


def stored_run(folder: Path) -> RunRecord:
    return ResultStore(str(folder / "results")).runs()[0]


def begin(prepared: Prepared, calls: Calls, trials: int) -> None:
    """The first trials of a run that is interrupted then: its document, which takes longest, is not made."""
    calls.stop_after = trials
    with pytest.raises(KeyboardInterrupt):
        conduct(prepared, calls, calls)


_LOCAL = {"local-disk"}


@pytest.mark.parametrize(
    ("only", "skip", "by"),
    [
        (_LOCAL, set(), "--only"),
        ({"local-disk", "tls"}, {"tls"}, "--only"),
        (set(), {check.id for check in CHECKS} - _LOCAL, "--skip"),
    ],
)
def test_a_run_makes_only_the_chosen_checks_and_stores_which_it_left_out(
    tmp_path: Path, only: set[str], skip: set[str], by: str
) -> None:
    calls = Checking()
    conduct(prepare(tmp_path, only=tuple(only), skip=tuple(skip)), calls, calls)
    rows = ResultStore(str(tmp_path / "results")).table("checks", stored_run(tmp_path).run_id).to_pylist()
    left_out = [row for row in rows if row["target"] == "this run"]
    assert {row["check"] for row in left_out} == {check.id for check in CHECKS} - _LOCAL
    assert {(row["status"], row["observed"]) for row in left_out} == {("skip", f"left out by {by}")}
    assert {row["check"] for row in rows if row not in left_out} == _LOCAL


@pytest.mark.parametrize(
    "options", [{"only": ("clok",)}, {"skip": ("none",)}, {"skip": ("tls",), "skip_preflight": True}]
)
def test_a_choice_of_checks_that_cannot_be_is_refused_before_anything_is_stored(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        prepare(tmp_path, **options)
    assert not (tmp_path / "results").exists()


def test_a_run_measures_every_trial_renders_and_is_complete(tmp_path: Path) -> None:
    calls = Calls()
    outcome = conduct(prepare(tmp_path), calls, calls)
    assert calls.measured_trials == list(range(6))
    assert len(calls.pages) == 1
    assert stored_run(tmp_path).status == "complete"
    assert len(ResultStore(str(tmp_path / "results")).frame("pulls", outcome.run_id)) == 6 * 2
    assert outcome.exit_code == 0


def test_a_failed_check_stops_before_any_load(tmp_path: Path) -> None:
    failed = Finding(check="tcp", target="eu", status=Status.FAIL, observed="refused", remedy="start it")
    calls = Calls([failed])
    with pytest.raises(PreflightFailed, match="tcp of eu: refused; start it"):
        conduct(prepare(tmp_path), calls, calls)
    assert calls.measured_trials == []
    assert stored_run(tmp_path).status == "failed"


def test_a_check_that_could_not_run_does_not_stop_the_run_but_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Finding(check="tls", target="eu", status=Status.ERROR, observed="broke", remedy="report it")
    monkeypatch.setattr("pullbench.bench.workbench.preflight", lambda *_, **__: [broken])
    calls = Checking()
    outcome = conduct(prepare(tmp_path), calls, calls)
    assert len(calls.measured_trials) == 6
    assert outcome.exit_code == 3
    assert outcome.message.startswith("complete, but")
    assert outcome.message.endswith(": tls of eu")


def test_preflight_is_asked_about_the_plan_that_the_run_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        "pullbench.bench.workbench.preflight", lambda *_, plan, engines, **__: asked.append((plan, engines)) or []
    )
    prepared = prepare(tmp_path)
    begin(prepared, Checking(), 1)
    assert asked == [(plan(prepared.bench.spec, prepared.facts()), {"scripted"})]


@pytest.mark.parametrize("skip_preflight", [False, True])
def test_an_image_that_the_facts_lack_stops_the_run_before_any_load(tmp_path: Path, skip_preflight: bool) -> None:
    prepared = prepare(tmp_path, skip_preflight=skip_preflight)
    prepared.use_facts(without_image(prepared.facts(), "app/two:1"))
    calls = Calls()
    with pytest.raises(PreflightFailed, match="app/two:1 for linux/amd64 at eu: manifest unknown"):
        conduct(prepared, calls, calls)
    assert calls.measured_trials == []
    assert stored_run(tmp_path).status == "failed"
    with pytest.raises(UsageError, match=r"app/two:1 .* start a new run"):
        conduct(prepare(tmp_path, resume=stored_run(tmp_path).run_id), Calls(), Calls())


def test_a_resume_that_preflight_stops_is_still_an_incomplete_run(tmp_path: Path) -> None:
    begin(prepare(tmp_path), Calls(), 1)
    run_id = stored_run(tmp_path).run_id
    failed = Finding(check="tcp", target="eu", status=Status.FAIL, observed="refused", remedy="start it")
    with pytest.raises(PreflightFailed, match="nothing more"):
        conduct(prepare(tmp_path, resume=run_id), Calls([failed]), Calls())
    assert stored_run(tmp_path).status == "incomplete"


def test_resuming_a_complete_run_measures_nothing_and_leaves_its_end_as_it_was(tmp_path: Path) -> None:
    calls = Calls()
    conduct(prepare(tmp_path), calls, calls)
    before = stored_run(tmp_path)
    again = Calls()
    conduct(prepare(tmp_path, resume=before.run_id), again, again)
    assert again.measured_trials == []
    assert stored_run(tmp_path) == before


def test_a_resume_on_another_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(prepare(tmp_path), Calls(), 1)
    other = EngineFacts(name="scripted", kind="fake", store_id="another-daemon")
    monkeypatch.setattr("pullbench.engines.fake.FakeEngine.facts", lambda _: other)
    with pytest.raises(UsageError, match="engine 'scripted' has"):
        conduct(prepare(tmp_path, resume=stored_run(tmp_path).run_id), Calls(), Calls())


@pytest.mark.promise("accidents", "`--resume` measures the rest, and nothing twice")
def test_the_list_of_what_is_left_makes_a_resume_run_just_the_rest_and_keep_the_trials_that_are_there(
    tmp_path: Path,
) -> None:
    begin(prepare(tmp_path), Calls(), 2)
    run = stored_run(tmp_path)
    store = ResultStore(str(tmp_path / "results"))
    before = store.frame("pulls", run.run_id)
    assert run.status == "incomplete"
    assert sorted(before["trial"].unique()) == [0, 1]

    second = Calls()
    conduct(prepare(tmp_path, resume=run.run_id), second, second)
    after = store.frame("pulls", run.run_id)
    assert second.measured_trials == [2, 3, 4, 5]
    assert stored_run(tmp_path).status == "complete"
    assert after[after["trial"] < 2].reset_index(drop=True).equals(before.reset_index(drop=True))
    assert after.groupby("trial").size().to_list() == [2] * 6


def test_a_resume_with_another_spec_is_refused(tmp_path: Path) -> None:
    begin(prepare(tmp_path), Calls(), 1)
    run_id = stored_run(tmp_path).run_id
    with pytest.raises(UsageError, match=r"\(differs in: repetitions\)"):
        conduct(prepare(tmp_path, resume=run_id, repetitions=3), Calls(), Calls())


def test_the_latest_unfinished_run_of_a_spec_is_resumed_by_that_word(tmp_path: Path) -> None:
    complete = Calls()
    conduct(prepare(tmp_path), complete, complete)
    with pytest.raises(UsageError, match="no unfinished run"):
        conduct(prepare(tmp_path, resume="latest"), Calls(), Calls())
    begin(prepare(tmp_path), Calls(), 1)
    rest = Calls()
    conduct(prepare(tmp_path, resume="latest"), rest, rest)
    assert rest.measured_trials == [1, 2, 3, 4, 5]
    assert {run.status for run in ResultStore(str(tmp_path / "results")).runs()} == {"complete"}


@pytest.mark.parametrize("kind", ["benchmark", "fleet"])
def test_a_budget_ends_the_run_after_the_trial_that_used_it_up_and_a_greater_one_goes_on(
    kind: RunKind, tmp_path: Path
) -> None:
    calls = Calls()
    with pytest.raises(
        IncompleteError, match=r"budget.bytes: 8.04 kB of 5.00 kB used after trial 1; 4 trials are left"
    ):
        conduct(prepare(tmp_path, kind=kind, budget={"bytes": 5000}), calls, calls)
    assert calls.measured_trials == [0, 1]
    assert [note.partition(":")[0] for note in calls.notes] == ["budget.bytes"]
    assert "24.1 kB" in calls.notes[0] and "5.00 kB" in calls.notes[0]
    run = stored_run(tmp_path)
    assert run.status == "incomplete"
    rest = Calls()
    conduct(prepare(tmp_path, kind=kind, resume=run.run_id, budget={"bytes": 500_000}), rest, rest)
    assert rest.measured_trials == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("budget", "message"),
    [({"manifest_requests": 8}, "manifest_requests: 8 of 8"), ({"minutes": 1.0}, "minutes: 2.0 of 1")],
)
def test_each_budget_is_kept(tmp_path: Path, budget: dict[str, float], message: str) -> None:
    prepared = prepare(tmp_path)
    facts = prepared.facts()
    now = iter([0.0, 60.0 * 2, 60.0 * 2])
    meter = BudgetMeter(Budget.model_validate(budget), facts, clock_s=lambda: next(now))
    results: list[str | None] = []

    class Watching(Calls):
        def measured(self, trial: Trial, result: TrialResult) -> None:
            results.append(meter.add(trial, result))
            super().measured(trial, result)

    begin(prepared, Watching(), 2)
    assert any(message in (result or "") for result in results)


def test_a_client_without_room_for_its_folder_ends_the_run_with_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def open_trial(_engine: FakeEngine, setup: TrialSetup) -> None:
        opened.append(setup.trial)
        if setup.trial == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/pullbench-pull-x")

    monkeypatch.setattr(FakeEngine, "open_trial", open_trial)
    calls = Calls()
    with pytest.raises(
        IncompleteError, match=r"^trial 2 \(.*\): /tmp/pullbench-pull-x: No space left on device; .*--resume"
    ):
        conduct(prepare(tmp_path), calls, calls)
    assert calls.measured_trials == [0, 1]
    assert stored_run(tmp_path).status == "incomplete"


@pytest.mark.parametrize("is_local", [True, False])
def test_how_busy_a_client_was_is_known_in_every_trial_unless_its_work_may_be_done_elsewhere(
    tmp_path: Path, is_local: bool
) -> None:
    prepared = prepare(tmp_path, repetitions=1, warmup=0)
    facts = prepared.facts()
    engines = {name: dataclasses.replace(each, is_local=is_local) for name, each in facts.engines.items()}
    prepared.use_facts(dataclasses.replace(facts, engines=engines))
    begin(prepared, Calls(), 2)
    rows = ResultStore(str(tmp_path / "results")).table("trials", stored_run(tmp_path).run_id).to_pylist()
    assert len(rows) == 2
    assert all((row["client_busy"] is not None) == is_local for row in rows)


def test_what_set_up_moves_uses_up_the_budget_too(tmp_path: Path) -> None:
    prepared, results = prepare(tmp_path), list[tuple[Trial, TrialResult]]()

    class Keeping(Calls):
        def measured(self, trial: Trial, result: TrialResult) -> None:
            results.append((trial, result))
            super().measured(trial, result)

    begin(prepared, Keeping(), 1)
    ((trial, result),) = results
    pulled = result.record.bytes or 0
    meter = BudgetMeter(Budget(bytes=3 * pulled), prepared.facts(), clock_s=lambda: 0.0)
    assert meter.add(trial, result) is None
    warmed = dataclasses.replace(result, setup_bytes=pulled)
    assert "12.1 kB of 12.1 kB" in (meter.add(trial, warmed) or "")


def test_a_pull_of_unknown_bytes_uses_up_the_budget_by_the_size_of_its_image(tmp_path: Path) -> None:
    prepared, results = prepare(tmp_path), list[tuple[Trial, TrialResult]]()

    class Keeping(Calls):
        def measured(self, trial: Trial, result: TrialResult) -> None:
            results.append((trial, result))
            super().measured(trial, result)

    begin(prepared, Keeping(), 1)
    ((trial, result),) = results
    pulled = result.record.bytes or 0
    pulls = tuple(dataclasses.replace(pull, bytes=None) for pull in result.pulls)
    unknown = dataclasses.replace(result, pulls=pulls, record=dataclasses.replace(result.record, bytes=None))
    meter = BudgetMeter(Budget(bytes=pulled), prepared.facts(), clock_s=lambda: 0.0)
    assert (meter.add(trial, unknown) or "").startswith("budget.bytes: ")
    room = BudgetMeter(Budget(bytes=pulled + 1), prepared.facts(), clock_s=lambda: 0.0)
    assert room.add(trial, unknown) is None


def test_what_fills_a_store_in_set_up_is_in_the_budget_of_its_run(tmp_path: Path) -> None:
    matrix = {"engines": ["scripted"], "platforms": ["linux/amd64"], "cache": ["warm"]}
    calls = Calls()
    with pytest.raises(IncompleteError, match=r"budget.bytes: 8.04 kB of 5.00 kB used after trial 0"):
        conduct(prepare(tmp_path, matrix=matrix, budget={"bytes": 5000}), calls, calls)


def test_a_run_that_was_killed_after_its_last_trial_is_complete_when_it_is_resumed(tmp_path: Path) -> None:
    begin(prepare(tmp_path), Calls(), 6)
    stopped = dataclasses.replace(stored_run(tmp_path), status="running", finished_at=None)
    ResultStore(str(tmp_path / "results")).write_run(stopped)
    resumed = Calls()
    outcome = conduct(prepare(tmp_path, resume=stopped.run_id), resumed, resumed)
    assert resumed.measured_trials == []
    assert (stored_run(tmp_path).status, outcome.document["status"]) == ("complete", "complete")
    assert len(ResultStore(str(tmp_path / "results")).frame("pulls", stopped.run_id)) == 6 * 2


def test_a_large_plan_becomes_at_most_two_hundred_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_policy._TASKS_AT_MOST == 200
    monkeypatch.setattr(run_policy, "_TASKS_AT_MOST", 20)  # a tenth of it shows the same
    batches: list[str] = []

    class Counting(Calls):
        def trials(self, batch: TrialBatch) -> None:
            batches.append(str(batch))
            batch.run()

    calls = Counting()
    begin(prepare(tmp_path, repetitions=11), calls, 24)
    assert calls.measured_trials == list(range(24))
    assert len(batches) == 12
    assert batches[0] == "trials 0 to 1"


def test_a_registry_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    engines = [{"name": "scripted", "kind": "fake", "script": [0.001, 0.001, "server_error", "rate_limited"]}]
    calls = Calls()
    with pytest.raises(IncompleteError, match=r"budget\.server_errors: 2 .* after trial 1"):
        conduct(prepare(tmp_path, engines=engines, budget={"server_errors": 2}), calls, calls)
    assert calls.measured_trials == [0, 1]


def test_a_row_of_server_errors_within_a_trial_counts_though_it_ended_well(tmp_path: Path) -> None:
    engines = [{"name": "scripted", "kind": "fake", "script": ["server_error", "rate_limited", 0.001]}]
    matrix = {"engines": ["scripted"], "platforms": ["linux/amd64"]}
    calls = Calls()
    changes = {"engines": engines, "matrix": matrix, "pulls_per_trial": 3, "budget": {"server_errors": 2}}
    with pytest.raises(IncompleteError, match=r"budget\.server_errors: 2 .* after trial 0"):
        conduct(prepare(tmp_path, **changes), calls, calls)


def test_what_a_plan_needs_more_than_the_budget_has_is_told_before(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)
    made = plan(prepared.bench.spec, prepared.facts())
    assert shortfalls(Budget(bytes=made.bytes, manifest_requests=made.manifest_requests), made) == []
    warmed = dataclasses.replace(made, warmed_bytes=900, stored_bytes=100)
    (found,) = shortfalls(Budget(bytes=made.bytes), warmed)
    assert found.startswith("budget.bytes: ") and "25.1 kB" in found and "24.1 kB" in found
    by_key = dict(line.split(": ") for line in shortfalls(Budget(bytes=1000, manifest_requests=5), made))
    assert list(by_key) == ["budget.bytes", "budget.manifest_requests"]
    assert "24.1 kB" in by_key["budget.bytes"] and "1.00 kB" in by_key["budget.bytes"]
    assert "24" in by_key["budget.manifest_requests"] and "5" in by_key["budget.manifest_requests"]
