"""The body of the flows that measure: a run of `app.run` with Prefect's tasks, artifacts and events around it."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal

from pullbench.app.compare import compare_with_baseline
from pullbench.app.failure_streak import StreakMeter
from pullbench.app.progress import Outcome, Progress
from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.errors import IncompleteError, PreflightFailed, PullbenchError
from pullbench.model.plan import FACTORS, Cell, Plan, Trial, group_reasons
from pullbench.model.record import RunRecord, TrialResult
from pullbench.model.text import count, format_bytes, printable
from pullbench.report.compare.verdict import headline
from pullbench.report.core import numbers
from pullbench.store.dataset import ResultStore
from tasks.artifacts import Artifacts, picture_of
from tasks.events import Notices
from tasks.resuming import how_to_resume
from tasks.states import done, ends_in_state, failed, incomplete, stopped, was_started_by_a_worker
from tasks.steps import TaskSteps

_ARTIFACT_EVERY_S = 3.0
_LINES_AT_MOST = 200


class FlowProgress(Progress):
    """Progress in the UI: artifact, log lines, events; between trials and not often."""

    def __init__(self, artifacts: Artifacts, notices: Notices, streaks: StreakMeter) -> None:
        self._artifacts = artifacts
        self._notices = notices
        self._streaks = streaks
        self._done = self._total = 0
        self._updated_s = 0.0
        self._factors: Sequence[str] = ()
        self._run: RunRecord | None = None

    def note(self, text: str) -> None:
        get_run_logger().info("%s.", printable(text[:1].upper() + text[1:]))

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        self._run, self._done, self._total = run, done, len(plan.trials)
        self._factors = varying(plan.cells)
        size = "size unknown" if plan.bytes is None else f"{format_bytes(plan.bytes)} {'in all' if done else 'to pull'}"
        trials = (
            f"{count(self._total, 'trial')}, {done} of them stored already" if done else count(self._total, "trial")
        )
        configurations = count(len(plan.cells), "configuration")
        get_run_logger().info("Run %s of '%s': %s, %s, %s.", run.run_id, run.name, configurations, trials, size)
        for reason, cells in group_reasons(plan.planned_out).items():
            get_run_logger().info("Excluded: %s (%s).", count(cells, "configuration"), reason)
        self._artifacts.begin(run.name, self._total)

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        self._done += 1
        if self._done % -(-self._total // _LINES_AT_MOST) == 0 or self._done == self._total:
            said = trial_sentence(trial, result, self._factors)
            get_run_logger().info("Trial %d of %d. %s.", self._done, self._total, said)
        now = time.monotonic()
        if now - self._updated_s > _ARTIFACT_EVERY_S or self._done == self._total:
            self._artifacts.progress(self._done / self._total)
            self._updated_s = now
        streak = self._streaks.add(trial, result)
        if streak is not None and self._run is not None:
            self._notices.consecutive_failures(self._run, streak.failures, streak.cells, streak.error_codes)

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        get_run_logger().info("Run %s: %s.", document["run_id"], message)  # the state has the headline


def varying(cells: Sequence[Cell]) -> list[str]:
    """The factors that tell a plan's configurations apart."""
    return [name for name in FACTORS if len({getattr(cell, name) for cell in cells}) > 1]


def trial_sentence(trial: Trial, result: TrialResult, factors: Sequence[str]) -> str:
    """`Concurrency 4: 8 of 8 pulls succeeded in 520 ms`, with the reasons of those that failed."""
    record = result.record
    named = ", ".join(f"{name.replace('_', ' ')} {getattr(trial.cell, name)}" for name in factors)
    configuration = named or f"engine {trial.cell.engine}"
    took = numbers.seconds(record.wall_s)
    said = f"{configuration[:1].upper()}{configuration[1:]}: {record.succeeded} of {record.pulls} pulls succeeded in {took}"
    codes = sorted({pull.error_code.value for pull in result.pulls if pull.error_code is not None})
    failed = f"; failures: {', '.join(codes)}" if codes else ""
    return f"{said}{failed}{'; warm-up' if trial.warmup else ''}"


@ends_in_state
def measure(made: AbstractContextManager[Prepared]) -> State[Any]:
    """Measure what was prepared. The state's message is the headline; where a run stopped, how to resume it."""
    known: Prepared | None = None
    try:
        with made as prepared:
            known, artifacts, notices = prepared, Artifacts(prepared.request.reports), Notices()
            progress = FlowProgress(artifacts, notices, StreakMeter.of(prepared.bench.spec))
            outcome = conduct(prepared, TaskSteps(artifacts), progress)
            return _concluded(prepared.request, outcome, artifacts, notices)
    except IncompleteError as error:
        return incomplete(f"{error}{_how_to_go_on(known)}", error)
    except PreflightFailed as error:
        resumed = known is not None and known.request.resume is not None
        return failed(f"{error}{_how_to_go_on(known) if resumed else ''}", error)
    except TerminationSignal:
        if not was_started_by_a_worker():  # a shell's command says itself how it ended
            raise
        return stopped(_how_to_go_on(known) or " Nothing was measured.")


def _how_to_go_on(prepared: Prepared | None) -> str:
    """What follows a message about a run that stopped; empty before there is a run."""
    if prepared is None or prepared.active is None:
        return ""
    run = prepared.active.record
    return f" {how_to_resume(prepared.request, run, is_measured=run.status == 'complete')}"


def _concluded(request: RunRequest, outcome: Outcome, artifacts: Artifacts, notices: Notices) -> State[Any]:
    """What the UI and whoever waits for events get of a run that came to its end."""
    document = outcome.document
    if request.kind == "stress":
        artifacts.steps(document)
    artifacts.run(document, outcome.report, picture_of(outcome.report))
    notices.slo_missed(document)
    message = f"{document['headline']['sentence']} Run {outcome.run_id}: {outcome.message}"
    if document["status"] == "incomplete":
        return incomplete(message, outcome)
    if request.kind not in ("stress", "calibration"):  # their steps are no configurations to compare
        _report_regression(request.results, outcome.run_id, notices)
    return done(message, outcome)


def _report_regression(results: str, run_id: str, notices: Notices) -> None:
    """Compare a finished run with its baseline. An error there says nothing about the run."""
    try:
        found = compare_with_baseline(ResultStore(results), run_id)
    except PullbenchError as error:
        get_run_logger().warning("The run could not be compared with the baseline: %s", error)
        return
    if found is not None:
        said = headline(found).sentence
        get_run_logger().info("Compared with the baseline %s: %s", found.baseline.run.run_id, said)
        notices.regression(found)
