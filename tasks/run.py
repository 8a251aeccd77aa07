"""The body of the flows that measure: a run of `app.run` with Prefect's tasks, artifacts and events around it."""

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State

from pullbench.app.compare import compare_with_baseline
from pullbench.app.failure_streak import StreakMeter
from pullbench.app.progress import Outcome, Progress
from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.errors import PullbenchError
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import RunRecord, TrialResult
from pullbench.model.text import printable
from pullbench.report.compare.verdict import headline
from pullbench.store.dataset import ResultStore
from tasks.artifacts import Artifacts
from tasks.events import Notices
from tasks.states import done, ends_in_state, incomplete
from tasks.steps import TaskSteps

_ARTIFACT_EVERY_S = 3.0


class FlowProgress(Progress):
    """Progress in the UI: artifact, log lines, events; between trials and not often."""

    def __init__(self, artifacts: Artifacts, notices: Notices, streaks: StreakMeter) -> None:
        self._artifacts = artifacts
        self._notices = notices
        self._streaks = streaks
        self._run: RunRecord | None = None
        self._done = self._total = 0
        self._updated_s = 0.0

    def note(self, text: str) -> None:
        get_run_logger().info(printable(text))

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        self._run, self._done, self._total = run, done, len(plan.trials)
        get_run_logger().info("run %s: %d cells, %d trials", run.run_id, len(plan.cells), len(plan.trials))
        for entry in plan.planned_out:
            get_run_logger().info("planned out: %s: %s", entry.cell, entry.reason)
        self._artifacts.begin(self._total)

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._updated_s > _ARTIFACT_EVERY_S or self._done == self._total:
            self._artifacts.progress(self._done / self._total)
            self._updated_s = now
        streak = self._streaks.add(trial, result)
        if streak is not None and self._run is not None:
            self._notices.consecutive_failures(self._run, streak.failures, streak.cells, streak.error_codes)

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        said = document["headline"]["sentence"]
        get_run_logger().info("run %s: %s. %s", document["run_id"], message, said)


@ends_in_state
def measure(made: AbstractContextManager[Prepared]) -> State[Any]:
    """Measure what was prepared; an error of ours is the state's message. The state carries the outcome, or the error."""
    artifacts, notices = Artifacts(), Notices()
    with made as prepared:
        streaks = StreakMeter.of(prepared.bench.spec)
        outcome = conduct(prepared, TaskSteps(artifacts), FlowProgress(artifacts, notices, streaks))
        return _concluded(prepared.request, outcome, artifacts, notices)


def _concluded(request: RunRequest, outcome: Outcome, artifacts: Artifacts, notices: Notices) -> State[Any]:
    """What the UI and whoever waits for events get of a run that came to its end."""
    document = outcome.document
    if request.kind == "stress":
        artifacts.stress(document)
    elif request.kind == "calibration":
        artifacts.calibration(document)
    else:
        artifacts.cells(document)
    if outcome.report is not None:
        address = os.environ.get("PULLBENCH_REPORTS_URL")
        artifacts.report(outcome.report, address, document["headline"]["sentence"])
    notices.slo_missed(document)
    message = f"run {outcome.run_id}: {outcome.message}"
    if document["status"] == "incomplete":
        return incomplete(message, outcome)
    if request.kind not in ("stress", "calibration"):  # whose steps are no settings to be compared
        _report_regression(request.results, outcome.run_id, notices)
    return done(message, outcome)


def _report_regression(results: str, run_id: str, notices: Notices) -> None:
    """Compare a finished run with its baseline; what goes wrong there says nothing about the run."""
    try:
        found = compare_with_baseline(ResultStore(results), run_id)
    except PullbenchError as error:
        get_run_logger().warning("not compared with the baseline: %s", error)
        return
    if found is not None:
        get_run_logger().info("against the baseline %s: %s", found.baseline.run.run_id, headline(found).sentence)
        notices.regression(found)
