"""The body of the flow `regional-benchmark`."""

from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State

from pullbench.app.progress import watcher
from pullbench.app.regional import RegionalRequest, Vantages, conduct_regional
from pullbench.engines.base import SystemClock
from pullbench.errors import IncompleteError
from pullbench.model.text import printable
from tasks.artifacts import Artifacts, picture_of
from tasks.states import done, ends_in_state, incomplete


@ends_in_state
def measure_everywhere(request: RegionalRequest, vantages: Vantages) -> State[Any]:
    """Start the benchmark at every vantage, wait for each, and report. The vantages' results and the report are artifacts."""
    logger, shell = get_run_logger(), watcher()

    def note(text: str) -> None:
        logger.info(printable(text))
        shell.note(text)

    outcome = conduct_regional(request, vantages, clock=SystemClock(), note=note)
    Artifacts(request.reports).vantages(
        outcome.document["name"], outcome.document, outcome.report, picture_of(outcome.report)
    )
    state = incomplete if outcome.exit_code == IncompleteError.exit_code else done
    return state(outcome.message, outcome)
