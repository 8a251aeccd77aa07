"""A session that measures as any other, and is told the truth when nothing is left to measure."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from pullbench.bench.session import Session
from pullbench.model.calibration import KEY, Truth
from pullbench.model.facts import Facts
from pullbench.model.plan import Plan
from pullbench.model.record import Run, RunStatus


class CalibrationSession(Session):
    """Its run is of the kind `calibration`. `on_begin` is called before the first trial is planned, `truth` after the last is stored."""

    def __init__(self, *args: Any, on_begin: Callable[[], None], truth: Callable[[], Truth], **options: Any) -> None:
        super().__init__(*args, **{**options, "kind": "calibration"})
        self._on_begin = on_begin
        self._truth = truth

    def begin(self, facts: Facts) -> tuple[Run, Plan]:
        """As any session's."""
        self._on_begin()
        return super().begin(facts)

    def finish(self, run: Run, status: RunStatus, stopped: str | None = None) -> Run:
        """As any session's; a complete run's environment gets the truth, for the report alone."""
        if status == "complete":
            told = json.loads(run.environment) | {KEY: self._truth().as_dict()}
            run = dataclasses.replace(run, environment=json.dumps(told))
        return super().finish(run, status, stopped)
