"""The commands that measure on other machines, `regional` and `fleet`: what pullbench/cli/main.py is for the others."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, LogJson, NoReport, Reports, Results, Resume, Sets, SkipPreflight, SpecFile

app = typer.Typer()


@app.command()
def regional(
    spec: SpecFile,
    vantages: Annotated[
        list[str] | None,
        typer.Option(
            "--vantage",
            metavar="NAME",
            help="A deployment of pull-benchmark to ask; may be given again. Without: each with the tag 'vantage'.",
        ),
    ] = None,
    sets: Sets = None,
    in_turn: Annotated[
        bool, typer.Option("--in-turn", help="One vantage after the other, so that none feels another's load.")
    ] = False,
    start_within: Annotated[
        float, typer.Option(min=0.05, metavar="MINUTES", help="How long a vantage may take to start.")
    ] = 10.0,
    finish_within: Annotated[
        float, typer.Option(min=0.05, metavar="MINUTES", help="How long a vantage may take in all.")
    ] = 240.0,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> None:
    """Measure a spec from every vantage that a Prefect server has workers at; one report, region × region."""
    from pullbench.cli.commands.regional import run_regional

    code = run_regional(
        spec,
        vantages=vantages or [],
        sets=sets or [],
        in_turn=in_turn,
        start_within_minutes=start_within,
        finish_within_minutes=finish_within,
        results=results,
        reports=reports,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command()
def fleet(
    spec: SpecFile,
    scheduler: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="The Dask scheduler whose workers stand on the nodes: tcp://HOST:8786."),
    ],
    nodes: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Nodes that pull at once; workers play several where they are fewer."),
    ] = 100,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="What all pull; without, the first image of the spec.")
    ] = None,
    sets: Sets = None,
    vantage: Annotated[str, typer.Option(help="Label of the place where the fleet stands.")] = "fleet",
    resume: Resume = None,
    skip_preflight: SkipPreflight = False,
    no_report: NoReport = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    log_json: LogJson = None,
    as_json: Json = False,
) -> None:
    """Measure a fleet: many nodes of a Dask cluster pull one image at the same moment, with and without a mirror."""
    from pullbench.cli.commands.fleet import run_fleet

    code = run_fleet(
        spec,
        scheduler=scheduler,
        nodes=nodes,
        image=image,
        sets=sets or [],
        vantage=vantage,
        results=results,
        reports=reports,
        resume=resume,
        skip_preflight=skip_preflight,
        report=not no_report,
        log_json=log_json,
        as_json=as_json,
    )
    raise typer.Exit(code)
