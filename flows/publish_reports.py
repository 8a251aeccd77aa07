"""The flow `publish-reports`: the reports site. The same code answers `pullbench publish` without Prefect."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.stored import publish_stored


@flow(name="publish-reports", flow_run_name="{reports}", retries=0, persist_result=False)
def publish_reports(
    results: str = "results", reports: str = "reports", url: str | None = None, render: bool = True
) -> State[Any]:
    """Build the page of all stored runs, with their verdicts and a feed, and the reports that it lacks.

    Args:
        results: Folder or URL that the results are stored in.
        reports: Folder that the site and its reports go to; static files, which any web server can serve.
        url: Address where the reports will be served, which makes the feed's links whole; as PULLBENCH_REPORTS_URL says where it is empty.
        render: Make the reports that complete runs do not have yet; some seconds each.
    """
    return publish_stored(results=results, reports=Path(reports), url=url, render=render)
