"""How a run that stopped is resumed, for a flow run's message: from the UI, and from a shell."""

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path

from prefect import runtime

from pullbench.app.run import RunRequest
from pullbench.model.record import RunRecord

_COMMANDS = {"benchmark": "run", "stress": "stress"}
_FLOWS = {"benchmark": "pull-benchmark", "stress": "stress-test", "fleet": "fleet-benchmark"}
_PLACES = ("results", "reports")


def how_to_resume(request: RunRequest, run: RunRecord, *, is_measured: bool) -> str:
    """`Run 2027…: to resume it, …`; `is_measured`: the run is complete, and only its report is missing.

    Its command can be pasted into a shell as it is, in the directory where the run worked.
    """
    if is_measured:
        command = ["pullbench", "report", run.run_id, *_options(request, _PLACES)]
        return f"Run {run.run_id} is complete. Its report{_where()}: `{shlex.join(command)}`."
    if run.kind == "calibration":
        return f"Run {run.run_id} is stored. Its lab is gone, so it cannot be resumed: start another calibration."
    flow = _FLOWS[run.kind]
    deployment = runtime.deployment.name or flow
    return (
        f"Run {run.run_id} keeps its finished trials. To resume it in the UI: start {deployment} with "
        f"resume = {run.run_id}. From a shell{_where()}: `{shlex.join(_shell(request, run, f'{flow}/{deployment}'))}`."
    )


def _where() -> str:
    """A worker's directory is not that of whoever reads its message."""
    return "" if runtime.deployment.id is None else f" in {Path.cwd()}"


def _shell(request: RunRequest, run: RunRecord, deployment: str) -> list[str]:
    """The shortest command: without a spec file only the deployment knows what to measure."""
    if run.kind in _COMMANDS and isinstance(request.spec, Path) and not _changed(request):
        command = ["pullbench", _COMMANDS[run.kind], str(request.spec), "--resume", run.run_id]
        flags = {"--skip-preflight": request.skip_preflight, "--no-report": not request.report}
        return [
            *command,
            *_options(request, ("vantage", *_PLACES)),
            *_each("--only", list(request.only)),
            *_each("--skip", list(request.skip)),
            *(flag for flag, is_set in flags.items() if is_set),
        ]
    given = [f"{name}={value}" for name, value in _not_default(request, _PLACES)]
    return ["prefect", "deployment", "run", deployment, *_each("-p", [f"resume={run.run_id}", *given])]


def _changed(request: RunRequest) -> bool:
    return bool(request.sets) or request.overrides != type(request.overrides)()


def _options(request: RunRequest, names: tuple[str, ...]) -> list[str]:
    return [part for name, value in _not_default(request, names) for part in (f"--{name}", value)]


def _not_default(request: RunRequest, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    defaults = {field.name: field.default for field in dataclasses.fields(request)}
    for name in names:
        if (value := getattr(request, name)) != defaults[name]:
            yield name, str(value)


def _each(option: str, values: list[str]) -> list[str]:
    return [part for value in values for part in (option, value)]
