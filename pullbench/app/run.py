"""The order and policy of a benchmark: facts → plan → preflight → trials → results → report. Free of Prefect.

The flow `pull-benchmark` calls this with steps that are Prefect tasks; a test may call it with plain functions.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pullbench.app.budget import BudgetMeter, shortfalls
from pullbench.app.calls import PreflightCall, ReportCall, TrialBatch
from pullbench.app.run_log import LoggedProgress, open_log
from pullbench.app.setup_notes import setup_lines
from pullbench.app.stress import climb
from pullbench.bench.resuming import Stored
from pullbench.bench.session import Session
from pullbench.bench.specfile import load_spec, load_stress_spec
from pullbench.cli.terminal.safe_text import print_notice as say
from pullbench.errors import IncompleteError, PreflightFailed, PullbenchError
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.plan import Plan, Trial, unknown_image
from pullbench.model.record import Run, RunKind, TrialResult
from pullbench.model.spec import Overrides
from pullbench.model.spec_stress import StressOverrides
from pullbench.report.render.render import check_out_dir
from pullbench.report.run.documents import run_document
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import LABEL

_TASKS_AT_MOST = 200
"""Prefect's server records some 33 tasks a second; a larger plan puts several trials into one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asks for when a benchmark is started, from the shell, the form or a schedule."""

    spec: Path
    overrides: Overrides | StressOverrides = field(default_factory=Overrides)
    sets: tuple[str, ...] = ()
    vantage: str = "local"
    results: str = "results"
    reports: Path = Path("reports")
    log_json: Path | None = None
    """Where log lines go; None leaves it to the environment."""
    resume: str | None = None
    skip_preflight: bool = False
    report: bool = True
    kind: RunKind = "benchmark"
    regional: str | None = None
    """The regional benchmark that the run is a vantage's part of: a label of the run, and the clocks are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a benchmark ended; `document` is what `run --json` prints."""

    run_id: str
    document: dict[str, Any]
    report: Path | None
    exit_code: int
    message: str


class Steps(Protocol):
    """The steps that are Prefect tasks in a flow and plain calls elsewhere."""

    def preflight(self, call: PreflightCall) -> list[Finding]: ...
    def trials(self, batch: TrialBatch) -> None: ...
    def report(self, call: ReportCall) -> Path: ...


class Progress(Protocol):
    """Who is told how far the run is. Nothing here is called while a trial runs."""

    def note(self, text: str) -> None: ...
    def planned(self, run: Run, plan: Plan, done: int) -> None: ...
    def checked(self, findings: Sequence[Finding]) -> None: ...
    def measured(self, trial: Trial, result: TrialResult, /) -> None: ...
    def ended(self) -> None: ...


class Prepared:
    """A valid spec, its session, and what is known before anything is stored."""

    def __init__(
        self,
        request: Request,
        *,
        block: Callable[[str], str] | None = None,
        session: Callable[..., Session] = Session,
    ) -> None:
        load = load_stress_spec if request.kind == "stress" else load_spec
        labels = () if request.regional is None else (f"labels.{LABEL}={request.regional}",)
        self.request = request
        self.session = session(
            load(request.spec, sets=(*request.sets, *labels), overrides=request.overrides),
            ResultStore(request.results),
            vantage=request.vantage,
            kind=request.kind,
            environ=os.environ,
            block=block,
            compare_clocks=request.regional is not None,
        )
        self.run_id: str | None = request.resume
        self._facts: Facts | None = None
        self._stored: Stored | None = None
        self.log = open_log(request.log_json, os.environ, say)

    def facts(self) -> Facts:
        """Gathered at the first call."""
        if self._facts is None:
            self._facts = self.session.gather()
        return self._facts

    def stored(self) -> Stored | None:
        """The run to go on with, looked up at the first call; None for a new run."""
        if self._stored is None and self.request.resume is not None:
            self._stored = self.session.stored(self.request.resume)
        return self._stored

    def look_ahead(self) -> None:
        """Do what needs no Prefect: gather facts, or read the run to resume; raises as they do, and as the plan does."""
        if self.request.report:
            check_out_dir(self.request.reports)
        if self.stored() is None:
            self.session.plan(self.facts())

    def use_facts(self, facts: Facts) -> None:
        """Take facts that are known already, in place of asking."""
        self._facts = facts


def conduct(prepared: Prepared, steps: Steps, progress: Progress) -> Outcome:
    """Run or resume a benchmark to its report.

    Raises PreflightFailed before any load, IncompleteError where what was measured is stored but not all of it,
    UsageError for a spec that leaves nothing to measure.
    """
    if prepared.log is None:
        return _conduct(prepared, steps, progress)
    logged = LoggedProgress(progress, prepared.log)
    with logged.stops_logged():
        outcome = _conduct(prepared, steps, logged)
        logged.concluded(outcome)
    return outcome


def _conduct(prepared: Prepared, steps: Steps, progress: Progress) -> Outcome:
    session, request = prepared.session, prepared.request
    prepared.look_ahead()
    stored = prepared.stored()
    if stored is None:
        facts = prepared.facts()
        run, plan = session.begin(facts)
        finished: frozenset[int] = frozenset()
    else:
        facts, plan, finished = stored.facts, stored.plan, stored.finished
        run = session.reopen(stored)
    prepared.run_id = run.run_id
    progress.planned(run, plan, len(finished))
    if stored is None or not stored.over:
        for line in setup_lines(plan, session.spec):
            progress.note(line)
        for shortfall in shortfalls(session.spec.budget, plan) if stored is None and request.kind != "stress" else ():
            progress.note(f"{shortfall}: the run stops there")
        stopped = None
        with _closing(session, run):
            if not request.skip_preflight:
                _check(
                    steps.preflight(PreflightCall(session, run.run_id, facts, plan)), progress, resumed=bool(finished)
                )
            if (missing := unknown_image(plan, facts)) is not None:
                raise PreflightFailed(f"no load was sent: {missing}")
            if request.kind == "stress":
                stopped = climb(run, facts, session, steps, progress, resumed=bool(finished))
            else:
                left = [trial for trial in plan.trials if trial.number not in finished]
                _measure(left, run, facts, session, steps, progress)
                _check_all_is_there(run, plan, session)
        run = session.finish(run, "complete" if stopped is None else "incomplete", stopped)
    elif run.status != "complete":  # stopped after its last trial, before that was written down
        run = session.finish(run, "complete")
    return _conclude(run, session, request, steps, progress)


@contextlib.contextmanager
def _closing(session: Session, run: Run) -> Iterator[None]:
    """Whatever stops a run, what was measured is kept and the run is marked: `failed` only where nothing was."""
    try:
        yield
    except PreflightFailed as error:
        session.finish(run, "incomplete" if session.store.finished_trials(run.run_id) else "failed", str(error))
        raise
    except BaseException as error:
        with contextlib.suppress(PullbenchError):
            session.finish(run, "incomplete", str(error) if isinstance(error, PullbenchError) else "interrupted")
        raise


def _check(findings: list[Finding], progress: Progress, *, resumed: bool) -> None:
    progress.checked(findings)
    if worst(findings) is Status.FAIL:
        failed = [finding for finding in findings if finding.status is Status.FAIL]
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        what = "nothing more was measured" if resumed else "no load was sent"
        raise PreflightFailed(
            f"preflight failed, {what}: {first.check} of {first.target}: {first.observed}; {first.remedy}{more}"
        )


def _measure(left: list[Trial], run: Run, facts: Facts, session: Session, steps: Steps, progress: Progress) -> None:
    meter = BudgetMeter(session.spec.budget, facts, clock_s=session.clock.monotonic)
    remaining, spent = len(left), ""

    def go_on(trial: Trial, result: TrialResult) -> bool:
        nonlocal remaining, spent
        remaining -= 1
        progress.measured(trial, result)
        if (used_up := meter.add(trial, result)) is not None:
            spent = f"{used_up} after trial {trial.number}"
        return not spent

    try:
        for batch in _batches(left):
            steps.trials(TrialBatch(session, run.run_id, facts, batch, go_on))
            if spent and remaining:
                raise IncompleteError(
                    f"{spent}; {remaining} trials are left: go on with `--resume {run.run_id}`, or raise the budget"
                )
    finally:
        progress.ended()
        for line in session.left_upstream(run.run_id):
            progress.note(line)


def _check_all_is_there(run: Run, plan: Plan, session: Session) -> None:
    """A run is complete when its trials are stored, not when they were measured: somebody may have removed some."""
    gone = {trial.number for trial in plan.trials} - session.store.finished_trials(run.run_id)
    if gone:
        raise IncompleteError(
            f"{session.store.files.where()}: {len(gone)} of {len(plan.trials)} trials were stored and are not there any more; was the "
            f"folder removed or replaced while the run went on? Measure them again with `--resume {run.run_id}`"
        )


def _batches(trials: list[Trial]) -> Iterator[list[Trial]]:
    size = -(-len(trials) // _TASKS_AT_MOST)
    for start in range(0, len(trials), max(size, 1)):
        yield trials[start : start + size]


def _conclude(run: Run, session: Session, request: Request, steps: Steps, progress: Progress) -> Outcome:
    report = None
    if request.report:
        progress.note("rendering the report")
        report = steps.report(ReportCall(request.results, run.run_id, request.reports))
    document = run_document(session.store, run.run_id, None if report is None else str(report))
    exit_code, message = judgement(document)
    return Outcome(run_id=run.run_id, document=document, report=report, exit_code=exit_code, message=message)


def judgement(document: dict[str, Any]) -> tuple[int, str]:
    """The exit code of a finished run, and why, in a few words."""
    missed = [entry["name"] for entry in document["slo"] if entry["verdict"] == "missed"]
    findings = document["preflight"]["findings"]
    unknown = [f"{entry['check']} of {entry['target']}" for entry in findings if entry["status"] == Status.ERROR]
    if document.get("kind") == "stress" and document["status"] == "incomplete":
        return 3, f"incomplete: {document['stress']['stopped']}; go on with `--resume {document['run_id']}`"
    if missed and document.get("kind") == "stress":
        return 1, f"complete, SLO missed by the first step: {', '.join(missed)}"
    if missed:
        return 1, f"complete, SLO missed: {', '.join(missed)}"
    if document.get("calibration", {}).get("verdict") == "missed":
        return 1, f"complete, not calibrated: {document['headline']['title']}"
    if unknown:
        return 3, f"complete, but these checks could not be run: {', '.join(unknown)}"
    return 0, "complete"
