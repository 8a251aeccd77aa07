"""The flow `calibrate`: the whole pipeline on a lab of known truth, which it reads after the last trial."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from pullbench.app.calibrate import CalibrationRequest, prepared_lab
from pullbench.serving.secrets import read_block
from tasks.form_fields import HiddenText, OptionalNumber
from tasks.run import measure
from tasks.run_name import named


@flow(name="calibrate", flow_run_name=named("calibrate at {vantage}"), retries=0, persist_result=False)
def calibrate(
    seed: OptionalNumber = 0,
    quick: bool = False,
    vantage: Annotated[str, Field(min_length=1, max_length=63)] = "local",
    report: bool = True,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
) -> State[Any]:
    """Measure links and servers of known truth, blind, and report the error of each measurement.

    Args:
        seed: Seed of the random truth. 0 draws another each time.
        quick: Fewer links and repetitions, in half the time.
        vantage: Where this client runs; a label of 1 to 63 characters.
        report: Render the HTML report at the end.
        results: Directory or URL that the Parquet files go to.
        reports: Directory that the HTML report goes to.
    """
    request = CalibrationRequest(
        seed=seed or None, quick=quick, vantage=vantage, results=results, reports=Path(reports), report=report
    )
    return measure(prepared_lab(request, read_block))
