"""Counts consecutive failed pulls during a run."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

from pullbench.model.plan import Trial
from pullbench.model.record import TrialResult
from pullbench.model.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """Consecutive failures: their number, and their distinct configurations and error codes."""

    failures: int
    cells: tuple[str, ...]
    error_codes: tuple[str, ...]


class StreakMeter:
    """Counts failures of each engine in the order of start, over trials too; warm-up counts in no statistic, and not here.

    `limit` is the spec's slo.consecutive_failures; None counts nothing. `engines` are those whose pulls the SLO is about.
    """

    def __init__(self, limit: int | None, engines: Collection[str]) -> None:
        self._limit = limit
        self._engines = engines
        self._failed: dict[str, list[tuple[str, str]]] = defaultdict(list)

    @classmethod
    def of(cls, spec: Spec) -> Self:
        return cls(None if spec.slo is None else spec.slo.consecutive_failures, spec.slo_engines)

    def add(self, trial: Trial, result: TrialResult) -> Streak | None:
        """The streak that reached the limit in this trial, reported once; it may be longer by the trial's end."""
        if self._limit is None or trial.warmup or trial.cell.engine not in self._engines:
            return None
        reached: Streak | None = None
        failed = self._failed[trial.cell.engine]
        reported = len(failed) >= self._limit
        for pull in sorted(result.pulls, key=lambda each: (each.started_at, each.pull)):
            if pull.error_code is None:
                failed.clear()
                reported = False
                continue
            failed.append((str(trial.cell), pull.error_code.value))
            if len(failed) >= self._limit and not reported:
                reached = _streak(failed)
        return reached


def _streak(failed: Sequence[tuple[str, str]]) -> Streak:
    cells, codes = zip(*failed, strict=True)
    return Streak(failures=len(failed), cells=tuple(dict.fromkeys(cells)), error_codes=tuple(dict.fromkeys(codes)))
