"""The order of a stress test: measure a step, judge it as the report does, and let the ramp's state machine choose the next."""

from collections.abc import Sequence

from pullbench.app.budget import BudgetMeter
from pullbench.app.progress import Progress
from pullbench.app.steps import Steps, TrialBatch
from pullbench.bench.active_run import ActiveRun
from pullbench.errors import ErrorCode
from pullbench.model.plan import Trial
from pullbench.model.ramp import End, EndReason, StepResult, next_stage
from pullbench.model.record import TrialResult
from pullbench.model.stress_plan import Ramp, ramp_of, stage_trials, warm_up_trials
from pullbench.report.core.stored import read_run, records
from pullbench.report.stress.steps import step_results, steps
from pullbench.report.stress.verdict import step_line

_TOO_MANY = 429
_LIMITED = "rate limited by the registry (429)"


def climb(active: ActiveRun, calls: Steps, progress: Progress, *, resumed: bool) -> str | None:
    """Measure step by step until the ramp ends; each step is stored, and judged from its stored rows.

    Returns why the test is incomplete, for people: the budget is used up, or a rate limit. None where it is complete.
    """
    ramp = ramp_of(active.spec, active.facts)
    climber = _Climber(active, calls, progress, ramp)
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
        first = len(active.stored_trials())
        climber.measure(stage_trials(active.spec, ramp, move, done=there, first=first))
        done = [step for step in done if step.index < move.index] + climber.judged(since=move.index)


class _Climber:
    """Measures batches of trials within the budget; a rate limit ends a batch."""

    def __init__(self, active: ActiveRun, calls: Steps, progress: Progress, ramp: Ramp) -> None:
        self.spent: str | None = None
        self._active, self._calls, self._progress, self._ramp = active, calls, progress, ramp
        self._meter = BudgetMeter(active.spec.budget, active.facts, clock_s=active.bench.clock.monotonic)

    def warm_up(self) -> None:
        finished = self._active.stored_trials()
        left = [trial for trial in warm_up_trials(self._active.spec, self._ramp) if trial.number not in finished]
        if left:
            self.measure(left)

    def measure(self, trials: Sequence[Trial]) -> None:
        self._calls.trials(TrialBatch(self._active, trials, self._go_on, self._progress.starting))

    def judged(self, *, since: int) -> list[StepResult]:
        """The stored steps from one on, judged; the progress receives a line about the last."""
        table = steps(read_run(self._active.store, self._active.run_id), since=since)
        for row in records(table.tail(1)):
            self._progress.note(step_line(self._ramp.stress.ramp, row))
        return step_results(table)

    def _go_on(self, trial: Trial, result: TrialResult) -> bool:
        self._progress.measured(trial, result)
        if (used_up := self._meter.add(trial, result)) is not None:
            self.spent = f"{used_up} after trial {trial.number}"
        limited = any(pull.error_code is ErrorCode.RATE_LIMITED for pull in result.pulls)
        return not (self.spent or limited or any(row.status == _TOO_MANY for row in result.transfers))
