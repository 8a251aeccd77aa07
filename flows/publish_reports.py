"""The flow `publish-reports`: the reports site. The same code answers `pullbench publish` without Prefect."""

import os
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from pullbench.app.page_calls import PageCall, SiteCall
from pullbench.app.publish import publish
from pullbench.errors import PullbenchError
from pullbench.report.site.build import Site
from tasks.report import build_reports_site, render_report
from tasks.stored_artifacts import StoredArtifacts, publish_summary


class TaskSteps:
    """The parts as Prefect tasks, called directly."""

    def report(self, call: PageCall) -> Path:
        return render_report(call)

    def site(self, call: SiteCall) -> Site:
        return build_reports_site(call)


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
    artifacts, folder = StoredArtifacts(), Path(reports)
    address = url or os.environ.get("PULLBENCH_REPORTS_URL")
    try:
        done = publish(
            results=results, reports=folder, url=address, render=render, steps=TaskSteps(), note=get_run_logger().info
        )
    except PullbenchError as error:
        return Failed(name="Incomplete", message=str(error))
    artifacts.published(done.site, publish_summary(done.site, done.made, done.failures))
    artifacts.page(done.site.page, folder, address)
    if done.failures:
        more = f"; and {len(done.failures) - 1} more" if len(done.failures) > 1 else ""
        return Failed(name="Incomplete", message=f"{done.failures[0]}{more}")
    return Completed(message=f"{len(done.site.entries)} runs are listed, {done.made} reports were made")
