"""Ports for real components, which take them only some moments after they were chosen, and how one sees that they did."""

import contextlib
import random
import socket
import subprocess
import time

_PORTS = range(15_000, 32_000)
"""Below those that the kernel gives to clients' connections (ip_local_port_range): none of them takes one meanwhile."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has; test processes side by side seldom draw the same."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("100 ports that were tried are taken")


def listens(port: int, process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Whether a process that was started takes connections at its port before that time is over, and does not end."""
    until = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        time.sleep(0.05)
    return False
