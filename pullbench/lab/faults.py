"""The faults of a lab registry: which, how often, and for which exchanges. Seeded, so a seed gives the same faults again.

`Faults` draws them; `FaultyHandler` injects them.
"""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pullbench.lab.contents import StoredBlob
from pullbench.lab.handler import RegistryState
from pullbench.lab.push_handler import PushHandler
from pullbench.lab.upstream import Fetch

FaultKind = Literal[
    "latency",
    "drip",
    "stall",
    "reset",
    "truncation",
    "wrong_digest",
    "wrong_length",
    "wrong_range",
    "unauthorized",
    "forbidden",
    "not_found",
    "rate_limited",
    "server_error",
    "html",
    "bad_json",
    "redirect_loop",
    "expired_token",
]
Exchange = Literal["connection", "token", "manifest", "blob", "layer"]
"""A layer is a blob too: if no blob fault was drawn for it, a layer fault may be."""
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
EXCHANGES: tuple[Exchange, ...] = get_args(Exchange)

OF_CONNECTIONS: frozenset[FaultKind] = frozenset({"latency", "stall", "reset"})
"""Faults of a connection before any byte is read; a TLS client sees a slow or failed handshake."""
OF_BODIES: frozenset[FaultKind] = frozenset({"drip", "stall", "reset", "truncation", "wrong_digest", "wrong_length"})
"""Faults of a body after a correct head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault for a share of one kind of exchange.

    `seconds` is the duration of latency and stall, and of a dripped body; `retry_after_s` belongs to a 429.
    """

    kind: FaultKind
    rate: float
    on: Exchange
    seconds: float = 1.0
    retry_after_s: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"rate: {self.rate} is not a share from 0 to 1")
        if self.seconds < 0 or self.retry_after_s < 0:
            raise ValueError("a fault's duration cannot be negative")
        if self.on == "connection" and self.kind not in OF_CONNECTIONS:
            raise ValueError(f"'{self.kind}' needs a request to answer: it cannot be a fault of a connection")


class Faults:
    """Draws a fault or none for each exchange, and counts them. Thread-safe.

    The n-th exchange of a kind depends only on the seed, the kind and n, so that rates are exact whatever else happens. If the
    rates of a kind of exchange add up to more than 1, the first ones take precedence.
    """

    def __init__(self, faults: Sequence[Fault], *, seed: int) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._seen: Counter[Exchange] = Counter()
        self._lock = threading.Lock()
        self.done: Counter[tuple[Exchange, FaultKind]] = Counter()

    def draw(self, exchange: Exchange) -> Fault | None:
        """The fault for the next exchange of this kind."""
        with self._lock:
            number = self._seen[exchange]
            self._seen[exchange] += 1
            left = random.Random(f"{self._seed}:{exchange}:{number}").random()
            for fault in self._faults:
                if fault.on == exchange:
                    left -= fault.rate
                    if left < 0:
                        self.done[exchange, fault.kind] += 1
                        return fault
        return None


_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_DRIPS = 10
_PAGE = b"<html><head><title>Sign in</title></head><body>Please sign in to the guest network</body></html>"
_STATUS: Mapping[FaultKind, tuple[int, str]] = {
    "unauthorized": (401, "UNAUTHORIZED"),
    "forbidden": (403, "DENIED"),
    "not_found": (404, "MANIFEST_UNKNOWN"),
    "rate_limited": (429, "TOOMANYREQUESTS"),
    "server_error": (503, "UNAVAILABLE"),
}


class FaultyHandler(PushHandler):
    """A handler with faults: only GET, and for the token endpoint every answer."""

    def __init__(self, *connection: Any, registry: RegistryState, faults: Faults) -> None:
        self._faults = faults
        self._spoilt: Fault | None = None
        super().__init__(*connection, registry=registry)

    def handle(self) -> None:
        fault = self._draw("connection")
        if fault is None or self._waits(fault):
            super().handle()
        elif fault.kind == "reset":
            self._reset()

    def _draw(self, exchange: Exchange) -> Fault | None:
        fault = self._faults.draw(exchange)
        if fault is not None:
            self.registry.counters.add("faults")
        return fault

    def _waits(self, fault: Fault) -> bool:
        """Wait for a latency and return True; a stall waits and returns False."""
        if fault.kind not in ("latency", "stall"):
            return False
        self._pause(fault.seconds)
        return fault.kind == "latency"

    def _pause(self, seconds: float) -> None:
        """Wait that long, or until the registry is closed."""
        self.registry.closing.wait(seconds)

    def _content(self, name: str, kind: str | None, reference: str, query: Mapping[str, list[str]]) -> None:
        exchange: Exchange | None = {"manifests": "manifest", "blobs": "blob"}.get(kind or "")  # type: ignore[assignment]
        fault = self._draw(exchange) if exchange is not None and self.command == "GET" else None
        if fault is None and self._is_layer(kind, reference):
            fault = self._draw("layer")
        if fault is None or not self._answers_instead(fault):
            self._spoilt = fault
            try:
                super()._content(name, kind, reference, query)
            finally:
                self._spoilt = None

    def _token(self, query: Mapping[str, list[str]]) -> None:
        fault = self._draw("token")
        if fault is None or not self._answers_instead(fault):
            self._spoilt = fault
            try:
                super()._token(query)
            finally:
                self._spoilt = None

    def _answers_instead(self, fault: Fault) -> bool:
        """Whether the fault was the whole answer; after a latency, the answer follows, and faults of head or body come later."""
        if fault.kind == "latency":
            self._pause(fault.seconds)
        elif fault.kind in _STATUS:
            status, code = _STATUS[fault.kind]
            headers = {"Retry-After": str(fault.retry_after_s)} if status == 429 else {}
            self._refuse(status, code, "a fault of the lab", headers)
            return True
        elif fault.kind == "html":
            self._reply(200, _PAGE, "text/html")
            return True
        elif fault.kind == "bad_json":
            self._reply(200, b'{"schemaVersion": 2, "manifests": [{', "application/vnd.oci.image.index.v1+json")
            return True
        elif fault.kind == "redirect_loop":
            self._reply(307, b"", "text/plain", {"Location": self.path})
            return True
        elif fault.kind == "expired_token":
            self.registry.access.forget()
            host = self.headers.get("Host", "")
            refusal = self.registry.access.refuse(self.headers.get("Authorization", ""), scope="", host=host)
            if refusal is not None:
                self._refuse(401, refusal.code, refusal.message, {"WWW-Authenticate": refusal.challenge})
            return refusal is not None
        return False

    def _reply(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        fault, self._spoilt = self._spoilt, None
        if fault is None or fault.kind not in OF_BODIES or not body:
            super()._reply(status, body, content_type, headers)
            return
        short = fault.kind == "wrong_length"
        self._head(status, len(body) - short, {**(headers or {}), "Content-Type": content_type})
        self._spoil(fault, body)

    def _head(self, status: int, size_bytes: int | None, headers: Mapping[str, str]) -> None:
        if self._spoilt is not None and size_bytes is not None:
            if self._spoilt.kind == "wrong_range" and "Content-Range" in headers:
                headers = {**headers, "Content-Range": "bytes 7-7/8"}
            elif self._spoilt.kind == "wrong_length" and size_bytes:
                size_bytes -= 1
        super()._head(status, size_bytes, headers)

    def _send_blob(self, blob: StoredBlob | Fetch, start: int, end: int) -> None:
        fault = self._spoilt
        if fault is None or fault.kind not in OF_BODIES or not isinstance(blob, StoredBlob) or start == end:
            super()._send_blob(blob, start, end)
            return
        with blob.path.open("rb") as file:
            file.seek(start)
            self._spoil(fault, file.read(end - start))

    def _spoil(self, fault: Fault, body: bytes) -> None:
        """Send a body with the fault; after most faults the connection is useless."""
        half = len(body) // 2
        if fault.kind == "wrong_digest":
            self._send(body[:half] + bytes([body[half] ^ 0xFF]) + body[half + 1 :])
        elif fault.kind == "wrong_length":
            self._send(body[:-1])
        elif fault.kind == "drip":
            size = -(-len(body) // _DRIPS)
            for start in range(0, len(body), size):
                self._pause(fault.seconds / _DRIPS)
                self._send(body[start : start + size])
        else:
            self._send(body[:half])
            if fault.kind == "stall":
                self._pause(fault.seconds)
            self.close_connection = True
            if fault.kind == "reset":
                self._reset()

    def _send(self, piece: bytes) -> None:
        """Count bytes before they are sent, like everything that a registry sends."""
        self.registry.counters.add("bytes", len(piece))
        self._sent = (self._sent[0], self._sent[1] + len(piece))
        self.wfile.write(piece)
        self.wfile.flush()

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.connection.close()
