"""The temporary Prefect server of a command: a process that ends with the one that started it, however that ends.

It stands in a session of its own, so that Ctrl-C in a terminal, which goes to a whole process group, stops the
measurement and not the server that is to be told of it. Its lifeline is its standard input: when the other side is gone,
also by `kill -9`, it reads the end and stops.
"""

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

_HEALTHY_WITHIN_S = 120.0
_ENDS_WITHIN_S = 5.0
_SERVER_ONLY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""As Prefect's own temporary server has it: no UI is served."""


class TemporaryServer:
    """A server on a free port of loopback; raises RuntimeError where it does not come up."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.api_url = f"http://127.0.0.1:{port}/api"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.prefect_server", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_SERVER_ONLY},
            start_new_session=True,
        )
        atexit.register(self.stop)

    def wait(self) -> None:
        """Until it is healthy."""
        until = time.monotonic() + _HEALTHY_WITHIN_S
        while not self._healthy():
            if self._process.poll() is not None:
                raise RuntimeError(f"its temporary server ended with exit code {self._process.returncode}")
            if time.monotonic() > until:
                raise RuntimeError(f"its temporary server did not answer within {_HEALTHY_WITHIN_S:.0f} s")
            time.sleep(0.1)

    def stop(self) -> None:
        """Cut the lifeline, and make sure."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _healthy(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.api_url}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def serve(port: int) -> None:
    """Serve until standard input ends."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            host="127.0.0.1",
            port=port,
            log_level="error",
            lifespan="on",
        )
    )

    def follow_lifeline() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True
        time.sleep(_ENDS_WITHIN_S)
        os._exit(0)  # a connection that is still open may not keep it

    threading.Thread(target=follow_lifeline, daemon=True).start()
    server.run()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
