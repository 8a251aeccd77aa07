"""The steps of a use case, and how they are called: directly, or as Prefect tasks."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from pullbench.bench.active_run import ActiveRun
from pullbench.model.finding import Finding
from pullbench.model.plan import Trial
from pullbench.model.record import TrialResult

MadeT = TypeVar("MadeT")


class TrialBatch:
    """One trial, or several if a plan is too large for Prefect's server; each is measured and stored.

    `starting` gets each trial before it runs, `go_on` after it was stored: it returns whether another follows. A plain class, so that Prefect
    neither walks nor serializes it.
    """

    def __init__(
        self,
        active: ActiveRun,
        trials: Sequence[Trial],
        go_on: Callable[[Trial, TrialResult], bool],
        starting: Callable[[Trial], None],
    ) -> None:
        self._starting = starting
        self._active = active
        self._trials = trials
        self._go_on = go_on

    def run(self) -> None:
        for trial in self._trials:
            self._starting(trial)
            if not self._go_on(trial, self._active.run_trial(trial)):
                return

    def __str__(self) -> str:
        first, last = self._trials[0], self._trials[-1]
        if (stage := first.stage) is not None:
            is_concurrency = first.cell.concurrency == stage.load
            load = f"concurrency {stage.load:g}" if is_concurrency else f"{stage.load:g} pulls/s"
            return f"step {stage.index + 1} · {stage.phase} · {load}"
        if first is last:
            return f"trial {first.number} · {'warm-up' if first.warmup else f'repetition {first.block}'} · {first.cell}"
        return f"trials {first.number} to {last.number}"


class Steps(Protocol):
    """The steps that are Prefect tasks in a flow, and plain calls elsewhere."""

    def preflight(self, active: ActiveRun) -> list[Finding]: ...
    def trials(self, batch: TrialBatch) -> None: ...
    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:
        """Render a page; `what` is its name for display."""
        ...


class DirectSteps:
    """The steps as plain calls."""

    def preflight(self, active: ActiveRun) -> list[Finding]:
        return active.preflight()

    def trials(self, batch: TrialBatch) -> None:
        batch.run()

    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:  # noqa: ARG002
        return make()
