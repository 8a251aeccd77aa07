"""`calibrate`: pullbench compared with known truth."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Prefect, Reports, Results

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def calibrate(
    seed: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The seed of the truth. Default: a new one each time.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer lines and repetitions: half the time.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Store the results, make no report.")] = False,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the table to this file as Markdown, such as docs/calibration.md."),
    ] = None,
    results: Results = "results",
    reports: Reports = Path("reports"),
    prefect: Prefect = False,
    as_json: Json = False,
) -> int:
    """Test pullbench itself: how far off are its results?

    It measures links and servers of known speed, and reports by how much each result differs.
    """
    from rich.console import Console

    from pullbench.app.calibrate import CalibrationRequest, prepared_lab
    from pullbench.cli.measuring import Measuring, by_flow
    from pullbench.cli.terminal.progress import CalibrationProgress
    from pullbench.report.calibration.words import check_place, put_into
    from pullbench.serving.secrets import read_block

    if markdown is not None:
        check_place(markdown)
    request = CalibrationRequest(seed=seed, quick=quick, results=results, reports=reports, report=not no_report)
    progress = CalibrationProgress(Console(stderr=True))
    measuring = Measuring(progress, request, as_json=as_json)
    if by_flow(prefect):
        code = measuring.through_flow("calibrate", {**asdict(request), "reports": str(reports)})
    else:
        code = measuring.directly(lambda: prepared_lab(request, read_block))
    if markdown is not None and measuring.outcome is not None:
        put_into(markdown, measuring.outcome.document)
    return code
