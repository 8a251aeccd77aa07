"""Ctrl-C and SIGTERM are told as what they are, whatever a library makes of them."""

import os
import signal
from collections.abc import Iterator

import pytest
from prefect.exceptions import TerminationSignal
from prefect.utilities.engine import capture_sigterm

from pullbench.cli.terminal import interruption
from pullbench.errors import IncompleteError


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interruption.listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def replaced(number: signal.Signals, by: Exception) -> None:
    """As Prefect's task engine does when it is stopped between two of its steps."""
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        raise by from None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_error_that_a_library_puts_in_the_place_of_an_interruption_is_an_interruption(
    number: signal.Signals,
) -> None:
    with pytest.raises(KeyboardInterrupt), interruption.as_keyboard_interrupt():
        replaced(number, ValueError("Task run is not set"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_prefect_took_for_itself_and_replaced_is_an_interruption(number: signal.Signals) -> None:
    """While a flow runs, SIGTERM is Prefect's: it raises a signal of its own, and its task engine replaces that too."""

    def stopped_between_two_steps() -> None:
        try:
            os.kill(os.getpid(), number)
        except (KeyboardInterrupt, TerminationSignal):
            raise ValueError("Task run is not set")  # noqa: B904  (as Prefect does: without a cause)

    with pytest.raises(KeyboardInterrupt), interruption.as_keyboard_interrupt(), capture_sigterm():
        stopped_between_two_steps()


def test_an_error_without_an_interruption_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="a bug"), interruption.as_keyboard_interrupt():
        raise ValueError("a bug")


def test_an_error_of_our_own_after_an_interruption_keeps_what_it_says() -> None:
    with pytest.raises(IncompleteError, match="disk full"), interruption.as_keyboard_interrupt():
        replaced(signal.SIGINT, IncompleteError("disk full"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_after_the_end_of_a_command_takes_nothing_of_its_exit_code(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left then is Prefect's farewell, and a traceback in it would say that something went wrong."""
    codes: list[int] = []
    monkeypatch.setattr(interruption, "_exit", codes.append)
    interruption.done(1)
    os.kill(os.getpid(), number)
    assert codes == [1]
