"""What a lab registry does wrong, how often, and to which exchanges: seeded, so the same seed does the same again. Pure."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

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
"""A layer is a blob too: where a fault of blobs has not hit it, one of layers may."""
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
EXCHANGES: tuple[Exchange, ...] = get_args(Exchange)

OF_CONNECTIONS: frozenset[FaultKind] = frozenset({"latency", "stall", "reset"})
"""What can be done to a connection before a byte of it is read; to a TLS client it is a handshake that is slow or ends."""
OF_BODIES: frozenset[FaultKind] = frozenset({"drip", "stall", "reset", "truncation", "wrong_digest", "wrong_length"})
"""What is done to a body under a head that is in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of fault, done to a share of one kind of exchange.

    `seconds` is how long latency and stall last, and how long a dripped body takes; `retry_after_s` goes with a 429.
    """

    kind: FaultKind
    rate: float
    on: Exchange
    seconds: float = 1.0
    retry_after_s: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"rate: {self.rate} is no share from 0 to 1")
        if self.seconds < 0 or self.retry_after_s < 0:
            raise ValueError("a fault lasts no negative time")
        if self.on == "connection" and self.kind not in OF_CONNECTIONS:
            raise ValueError(f"'{self.kind}' needs a request to answer: it is no fault of a connection")


class Faults:
    """Draws a fault, or none, for each exchange in turn; what was done is counted. Safe for many threads.

    The n-th exchange of a kind draws by the seed, the kind and n alone, so that rates hold whatever else goes on. Where the
    rates of a kind of exchange add up to more than 1, the first ones given come first.
    """

    def __init__(self, faults: Sequence[Fault], *, seed: int) -> None:
        self._faults = tuple(faults)
        self._seed = seed
        self._seen: Counter[Exchange] = Counter()
        self._lock = threading.Lock()
        self.done: Counter[tuple[Exchange, FaultKind]] = Counter()

    def draw(self, exchange: Exchange) -> Fault | None:
        """The fault of the next exchange of this kind."""
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
