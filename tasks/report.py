"""Reports and the site as tasks."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from pullbench.app.page_calls import PageCall, SiteCall
from pullbench.report.site.build import Site


@task(task_run_name="{call}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def render_report(call: PageCall) -> Path:
    """Render one HTML report: of a stored run, of two compared, of a benchmark over its runs."""
    return call.run()


@task(task_run_name="site", retries=0, cache_policy=NO_CACHE, persist_result=False)
def build_reports_site(call: SiteCall) -> Site:
    """Build the page of all runs, with its feed."""
    return call.run()
