"""The report as a task."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.calls import ReportCall


@task(task_run_name="report", retries=0, cache_policy=NO_CACHE, persist_result=False)
def render_report(call: ReportCall) -> Path:
    """Render a stored run's HTML report."""
    return call.run()
