"""Whether a daemon answers at once: asked before one that nobody named is looked at."""

import socket

DEFAULT_WITHIN_S = 0.5


def answers_quickly(host: str, within_s: float = DEFAULT_WITHIN_S) -> bool:
    """GET /_ping (Engine API) at a unix:// socket; False for any other address, and for whatever goes wrong."""
    if not host.startswith("unix://"):
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within_s)
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/1.")
    except OSError:
        return False
