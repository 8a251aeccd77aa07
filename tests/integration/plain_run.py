"""A run of a scripted engine without Prefect, for the tests that stop it, fill its disk or take its folder away."""

from pathlib import Path

import yaml

from pullbench.app.progress import Outcome
from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.app.steps import TrialBatch
from tests.app.test_run import Calls
from tests.bench.samples import facts_for, spec_data

TRIALS = 40


def spec_file(folder: Path, **changes: object) -> Path:
    """A plan of TRIALS trials that last some milliseconds each."""
    changes = {"repetitions": TRIALS // 2, "warmup": 0, **changes}
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data(**changes)), encoding="utf-8")
    return path


def run(spec: Path, results: str, resume: str | None, calls: Calls | None = None, *, ask: bool = False) -> Outcome:
    """Run it, or go on with it, to its end; `ask` gathers the facts from real parts. Raises as `conduct` does."""
    prepared = Prepared(RunRequest(spec=spec, results=results, resume=resume))
    if resume is None and not ask:
        prepared.use_facts(facts_for(prepared.bench.spec))
    calls = calls or Calls()
    with prepared.bench:
        return conduct(prepared, calls, calls)


class Between(Calls):
    """Does something after the trial of a number was stored."""

    def __init__(self, number: int, action: object) -> None:
        super().__init__()
        self._number = number
        self._action = action

    def trials(self, batch: TrialBatch) -> None:
        batch.run()
        if len(self.measured_trials) == self._number:
            self._action()  # type: ignore[operator]
