"""Log lines of a run for Elasticsearch and similar systems: one JSON object per line, in the Elastic Common Schema (ECS).

Lines are written between trials, never during one. A failed pull is one line with its error code; successful pulls are
counted in their trial's line. Secrets have been removed from all texts before, and of a spec only names and labels are
written. monitoring/elk/ has the index template of these fields.
"""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from ecs_logging import StdlibFormatter

from pullbench import __version__
from pullbench.errors import UsageError
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import Trial
from pullbench.model.record import Pull, RunRecord, TrialResult

VARIABLE = "PULLBENCH_LOG_JSON"
"""The environment variable with the file's path, for runs that no shell starts."""
_NANOSECONDS = 1_000_000_000
_UNUSED = ("log.origin", "log.original", "process", "error.stack_trace")
"""Fields of the formatter with the position in our source code."""
_LEVELS = {Status.FAIL: logging.ERROR, Status.ERROR: logging.ERROR, Status.WARN: logging.WARNING}
_OUTCOMES = {Status.PASS: "success", Status.WARN: "success", Status.FAIL: "failure"}
_Fields = Mapping[str, Any]


class EcsLog:
    """Appends to one file, which several processes may share and logrotate may move.

    A measurement never fails because of its log: if a line cannot be written, `tell` is called, once.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        """Raises UsageError if the file cannot be opened, before anything is measured."""
        try:
            handler = _Handler(path, tell)
        except OSError as error:
            raise UsageError(f"{path}: cannot write a log there: {error.strerror}") from error
        about = {"service.name": "pullbench", "service.version": __version__, "event.module": "pullbench"}
        handler.setFormatter(StdlibFormatter(exclude_fields=_UNUSED, extra=about, ensure_ascii=False))
        self._handler = handler

    def run_started(self, run: RunRecord, *, cells: int, trials: int) -> None:
        """Before preflight, for a new run and for a resumed one."""
        message = f"run {run.run_id} of {run.name}: {cells} configurations, {trials} trials left"
        counts = {"pullbench.cells": cells, "pullbench.trials": trials}
        self._write(logging.INFO, message, "run", "run-started", _of_run(run), {"event.outcome": "unknown"}, counts)

    def findings(self, findings: Iterable[Finding], *, benchmark: str, run: RunRecord | None = None) -> None:
        """The findings of preflight; `run` is None for a preflight without a run."""
        about = {"pullbench.benchmark": benchmark} if run is None else _of_run(run)
        for finding in findings:
            level = _LEVELS.get(finding.status, logging.INFO)
            message = f"{finding.check} of {finding.target}: {finding.status.value}: {finding.observed}"
            self._write(level, message, "check", "check-finding", about, _of_finding(finding))

    def trial(self, run: RunRecord, trial: Trial, result: TrialResult) -> None:
        """After a trial was stored: one line for each failed pull, and one for the trial."""
        about = {**_of_run(run), **_of_trial(trial)}
        for pull in result.pulls:
            if pull.error_code is not None:
                message = f"pull of {pull.image} failed: {pull.error_code}: {pull.error or ''}"
                ended_at = pull.started_at + timedelta(seconds=pull.duration_s)
                self._write(logging.ERROR, message, "pull", "pull-failed", about, _of_pull(pull), at=ended_at)
        record = result.record
        message = f"trial {trial.number}: {record.succeeded} of {record.pulls} pulls succeeded"
        measured = {
            "event.outcome": "success" if record.succeeded == record.pulls else "failure",
            "event.duration": round(record.wall_s * _NANOSECONDS),
            "event.start": record.started_at.isoformat(),
            "pullbench.pulls": record.pulls,
            "pullbench.succeeded": record.succeeded,
            "pullbench.bytes": record.bytes,
        }
        self._write(logging.INFO, message, "trial", "trial-measured", about, measured)

    def run_ended(self, run: RunRecord, *, message: str, verdict: str, exit_code: int, report: Path | None) -> None:
        """For a run that reached its report."""
        ended = {
            "event.outcome": "success" if exit_code == 0 else "failure",
            "event.start": run.started_at.isoformat(),
            "event.duration": round((datetime.now(UTC) - run.started_at).total_seconds() * _NANOSECONDS),
            "pullbench.verdict": verdict,
            "pullbench.exit_code": exit_code,
            "pullbench.report": None if report is None else str(report),
        }
        level = logging.INFO if exit_code == 0 else logging.WARNING
        self._write(level, f"run {run.run_id} of {run.name}: {message}", "run", "run-ended", _of_run(run), ended)

    def run_stopped(self, run: RunRecord | None, *, why: str, error_type: str, exit_code: int) -> None:
        """For a run that did not; `run` is None if it stopped before anything was stored."""
        about = {} if run is None else _of_run(run)
        what = "a run before its start" if run is None else f"run {run.run_id} of {run.name}"
        stopped = {
            "event.outcome": "failure",
            "error.type": error_type,
            "error.message": why,
            "pullbench.exit_code": exit_code,
        }
        self._write(logging.ERROR, f"{what} stopped: {why}", "run", "run-stopped", about, stopped)

    def close(self) -> None:
        """Close the file; a full disk was reported with the lost line, and does not fail the run."""
        with contextlib.suppress(OSError):
            self._handler.close()

    def _write(
        self, level: int, message: str, dataset: str, action: str, *parts: _Fields, at: datetime | None = None
    ) -> None:
        record = logging.LogRecord("pullbench", level, "", 0, message, None, None)
        if at is not None:
            record.created = at.timestamp()
            record.msecs = at.microsecond // 1000
        fields: dict[str, Any] = {
            "event.kind": "event",
            "event.dataset": f"pullbench.{dataset}",
            "event.action": action,
        }
        for part in parts:
            fields |= part
        record.__dict__.update({name: value for name, value in fields.items() if value is not None})
        self._handler.handle(record)


class _Handler(WatchedFileHandler):
    """Opens the file again after logrotate has moved it, and reports lost lines once."""

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        super().__init__(path, encoding="utf-8")
        self._path = path
        self._tell: Callable[[str], None] | None = tell

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError as error:  # from opening it again; errors while writing reach handleError
            self._lost(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002  (logging's own)
        self._lost(sys.exc_info()[1])

    def _lost(self, error: BaseException | None) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(f"{self._path}: log lines are lost: {error}; the measurement continues")


def _of_run(run: RunRecord) -> dict[str, Any]:
    labels = {f"labels.{key.replace('.', '_')}": value for key, value in run.labels.items()}
    about = {"run_id": run.run_id, "benchmark": run.name, "vantage": run.vantage, "kind": run.kind}
    return labels | {f"pullbench.{name}": value for name, value in about.items()}


def _of_trial(trial: Trial) -> dict[str, Any]:
    coordinates = {"trial": trial.number, "block": trial.block, "warmup": trial.warmup, **trial.cell.as_dict()}
    return {f"pullbench.{name}": value for name, value in coordinates.items()}


def _of_pull(pull: Pull) -> dict[str, Any]:
    return {
        "event.outcome": "failure",
        "event.start": pull.started_at.isoformat(),
        "event.duration": round(pull.duration_s * _NANOSECONDS),
        "error.code": None if pull.error_code is None else pull.error_code.value,
        "error.message": pull.error,
        "container.image.name": pull.image,
        "container.image.hash.all": [pull.digest],
        "pullbench.pull": pull.pull,
        "pullbench.attempts": pull.attempts,
        "pullbench.bytes": pull.bytes,
        "pullbench.served_by": pull.served_by,
    }


def _of_finding(finding: Finding) -> dict[str, Any]:
    failed = finding.status in (Status.FAIL, Status.ERROR)
    return {
        "event.outcome": _OUTCOMES.get(finding.status, "unknown"),
        "event.duration": round(finding.duration_s * _NANOSECONDS),
        "error.code": None if finding.code is None else finding.code.value,
        "error.message": finding.observed if failed else None,
        "pullbench.check": finding.check,
        "pullbench.target": finding.target,
        "pullbench.check_status": finding.status.value,
        "pullbench.remedy": finding.remedy or None,
    }
