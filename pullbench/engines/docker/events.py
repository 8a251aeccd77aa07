"""Reads the events of dockerd's pulls: what happened to each layer, and when. Pure: instants are handed in.

Per layer, any of it may be missing: `Pulling fs layer`, `Waiting`, `Downloading`, `Verifying Checksum`,
`Download complete`, `Extracting`, `Pull complete`, or just `Already exists`; then `Digest: …` and `Status: …` for the
image, or an `errorDetail`. A layer is named by the first 12 digits of its digest (source: moby, distribution/xfer).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SHORT_ID_LENGTH = 12


def short_id(digest: str) -> str:
    """A layer's name in the events: the first digits of its digest."""
    return digest.partition(":")[2][:SHORT_ID_LENGTH]


@dataclass(slots=True, kw_only=True)
class LayerTimeline:
    """What the events told of one layer so far; instants are monotonic seconds."""

    queued: float | None = None
    waited: bool = False
    """It stood in line, so `queued` is not when its download began."""
    download_from: float | None = None
    download_to: float | None = None
    extract_from: float | None = None
    extract_to: float | None = None
    received_bytes: int = 0
    existed: bool = False
    last: str = ""

    @property
    def fetched(self) -> bool:
        """Its download was at least asked for."""
        return self.queued is not None or self.download_from is not None or self.download_to is not None

    @property
    def download(self) -> tuple[float, float] | None:
        """First byte seen to last; from its start where it was too small for a sign of progress."""
        begun = self.download_from
        if begun is None and not self.waited:
            begun = self.queued
        return None if begun is None or self.download_to is None else (begun, self.download_to)

    @property
    def extraction(self) -> tuple[float, float] | None:
        return None if self.extract_from is None or self.extract_to is None else (self.extract_from, self.extract_to)


@dataclass(slots=True, kw_only=True)
class PullTimeline:
    """The events of one attempt, gathered by `observe`."""

    layer_ids: frozenset[str]
    """Short IDs of the manifest's layers; events of anything else are no layer's."""
    layers: dict[str, LayerTimeline] = field(default_factory=dict)
    first_layer: float | None = None
    """When the first layer was named: by then the manifest was there."""
    error: str | None = None
    complete: bool = False
    """The image's `Status: …` came, which dockerd sends last, and only where the pull succeeded."""

    def observe(self, event: Mapping[str, Any], at: float) -> None:
        """Take in one event that arrived at `at`."""
        if "errorDetail" in event or "error" in event:
            detail = event.get("errorDetail")
            message = detail.get("message") if isinstance(detail, Mapping) else None
            self.error = str(message or event.get("error") or "the daemon gave no reason")
            return
        status, name = str(event.get("status", "")), str(event.get("id", ""))
        if name in self.layer_ids:
            if self.first_layer is None:
                self.first_layer = at
            self._observe_layer(self.layers.setdefault(name, LayerTimeline()), status, event, at)
        elif status.startswith("Status: "):
            self.complete = True

    def _observe_layer(self, layer: LayerTimeline, status: str, event: Mapping[str, Any], at: float) -> None:
        layer.last = status
        match status:
            case "Pulling fs layer":
                layer.queued = _first(layer.queued, at)
            case "Waiting":
                layer.waited = True
            case "Downloading":
                layer.download_from = _first(layer.download_from, at)
                layer.received_bytes = max(layer.received_bytes, _current(event))
            case "Download complete":
                layer.download_to = _first(layer.download_to, at)
            case "Extracting":
                layer.download_to = _first(layer.download_to, at)
                layer.extract_from = _first(layer.extract_from, at)
            case "Pull complete":
                layer.download_to = _first(layer.download_to, at)
                layer.extract_to = at
            case "Already exists":
                layer.existed = True

    def progress(self) -> str:
        """For people: how far it came, such as `1 of 3 layers complete, last seen: 854a4daddb5b Downloading`."""
        if not self.layers:
            return "no answer to the manifest request yet"
        done = sum(layer.existed or layer.extract_to is not None for layer in self.layers.values())
        unfinished = [
            f"{name} {layer.last}" for name, layer in self.layers.items() if not layer.existed and not layer.extract_to
        ]
        told = f"{done} of {len(self.layer_ids)} layers complete"
        return f"{told}, unfinished: {', '.join(unfinished[:3])}" if unfinished else told


def union_s(intervals: Iterable[tuple[float, float]]) -> float | None:
    """Seconds that at least one interval covers, overlaps counted once; None where there is no interval."""
    total, covered_to, seen = 0.0, float("-inf"), False
    for begun, ended in sorted(intervals):
        seen = True
        total += max(0.0, ended - max(begun, covered_to))
        covered_to = max(covered_to, ended)
    return total if seen else None


def _first(known: float | None, at: float) -> float:
    return at if known is None else known


def _current(event: Mapping[str, Any]) -> int:
    detail = event.get("progressDetail")
    current = detail.get("current") if isinstance(detail, Mapping) else None
    return current if isinstance(current, int) else 0
