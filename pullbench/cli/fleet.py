"""`fleet`: many nodes of a Dask cluster pull one image at the same time."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import (
    Json,
    LogJson,
    NoReport,
    Prefect,
    Reports,
    Results,
    Resume,
    Sets,
    SkipPreflight,
    SpecFile,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


_Scheduler = Annotated[
    str,
    typer.Option(metavar="ADDRESS", help="The Dask scheduler whose workers run on the nodes: tcp://HOST:8786."),
]
_Nodes = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Nodes that pull at the same time; a worker acts as several if there are fewer workers.",
    ),
]
_Image = Annotated[
    str | None, typer.Option(metavar="IMAGE", help="The image to pull. Default: the first image of the spec.")
]
_Vantage = Annotated[str, typer.Option(metavar="NAME", help="A label for where the fleet runs.")]


@app.command()
def fleet(
    spec: SpecFile,
    scheduler: _Scheduler,
    nodes: _Nodes = 100,
    image: _Image = None,
    sets: Sets = None,
    vantage: _Vantage = "fleet",
    resume: Resume = None,
    skip_preflight: SkipPreflight = False,
    no_report: NoReport = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    log_json: LogJson = None,
    prefect: Prefect = False,
    as_json: Json = False,
) -> int:
    """Measure many nodes that pull one image at the same time.

    The nodes are workers of a Dask cluster. They pull with and without the mirrors of the spec.
    """
    from rich.console import Console

    from pullbench.app.fleet import fleet_settings, prepared_fleet
    from pullbench.app.run import RunRequest
    from pullbench.cli.measuring import Measuring, by_flow, parameters
    from pullbench.cli.terminal.progress import ShellProgress
    from pullbench.cli.terminal.safe_text import print_notice
    from pullbench.serving.secrets import read_block

    fleet_settings(spec, nodes, image, sets or [])  # a wrong spec is an error before anything starts
    request = RunRequest(
        spec=spec,
        sets=tuple(sets or ()),
        vantage=vantage,
        results=results,
        reports=reports,
        resume=resume,
        skip_preflight=skip_preflight,
        report=not no_report,
        log_json=log_json,
        kind="fleet",
    )
    measuring = Measuring(ShellProgress(Console(stderr=True)), request, as_json=as_json)
    if by_flow(prefect):
        cluster = {"scheduler": scheduler, "nodes": nodes, "image": image}
        return measuring.through_flow("fleet_benchmark", parameters(request) | cluster, log_json=log_json)
    return measuring.directly(
        lambda: prepared_fleet(
            request, scheduler=scheduler, nodes=nodes, image=image, block=read_block, warn=print_notice
        )
    )
