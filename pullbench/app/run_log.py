"""A run's log lines (ECS JSON), written by an observer."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pullbench.app.progress import Outcome, Progress
from pullbench.errors import InterruptedRunError, PullbenchError
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import RunRecord, TrialResult
from pullbench.monitor.logs import VARIABLE, EcsLog

_BUG = 70


def open_log(path: Path | None, environ: Mapping[str, str], warn: Callable[[str], None]) -> EcsLog | None:
    """The log of the request, or of the environment; None if neither has one.

    `warn` receives one line if the log can no longer be written. Raises UsageError for a file that cannot be written.
    """
    named = path or (Path(environ[VARIABLE]) if environ.get(VARIABLE) else None)
    return None if named is None else EcsLog(named, warn)


class RunLog(Progress):
    """An observer that writes log lines."""

    def __init__(self, log: EcsLog) -> None:
        self._log = log
        self._run: RunRecord | None = None

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        self._run = run
        self._log.run_started(run, cells=len(plan.cells), trials=len(plan.trials) - done)

    def checked(self, findings: Sequence[Finding]) -> None:
        if self._run is not None:
            self._log.findings(findings, benchmark=self._run.name, run=self._run)

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        if self._run is not None:
            self._log.trial(self._run, trial, result)

    def concluded(self, outcome: Outcome, /) -> None:
        if self._run is not None:
            self._log.run_ended(
                self._run,
                message=outcome.message,
                verdict=str(outcome.document["headline"]["status"]),
                exit_code=outcome.exit_code,
                report=outcome.report,
            )

    @contextlib.contextmanager
    def stops_logged(self) -> Iterator[None]:
        """Log whatever stops the code inside. The text of a bug is not logged, because it may contain secrets."""
        try:
            yield
        except PullbenchError as error:
            self._stopped(error, " ".join(str(error).split()), error.exit_code)
            raise
        except Exception as error:
            self._stopped(error, "a bug of pullbench", _BUG)
            raise
        except BaseException as error:
            self._stopped(error, "interrupted", InterruptedRunError.exit_code)
            raise
        finally:
            self._log.close()

    def _stopped(self, error: BaseException, why: str, exit_code: int) -> None:
        self._log.run_stopped(self._run, why=why, error_type=type(error).__name__, exit_code=exit_code)
