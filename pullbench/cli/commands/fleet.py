"""`fleet`: many nodes of a Dask cluster pull one image at once, through the flow `fleet-benchmark`."""

from pathlib import Path

from rich.console import Console

from pullbench.app.fleet import fleet_settings
from pullbench.cli.commands.measure import told, without_secret
from pullbench.cli.terminal.progress import ShellProgress
from pullbench.serving.start import PrefectStart


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
) -> int:
    """Measure a spec on a fleet; the exit code."""
    fleet_settings(spec, nodes, image, sets)  # a wrong spec need not wait for Prefect
    progress = ShellProgress(Console(stderr=True))
    PrefectStart(progress.note).wait()
    from flows.fleet_benchmark import fleet_benchmark
    from flows.pull_benchmark import Invocation

    return told(
        Invocation(None, progress, sets, log_json),
        lambda: fleet_benchmark(
            spec=str(spec),
            scheduler=scheduler,
            nodes=nodes,
            image=image,
            vantage=vantage,
            settings=[without_secret(setting) for setting in sets],
            results=results,
            reports=str(reports),
            resume=resume,
            skip_preflight=skip_preflight,
            report=report,
            return_state=True,
        ),
        as_json=as_json,
    )
