"""`regional`: one spec from every vantage."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Reports, Results, Sets, SpecFile

app = typer.Typer(add_completion=False)


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
) -> int:
    """Measure a spec from every vantage that a Prefect server has workers at; one report, region × region."""
    from pullbench.cli.commands.regional import run_regional

    return run_regional(
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
