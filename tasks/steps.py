"""The steps of a run as Prefect tasks, called directly and never submitted to a thread. No call of Prefect runs during a trial."""

import logging
from collections.abc import Callable
from typing import TypeVar

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from pullbench.app.preflight import verdict
from pullbench.app.steps import TrialBatch
from pullbench.bench.active_run import ActiveRun
from pullbench.model.finding import Finding, Status
from tasks.artifacts import Artifacts

MadeT = TypeVar("MadeT")


def says_more_than_its_state(record: logging.LogRecord) -> bool:
    """Whether a task's line is more than Prefect's `Finished in state Completed()`, which is in the log once for each task."""
    return record.levelno > logging.INFO or not str(record.msg).startswith("Finished in state")


logging.getLogger("prefect.task_runs").addFilter(says_more_than_its_state)


@task(task_run_name="preflight", retries=0, cache_policy=NO_CACHE, persist_result=False)
def run_preflight(active: ActiveRun) -> list[Finding]:
    """Run every check of the run's targets."""
    findings = active.preflight()
    get_run_logger().info("Preflight of %s: %s.", active.record.name, verdict(findings)[1])
    return findings


@task(task_run_name="{batch}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def run_trials(batch: TrialBatch) -> None:
    """Measure one trial, or a batch of them. Durations come from the trials, never from Prefect's task time."""
    batch.run()


@task(task_run_name="{what}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def make_page(what: str, make: Callable[[], MadeT]) -> MadeT:
    """Render one page: of a run, of a comparison, of a trend, of all reports."""
    made = make()
    get_run_logger().info("Written: %s.", what)
    return made


class TaskSteps:
    """The steps as tasks. Preflight's findings become an artifact where one of them asks for a look."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def preflight(self, active: ActiveRun) -> list[Finding]:
        findings = run_preflight(active)
        if any(finding.status not in (Status.PASS, Status.SKIP) for finding in findings):
            self._artifacts.findings(active.record.name, findings)
        return findings

    def trials(self, batch: TrialBatch) -> None:
        run_trials(batch)

    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:
        return make_page(what, make)
