"""Calling a flow in this process: what it leaves, also where its Prefect server went away or somebody interrupted it."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from pullbench.cli.terminal import interruption
from pullbench.errors import IncompleteError

OutcomeT = TypeVar("OutcomeT", covariant=True)


class Invoked(Protocol, Generic[OutcomeT]):
    """What a flow's body leaves for the command that called it."""

    @property
    def outcome(self) -> OutcomeT | None: ...
    @property
    def error(self) -> Exception | None: ...


def outcome_of(
    invoked: Invoked[OutcomeT],
    call: Callable[[], object],
    *,
    incomplete: Callable[[str], str],
    note: Callable[[str], None],
) -> OutcomeT:
    """Call a flow and give what it left; a server that is gone takes nothing from one that came to its end.

    `incomplete` says what stands and how to go on, of one that did not. Raises the flow's own error, IncompleteError where it left
    neither that nor an outcome, and KeyboardInterrupt for an interruption, whatever Prefect made of it.
    """
    import httpx

    with interruption.as_keyboard_interrupt():
        lost: httpx.HTTPError | None = None
        try:
            call()
        except httpx.HTTPError as error:
            lost = error
        if lost is None and isinstance(invoked.error, httpx.HTTPError):
            lost = invoked.error
        if lost is not None:
            interruption.hurry("Prefect would go on to send its events")
            what = f"Prefect's server is gone ({str(lost) or type(lost).__name__})"
            if invoked.outcome is None and (invoked.error is None or isinstance(invoked.error, httpx.HTTPError)):
                raise IncompleteError(incomplete(what)) from lost
            note(f"{what}: its UI does not show how this run ended; the results are whole")
        if invoked.error is not None and not isinstance(invoked.error, httpx.HTTPError):
            raise invoked.error
        if invoked.outcome is None:
            raise IncompleteError(incomplete("the flow ended without an outcome (cancelled in the UI?)"))
        return invoked.outcome
