"""Empties a mirror by the command that the spec gives."""

import re
from collections.abc import Mapping

from pullbench.engines.base import Clock
from pullbench.engines.command.process import Command, Ended, run
from pullbench.errors import ErrorCode, IncompleteError
from pullbench.model.spec import ColdCache
from pullbench.model.text import clean

_MAX_OUTPUT = 300
_SECRET_NAME = re.compile(r"PASS|TOKEN|SECRET|KEY|CREDENTIAL", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"[^\s/@]+@"), "…@"),  # user:password@host
    (re.compile(r"(?i)((?:bearer|basic)\s+)\S+"), r"\1…"),
    (re.compile(r"(?i)((?:password|token|secret|key)\S*?[=:]\s*)\S+"), r"\1…"),
    (re.compile(r"\?\S+"), "?…"),  # a signed URL
)


def reset_proxy(proxy: str, cold: ColdCache, *, environ: Mapping[str, str], clock: Clock) -> None:
    """Run the command to its end; whatever stops it, nothing of it is left.

    Raises IncompleteError where it cannot be started, fails, or takes longer than it may: the mirror would not be cold.
    """
    arguments = tuple(cold.reset or ())
    where = f"proxies '{proxy}' cold.reset ({arguments[0]})"
    try:
        ended = run(
            Command(arguments=arguments, environment=environ),
            clock=clock,
            deadline=clock.monotonic() + cold.timeout_s,
        )
    except OSError as error:
        raise IncompleteError(f"{where}: cannot be started: {error.strerror}; {_NEXT}") from error
    if ended.stopped is ErrorCode.TIMEOUT:
        raise IncompleteError(f"{where}: no end after {cold.timeout_s:g} s; raise its `timeout_s`, or mend it: {_NEXT}")
    if ended.returncode != 0:
        raise IncompleteError(f"{where}: ended with {ended.returncode}{_said(ended, environ)}; {_NEXT}")


_NEXT = "run it by hand until it ends with 0, then go on with --resume"


def _said(ended: Ended, environ: Mapping[str, str]) -> str:
    """The end of what it wrote, without secrets that can be known as such."""
    text = ended.stderr.strip() or ended.stdout.strip()
    for name, value in environ.items():
        if len(value) >= 4 and _SECRET_NAME.search(name):
            text = text.replace(value, "…")
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    text = clean(text, len(text))
    return f": {'…' if len(text) > _MAX_OUTPUT else ''}{text[-_MAX_OUTPUT:]}" if text else ""
