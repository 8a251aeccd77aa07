"""How a flow run ends: the state that the UI shows, and what a caller in the same process gets."""

import logging
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, CrashedRun, PrefectException
from prefect.states import Cancelled, Completed, Crashed, Failed

from pullbench.app.progress import hand_over
from pullbench.errors import IncompleteError, PullbenchError

ParamsT = ParamSpec("ParamsT")


def done(message: str, outcome: object) -> State[Any]:
    """A flow run that came to its end."""
    hand_over(outcome)
    return Completed(message=message)


def failed(message: str, outcome: object) -> State[Any]:
    """A flow run that came to its end with a bad verdict."""
    hand_over(outcome)
    return Failed(message=message)


def incomplete(message: str, outcome: object) -> State[Any]:
    """A flow run of which not all could be done; what was measured is stored."""
    hand_over(outcome)
    return Failed(name="Incomplete", message=message)


def stopped(how_to_go_on: str) -> State[Any]:
    """A flow run whose process got SIGTERM: a person cancelled it, or its worker was ended. A second one changes nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logging.getLogger("prefect.flow_runs").addFilter(_is_no_echo)
    if _is_being_cancelled():
        return Cancelled(message=f"Cancelled.{how_to_go_on}")
    return Crashed(message=f"The process of this flow run was stopped (SIGTERM).{how_to_go_on}")


def _is_no_echo(record: logging.LogRecord) -> bool:
    """Prefect logs the state that ends a run once more, as an unexpected exception with its traceback."""
    return record.exc_info is None or not isinstance(record.exc_info[1], CancelledRun | CrashedRun)


def was_started_by_a_worker() -> bool:
    """Whether this process is there for one flow run of a deployment."""
    return runtime.deployment.id is not None


def _is_being_cancelled() -> bool:
    """What the server says; a server that does not answer has not been asked to cancel."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(str(runtime.flow_run.id))).state
    except (PrefectException, httpx.HTTPError, ValueError):
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def ends_in_state(body: Callable[ParamsT, State[Any]]) -> Callable[ParamsT, State[Any]]:
    """An error of ours in a flow's body becomes a state whose message is the error's one line."""

    @wraps(body)
    def wrapped(*args: ParamsT.args, **options: ParamsT.kwargs) -> State[Any]:
        try:
            return body(*args, **options)
        except PullbenchError as error:
            state = incomplete if isinstance(error, IncompleteError) else failed
            return state(str(error), error)

    return wrapped
