"""What a run costs beside its measurements: its wall time less trials, set-ups, preflight and report.

The goal is 10% of the run at most, Prefect's start apart. The plan is the demo's, over the embedded lab, through the
flow `pull-benchmark` against a temporary Prefect server.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from flows.conduct import Prepared, Request
from flows.prefect_start import PrefectStart
from pullbench.bench.specfile import as_yaml
from pullbench.lab.world import World
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import Run, TrialResult

GOAL = 0.10


class Stopwatches:
    """Listens to a run, and knows how long each part of it took."""

    def __init__(self) -> None:
        self.measured_s = 0.0
        self._at: dict[str, float] = {}

    def note(self, text: str) -> None:
        if "report" in text:
            self._at["report"] = time.perf_counter()

    def planned(self, run: Run, plan: Plan, done: int) -> None:
        del run, plan, done
        self._at["planned"] = time.perf_counter()

    def checked(self, findings: Sequence[Finding]) -> None:
        del findings
        self._at["checked"] = time.perf_counter()

    def measured(self, trial: Trial, result: TrialResult) -> None:
        del trial
        self.measured_s += result.record.wall_s + result.record.setup_s

    def ended(self) -> None: ...

    @property
    def preflight_s(self) -> float:
        return self._at["checked"] - self._at["planned"]

    def until_report_s(self, since: float) -> float:
        return self._at["report"] - since


class _Timed(Prepared):
    """Knows when the flow's body began: what is before that is Prefect's start."""

    began = 0.0

    def facts(self) -> Facts:
        self.began = self.began or time.perf_counter()
        return super().facts()


def run(rounds: int) -> None:
    """Print each round's shares, and the median's verdict against the goal."""
    prefect = PrefectStart(print)
    prefect.wait()
    shares = []
    with World.start() as world, tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(as_yaml(world.spec(False)), encoding="utf-8")
        for number in range(rounds):
            shares.append(_one_round(number, Request(spec=spec, results=f"{folder}/results", reports=Path(folder))))
    median = statistics.median(shares)
    print(f"overhead: median {median:.1%} of {rounds} runs, goal {GOAL:.0%}: {'met' if median <= GOAL else 'missed'}")


def _one_round(number: int, request: Request) -> float:
    from flows.pull_benchmark import Invocation, invoked_by, pull_benchmark

    watches = Stopwatches()
    prepared = _Timed(request)
    invocation = Invocation(prepared, watches)
    with invoked_by(invocation):
        pull_benchmark(spec=str(request.spec), return_state=True)
    if invocation.error is not None:
        raise invocation.error
    total_s = watches.until_report_s(prepared.began)
    overhead_s = total_s - watches.measured_s - watches.preflight_s
    print(
        f"round {number}: {total_s:.2f} s to the report: trials and set-ups {watches.measured_s:.2f} s, "
        f"preflight {watches.preflight_s:.2f} s, the rest {overhead_s:.2f} s = {overhead_s / total_s:.1%}"
    )
    return overhead_s / total_s
