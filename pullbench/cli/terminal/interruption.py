"""Ctrl-C and SIGTERM: raised where they come, and remembered; and whether the end is worth waiting for.

A library that is interrupted while it starts or ends something of its own may raise an error of its own in the place of
the KeyboardInterrupt, as Prefect's task engine does; that must not look like a bug, nor hide how to go on. While a flow
runs, SIGTERM does not come here at all: Prefect has a handler of its own, which raises its TerminationSignal.
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
    """From now on both signals are a KeyboardInterrupt in the main thread."""
    _received.clear()
    _hurried.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


@contextlib.contextmanager
def as_keyboard_interrupt() -> Iterator[None]:
    """What ends the code inside after an interruption is a KeyboardInterrupt again, whatever a library made of it."""
    try:
        yield
    except PullbenchError:
        raise
    except Exception as error:
        if not _received and not _in_place_of_prefects(error):
            raise
        raise KeyboardInterrupt from error


def _in_place_of_prefects(error: BaseException) -> bool:
    """Whether an error was raised while Prefect's TerminationSignal was handled; without loading Prefect to ask."""
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
    """Whether one of the signals came."""
    return bool(_received)


def hurry(why: str) -> None:
    """Have the command end at once when it is done: what libraries do at the interpreter's end would wait for nothing."""
    _hurried.append(why)


def hurried() -> bool:
    """Whether to end at once."""
    return bool(_hurried)


def done(code: int) -> None:
    """From now on both signals end the process at once, with the code of the command: nothing is left but libraries' farewells.

    Child processes end with their lifelines.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _exit(code))


def _interrupt(number: int, _frame: object) -> None:
    _received.append(number)
    raise KeyboardInterrupt
