"""The flow `publish-reports`: the page of all reports. The same code answers `pullbench publish` without Prefect."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.form_fields import HiddenText, OptionalText
from tasks.run_name import named
from tasks.stored import publish_stored


@flow(name="publish-reports", flow_run_name=named("all reports"), retries=0, persist_result=False)
def publish_reports(
    url: OptionalText = "",
    render: bool = True,
    results: HiddenText = "results",
    reports: HiddenText = "reports",
) -> State[Any]:
    """Build the page of all stored runs with their verdicts and a feed, and render the missing reports.

    Args:
        url: Address where the reports will be served, for the feed's links. Empty takes PULLBENCH_REPORTS_URL, else the address of the last time.
        render: Render the reports that complete runs lack. Each takes some seconds.
        results: Directory or URL of the results.
        reports: Directory that the page and the reports go to.
    """
    return publish_stored(results=results, reports=Path(reports), url=url or None, render=render)
