"""The flow `compare-runs`: did it get worse? The same code answers `pullbench compare` without Prefect."""

from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.form_fields import HiddenText
from tasks.run_name import named
from tasks.stored import compare_stored


@flow(name="compare-runs", flow_run_name=named("{candidate} compared with {baseline}"), retries=0, persist_result=False)
def compare_runs(
    baseline: Annotated[str, Field(min_length=1)] = "latest",
    candidate: Annotated[str, Field(min_length=1)] = "latest",
    fail_on: Literal["nothing", "regression"] = "nothing",
    fail_from_percent: Annotated[float, Field(ge=0, le=1000)] = 0.0,
    any_machine: bool = False,
    report: bool = True,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
) -> State[Any]:
    """Compare two stored runs, configuration by configuration: slower, faster, more failures.

    Args:
        baseline: latest (the run before the candidate, of the same name), baseline (set by pullbench baseline set), a run_id, a label such as commit=3f4ff3c, or a name.
        candidate: latest, a run_id, a label or a name.
        fail_on: Whether this flow run fails if a configuration is significantly slower, or fails more often.
        fail_from_percent: It fails from this many percent on. 0 means any significant rise.
        any_machine: Let it fail for runs of different machines or vantages too. Their times differ for other reasons.
        report: Render the HTML report.
        results: Directory or URL of the results.
        reports: Directory that the HTML report goes to.
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
