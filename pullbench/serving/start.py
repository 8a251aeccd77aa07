"""Starts Prefect beside other work, only for commands that run a flow.

Importing Prefect takes 2 to 4 s and its temporary server 10 s more; facts are gathered meanwhile. A running server is
used where PREFECT_API_URL (or the active profile) names one.
"""

import os
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from pullbench.errors import IncompleteError
from pullbench.serving.server import TemporaryServer
from pullbench.store.shipped import make_flows_importable

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    # Prefect's own 5 make a call to a server that is gone last over a minute, and a run makes several.
    "PREFECT_CLIENT_MAX_RETRIES": "2",
}
"""Defaults of the shell: what a flow has to say is told by the command itself. The user's own settings go before."""


_NAME_NONE = "unset PREFECT_API_URL (`prefect config unset PREFECT_API_URL`)"


class PrefectStart:
    """Prefect on its way up, in a thread of its own."""

    def __init__(self, note: Callable[[str], None]) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._note = note
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._start, name="prefect-start", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until flows can run; raises IncompleteError where the server did not come up."""
        while self._thread.is_alive():
            self._thread.join(0.2)
        if self._error is not None:
            raise IncompleteError(f"Prefect did not start: {self._error}") from self._error

    def _start(self) -> None:
        try:
            from prefect.context import refresh_global_settings_context
            from prefect.settings import get_current_settings

            address = get_current_settings().api.url
            if address:
                self._note(f"Prefect: using the server at {address}")
                reach_without_proxy(address)
                try:
                    check_answers(address)
                except RuntimeError as error:
                    raise RuntimeError(f"{error}, or {_NAME_NONE} for a temporary one") from error
            else:
                self._note("Prefect: starting a temporary server")
                server = TemporaryServer()
                reach_without_proxy(server.api_url)
                os.environ["PREFECT_API_URL"] = server.api_url
                refresh_global_settings_context()
            make_flows_importable()
            import flows.pull_benchmark  # noqa: F401  (its import belongs to the start)

            if not address:
                server.wait()
        except Exception as error:  # noqa: BLE001  (told in wait, in the calling thread)
            self._error = error


def reach_without_proxy(url: str) -> None:
    """Have Prefect's clients pass the environment's HTTP proxy by for a server on this machine's loopback.

    No measurement is touched: engines and registry clients take nothing of the environment's proxies.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.startswith("127."):
        listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        for name in ("no_proxy", "NO_PROXY"):  # where both are set, the first is the one that counts
            os.environ[name] = f"{listed},{host}" if listed else host


def check_answers(url: str) -> None:
    """Raises RuntimeError where the server that is to be used does not answer."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        raise RuntimeError(f"{url} does not answer: {error}; start it (`pullbench serve`)")
