"""The flow `compare-runs`: did it get worse? The same code answers `pullbench compare` without Prefect."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from pullbench.app.compare import compare
from pullbench.errors import IncompleteError, PullbenchError
from pullbench.report.compare.verdict import comparison_document, headline, warnings
from tasks.events import Notices
from tasks.report import render_report
from tasks.stored_artifacts import StoredArtifacts


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
    artifacts, folder = StoredArtifacts(), Path(reports)
    try:
        done = compare(
            baseline,
            candidate,
            results=results,
            reports=folder,
            fail_on=None if fail_on == "nothing" else f"{fail_on}:{fail_from_percent:f}",
            any_machine=any_machine,
            render=render_report if report else None,
        )
    except PullbenchError as error:
        return Failed(name="Incomplete" if isinstance(error, IncompleteError) else None, message=str(error))
    said = headline(done.found)
    for warning in [*warnings(done.found), *([done.note] if done.note else [])]:
        get_run_logger().warning(warning)
    artifacts.comparison(comparison_document(done.found, None if done.page is None else str(done.page)))
    if done.page is not None:
        artifacts.page(done.page, folder, os.environ.get("PULLBENCH_REPORTS_URL"))
    Notices().regression(done.found)
    if done.failure is not None:
        return Failed(message=done.failure)
    return Completed(message=f"{said.title}. {said.sentence}")
