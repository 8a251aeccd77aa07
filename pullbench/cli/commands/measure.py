"""`run`, `stress` and `demo`: prepare while Prefect starts, call the flow, tell the outcome."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pullbench.app.run import Outcome, Prepared, Request
from pullbench.bench.specfile import as_yaml
from pullbench.cli.flow_call import outcome_of
from pullbench.cli.terminal.console import print_verdict, stdout_console
from pullbench.cli.terminal.progress import ShellProgress, StressProgress
from pullbench.cli.terminal.safe_text import literal as plain
from pullbench.cli.terminal.tables import result_table
from pullbench.errors import IncompleteError, InterruptedRunError, PreflightFailed
from pullbench.lab.world import World
from pullbench.model.record import RunKind
from pullbench.report.run.documents import run_document
from pullbench.serving.secrets import prefect_secret
from pullbench.serving.start import PrefectStart

if TYPE_CHECKING:
    from flows.pull_benchmark import Invocation  # imports Prefect


def run_spec(
    spec: Path,
    *,
    sets: Sequence[str],
    results: str,
    reports: Path,
    resume: str | None,
    vantage: str,
    skip_preflight: bool,
    report: bool,
    log_json: Path | None = None,
    as_json: bool,
    kind: RunKind = "benchmark",
) -> int:
    """Measure a spec through the flow `pull-benchmark`, or `stress-test`; the exit code."""
    request = Request(
        spec=spec,
        sets=tuple(sets),
        vantage=vantage,
        results=results,
        reports=reports,
        resume=resume,
        skip_preflight=skip_preflight,
        report=report,
        log_json=log_json,
        kind=kind,
    )
    return _measure(request, as_json=as_json)


def run_demo(*, quick: bool, results: str, reports: Path, as_json: bool) -> int:
    """Measure the embedded lab."""
    stderr = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="pullbench-demo-") as folder:
        spec = Path(folder) / "demo.yaml"
        start: Callable[[Callable[[str], None]], PrefectStart] = PrefectStart
        prefect = start(ShellProgress(stderr).note)
        with World.start() as world:
            spec.write_text(as_yaml(world.spec(quick)), encoding="utf-8")
            return _measure(Request(spec=spec, results=results, reports=reports), as_json=as_json, prefect=prefect)


def _measure(request: Request, *, as_json: bool, prefect: PrefectStart | None = None) -> int:
    progress = (StressProgress if request.kind == "stress" else ShellProgress)(Console(stderr=True))
    prepared = Prepared(request, block=prefect_secret)
    if request.resume is not None:
        prepared.look_ahead()  # a run that cannot be resumed need not wait for Prefect
    prefect = prefect or PrefectStart(progress.note)
    prepared.look_ahead()
    prefect.wait()
    from flows.pull_benchmark import Invocation, pull_benchmark
    from flows.stress_test import stress_test

    flow: Callable[..., object] = stress_test if request.kind == "stress" else pull_benchmark
    return told(
        Invocation(prepared, progress),
        lambda: flow(
            spec=str(request.spec),
            vantage=request.vantage,
            settings=[without_secret(setting) for setting in request.sets],
            results=request.results,
            reports=str(request.reports),
            resume=request.resume,
            skip_preflight=request.skip_preflight,
            report=request.report,
            return_state=True,
        ),
        as_json=as_json,
    )


def told(invocation: "Invocation", call: Callable[[], object], *, as_json: bool) -> int:
    """Call a measuring flow in this process and tell how it ended; the exit code."""
    from flows.pull_benchmark import invoked_by

    def called() -> None:
        with invoked_by(invocation):
            call()

    try:
        outcome = outcome_of(
            invocation,
            called,
            incomplete=lambda what: _how_to_go_on(invocation.prepared, what),
            note=invocation.progress.note,
        )
    except PreflightFailed:
        _tell_what_is_stored(invocation.prepared, as_json=as_json)
        raise
    except IncompleteError as error:
        _tell_what_is_stored(invocation.prepared, as_json=as_json)
        prepared = invocation.prepared
        if prepared is None or prepared.run_id is None or prepared.run_id in str(error):
            raise
        raise IncompleteError(_how_to_go_on(prepared, str(error))) from error
    except KeyboardInterrupt:
        _tell_what_is_stored(invocation.prepared, as_json=as_json)
        raise InterruptedRunError(_how_to_go_on(invocation.prepared, "interrupted")) from None
    if as_json:
        _print_document(outcome.document)
    else:
        _print_outcome(outcome)
    return outcome.exit_code


def without_secret(setting: str) -> str:
    """A --set as Prefect may keep it: the values of extra headers may be secrets."""
    key, _, _ = setting.partition("=")
    return f"{key}=(redacted)" if ".headers" in key else setting


def _how_to_go_on(prepared: Prepared | None, what: str) -> str:
    if prepared is None or prepared.run_id is None:
        return f"{what} before anything was measured"
    if prepared.request.kind == "calibration":
        return f"{what}; what was measured is stored, but its lab is gone: start another with `pullbench calibrate`"
    return f"{what}; what was measured is stored, go on with `--resume {prepared.run_id}`"


def _tell_what_is_stored(prepared: Prepared | None, *, as_json: bool) -> None:
    """A run that did not come to its end has a document too: what it measured so far."""
    if prepared is None or prepared.run_id is None:
        return
    document = run_document(prepared.session.store, prepared.run_id)
    if as_json:
        _print_document(document)
    elif (table := result_table(document)) is not None:
        stdout_console().print(table)


def _print_document(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2, default=str))


def _print_outcome(outcome: Outcome) -> None:
    stdout = stdout_console()
    if (table := result_table(outcome.document)) is not None:
        stdout.print(table)
        stdout.print()
    print_verdict(stdout, outcome.document)
    stdout.print(plain(f"run {outcome.run_id}: {outcome.message}"))
    if outcome.report is not None:
        stdout.print(plain(f"report: {outcome.report}"), soft_wrap=True)
