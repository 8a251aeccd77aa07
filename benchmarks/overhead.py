"""What a run costs in addition to its measurements: wall time minus trials, set-up, preflight and report.

The goal is at most 10% of the run. The plan is the demo's, over the embedded lab, without Prefect.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.scorecard import Goal, ScoreLine
from pullbench.app.progress import Progress
from pullbench.app.run import RunRequest, conduct, preparing
from pullbench.app.steps import DirectSteps
from pullbench.bench.specfile import as_yaml
from pullbench.lab.embedded import EmbeddedLab
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import RunRecord, TrialResult

GOAL = Goal(bound=10)
"""Per cent."""


class Stopwatches(Progress):
    """Follows a run and measures how long each part takes."""

    def __init__(self) -> None:
        self.measured_s = 0.0
        self._at: dict[str, float] = {}

    def note(self, text: str) -> None:
        if "report" in text:
            self._at["report"] = time.perf_counter()

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        del run, plan, done
        self._at["planned"] = time.perf_counter()

    def checked(self, findings: Sequence[Finding]) -> None:
        del findings
        self._at["checked"] = time.perf_counter()

    def measured(self, trial: Trial, result: TrialResult) -> None:
        del trial
        self.measured_s += result.record.wall_s + result.record.setup_s

    @property
    def preflight_s(self) -> float:
        return self._at["checked"] - self._at["planned"]

    def until_report_s(self, since: float) -> float:
        return self._at["report"] - since


def lines(rounds: int) -> list[ScoreLine]:
    """One run a round, one after the other."""
    with EmbeddedLab.start() as lab, tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(as_yaml(lab.spec(False)), encoding="utf-8")
        request = RunRequest(spec=spec, results=f"{folder}/results", reports=Path(folder))
        taken = [_one_round(request) for _ in range(rounds)]
    total_s, rest_s = (statistics.median(column) for column in zip(*taken, strict=True))
    return [
        ScoreLine(
            what="the demo's run up to its report: time outside trials, set-up and preflight",
            values=tuple(100 * rest / total for total, rest in taken),
            unit="%",
            goal=GOAL,
            ours=f"{rest_s:.2f} s of {total_s:.1f} s",
        )
    ]


def _one_round(request: RunRequest) -> tuple[float, float]:
    """Seconds from the spec to the report, and the seconds in which nothing was measured."""
    watches = Stopwatches()
    began = time.perf_counter()
    with preparing(request) as prepared:
        conduct(prepared, DirectSteps(), watches)
    total_s = watches.until_report_s(began)
    return total_s, total_s - watches.measured_s - watches.preflight_s
