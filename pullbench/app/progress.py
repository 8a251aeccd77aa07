"""Who is told how far a use case is, and how its steps are called. Free of Prefect and of printing."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pullbench.bench.active_run import ActiveRun
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import RunRecord, TrialResult

MadeT = TypeVar("MadeT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended; `document` is what `run --json` prints."""

    run_id: str
    document: dict[str, Any]
    report: Path | None
    exit_code: int
    message: str


class Progress(Protocol):
    """Who is told how far a run is. Nothing here is called while a trial runs."""

    def note(self, text: str) -> None: ...
    def planned(self, run: RunRecord, plan: Plan, done: int) -> None: ...
    def checked(self, findings: Sequence[Finding]) -> None: ...
    def measured(self, trial: Trial, result: TrialResult, /) -> None: ...
    def ended(self) -> None:
        """No more trials: whatever stopped them."""

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        """What a finished run says, before its page is rendered."""

    def concluded(self, outcome: Outcome, /) -> None:
        """The run came to its report."""


class Silent:
    """Progress that nobody watches; the base of those who want to know of some things only."""

    def note(self, text: str) -> None: ...
    def planned(self, run: RunRecord, plan: Plan, done: int) -> None: ...
    def checked(self, findings: Sequence[Finding]) -> None: ...
    def measured(self, trial: Trial, result: TrialResult, /) -> None: ...
    def ended(self) -> None: ...
    def verdict(self, document: Mapping[str, Any], message: str, /) -> None: ...
    def concluded(self, outcome: Outcome, /) -> None: ...


class Everyone:
    """Tells several, in order."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def note(self, text: str) -> None:
        for each in self._listeners:
            each.note(text)

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        for each in self._listeners:
            each.planned(run, plan, done)

    def checked(self, findings: Sequence[Finding]) -> None:
        for each in self._listeners:
            each.checked(findings)

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        for each in self._listeners:
            each.measured(trial, result)

    def ended(self) -> None:
        for each in self._listeners:
            each.ended()

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        for each in self._listeners:
            each.verdict(document, message)

    def concluded(self, outcome: Outcome, /) -> None:
        for each in self._listeners:
            each.concluded(outcome)


_WATCHING: ContextVar[Progress | None] = ContextVar("watching", default=None)


@contextlib.contextmanager
def watching(progress: Progress) -> Iterator[None]:
    """Tell `progress` too of every run in this context: a terminal that watches a flow of its own process."""
    token = _WATCHING.set(progress)
    try:
        yield
    finally:
        _WATCHING.reset(token)


def watcher() -> Progress:
    """Who watches the runs of this context."""
    return _WATCHING.get() or Silent()


class TrialBatch:
    """One trial, or several where a plan has more than a Prefect server should see; each is measured and stored.

    `go_on` is told of each trial after it was stored, and says whether there shall be another. A plain class, so that Prefect
    neither walks nor serializes it.
    """

    def __init__(self, active: ActiveRun, trials: Sequence[Trial], go_on: Callable[[Trial, TrialResult], bool]) -> None:
        self._active = active
        self._trials = trials
        self._go_on = go_on

    def run(self) -> None:
        for trial in self._trials:
            if not self._go_on(trial, self._active.run_trial(trial)):
                return

    def __str__(self) -> str:
        first, last = self._trials[0], self._trials[-1]
        if (stage := first.stage) is not None:
            load = f"×{stage.load:g}" if first.cell.concurrency == stage.load else f"{stage.load:g} pulls/s"
            return f"step {stage.index} · {stage.phase} · {load}"
        if first is last:
            return f"trial {first.number} · block {first.block} · {first.cell}"
        return f"trials {first.number} to {last.number}"


class Steps(Protocol):
    """The steps that are Prefect tasks in a flow and plain calls elsewhere."""

    def preflight(self, active: ActiveRun) -> list[Finding]: ...
    def trials(self, batch: TrialBatch) -> None: ...
    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:
        """Make a page; `what` says which, for people."""
        ...


class DirectSteps:
    """The steps as plain calls."""

    def preflight(self, active: ActiveRun) -> list[Finding]:
        return active.preflight()

    def trials(self, batch: TrialBatch) -> None:
        batch.run()

    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:  # noqa: ARG002
        return make()
