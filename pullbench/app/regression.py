"""A finished run beside its baseline, where one is set."""

from pullbench.report.compare.runs import RunsCompared, compare_runs
from pullbench.report.core.stored import read_run
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore


def beside_baseline(store: ResultStore, run_id: str) -> RunsCompared | None:
    """The run compared with the baseline of its name; None where none is set, or the run is the baseline itself."""
    candidate = read_run(store, run_id)
    baseline = Baselines(store).of(candidate.run.name)
    if baseline is None or baseline.run_id == run_id:
        return None
    return compare_runs(read_run(store, baseline.run_id), candidate)
