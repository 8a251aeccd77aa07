"""How a run that stopped is resumed, for a flow run's message: from the UI, and from a shell."""

from pathlib import Path

from prefect import runtime

from pullbench.app.run import RunRequest
from pullbench.model.record import RunRecord

_COMMANDS = {"benchmark": "run", "stress": "stress"}
_FLOWS = {"benchmark": "pull-benchmark", "stress": "stress-test", "fleet": "fleet-benchmark"}


def how_to_resume(request: RunRequest, run: RunRecord, *, is_measured: bool) -> str:
    """`Run 2027…: to resume it, …`; `is_measured`: the run is complete, and only its report is missing."""
    if is_measured:
        return f"Run {run.run_id} is complete. Its report: `pullbench report {run.run_id}`."
    if run.kind == "calibration":
        return f"Run {run.run_id} is stored. Its lab is gone, so it cannot be resumed: start another calibration."
    flow = _FLOWS[run.kind]
    deployment = runtime.deployment.name or flow
    return (
        f"Run {run.run_id} keeps its finished trials. To resume it in the UI: start {deployment} with "
        f"resume = {run.run_id}. From a shell: `{_shell(request, run, f'{flow}/{deployment}')}`."
    )


def _shell(request: RunRequest, run: RunRecord, deployment: str) -> str:
    """The shortest command: without a spec file only the deployment knows what to measure."""
    if run.kind in _COMMANDS and isinstance(request.spec, Path) and not _changed(request):
        return f"pullbench {_COMMANDS[run.kind]} {request.spec} --resume {run.run_id}"
    return f"prefect deployment run {deployment} -p resume={run.run_id}"


def _changed(request: RunRequest) -> bool:
    return bool(request.sets) or request.overrides != type(request.overrides)()
