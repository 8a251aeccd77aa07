"""What the tasks are given: plain classes, so that Prefect neither walks nor serializes them. Free of Prefect."""

from collections.abc import Callable, Sequence

from pullbench.app.page_calls import ReportCall as ReportCall  # a call of a measuring flow as the others here
from pullbench.bench.session import Session
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import TrialResult


class PreflightCall:
    """Every check of a run's targets; the findings are stored."""

    def __init__(self, session: Session, run_id: str, facts: Facts, plan: Plan) -> None:
        self._session = session
        self._run_id = run_id
        self._facts = facts
        self._plan = plan

    def run(self) -> list[Finding]:
        return self._session.preflight(self._run_id, self._facts, self._plan)


class TrialBatch:
    """One trial, or several where a plan has more than Prefect should see; each is measured and stored.

    `go_on` is told of each trial after it was stored, and says whether there shall be another.
    """

    def __init__(
        self,
        session: Session,
        run_id: str,
        facts: Facts,
        trials: Sequence[Trial],
        go_on: Callable[[Trial, TrialResult], bool],
    ) -> None:
        self._session = session
        self._run_id = run_id
        self._facts = facts
        self._trials = trials
        self._go_on = go_on

    def run(self) -> None:
        for trial in self._trials:
            result = self._session.run_trial(self._run_id, trial, self._facts)
            if not self._go_on(trial, result):
                return

    def __str__(self) -> str:
        first, last = self._trials[0], self._trials[-1]
        if (stage := first.stage) is not None:
            load = f"×{stage.load:g}" if first.cell.concurrency == stage.load else f"{stage.load:g} pulls/s"
            return f"step {stage.index} · {stage.phase} · {load}"
        if first is last:
            return f"trial {first.number} · block {first.block} · {first.cell}"
        return f"trials {first.number} to {last.number}"
