"""A run that was begun, and whether a session may go on with it."""

import json
from dataclasses import dataclass

from pullbench.bench.specfile import LoadedSpec
from pullbench.errors import UsageError
from pullbench.model.facts import Facts
from pullbench.model.plan import Plan
from pullbench.model.record import Run, RunKind
from pullbench.store.dataset import ResultStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A run that was begun: its record, facts and plan, and the trials that are done."""

    run: Run
    facts: Facts
    plan: Plan
    finished: frozenset[int]
    over: bool
    """Nothing is left to measure."""


def latest_unfinished(store: ResultStore, loaded: LoadedSpec, kind: RunKind) -> Run:
    """The newest run of a spec that is not complete; UsageError where there is none."""
    for run in store.runs():
        if run.status != "complete" and (run.spec_hash, run.kind) == (loaded.hash, kind):
            return run
    raise UsageError(f"--resume latest: no unfinished run of {loaded.source} is stored; `pullbench runs` lists them")


def check_goes_on(run: Run, loaded: LoadedSpec, *, kind: RunKind, vantage: str) -> None:
    """Raises UsageError where the run was made of another spec, at another vantage, or is of another kind."""
    if run.kind == "calibration":
        raise UsageError(
            f"--resume {run.run_id}: the lab of a calibration is gone; start another: `pullbench calibrate`"
        )
    if run.kind != kind:
        command = "run" if run.kind == "benchmark" else run.kind
        raise UsageError(f"--resume {run.run_id}: it is a {run.kind} run: go on with `pullbench {command}`")
    if run.spec_hash != loaded.hash:
        raise UsageError(
            f"--resume {run.run_id}: the run was made of another spec than {loaded.source} ({_differing(run, loaded)}); "
            "give the spec and the --set values that it was started with, or start a new run"
        )
    if run.vantage != vantage:
        raise UsageError(f"--resume {run.run_id}: it was measured at vantage '{run.vantage}', not '{vantage}'")


def _differing(run: Run, loaded: LoadedSpec) -> str:
    """Top keys of the spec that differ from the run's, for people."""
    then, now = json.loads(run.spec), loaded.spec.redacted()
    keys = [key for key in now if key != "budget" and then.get(key) != now[key]]
    return f"differs in: {', '.join(keys)}" if keys else "differs in a secret's value or a file's place"
