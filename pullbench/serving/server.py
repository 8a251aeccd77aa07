"""A Prefect server as a process that ends with the one that started it."""

import socket
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from pullbench.serving.lifeline import KeptProcess, follow_lifeline

_HEALTHY_WITHIN_S = 120.0
_GRACE_S = 2


class PrefectServer:
    """A server on an address that this process has bound for it; its other settings come from the environment.

    `reach` is the address to ask it at, if it listens at every address.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        reach: str | None = None,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        host, port = listener.getsockname()[:2]
        self.api_url = f"http://{reach or host}:{port}/api"
        with listener:  # the server has its own copy; a copy here would keep the port of a dead server
            self.process = KeptProcess(
                "pullbench.serving.server",
                str(listener.fileno()),
                environment=environment,
                log=log,
                handles=[listener.fileno()],
            )

    def wait(self) -> None:
        """Wait until it is healthy; raises RuntimeError if it does not come up."""
        until = time.monotonic() + _HEALTHY_WITHIN_S
        while not self._healthy():
            if self.process.exit_code is not None:
                raise RuntimeError(f"its server ended with exit code {self.process.exit_code}")
            if time.monotonic() > until:
                raise RuntimeError(f"its server did not answer within {_HEALTHY_WITHIN_S:.0f} s")
            time.sleep(0.1)

    def _healthy(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.api_url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def bound(host: str, port: int) -> socket.socket:
    """Bind an address for a server that starts later, so that no other program takes it; port 0 is a free one.

    It does not listen yet: a client that asks too early is refused, not kept waiting. Raises OSError.
    """
    listener = socket.socket()
    try:
        if port != 0:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # in spite of old connections of the last server
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def serve(listener: socket.socket) -> None:
    """Serve until standard input ends."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            log_level="error",
            lifespan="on",
            timeout_graceful_shutdown=_GRACE_S,  # an open UI keeps a websocket, which never ends by itself
        )
    )

    def end() -> None:
        server.should_exit = True

    follow_lifeline(end)
    server.run([listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
