"""The order and policy of a run: facts → plan → preflight → trials → results → verdict → report. Free of Prefect.

The flows call this with steps that are Prefect tasks, the command line and the library with plain calls.
"""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from pullbench.app.budget import BudgetMeter, shortfalls
from pullbench.app.progress import Everyone, Outcome, Progress, watcher
from pullbench.app.run_log import RunLog, open_log
from pullbench.app.steps import Steps, TrialBatch
from pullbench.bench.active_run import ActiveRun
from pullbench.bench.specfile import LoadedSpec, as_stress_spec, load_spec
from pullbench.bench.workbench import Workbench
from pullbench.errors import IncompleteError, PreflightFailed, PullbenchError, UsageError
from pullbench.model.calibration import KEY, Truth
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.plan import Plan, Trial, is_pushed
from pullbench.model.record import RunKind, TrialResult
from pullbench.model.spec import Overrides, Spec, StressOverrides
from pullbench.model.text import count, format_bytes
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import select
from pullbench.report.core.slo_words import slo_place
from pullbench.report.render.render import check_out_dir, render_run_report
from pullbench.report.render.renderer import Renderer
from pullbench.report.run.documents import run_document
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import Ledger
from pullbench.store.regional import LABEL

_LONGEST_VANTAGE = 63
_TASKS_AT_MOST = 200
"""Prefect's server records about 33 tasks per second; for a larger plan, a task has several trials."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The parameters of a run, from the shell, the form, a schedule or a notebook."""

    spec: Path | LoadedSpec
    overrides: Overrides | StressOverrides = field(default_factory=Overrides)
    sets: tuple[str, ...] = ()
    vantage: str = "local"
    results: str = "results"
    reports: Path = Path("reports")
    log_json: Path | None = None
    """The file for log lines; None uses the environment's."""
    resume: str | None = None
    only: tuple[str, ...] = ()
    """The checks of the preflight, by id or group; empty means all."""
    skip: tuple[str, ...] = ()
    """The checks that the preflight leaves out, by id or group."""
    skip_preflight: bool = False
    report: bool = True
    kind: RunKind = "benchmark"
    regional: str | None = None
    """The regional benchmark that this run belongs to: a label of the run; the clocks are compared too."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.vantage) <= _LONGEST_VANTAGE:
            raise UsageError(f"--vantage '{self.vantage}': use a label of 1 to {_LONGEST_VANTAGE} characters")
        if self.skip_preflight and (self.only or self.skip):
            raise UsageError("--skip-preflight skips every check: leave out --only and --skip")
        select(CHECKS, only=frozenset(self.only), skip=frozenset(self.skip))
        changed = self.sets or self.regional or self.overrides not in (Overrides(), StressOverrides())
        if isinstance(self.spec, LoadedSpec) and changed:
            raise ValueError("a loaded spec cannot be changed: pass the changes when loading it")


class Prepared:
    """A valid spec with its workbench, before anything is stored; close it at the end.

    `bench` and `run_type` belong to the kind of run. `on_begin` is called before a new run begins. `truth` is called when a
    run is complete, and gives a calibration its truth. `warn` is called if the log cannot be written.
    """

    def __init__(
        self,
        request: RunRequest,
        *,
        block: Callable[[str], str] | None = None,
        warn: Callable[[str], None] = _log.warning,
        bench: Callable[..., Workbench] = Workbench,
        run_type: type[ActiveRun] = ActiveRun,
        on_begin: Callable[[], None] | None = None,
        truth: Callable[[], Truth] | None = None,
    ) -> None:
        self.request = request
        self.bench = bench(
            loaded_spec(request),
            environ=os.environ,
            vantage=request.vantage,
            kind=request.kind,
            block=block,
            compare_clocks=request.regional is not None,
        )
        self.store = ResultStore(request.results)
        self.truth = truth
        self.log = open_log(request.log_json, os.environ, warn)
        self.active: ActiveRun | None = None
        self._run_type = run_type
        self._on_begin = on_begin
        self._facts: Facts | None = None

    def facts(self) -> Facts:
        """The facts, gathered at the first call."""
        if self._facts is None:
            self._facts = self.bench.gather(Ledger(self.store).brought)
        return self._facts

    def use_facts(self, facts: Facts) -> None:
        """Use known facts instead of gathering them."""
        self._facts = facts

    def look_ahead(self) -> None:
        """Check everything that can fail before anything is stored: the reports directory, facts, plan, the run to resume.

        Raises the errors of each of them.
        """
        if self.request.report:
            check_out_dir(self.request.reports)
        if self.request.resume is None:
            self.bench.plan(self.facts())
        elif self.active is None:
            self.active = self._run_type.resume(self.bench, self.store, self.request.resume)

    def begin(self) -> ActiveRun:
        """The new run, stored as begun; or the stored run to resume."""
        self.look_ahead()
        if self.active is None:
            if self._on_begin is not None:
                self._on_begin()
            self.active = self._run_type.begin(self.bench, self.store, self.facts())
        self.active.only, self.active.skip = frozenset(self.request.only), frozenset(self.request.skip)
        return self.active

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bench.close()


def loaded_spec(request: RunRequest) -> LoadedSpec:
    """The valid spec of a request, with its changes; contacts nothing. Raises UsageError if it is invalid."""
    if isinstance(request.spec, LoadedSpec):
        loaded = request.spec
    else:
        labels = () if request.regional is None else (f"labels.{LABEL}={request.regional}",)
        loaded = load_spec(request.spec, sets=(*request.sets, *labels), overrides=request.overrides)
    return as_stress_spec(loaded) if request.kind == "stress" else loaded


@contextlib.contextmanager
def preparing(
    request: RunRequest,
    *,
    block: Callable[[str], str] | None = None,
    warn: Callable[[str], None] = _log.warning,
) -> Iterator[Prepared]:
    """Prepare a run, and close it at the end; raises UsageError for an invalid spec."""
    with Prepared(request, block=block, warn=warn) as made:
        yield made


def conduct(prepared: Prepared, steps: Steps, progress: Progress) -> Outcome:
    """Run or resume a benchmark, up to its report.

    Raises PreflightFailed before any load, IncompleteError if the results are stored but incomplete, UsageError if nothing can
    be measured.
    """
    if prepared.log is None:
        return _conduct(prepared, steps, Everyone(progress, watcher()))
    logged = RunLog(prepared.log)
    with logged.stops_logged():
        return _conduct(prepared, steps, Everyone(logged, progress, watcher()))


def _conduct(prepared: Prepared, steps: Steps, progress: Progress) -> Outcome:
    active = prepared.begin()
    progress.planned(active.record, active.plan, len(active.finished))
    if not (prepared.request.resume and active.nothing_left):
        with _closing(active):
            stopped = _measure_all(prepared, active, steps, progress)
            truth = {} if prepared.truth is None or stopped else {KEY: prepared.truth().as_dict()}
            active.finish("incomplete" if stopped else "complete", stopped, environment=truth)
    elif active.record.status != "complete":  # stopped after its last trial, before the status was stored
        active.finish("complete")
    return _conclude(active, prepared.request, steps, progress)


def _measure_all(prepared: Prepared, active: ActiveRun, steps: Steps, progress: Progress) -> str | None:
    """Check, then measure the remaining trials; returns why a stress test is incomplete, for display, else None."""
    request, resumed = prepared.request, bool(active.finished)
    if request.resume is not None:
        active.reopen()
    for line in setup_notes(active.plan, active.spec):
        progress.note(line)
    for shortfall in shortfalls(active.spec.budget, active.plan) if _is_new_and_bounded(request) else ():
        progress.note(f"{shortfall}: the run will stop there")
    if not request.skip_preflight:
        _check(steps.preflight(active), progress, resumed=resumed)
    if (missing := active.unknown_image()) is not None:
        raise PreflightFailed(f"no load was sent: {missing}")
    try:
        if request.kind == "stress":
            from pullbench.app.stress import climb

            return climb(active, steps, progress, resumed=resumed)
        _measure(active, steps, progress)
    finally:
        progress.ended()
        for line in active.left_upstream():
            progress.note(line)
    _check_all_is_there(active)
    return None


def _is_new_and_bounded(request: RunRequest) -> bool:
    """Whether the plan has the cost of the run: a stress test's plan is only the maximum."""
    return request.resume is None and request.kind != "stress"


@contextlib.contextmanager
def _closing(active: ActiveRun) -> Iterator[None]:
    """Store the status of a stopped run with its results; `failed` only if there are none, `complete` if there are all."""
    try:
        yield
    except PreflightFailed as error:
        active.finish("incomplete" if active.stored_trials() else "failed", str(error))
        raise
    except BaseException as error:
        with contextlib.suppress(PullbenchError):
            if _is_measured(active):
                active.finish("complete")
            else:
                active.finish("incomplete", str(error) if isinstance(error, PullbenchError) else "interrupted")
        raise


def _check(findings: list[Finding], progress: Progress, *, resumed: bool) -> None:
    progress.checked(findings)
    if worst(findings) is Status.FAIL:
        failed = [finding for finding in findings if finding.status is Status.FAIL]
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        what, short = ("nothing more was measured",) * 2 if resumed else ("no load was sent", "nothing was measured")
        raise PreflightFailed(
            f"preflight failed, {what}: {first.check} of {first.target}: {first.observed}; {first.remedy}{more}",
            f"preflight failed, {short}: {count(len(failed), 'check')} failed",
        )


def _measure(active: ActiveRun, steps: Steps, progress: Progress) -> None:
    left = [trial for trial in active.plan.trials if trial.number not in active.finished]
    meter = BudgetMeter(active.spec.budget, active.facts, clock_s=active.bench.clock.monotonic)
    remaining, spent = len(left), ""

    def go_on(trial: Trial, result: TrialResult) -> bool:
        nonlocal remaining, spent
        remaining -= 1
        progress.measured(trial, result)
        if (used_up := meter.add(trial, result)) is not None:
            spent = f"{used_up} after trial {trial.number}"
        return not spent

    for batch in _batches(left):
        steps.trials(TrialBatch(active, batch, go_on, progress.starting))
        if spent and remaining:
            raise IncompleteError(
                f"{spent}; {remaining} trials are left: continue with `--resume {active.run_id}`, or raise the budget"
            )


def _is_measured(active: ActiveRun) -> bool:
    """Whether every trial is stored, so that nothing is left but the report. Other kinds end with more than their trials."""
    planned = {trial.number for trial in active.plan.trials}
    return active.bench.kind == "benchmark" and planned <= active.stored_trials()


def _check_all_is_there(active: ActiveRun) -> None:
    """A run is complete when its trials are stored, not when they were measured: someone may have removed some."""
    trials = active.plan.trials
    gone = {trial.number for trial in trials} - active.stored_trials()
    if gone:
        raise IncompleteError(
            f"{active.store.files.where()}: {len(gone)} of {len(trials)} stored trials are missing: the directory was removed or "
            f"replaced during the run; measure them again with `--resume {active.run_id}`"
        )


def _batches(trials: list[Trial]) -> Iterator[list[Trial]]:
    size = -(-len(trials) // _TASKS_AT_MOST)
    for start in range(0, len(trials), max(size, 1)):
        yield trials[start : start + size]


def _conclude(active: ActiveRun, request: RunRequest, steps: Steps, progress: Progress) -> Outcome:
    """The verdict, then the page: a waiting user sees the answer before the page is rendered."""
    report = None
    # No trial runs any more: the process that renders the page starts while the verdict is computed.
    with Renderer(request.results) if request.report else contextlib.nullcontext() as renderer:
        document = run_document(active.store, active.run_id)
        exit_code, message = judgement(document)
        progress.verdict(document, message)
        if renderer is not None:
            progress.note("rendering the report")
            make = partial(render_run_report, request.results, active.run_id, request.reports)
            report = steps.page(f"report of {active.run_id}", lambda: make(document=document, renderer=renderer))
            document["report"] = str(report)
    outcome = Outcome(run_id=active.run_id, document=document, report=report, exit_code=exit_code, message=message)
    progress.concluded(outcome)
    return outcome


def refuse_secrets(settings: Iterable[str]) -> None:
    """Raise UsageError for a setting that may be a secret, because Prefect would store it as a flow's parameter."""
    for setting in settings:
        key, _, text = setting.partition("=")
        if ".headers" in key or _has_headers(yaml.safe_load(text)):
            raise UsageError(f"--set {key}: Prefect would keep its value: write headers into the spec")


def _has_headers(value: object) -> bool:
    if isinstance(value, dict):
        return "headers" in value or any(_has_headers(each) for each in value.values())
    return isinstance(value, list) and any(_has_headers(each) for each in value)


def judgement(document: dict[str, Any]) -> tuple[int, str]:
    """The exit code of a finished run, and why, in a few words."""
    missed = _missed(document["slo"])
    findings = document["preflight"]["findings"]
    unknown = [f"{entry['check']} of {entry['target']}" for entry in findings if entry["status"] == Status.ERROR]
    if document.get("kind") == "stress" and document["status"] == "incomplete":
        return 3, f"incomplete: {document['stress']['stopped']}; continue with `--resume {document['run_id']}`"
    if missed and document.get("kind") == "stress":
        return 1, f"complete, SLO missed by the first step: {', '.join(missed)}"
    if missed:
        return 1, f"complete, SLO missed: {', '.join(missed)}"
    if document.get("calibration", {}).get("verdict") == "missed":
        return 1, f"complete, not calibrated: {document['headline']['title']}"
    if unknown:
        return 3, f"complete, but these checks could not run: {', '.join(unknown)}"
    return 0, "complete"


def _missed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The SLOs that are missed, by their names in the spec; with the engine where rows are of several."""
    several = len({row["engine"] for row in rows if row["engine"]}) > 1
    missed = [row for row in rows if row["verdict"] == "missed"]
    return [f"{row['name']} ({slo_place(row)})" if several or row["configuration"] else row["name"] for row in missed]


def setup_notes(plan: Plan, spec: Spec) -> list[str]:
    """One sentence for each setup step of a run: pushes, resets, warming."""
    cold = Counter(trial.cell.proxy for trial in plan.trials if trial.cell.proxy_cache == "cold")
    warm = sum(trial.cell.proxy_cache == "warm" for trial in plan.trials)
    lines = []
    if any(is_pushed(trial, spec) for trial in plan.trials):
        places = {
            f"{entry.upstream}/{entry.cold.push}"
            for entry in spec.proxies
            if entry.name in cold and entry.cold and entry.cold.push
        }
        lines.append(
            f"setup, not timed: pullbench pushes {_size(plan.pushed_bytes)} of synthetic images to {', '.join(sorted(places))}, "
            "and deletes them afterwards if the registry allows it"
        )
    for entry in spec.proxies:
        if entry.name in cold and entry.cold is not None and entry.cold.reset is not None:
            command = entry.cold.reset[0]
            lines.append(f"setup, not timed: {command} runs before {cold[entry.name]} trials, to empty {entry.name}")
    if warm:
        lines.append(
            f"setup, not timed: pullbench pulls {_size(plan.warmed_bytes)} through mirrors before {warm} trials, to warm them; "
            "it pulls again if a mirror does not confirm that it has the images"
        )
    if plan.stored_bytes != 0:
        stored = sum(trial.cell.cache == "warm" for trial in plan.trials)
        lines.append(
            f"setup, not timed: engines pull {_size(plan.stored_bytes)} into their stores before {stored} trials, to warm them"
        )
    if cold and spec.warmup:
        lines.append("pulls through cold mirrors have no warm-up trials: a trial would fill the cache")
    return lines


def _size(size_bytes: int | None) -> str:
    return "an unknown size" if size_bytes is None else format_bytes(size_bytes)
