"""The bodies of the flows that look at stored runs: `compare-runs` and `publish-reports`."""

import os
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State

from pullbench.app.compare import compare
from pullbench.app.publish import publish
from pullbench.model.text import count
from pullbench.report.compare.verdict import comparison_document, headline, warnings
from tasks.artifacts import REPORTS_URL, Artifacts, picture_of, publish_summary
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
    """Compare two runs. Summary and verdicts are artifacts, a regression is an event."""
    artifacts = Artifacts(reports)
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
    document = comparison_document(made.found, None if made.page is None else str(made.page))
    artifacts.comparison(document, made.page, picture_of(made.page))
    Notices().regression(made.found)
    if made.failure is not None:
        return failed(made.failure, made)
    if made.undecided is not None:
        return incomplete(made.undecided, made)
    said = headline(made.found)
    return done(f"{said.title}. {said.sentence}", made)


@ends_in_state
def publish_stored(*, results: str, reports: Path, url: str | None, render: bool) -> State[Any]:
    """Build the reports page and render the reports that it lacks. An empty address is read from `PULLBENCH_REPORTS_URL`."""
    address = url or os.environ.get(REPORTS_URL)
    artifacts = Artifacts(reports, address)
    made = publish(
        results=results,
        reports=reports,
        url=address,
        render=render,
        steps=TaskSteps(artifacts),
        note=get_run_logger().info,
    )
    artifacts.published(made.site, publish_summary(made.site, made.made, made.failures))
    if made.failures:
        more = f" (and {len(made.failures) - 1} more)" if len(made.failures) > 1 else ""
        return incomplete(f"{made.failures[0]}{more}", made)
    return done(
        f"The reports page lists {count(len(made.site.entries), 'run')}. {count(made.made, 'report')} rendered.", made
    )
