"""The flow `pull-benchmark`: facts → plan → preflight → trials → results → report."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from pullbench.app.calls import PreflightCall, ReportCall, TrialBatch
from pullbench.app.failure_streak import StreakMeter
from pullbench.app.regression import beside_baseline
from pullbench.app.run import Outcome, Prepared, Progress, Request, conduct
from pullbench.errors import IncompleteError, PullbenchError
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import Run, TrialResult
from pullbench.model.spec import Overrides
from pullbench.model.text import printable
from pullbench.report.compare.words import headline
from pullbench.serving.secrets import prefect_secret
from pullbench.store.dataset import ResultStore
from tasks.artifacts import Artifacts
from tasks.events import Notices
from tasks.preflight import run_preflight
from tasks.report import render_report
from tasks.trials import run_trials

_ARTIFACT_EVERY_S = 3.0


class Invocation:
    """What the shell hands to a flow that it calls in its own process, beside the parameters; and gets back."""

    def __init__(
        self,
        prepared: Prepared | None,
        progress: Progress,
        settings: Sequence[str] = (),
        log_json: Path | None = None,
    ) -> None:
        self.prepared = prepared
        self.settings = tuple(settings)
        """As the user gave them, for a flow that prepares by itself: its parameter has them without secrets."""
        self.log_json = log_json
        """For such a flow: where log lines go."""
        self.progress = progress
        self.outcome: Outcome | None = None
        self.error: Exception | None = None


_INVOCATION: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def invocation() -> Invocation | None:
    """That of the shell, where it calls the flow."""
    return _INVOCATION.get()


@contextmanager
def invoked_by(made: Invocation) -> Iterator[None]:
    """The flow called inside uses what was prepared, and leaves its outcome there."""
    token = _INVOCATION.set(made)
    try:
        yield
    finally:
        _INVOCATION.reset(token)


class TaskSteps:
    """The steps as Prefect tasks, called directly: never submitted to a thread."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def preflight(self, call: PreflightCall) -> list[Finding]:
        findings = run_preflight(call)
        self._artifacts.findings(findings)
        return findings

    def trials(self, batch: TrialBatch) -> None:
        run_trials(batch)

    def report(self, call: ReportCall) -> Path:
        return render_report(call)


class FlowProgress:
    """Progress in the UI: artifact, log lines, events; between trials and not often; passes on to the shell's."""

    def __init__(self, artifacts: Artifacts, notices: Notices, streaks: StreakMeter, shell: Progress | None) -> None:
        self._artifacts = artifacts
        self._notices = notices
        self._streaks = streaks
        self._shell = shell
        self._run: Run | None = None
        self._done = self._total = 0
        self._updated_s = 0.0

    def note(self, text: str) -> None:
        get_run_logger().info(printable(text))
        if self._shell is not None:
            self._shell.note(text)

    def planned(self, run: Run, plan: Plan, done: int) -> None:
        self._run, self._done, self._total = run, done, len(plan.trials)
        get_run_logger().info("run %s: %d cells, %d trials", run.run_id, len(plan.cells), len(plan.trials))
        for entry in plan.planned_out:
            get_run_logger().info("planned out: %s: %s", entry.cell, entry.reason)
        self._artifacts.begin(self._total)
        if self._shell is not None:
            self._shell.planned(run, plan, done)

    def checked(self, findings: Sequence[Finding]) -> None:
        if self._shell is not None:
            self._shell.checked(findings)

    def measured(self, trial: Trial, result: TrialResult) -> None:
        self._done += 1
        now = time.monotonic()
        if now - self._updated_s > _ARTIFACT_EVERY_S or self._done == self._total:
            self._artifacts.progress(self._done / self._total)
            self._updated_s = now
        streak = self._streaks.add(trial, result)
        if streak is not None and self._run is not None:
            self._notices.consecutive_failures(self._run, streak.failures, streak.cells, streak.error_codes)
        if self._shell is not None:
            self._shell.measured(trial, result)

    def ended(self) -> None:
        if self._shell is not None:
            self._shell.ended()


@flow(name="pull-benchmark", flow_run_name="{spec} at {vantage}", retries=0, persist_result=False)
def pull_benchmark(
    spec: Annotated[str, Field(min_length=1)],
    overrides: Overrides = Overrides(),  # noqa: B008  (frozen; Prefect's form reads the default)
    vantage: Annotated[str, Field(min_length=1, max_length=63)] = "local",
    settings: list[str] = [],  # noqa: B006  (Prefect's form reads the default; nothing changes it)
    results: str = "results",
    reports: str = "reports",
    resume: str | None = None,
    skip_preflight: bool = False,
    report: bool = True,
    regional: str | None = None,
) -> State[Any]:
    """Measure how fast images pull under each setting of a spec, and report it.

    Args:
        spec: Path of the spec file in the checkout, such as specs/first.yaml.
        overrides: Factors to measure in place of the spec's; what is left empty stays as the spec says.
        vantage: Label of the place where this client stands.
        settings: Further changes to the spec as KEY=VALUE, such as budget.minutes=10.
        results: Folder or URL that the Parquet goes to.
        reports: Folder that the HTML report goes to.
        resume: Identifier of an incomplete run to go on with, or latest; empty begins a new one.
        skip_preflight: Send load without checking first.
        report: Render the HTML report at the end.
        regional: Identifier of the regional benchmark that started this run; that flow sets it.
    """
    request = Request(
        spec=Path(spec),
        overrides=overrides,
        sets=tuple(settings),
        vantage=vantage,
        results=results,
        reports=Path(reports),
        resume=resume,
        skip_preflight=skip_preflight,
        report=report,
        regional=regional,
    )
    return measure(lambda: Prepared(request, block=prefect_secret))


def measure(prepare: Callable[[], Prepared]) -> State[Any]:
    """The body of a measuring flow: what went wrong is the state's message, and in the shell's hands as it was.

    What the shell prepared is used in place of `prepare`.
    """
    artifacts, notices, shell = Artifacts(), Notices(), invocation()
    try:
        prepared = (shell.prepared if shell else None) or prepare()
        if shell is not None:
            shell.prepared = prepared
        with prepared.session:
            streaks = StreakMeter(prepared.session.spec.slo.consecutive_failures)
            progress = FlowProgress(artifacts, notices, streaks, shell.progress if shell else None)
            outcome = conduct(prepared, TaskSteps(artifacts), progress)
    except PullbenchError as error:
        if shell is not None:
            shell.error = error
        return Failed(name="Incomplete" if isinstance(error, IncompleteError) else None, message=str(error))
    except Exception as error:
        if shell is not None:
            shell.error = error
        raise
    if shell is not None:
        shell.outcome = outcome
    return _told(prepared.request, outcome, artifacts, notices)


def _told(request: Request, outcome: Outcome, artifacts: Artifacts, notices: Notices) -> State[Any]:
    """What the UI and whoever waits for events are told of a run that came to its end."""
    document, said = outcome.document, outcome.document["headline"]["sentence"]
    get_run_logger().info("run %s: %s. %s", outcome.run_id, outcome.message, said)
    if request.kind == "stress":
        artifacts.stress(document)
    elif request.kind == "calibration":
        artifacts.calibration(document)
    else:
        artifacts.cells(document)
    if outcome.report is not None:
        artifacts.report(outcome.report, os.environ.get("PULLBENCH_REPORTS_URL"), said)
    notices.slo_missed(document)
    message = f"run {outcome.run_id}: {outcome.message}"
    if document["status"] == "incomplete":
        return Failed(name="Incomplete", message=message)
    if request.kind not in ("stress", "calibration"):  # whose steps are no settings to be held against each other
        _tell_regression(request.results, outcome.run_id, notices)
    return Completed(message=message)


def _tell_regression(results: str, run_id: str, notices: Notices) -> None:
    """Hold a finished run against its baseline; what goes wrong there says nothing about the run."""
    try:
        found = beside_baseline(ResultStore(results), run_id)
    except PullbenchError as error:
        get_run_logger().warning("not compared with the baseline: %s", error)
        return
    if found is not None:
        get_run_logger().info("against the baseline %s: %s", found.baseline.run.run_id, headline(found).sentence)
        notices.regression(found)
