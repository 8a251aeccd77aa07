"""The measuring task: nothing of Prefect happens while a trial runs."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pullbench.app.calls import TrialBatch


@task(task_run_name="{batch}", retries=0, cache_policy=NO_CACHE, persist_result=False)
def run_trials(batch: TrialBatch) -> None:
    """Measure one trial, or a batch of them; the durations come from the trials, never from Prefect's task time."""
    batch.run()
