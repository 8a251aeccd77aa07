"""What the commands that measure share: a run is called directly, or through its Prefect flow; both report its end in the same way."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pullbench.app.progress import Everyone, Outcome, Progress, watching
from pullbench.app.run import Prepared, RunRequest, conduct, loaded_spec, preparing, refuse_secrets
from pullbench.app.steps import DirectSteps
from pullbench.cli.terminal import interruption
from pullbench.cli.terminal.console import print_verdict, stdout_console, without_excluded
from pullbench.cli.terminal.progress import ShellProgress, StressProgress
from pullbench.cli.terminal.safe_text import literal, print_notice
from pullbench.cli.terminal.tables import result_table
from pullbench.errors import IncompleteError, InterruptedRunError, PreflightFailed
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan
from pullbench.model.record import RunRecord
from pullbench.monitor.logs import VARIABLE
from pullbench.report.render.render import check_out_dir
from pullbench.report.run.documents import run_document
from pullbench.serving.secrets import read_block
from pullbench.store.dataset import ResultStore

if TYPE_CHECKING:
    from pullbench.app.calibrate import CalibrationRequest

_FLOWS: Mapping[str, str] = {"benchmark": "pull_benchmark", "stress": "stress_test"}


def measure_spec(request: RunRequest, *, as_json: bool, prefect: bool) -> int:
    """Measure what a request asks for, a benchmark or a stress test; the exit code."""
    progress = (StressProgress if request.kind == "stress" else ShellProgress)(Console(stderr=True))
    measuring = Measuring(progress, request, as_json=as_json)
    if not by_flow(prefect):
        return measuring.directly(lambda: preparing(request, block=read_block, warn=print_notice))
    return measuring.through_flow(_FLOWS[request.kind], parameters(request), log_json=request.log_json)


def by_flow(prefect: bool) -> bool:
    """Whether a command goes through its Prefect flow: `--prefect`, or a server that the environment names."""
    return prefect or bool(os.environ.get("PREFECT_API_URL"))


def parameters(request: RunRequest) -> dict[str, Any]:
    """A request as the parameters of a measuring flow, which Prefect keeps.

    Raises UsageError for a wrong spec and for a --set value that may hold a secret, before any server is contacted.
    """
    refuse_secrets(request.sets)
    loaded_spec(request)
    if request.report:
        check_out_dir(request.reports)
    return {
        "spec": str(request.spec),
        "vantage": request.vantage,
        "settings": list(request.sets),
        "results": request.results,
        "reports": str(request.reports),
        "resume": request.resume,
        "skip_preflight": request.skip_preflight,
        **({"only": list(request.only), "skip": list(request.skip)} if request.kind in _FLOWS else {}),
        "report": request.report,
    }


class Measuring:
    """One command's run: calls it, prints its verdict, and says how to go on where it was stopped."""

    def __init__(self, progress: Progress, request: "RunRequest | CalibrationRequest", *, as_json: bool) -> None:
        resume = request.resume if isinstance(request, RunRequest) and request.resume != "latest" else None
        self._verdict = _Verdict(resume, as_json=as_json)
        self._progress = Everyone(progress, self._verdict)
        self._results = request.results
        self._is_calibration = not isinstance(request, RunRequest)
        self._with_sets = isinstance(request, RunRequest) and bool(request.sets)
        self._as_json = as_json

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None where it did not come to its end."""
        return self._verdict.outcome

    def directly(self, make: Callable[[], AbstractContextManager[Prepared]]) -> int:
        """Prepare and conduct a run without Prefect; the exit code."""

        def call() -> Outcome:
            with make() as prepared:
                return conduct(prepared, DirectSteps(), self._progress)

        return self._ended(call)

    def through_flow(self, flow: str, given: Mapping[str, Any], *, log_json: Path | None = None) -> int:
        """Call the Prefect flow in this process; the exit code. A server that goes away takes nothing with it."""
        from pullbench.serving.flow import ServerGoneError, call_flow, end_own_server

        def call() -> Outcome:
            with server_may_go():
                try:
                    with _log_named(log_json), watching(self._progress):
                        outcome: Outcome = call_flow(flow, given, note=self._server_gone)
                        return outcome
                except ServerGoneError:
                    raise
                except BaseException:
                    end_own_server()
                    raise

        return self._ended(call)

    def _server_gone(self, text: str) -> None:
        if self._verdict.outcome is not None:
            interruption.hurry("Prefect would go on to send its events")
        self._progress.note(text)

    def _ended(self, call: Callable[[], Outcome]) -> int:
        try:
            with interruption.as_keyboard_interrupt():
                outcome = call()
        except PreflightFailed as error:
            self._show_what_is_stored()
            if self._verdict.has_findings:  # they were printed
                raise PreflightFailed(error.summary) from error
            raise
        except IncompleteError as error:
            self._show_what_is_stored()
            run_id = self._verdict.run_id
            if run_id is None or run_id in str(error):
                raise
            raise IncompleteError(self._how_to_go_on(str(error))) from error
        except KeyboardInterrupt:
            self._show_what_is_stored()
            raise InterruptedRunError(self._how_to_go_on("interrupted")) from None
        if self._as_json:
            _print_document(outcome.document)
        elif outcome.report is not None:
            stdout_console().print(literal(f"report: {outcome.report}"), soft_wrap=True)
        return outcome.exit_code

    def _how_to_go_on(self, what: str) -> str:
        run_id = self._verdict.run_id
        if run_id is None:
            return f"{what} before anything was measured"
        if self._is_calibration:
            return f"{what}; what was measured is stored, but its lab is gone: start another with `pullbench calibrate`"
        if self._verdict.complete:
            return f"{what} before the report was written; the run is complete: `pullbench report {run_id}` writes it"
        sets = " and the same --set values" if self._with_sets else ""
        return f"{what}; what was measured is stored, go on with `--resume {run_id}`{sets}"

    def _show_what_is_stored(self) -> None:
        """A run that did not come to its end has a document too: what it measured so far."""
        if self._verdict.run_id is None or self._verdict.shown:
            return
        document = run_document(ResultStore(self._results), self._verdict.run_id)
        self._verdict.complete = document["status"] == "complete"
        if self._as_json:
            _print_document(document)
        elif (table := result_table(document)) is not None:
            stdout_console().print(table)


class _Verdict(Progress):
    """Prints what a finished run says as soon as that is known, and keeps its outcome."""

    def __init__(self, run_id: str | None, *, as_json: bool) -> None:
        self.run_id = run_id
        self.outcome: Outcome | None = None
        self.shown = self.complete = self.has_findings = False
        self._as_json, self._excluded_shown = as_json, False

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        self.run_id = run.run_id
        self._excluded_shown = bool(plan.planned_out) and done < len(plan.trials)

    def checked(self, findings: Sequence[Finding]) -> None:
        self.has_findings = bool(findings)

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        self.complete = document["status"] == "complete"
        if self._as_json:
            return
        self.shown = True
        stdout = stdout_console()
        if (table := result_table(dict(document))) is not None:
            stdout.print(table)
            stdout.print()
        print_verdict(stdout, without_excluded(dict(document)) if self._excluded_shown else dict(document))
        stdout.print(literal(f"run {document['run_id']}: {message}"))

    def concluded(self, outcome: Outcome, /) -> None:
        self.outcome = outcome


@contextlib.contextmanager
def server_may_go() -> Iterator[None]:
    """Inside, a server that is gone after Ctrl-C is an interruption: a terminal's Ctrl-C ends Prefect's own server too."""
    from pullbench.serving.flow import ServerGoneError

    try:
        yield
    except ServerGoneError as error:
        interruption.hurry("Prefect would go on to send its events")
        if interruption.received():
            raise KeyboardInterrupt from error
        raise


@contextlib.contextmanager
def _log_named(path: Path | None) -> Iterator[None]:
    """The environment names the log to a flow, which prepares by itself."""
    before = os.environ.get(VARIABLE)
    if path is not None:
        os.environ[VARIABLE] = str(path)
    try:
        yield
    finally:
        if path is not None:
            del os.environ[VARIABLE]
            if before is not None:
                os.environ[VARIABLE] = before


def _print_document(document: Mapping[str, Any]) -> None:
    print(json.dumps(document, indent=2, default=str))
