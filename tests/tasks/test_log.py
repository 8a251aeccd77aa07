"""The log of a flow run has a line for what was done, and none that only repeats a state."""

import logging

import pytest
from prefect.exceptions import CancelledRun

from tasks import states
from tasks.steps import says_more_than_its_state


def record(message: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("prefect.task_runs", level, __file__, 1, message, (), None)


@pytest.mark.parametrize(
    ("message", "level", "shown"),
    [
        ("Finished in state %s", logging.INFO, False),
        ("Finished in state %s", logging.ERROR, True),
        ("Trial 1 of 2. Concurrency 1: 4 of 4 pulls succeeded in 1 s.", logging.INFO, True),
    ],
)
def test_a_task_logs_what_it_did_and_its_state_only_if_it_failed(message: str, level: int, shown: bool) -> None:
    assert says_more_than_its_state(record(message, level)) is shown
    assert says_more_than_its_state in logging.getLogger("prefect.task_runs").filters


@pytest.mark.parametrize(("error", "shown"), [(CancelledRun("by a person"), False), (ValueError("a bug"), True)])
def test_the_state_that_ends_a_run_is_not_logged_again_as_an_unexpected_exception(
    error: Exception, shown: bool
) -> None:
    echoed = record("Engine execution exited with unexpected exception", logging.ERROR)
    echoed.exc_info = (type(error), error, None)
    assert states._is_no_echo(echoed) is shown
