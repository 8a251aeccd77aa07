"""A flow of the project, called in this process: for the command line with `--prefect`, or if PREFECT_API_URL is set.

If neither the environment nor the active profile names a server, Prefect starts a temporary one of its own.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pullbench.errors import IncompleteError, UsageError
from pullbench.store.shipped import make_flows_importable

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Prefect's own 20 s are too few on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # With Prefect's own 5, a call to a server that is gone takes over a minute, and a run makes several.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
}
"""Defaults of the shell, where the command itself prints what a flow reports. The user's own settings come first."""


class ServerGoneError(IncompleteError):
    """Prefect's server went away while a flow ran."""


class NoServerError(ServerGoneError):
    """Prefect's server did not answer, or did not start: no flow was called."""


def call_flow(name: str, parameters: Mapping[str, Any], *, note: Callable[[str], None]) -> Any:
    """Call the flow `flows/NAME.py:NAME` and return what its body ended with: an outcome of `app`.

    Raises what the body raised. If the body came to its end, a server that went away costs nothing: `note` gets a line.
    Otherwise raises ServerGoneError if the server went away or did not start, UsageError for a parameter that the flow
    refuses, and IncompleteError if the flow ended without an outcome.
    """
    from pullbench.app.progress import receiving  # imports pydantic, which is slow: help must not wait for it

    _reach_server(note)
    flow = _load(name)
    gone: ServerGoneError | None = None
    with receiving() as received:
        try:
            state = flow(**parameters, return_state=True)
            unexpected = None if received else state.result(raise_on_failure=False)
        except Exception as error:
            gone, unexpected = _server_gone(error), None
            if gone is None:
                raise
    if not received:
        if gone is not None:
            raise gone
        if isinstance(unexpected, Exception):
            raise _server_gone(unexpected) or unexpected
        raise IncompleteError("the flow ended without an outcome (cancelled in the UI?)")
    if gone is not None:
        note(f"{gone}: its UI does not show how this run ended; the results are complete")
    ended_with = received[-1]
    if isinstance(ended_with, Exception):
        raise ended_with
    return ended_with


def end_own_server() -> None:
    """End Prefect's own temporary server, if one was started: a command that is interrupted runs no exit handlers."""
    from prefect.server.api.server import SubprocessASGIServer

    for server in list(SubprocessASGIServer._instances.values()):  # there is no public list
        server.stop()


def quiet_prefect() -> None:
    """Set the shell's defaults for Prefect in this process's environment; before Prefect is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def reach_without_proxy(url: str) -> None:
    """Make Prefect's clients ignore the environment's HTTP proxy for a server on this machine's loopback.

    No measurement changes: engines and registry clients do not read the environment's proxies.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.startswith("127."):
        listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        for name in ("no_proxy", "NO_PROXY"):  # if both are set, the first counts
            os.environ[name] = f"{listed},{host}" if listed else host


def server_address() -> str | None:
    """The address of the Prefect server that the environment or the active profile names."""
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    return None if address is None else str(address)


def check_answers(url: str) -> None:
    """Raise NoServerError if the server does not answer."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        raise NoServerError(
            f"{url} does not answer: {error}; start it (`pullbench serve`), or unset PREFECT_API_URL "
            "(`prefect config unset PREFECT_API_URL`)"
        )


def _reach_server(note: Callable[[str], None]) -> None:
    quiet_prefect()
    address = server_address()
    if address is None:
        note("Prefect: starting its own temporary server")
        reach_without_proxy("http://127.0.0.1")
        return
    note(f"Prefect: using the server at {address}")
    reach_without_proxy(address)
    check_answers(address)


def _load(name: str) -> Callable[..., Any]:
    """The flow object, from the project's directory: `flows` is not a package in site-packages."""
    make_flows_importable()
    found: Callable[..., Any] = getattr(importlib.import_module(f"flows.{name}"), name)
    return found


def _server_gone(error: Exception) -> ServerGoneError | None:
    """The meaning of an error of Prefect's own: its server is gone or did not start. None for any other error.

    Raises UsageError for parameters that the flow refuses.
    """
    import httpx  # slow to import: help must not wait for it
    from prefect.exceptions import ParameterBindError, ParameterTypeError

    if isinstance(error, ParameterTypeError | ParameterBindError):
        raise UsageError(f"the flow refuses its parameters: {' '.join(str(error).split())}") from error
    if isinstance(error, httpx.HTTPError):
        return ServerGoneError(f"Prefect's server is gone ({str(error) or type(error).__name__})")
    if "ephemeral" in str(error).lower():  # Prefect raises RuntimeError or ValueError if its own server does not start
        return NoServerError(f"Prefect's own server did not start: {' '.join(str(error).split())}")
    return None
