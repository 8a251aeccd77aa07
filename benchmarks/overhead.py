"""What a run costs beside its measurements: its wall time less trials, set-ups, preflight and report.

The goal is 10% of the run at most, Prefect's start apart. The plan is the demo's, over the embedded lab, through the
flow `pull-benchmark` against a temporary Prefect server.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scorecard import Goal, ScoreLine
from pullbench.app.run import Prepared, Request
from pullbench.bench.specfile import as_yaml
from pullbench.lab.embedded import EmbeddedLab
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import Run, TrialResult
from pullbench.serving.start import PrefectStart

GOAL = Goal(bound=10)
"""Per cent."""


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


def lines(rounds: int) -> list[ScoreLine]:
    """One run a round, one after the other."""
    said: list[str] = []
    prefect = PrefectStart(said.append)
    prefect.wait()
    with EmbeddedLab.start() as world, tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(as_yaml(world.spec(False)), encoding="utf-8")
        request = Request(spec=spec, results=f"{folder}/results", reports=Path(folder))
        taken = [_one_round(request) for _ in range(rounds)]
    total_s, rest_s = (statistics.median(column) for column in zip(*taken, strict=True))
    return [
        ScoreLine(
            what="the demo's run to its report, without Prefect's start: what is no trial, set-up or preflight",
            values=tuple(100 * rest / total for total, rest in taken),
            unit="%",
            goal=GOAL,
            ours=f"{rest_s:.2f} s of {total_s:.1f} s",
        )
    ]


def _one_round(request: Request) -> tuple[float, float]:
    """Seconds from the start of the flow's body to the report, and those of them in which nothing was measured."""
    from flows.pull_benchmark import Invocation, invoked_by, pull_benchmark

    watches = Stopwatches()
    prepared = _Timed(request)
    invocation = Invocation(prepared, watches)
    with invoked_by(invocation):
        pull_benchmark(spec=str(request.spec), return_state=True)
    if invocation.error is not None:
        raise invocation.error
    total_s = watches.until_report_s(prepared.began)
    return total_s, total_s - watches.measured_s - watches.preflight_s
