"""Ctrl-C and SIGTERM: raised where they arrive, remembered, and, if needed, followed by a fast exit.

A library that is interrupted during its own start or end may raise its own error instead of the KeyboardInterrupt, as
Prefect's task engine does. That must not look like a bug, and must not hide how to continue. While a flow runs, SIGTERM does
not arrive here at all: Prefect has its own handler, which raises its TerminationSignal.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from pullbench.errors import PullbenchError

_exit = os._exit
_received: list[int] = []
_hurried: list[str] = []


def listen() -> None:
    """Turn both signals into a KeyboardInterrupt in the main thread."""
    _received.clear()
    _hurried.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


@contextlib.contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """After an interruption, raise a KeyboardInterrupt in place of any error that a library raised instead."""
    try:
        yield
    except PullbenchError:
        raise
    except Exception as error:
        if not _received and not _in_place_of_prefects(error):
            raise
        raise KeyboardInterrupt from error


def _in_place_of_prefects(error: BaseException) -> bool:
    """Whether an error was raised while Prefect's TerminationSignal was handled; does not import Prefect."""
    signal_of_prefect = getattr(sys.modules.get("prefect.exceptions"), "TerminationSignal", None)
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        if signal_of_prefect is not None and isinstance(link, signal_of_prefect):
            return True
        seen.append(link)
        link = link.__cause__ or link.__context__
    return False


def received() -> bool:
    """Whether one of the signals has arrived."""
    return bool(_received)


def hurry(why: str) -> None:
    """End the process immediately after the command: cleanup of libraries at exit would wait for nothing."""
    _hurried.append(why)


def hurried() -> bool:
    """Whether to end immediately."""
    return bool(_hurried)


def done(code: int) -> None:
    """From now on both signals end the process immediately with the command's code: only cleanup of libraries is left.

    Child processes end with their lifelines.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _exit(code))


def _interrupt(number: int, _frame: object) -> None:
    _received.append(number)
    raise KeyboardInterrupt
