"""The order of a stress test: measure a step, judge it as the report will, let the ramp's state machine say what is next."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pullbench.app.budget import BudgetMeter
from pullbench.app.calls import TrialBatch
from pullbench.bench.session import Session
from pullbench.errors import ErrorCode
from pullbench.model.facts import Facts
from pullbench.model.plan import Trial
from pullbench.model.ramp import End, EndReason, StepResult, next_stage
from pullbench.model.record import Run, TrialResult
from pullbench.model.stress_plan import Ramp, ramp_of, stage_trials, warm_up_trials
from pullbench.report.core.stored import read_run, records
from pullbench.report.stress.steps import step_results, steps
from pullbench.report.stress.verdict import step_line

if TYPE_CHECKING:
    from pullbench.app.run import Progress, Steps

_TOO_MANY = 429
_LIMITED = "rate limited by the registry (429)"


def climb(
    run: Run, facts: Facts, session: Session, tasks: "Steps", progress: "Progress", *, resumed: bool
) -> str | None:
    """Measure step by step until the ramp ends; each step is stored, and judged from what is stored.

    Returns why the test is incomplete, for people: a budget that was used up, or a rate limit. None where it is over.
    """
    ramp = ramp_of(session.spec, facts)
    climber = _Climber(run, facts, session, tasks, progress, ramp)
    try:
        climber.warm_up()
        done = climber.judged(since=0)
        while True:
            move = next_stage(ramp.stress, ramp.loads, done, resumed=resumed)
            resumed = False
            if isinstance(move, End):
                return _LIMITED if move.reason is EndReason.RATE_LIMITED else None
            if climber.spent:
                return climber.spent
            there = next((step.trials for step in done if step.index == move.index), 0)
            first = len(session.store.finished_trials(run.run_id))
            climber.measure(stage_trials(session.spec, ramp, move, done=there, first=first))
            done = [step for step in done if step.index < move.index] + climber.judged(since=move.index)
    finally:
        progress.ended()
        for line in session.left_upstream(run.run_id):
            progress.note(line)


class _Climber:
    """Measures batches of trials within the budget; a rate limit ends a batch at once."""

    def __init__(
        self, run: Run, facts: Facts, session: Session, tasks: "Steps", progress: "Progress", ramp: Ramp
    ) -> None:
        self.spent: str | None = None
        self._run, self._facts, self._session = run, facts, session
        self._tasks, self._progress, self._ramp = tasks, progress, ramp
        self._meter = BudgetMeter(session.spec.budget, facts, clock_s=session.clock.monotonic)

    def warm_up(self) -> None:
        finished = self._session.store.finished_trials(self._run.run_id)
        left = [trial for trial in warm_up_trials(self._session.spec, self._ramp) if trial.number not in finished]
        if left:
            self.measure(left)

    def measure(self, trials: Sequence[Trial]) -> None:
        self._tasks.trials(TrialBatch(self._session, self._run.run_id, self._facts, trials, self._go_on))

    def judged(self, *, since: int) -> list[StepResult]:
        """The stored steps from one on, judged; the last of them is told."""
        table = steps(read_run(self._session.store, self._run.run_id), since=since)
        for row in records(table.tail(1)):
            self._progress.note(step_line(self._ramp.stress.ramp, row))
        return step_results(table)

    def _go_on(self, trial: Trial, result: TrialResult) -> bool:
        self._progress.measured(trial, result)
        if (used_up := self._meter.add(trial, result)) is not None:
            self.spent = f"{used_up} after trial {trial.number}"
        limited = any(pull.error_code is ErrorCode.RATE_LIMITED for pull in result.pulls)
        return not (self.spent or limited or any(row.status == _TOO_MANY for row in result.transfers))
