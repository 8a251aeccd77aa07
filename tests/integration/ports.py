"""Ports for real components, which take them only some moments after they were chosen."""

import random
import socket

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
