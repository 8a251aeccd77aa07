"""The spec's budget: whether it is enough for a plan, and how much of it a run has used."""

from collections.abc import Callable

from pullbench.errors import ErrorCode
from pullbench.model.facts import Facts
from pullbench.model.plan import Plan, Trial, expected_image, manifest_requests
from pullbench.model.record import TrialResult
from pullbench.model.spec import Budget
from pullbench.model.text import format_bytes

_SERVER_ERRORS = frozenset({ErrorCode.SERVER_ERROR, ErrorCode.RATE_LIMITED})


def shortfalls(budget: Budget, plan: Plan) -> list[str]:
    """The parts of the budget that are too small for the plan, one sentence each; minutes are unknown before the run."""
    lines = []
    setup = plan.setup_bytes
    if budget.bytes is not None and plan.bytes is not None and setup is not None:
        needed, what = plan.bytes + setup, ", including setup" if setup else ""
        if needed > budget.bytes:
            lines.append(
                f"budget.bytes: the plan needs {format_bytes(needed)}{what}, but the budget is {format_bytes(budget.bytes)}"
            )
    if budget.manifest_requests is not None and plan.manifest_requests > budget.manifest_requests:
        lines.append(
            f"budget.manifest_requests: the plan needs {plan.manifest_requests}, but the budget is {budget.manifest_requests}"
        )
    return lines


class BudgetMeter:
    """The cost of a run since it was started or resumed, compared with the spec's budget."""

    def __init__(self, budget: Budget, facts: Facts, *, clock_s: Callable[[], float]) -> None:
        self._budget = budget
        self._facts = facts
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._bytes = 0
        self._requests = 0
        self._server_errors = 0

    def add(self, trial: Trial, result: TrialResult) -> str | None:
        """Add a trial; returns the exceeded budget, for display, or None."""
        self._bytes += self._pulled_bytes(trial, result) + result.setup_bytes
        self._requests += manifest_requests(trial, self._facts)
        self._count_server_errors(result)
        minutes = (self._clock_s() - self._started_s) / 60
        if self._budget.bytes is not None and self._bytes >= self._budget.bytes:
            return f"budget.bytes: {format_bytes(self._bytes)} of {format_bytes(self._budget.bytes)} used"
        if self._budget.manifest_requests is not None and self._requests >= self._budget.manifest_requests:
            return f"budget.manifest_requests: {self._requests} of {self._budget.manifest_requests} used"
        if self._budget.minutes is not None and minutes >= self._budget.minutes:
            return f"budget.minutes: {minutes:.1f} of {self._budget.minutes:g} used"
        if self._budget.server_errors is not None and self._server_errors >= self._budget.server_errors:
            return f"budget.server_errors: {self._server_errors} consecutive pulls failed at the server"
        return None

    def _pulled_bytes(self, trial: Trial, result: TrialResult) -> int:
        """A successful pull whose client does not report its bytes counts with the size of its image."""
        return sum(
            expected_image(self._facts, trial.cell, pull.image).manifest.size_bytes
            if pull.ok and pull.bytes is None
            else pull.bytes or 0
            for pull in result.pulls
        )

    def _count_server_errors(self, result: TrialResult) -> None:
        """The number of consecutive server errors at the trial's end, or the longest streak if it exceeded the budget."""
        limit = self._budget.server_errors
        for pull in sorted(result.pulls, key=lambda each: each.started_at):
            if limit is not None and self._server_errors >= limit:
                return
            self._server_errors = self._server_errors + 1 if pull.error_code in _SERVER_ERRORS else 0
