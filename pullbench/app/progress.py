"""Observers of a run: a terminal, a log, the Prefect UI. Free of Prefect and of printing."""

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
    """The end of a run; `document` is what `run --json` prints."""

    run_id: str
    document: dict[str, Any]
    report: Path | None
    exit_code: int
    message: str


class Progress:
    """Observes a run; this base does nothing. No method is called during a trial."""

    def note(self, text: str) -> None: ...
    def planned(self, run: RunRecord, plan: Plan, done: int) -> None: ...
    def checked(self, findings: Sequence[Finding]) -> None: ...
    def starting(self, trial: Trial, /) -> None:
        """A trial is about to run."""

    def measured(self, trial: Trial, result: TrialResult, /) -> None: ...
    def ended(self) -> None:
        """No more trials follow, for any reason."""

    def verdict(self, document: Mapping[str, Any], message: str, /) -> None:
        """The verdict of a finished run, before its page is rendered."""

    def concluded(self, outcome: Outcome, /) -> None:
        """The run has reached its report."""


class Everyone(Progress):
    """Passes everything to several observers, in order."""

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
    """Add an observer for every run in this context, such as a terminal that watches a flow in its own process."""
    token = _WATCHING.set(progress)
    try:
        yield
    finally:
        _WATCHING.reset(token)


def watcher() -> Progress:
    """The observer of the runs in this context."""
    return _WATCHING.get() or Progress()


_RECEIVED: ContextVar[list[object] | None] = ContextVar("received", default=None)


@contextlib.contextmanager
def receiving() -> Iterator[list[object]]:
    """Collect the results of flows in this context: each one's outcome, or its error. Prefect's state has only the message."""
    received: list[object] = []
    token = _RECEIVED.set(received)
    try:
        yield received
    finally:
        _RECEIVED.reset(token)


def hand_over(ended_with: object) -> None:
    """Pass a flow's result to the caller in this process, if there is one."""
    if (received := _RECEIVED.get()) is not None:
        received.append(ended_with)
