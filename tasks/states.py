"""How a flow run ends: the state that the UI shows, and what a caller in the same process gets."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

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
