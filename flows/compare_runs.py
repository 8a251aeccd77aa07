"""The flow `compare-runs`: did it get worse? The same code answers `pullbench compare` without Prefect."""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.stored import compare_stored


@flow(name="compare-runs", flow_run_name="{candidate} against {baseline}", retries=0, persist_result=False)
def compare_runs(
    baseline: Annotated[str, Field(min_length=1)] = "latest",
    candidate: Annotated[str, Field(min_length=1)] = "latest",
    fail_on: Literal["nothing", "regression"] = "nothing",
    fail_from_percent: Annotated[float, Field(ge=0, le=1000)] = 0.0,
    any_machine: bool = False,
    results: str = "results",
    reports: str = "reports",
    report: bool = True,
) -> State[Any]:
    """Compare two stored runs, setting by setting: what got slower, what got faster, what fails more.

    Args:
        baseline: A run_id; baseline, as pullbench baseline set named it; latest, the one before of the same name; a label such as commit=3f4ff3c; or a name.
        candidate: A run_id, latest, a label or a name.
        fail_on: Whether this flow run fails where a setting is proven slower, or fails more often.
        fail_from_percent: How much slower at least, in percent, for it to fail; any proven rise with 0.
        any_machine: Let it fail across different machines or vantages too, whose times differ for other reasons.
        results: Folder or URL that the results are stored in.
        reports: Folder that the HTML report goes to.
        report: Render the HTML report.
    """
    return compare_stored(
        baseline,
        candidate,
        results=results,
        reports=Path(reports),
        fail_on=None if fail_on == "nothing" else f"{fail_on}:{fail_from_percent:f}",
        any_machine=any_machine,
        report=report,
    )
