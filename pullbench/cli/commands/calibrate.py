"""`calibrate`: start the lab of known truth, measure it blind, report how far off it is."""

from pathlib import Path

from rich.console import Console

from pullbench.app.calibrate import CalibrationRequest, prepared_lab
from pullbench.cli.commands.measure import Measuring, by_flow
from pullbench.cli.terminal.calibration import CalibrationProgress
from pullbench.report.calibration.words import check_place, put_into
from pullbench.serving.secrets import prefect_secret


def run_calibration(request: CalibrationRequest, *, markdown: Path | None, as_json: bool, prefect: bool = False) -> int:
    """Calibrate; the exit code: 1 where a goal is missed."""
    if markdown is not None:
        check_place(markdown)
    progress = CalibrationProgress(Console(stderr=True))
    measuring = Measuring(progress, results=request.results, kind="calibration", as_json=as_json)
    if by_flow(prefect):
        parameters = {
            "seed": request.seed,
            "quick": request.quick,
            "vantage": request.vantage,
            "results": request.results,
            "reports": str(request.reports),
            "report": request.report,
        }
        code = measuring.through_flow("calibrate", parameters)
    else:
        code = measuring.directly(lambda: prepared_lab(request, prefect_secret))
    if markdown is not None and measuring.outcome is not None:
        put_into(markdown, measuring.outcome.document)
    return code
