"""Counts consecutive failed pulls during a run."""

from dataclasses import dataclass

from pullbench.model.plan import Trial
from pullbench.model.record import TrialResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Consecutive failures: their number, and their distinct configurations and error codes."""

    failures: int
    cells: tuple[str, ...]
    error_codes: tuple[str, ...]


class StreakMeter:
    """Counts failures in the order of start, over trials too; warm-up counts in no statistic, and not here.

    `limit` is the spec's slo.consecutive_failures; None counts nothing.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._failed: list[tuple[str, str]] = []

    def add(self, trial: Trial, result: TrialResult) -> Streak | None:
        """The streak that reached the limit in this trial, told once; it may be longer by the trial's end."""
        if self._limit is None or trial.warmup:
            return None
        reached: Streak | None = None
        told = len(self._failed) >= self._limit
        for pull in sorted(result.pulls, key=lambda each: (each.started_at, each.pull)):
            if pull.error_code is None:
                self._failed, told = [], False
                continue
            self._failed.append((str(trial.cell), pull.error_code.value))
            if len(self._failed) >= self._limit and not told:
                reached = self._streak()
        return reached

    def _streak(self) -> Streak:
        cells, codes = zip(*self._failed, strict=True)
        return Streak(
            failures=len(self._failed), cells=tuple(dict.fromkeys(cells)), error_codes=tuple(dict.fromkeys(codes))
        )
