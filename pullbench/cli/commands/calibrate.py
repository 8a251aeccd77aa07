"""`calibrate`: start the lab while Prefect starts, measure it blind through the flow `calibrate`, tell how far off it is."""

from pathlib import Path

from rich.console import Console

from pullbench.app.calibrate import Asked, prepared_lab
from pullbench.cli.commands.measure import told
from pullbench.cli.terminal.progress import CalibrationProgress
from pullbench.report.calibration.words import check_place, put_into
from pullbench.serving.secrets import prefect_secret
from pullbench.serving.start import PrefectStart


def run_calibration(asked: Asked, *, markdown: Path | None, as_json: bool) -> int:
    """Calibrate; the exit code: 1 where a goal is missed."""
    if markdown is not None:
        check_place(markdown)
    progress = CalibrationProgress(Console(stderr=True))
    prefect = PrefectStart(progress.note)
    with prepared_lab(asked, prefect_secret) as prepared:
        prefect.wait()
        from flows.calibrate import calibrate
        from flows.pull_benchmark import Invocation

        invocation = Invocation(prepared, progress)
        code = told(
            invocation,
            lambda: calibrate(
                seed=asked.seed,
                quick=asked.quick,
                vantage=asked.vantage,
                results=asked.results,
                reports=str(asked.reports),
                report=asked.report,
                return_state=True,
            ),
            as_json=as_json,
        )
    if markdown is not None and invocation.outcome is not None:
        put_into(markdown, invocation.outcome.document)
    return code
