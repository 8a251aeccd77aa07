"""`calibrate`: pullbench held against known truth."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Reports, Results

app = typer.Typer(add_completion=False)


@app.command()
def calibrate(
    seed: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="What the truth is drawn by; without, another each time.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer lines and repetitions, in half the time.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Store the results, render nothing.")] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the table there as Markdown, such as docs/calibration.md."),
    ] = None,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Hold pullbench itself against links and servers of known truth: how far off is what it measures?"""
    from pullbench.app.calibrate import CalibrationRequest
    from pullbench.cli.commands.calibrate import run_calibration

    request = CalibrationRequest(seed=seed, quick=quick, results=results, reports=reports, report=not no_report)
    return run_calibration(request, markdown=markdown, as_json=as_json)
