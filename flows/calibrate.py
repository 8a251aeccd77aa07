"""The flow `calibrate`: the whole pipeline on a lab of known truth, which it is told when nothing is left to measure."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from pullbench.app.calibrate import CalibrationRequest, prepared_lab
from pullbench.serving.secrets import read_block
from tasks.run import measure


@flow(name="calibrate", flow_run_name="calibrate at {vantage}", retries=0, persist_result=False)
def calibrate(
    seed: Annotated[int | None, Field(ge=1)] = None,
    quick: bool = False,
    vantage: Annotated[str, Field(min_length=1, max_length=63)] = "local",
    results: str = "results",
    reports: str = "reports",
    report: bool = True,
) -> State[Any]:
    """Measure lines and servers of known truth, blind, and report how far off each measurement is.

    Args:
        seed: What the truth is drawn by; empty draws another each time.
        quick: Fewer lines and repetitions, in half the time.
        vantage: Label of the place where this client stands.
        results: Folder or URL that the Parquet goes to.
        reports: Folder that the HTML report goes to.
        report: Render the HTML report at the end.
    """
    request = CalibrationRequest(
        seed=seed, quick=quick, vantage=vantage, results=results, reports=Path(reports), report=report
    )
    return measure(prepared_lab(request, read_block))
