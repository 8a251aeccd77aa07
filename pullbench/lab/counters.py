"""What a lab server counts, so that a measurement can be held against what was really served."""

import threading
from collections import Counter
from typing import Any


class Counters:
    """Requests by kind and by status, bytes of bodies sent, tokens issued, and what an upstream was asked for.

    Of what was asked by GET of blobs that a manifest names as layers: `layers`, `layer_bytes`, and of a cache `layer_hits`.
    `faults` were done.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._totals: Counter[str] = Counter(
            bytes=0, tokens=0, hits=0, misses=0, upstream_requests=0, upstream_bytes=0, connections=0
        )
        self._totals.update(layers=0, layer_bytes=0, layer_hits=0, faults=0)

    def request(self, kind: str) -> None:
        """`ping`, `manifest_head`, `manifest_get`, `blob_head`, `blob_get`, `tags`, `catalog`, `token` or `other`."""
        with self._lock:
            self._requests[kind] += 1

    def status(self, status: int) -> None:
        with self._lock:
            self._statuses[str(status)] += 1

    def add(self, name: str, amount: int = 1) -> None:
        """Raise a total; a negative amount takes back what was announced and did not get out."""
        with self._lock:
            self._totals[name] += amount

    def as_dict(self) -> dict[str, Any]:
        """The document of `/lab/counters`."""
        with self._lock:
            return {"requests": dict(self._requests), "statuses": dict(self._statuses), **self._totals}
