"""`fleet`: many nodes of a Dask cluster pull one image at the same moment."""

from pathlib import Path

from rich.console import Console

from pullbench.app.fleet import fleet_settings, prepared_fleet
from pullbench.app.run import RunRequest
from pullbench.cli.commands.measure import Measuring, by_flow, parameters
from pullbench.cli.terminal.console import ShellProgress
from pullbench.serving.secrets import prefect_secret


def run_fleet(
    spec: Path,
    *,
    scheduler: str,
    nodes: int,
    image: str | None,
    sets: list[str],
    vantage: str,
    results: str,
    reports: Path,
    resume: str | None,
    skip_preflight: bool,
    report: bool,
    log_json: Path | None = None,
    as_json: bool,
    prefect: bool = False,
) -> int:
    """Measure a spec on a fleet; the exit code."""
    fleet_settings(spec, nodes, image, sets)  # a wrong spec is told before anything is started
    request = RunRequest(
        spec=spec,
        sets=tuple(sets),
        vantage=vantage,
        results=results,
        reports=reports,
        resume=resume,
        skip_preflight=skip_preflight,
        report=report,
        log_json=log_json,
        kind="fleet",
    )
    measuring = Measuring(ShellProgress(Console(stderr=True)), results=results, kind="fleet", as_json=as_json)
    fleet = {"scheduler": scheduler, "nodes": nodes, "image": image}
    if by_flow(prefect):
        return measuring.through_flow("fleet_benchmark", parameters(request) | fleet, log_json=log_json)
    return measuring.directly(
        lambda: prepared_fleet(request, scheduler=scheduler, nodes=nodes, image=image, block=prefect_secret)
    )
