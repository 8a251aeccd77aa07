"""Preflight as a task."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pullbench.app.calls import PreflightCall
from pullbench.model.finding import Finding


@task(task_run_name="preflight", retries=0, cache_policy=NO_CACHE, persist_result=False)
def run_preflight(call: PreflightCall) -> list[Finding]:
    """Every check of the run's targets."""
    return call.run()
