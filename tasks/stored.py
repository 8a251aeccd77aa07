"""The bodies of the flows that look at stored runs: `compare-runs` and `publish-reports`."""

import os
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State

from pullbench.app.compare import compare
from pullbench.app.publish import publish
from pullbench.report.compare.verdict import comparison_document, headline, warnings
from tasks.artifacts import Artifacts, publish_summary
from tasks.events import Notices
from tasks.states import done, ends_in_state, failed, incomplete
from tasks.steps import TaskSteps


@ends_in_state
def compare_stored(
    baseline: str,
    candidate: str,
    *,
    results: str,
    reports: Path,
    fail_on: str | None,
    any_machine: bool,
    report: bool,
) -> State[Any]:
    """Compare two runs; verdicts, summary and the report's link are artifacts, a regression an event."""
    artifacts = Artifacts()
    made = compare(
        baseline,
        candidate,
        results=results,
        reports=reports,
        fail_on=fail_on,
        any_machine=any_machine,
        report=report,
        steps=TaskSteps(artifacts),
    )
    for warning in [*warnings(made.found), *([made.note] if made.note else [])]:
        get_run_logger().warning(warning)
    artifacts.comparison(comparison_document(made.found, None if made.page is None else str(made.page)))
    if made.page is not None:
        artifacts.page(made.page, reports, os.environ.get("PULLBENCH_REPORTS_URL"))
    Notices().regression(made.found)
    if made.failure is not None:
        return failed(made.failure, made)
    said = headline(made.found)
    return done(f"{said.title}. {said.sentence}", made)


@ends_in_state
def publish_stored(*, results: str, reports: Path, url: str | None, render: bool) -> State[Any]:
    """Build the site, and the reports that it lacks; `PULLBENCH_REPORTS_URL` stands for an empty address."""
    artifacts, address = Artifacts(), url or os.environ.get("PULLBENCH_REPORTS_URL")
    made = publish(
        results=results,
        reports=reports,
        url=address,
        render=render,
        steps=TaskSteps(artifacts),
        note=get_run_logger().info,
    )
    artifacts.published(made.site, publish_summary(made.site, made.made, made.failures))
    artifacts.page(made.site.page, reports, address)
    if made.failures:
        more = f"; and {len(made.failures) - 1} more" if len(made.failures) > 1 else ""
        return incomplete(f"{made.failures[0]}{more}", made)
    return done(f"{len(made.site.entries)} runs are listed, {made.made} reports were made", made)
