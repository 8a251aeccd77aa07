"""A flow of the project, called in this process: for the command line with `--prefect`, or where PREFECT_API_URL is set.

Prefect's own ephemeral server serves where neither the environment nor the active profile names one.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from pullbench.errors import IncompleteError
from pullbench.store.shipped import make_flows_importable

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Prefect's own 20 s are too few on a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Prefect's own 5 make a call to a server that is gone last over a minute, and a run makes several.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
}
"""Defaults of the shell: what a flow has to say is told by the command itself. The user's own settings go before."""


class ServerGoneError(IncompleteError):
    """Prefect's server did not answer, or went away while a flow ran."""


def call_flow(name: str, parameters: Mapping[str, Any], *, note: Callable[[str], None]) -> Any:
    """Call the flow `flows/NAME.py:NAME` and give what its state carries: an outcome of `app`.

    Raises what the flow's body raised, ServerGoneError where there is no server (any more), and IncompleteError where the
    flow ended without an outcome.
    """
    import httpx  # Prefect brings it; help must not wait for it

    _reach_server(note)
    flow = _load(name)
    try:
        state = flow(**parameters, return_state=True)
        carried = state.result(raise_on_failure=False)
    except httpx.HTTPError as error:
        raise ServerGoneError(_gone(error)) from error
    if isinstance(carried, httpx.HTTPError):
        raise ServerGoneError(_gone(carried)) from carried
    if isinstance(carried, BaseException):
        raise carried
    if carried is None:
        raise IncompleteError("the flow ended without an outcome (cancelled in the UI?)")
    return carried


def quiet_prefect() -> None:
    """Set the shell's defaults for Prefect in this process's environment; before Prefect is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def reach_without_proxy(url: str) -> None:
    """Have Prefect's clients pass the environment's HTTP proxy by for a server on this machine's loopback.

    No measurement is touched: engines and registry clients take nothing of the environment's proxies.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.startswith("127."):
        listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        for name in ("no_proxy", "NO_PROXY"):  # where both are set, the first is the one that counts
            os.environ[name] = f"{listed},{host}" if listed else host


def server_address() -> str | None:
    """The address of the Prefect server that the environment or the active profile names."""
    from prefect.settings import get_current_settings

    address = get_current_settings().api.url
    return None if address is None else str(address)


def check_answers(url: str) -> None:
    """Raise ServerGoneError where the server that is to be used does not answer."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        raise ServerGoneError(
            f"{url} does not answer: {error}; start it (`pullbench serve`), or unset PREFECT_API_URL "
            "(`prefect config unset PREFECT_API_URL`): a run needs no server"
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
    """The flow object, from the project's folder: `flows` is no package of ours in site-packages."""
    make_flows_importable()
    found: Callable[..., Any] = getattr(importlib.import_module(f"flows.{name}"), name)
    return found


def _gone(error: Exception) -> str:
    return f"Prefect's server is gone ({str(error) or type(error).__name__})"
