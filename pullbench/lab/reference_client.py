"""A client of plain sockets, to measure a link without pullbench: deviations that it also sees are the lab's, not pullbench's."""

import re
import socket
import ssl
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pullbench.model.calibration import ReferenceMeasurement

_TIMEOUT_S = 30.0
_PIECE_BYTES = 1 << 18
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeTimings:
    """For each exchange on one connection: seconds from the request to the first byte, the bytes after it, and their seconds."""

    waits_s: tuple[float, ...]
    sizes_bytes: tuple[int, ...]
    transfers_s: tuple[float, ...]


def time_exchanges(url: str, paths: Sequence[str]) -> ExchangeTimings:
    """GET each path in turn on one kept connection; of `url`, only the address is used.

    Raises OSError if the server does not answer, ValueError for an answer without a length.
    """
    parts = urlsplit(url)
    waits, sizes, transfers = [], [], []
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=_TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for path in paths:
            request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n".encode()
            started = time.perf_counter()
            connection.sendall(request)
            received = bytearray(connection.recv(_PIECE_BYTES))
            first, at_first = time.perf_counter(), len(received)
            total = _whole(received, connection)
            waits.append(first - started)
            sizes.append(total - at_first)
            transfers.append(time.perf_counter() - first)
    return ExchangeTimings(waits_s=tuple(waits), sizes_bytes=tuple(sizes), transfers_s=tuple(transfers))


def _whole(received: bytearray, connection: socket.socket) -> int:
    """Read an answer to its end, and return its length including the head."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _more(connection)
    found = _LENGTH.search(received, 0, end + 4)
    if found is None:
        raise ValueError("an answer without Content-Length")
    expected, so_far = end + 4 + int(found[1]), len(received)
    while so_far < expected:
        so_far += len(_more(connection))
    return so_far


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(_PIECE_BYTES)
    if not piece:
        raise ConnectionError("the server closed the connection in the middle of an answer")
    return piece


def time_tls_handshake(url: str, ca_file: Path) -> float:
    """Seconds from a connection to the end of its TLS handshake; raises OSError (ssl.SSLError is one)."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=ca_file)
    with socket.create_connection((parts.hostname or "", parts.port or 443), timeout=_TIMEOUT_S) as connection:
        started = time.perf_counter()
        with context.wrap_socket(connection, server_hostname=parts.hostname):
            return time.perf_counter() - started


def summarize(
    small: Sequence[ExchangeTimings], large: Sequence[ExchangeTimings], handshakes_s: Sequence[float]
) -> ReferenceMeasurement:
    """All that was seen of one line: waits of small answers, the rate of large ones, handshakes."""
    waits = [wait for each in small for wait in each.waits_s]
    sizes, seconds = sum(sum(each.sizes_bytes) for each in large), sum(sum(each.transfers_s) for each in large)
    return ReferenceMeasurement(
        wait_s=statistics.median(waits) if waits else None,
        spread_s=_spread(waits) if len(waits) > 3 else None,
        rate_bytes_per_s=sizes / seconds if seconds > 0 else None,
        handshake_s=statistics.median(handshakes_s) if handshakes_s else None,
    )


def _spread(values: Sequence[float]) -> float:
    low, _, high = statistics.quantiles(values, method="inclusive")
    return high - low
