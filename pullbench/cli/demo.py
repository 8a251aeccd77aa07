"""`demo`: the embedded lab measured."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Reports, Results

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer settings and repetitions: a look in half a minute.")
    ] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Measure an embedded lab: two regions, a proxy, the whole pipeline, a report. No network, Docker or root."""
    from pullbench.cli.commands.measure import run_demo

    return run_demo(quick=quick, results=results, reports=reports, as_json=as_json)
