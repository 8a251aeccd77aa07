"""Who follows a run: a terminal, a log, the Prefect UI. Free of Prefect and of printing."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import RunRecord, TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended; `document` is what `run --json` prints."""

    run_id: str
    document: dict[str, Any]
    report: Path | None
    exit_code: int
    message: str


class Progress:
    """Follows a run; this one does nothing with it. Nothing here is called while a trial runs."""

    def note(self, text: str) -> None: ...
    def planned(self, run: RunRecord, plan: Plan, done: int) -> None: ...
    def checked(self, findings: Sequence[Finding]) -> None: ...
    def starting(self, trial: Trial, /) -> None:
        """A trial is about to run."""

    def measured(self, trial: Trial, result: TrialResult, /) -> None: ...
    def ended(self) -> None:
        """No more trials, whatever stopped them."""

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        """What a finished run says, before its page is rendered."""

    def concluded(self, outcome: Outcome, /) -> None:
        """The run came to its report."""


class Everyone(Progress):
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

    def starting(self, trial: Trial, /) -> None:
        for each in self._listeners:
            each.starting(trial)

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
    return _WATCHING.get() or Progress()


_RECEIVED: ContextVar[list[object] | None] = ContextVar("received", default=None)


@contextlib.contextmanager
def receiving() -> Iterator[list[object]]:
    """Get what flows of this context end with: each one's outcome, or its error. Prefect's state has the message alone."""
    received: list[object] = []
    token = _RECEIVED.set(received)
    try:
        yield received
    finally:
        _RECEIVED.reset(token)


def hand_over(ended_with: object) -> None:
    """Give what a flow ended with to the caller in this process, where there is one."""
    if (received := _RECEIVED.get()) is not None:
        received.append(ended_with)
