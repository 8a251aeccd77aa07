"""Computes a pull's figures from dockerd's events: what happened to each layer, and when. Pure: times are arguments.

Each event of a layer may be missing: `Pulling fs layer`, `Waiting`, `Downloading`, `Verifying Checksum`,
`Download complete`, `Extracting`, `Pull complete`, or just `Already exists`; then `Digest: …` and `Status: …` for the
image, or an `errorDetail`. Events name a layer by the first 12 digits of its digest (source: moby, distribution/xfer).

With containerd's image store (source: moby, daemon/containerd/progress.go) dockerd looks at the store every 0.1 s instead:
a small layer has no `Downloading` and no `Extracting`, a layer that is unpacked already has no event, and
`Already exists` after `Pulling fs layer` means that only the unpacking was left to do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pullbench.engines.base import PullOutcome, PullRequest
from pullbench.errors import ErrorCode
from pullbench.model.manifest import Descriptor, Manifest
from pullbench.model.record import Transfer

SHORT_ID_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSource:
    """How a daemon's image store makes its events, and what its pulls share."""

    polled: bool
    """Whether events come from looking at the store now and then: `Pulling fs layer` is then no start of a download."""
    shares_chains: bool
    """Whether pulls share a layer only together with all layers below it, not every blob of the same digest."""
    resumes: bool
    """Whether another attempt continues a partial download."""


GRAPH_DRIVER_EVENTS = EventSource(polled=False, shares_chains=True, resumes=False)
CONTAINERD_EVENTS = EventSource(polled=True, shares_chains=False, resumes=True)


def short_id(digest: str) -> str:
    """A layer's name in the events: the first digits of its digest."""
    return digest.partition(":")[2][:SHORT_ID_LENGTH]


@dataclass(slots=True, kw_only=True)
class LayerTimeline:
    """The events of one layer so far; times are monotonic seconds."""

    queued: float | None = None
    waited: bool = False
    """Whether it was queued, or may have been, so `queued` is not the start of its download."""
    download_from: float | None = None
    download_to: float | None = None
    extract_from: float | None = None
    extract_to: float | None = None
    received_bytes: int = 0
    existed: bool = False
    last: str = ""

    @property
    def fetched(self) -> bool:
        """Whether its download was at least requested; a layer that turned out to be there was not."""
        requested = self.queued is not None or self.download_from is not None or self.download_to is not None
        return requested and not self.existed

    @property
    def download(self) -> tuple[float, float] | None:
        """From the first byte seen to the last; from its start if it was too small for progress events."""
        begun = self.download_from
        if begun is None and not self.waited:
            begun = self.queued
        return None if begun is None or self.download_to is None else (begun, self.download_to)

    @property
    def extraction(self) -> tuple[float, float] | None:
        return None if self.extract_from is None or self.extract_to is None else (self.extract_from, self.extract_to)


@dataclass(slots=True, kw_only=True)
class PullTimeline:
    """The events of one attempt, collected by `observe`."""

    layer_ids: frozenset[str]
    """Short IDs of the manifest's layers; events with other IDs do not belong to layers."""
    source: EventSource = GRAPH_DRIVER_EVENTS
    layers: dict[str, LayerTimeline] = field(default_factory=dict)
    first_layer: float | None = None
    """When the first layer was named: the manifest had arrived by then."""
    others: set[str] = field(default_factory=set)
    """Short IDs of blobs that came and are no layers: from Docker 29.1 on those of attestations."""
    error: str | None = None
    complete: bool = False
    """Whether the image's `Status: …` arrived; dockerd sends it last, and only for a successful pull."""

    def observe(self, event: Mapping[str, Any], at: float) -> None:
        """Add one event that arrived at `at`."""
        if "errorDetail" in event or "error" in event:
            detail = event.get("errorDetail")
            message = detail.get("message") if isinstance(detail, Mapping) else None
            self.error = str(message or event.get("error") or "the daemon gave no reason")
            return
        status, name = str(event.get("status", "")), str(event.get("id", ""))
        if name in self.layer_ids:
            if self.first_layer is None:
                self.first_layer = at
            layer = self.layers.setdefault(name, LayerTimeline(waited=self.source.polled))
            self._observe_layer(layer, status, event, at)
        elif status == "Download complete":
            self.others.add(name)
        elif status.startswith("Status: "):
            self.complete = True

    def _observe_layer(self, layer: LayerTimeline, status: str, event: Mapping[str, Any], at: float) -> None:
        repeated, layer.last = layer.last == status, status
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
                layer.extract_to = layer.extract_to if repeated else at
            case "Already exists":
                layer.existed = True

    def progress(self) -> str:
        """The progress for display, such as `1 of 3 layers complete, last seen: 854a4daddb5b Downloading`."""
        if not self.layers:
            return "no answer to the manifest request yet"
        done = sum(layer.existed or layer.extract_to is not None for layer in self.layers.values())
        unfinished = [
            f"{name} {layer.last}" for name, layer in self.layers.items() if not layer.existed and not layer.extract_to
        ]
        shown = f"{done} of {len(self.layer_ids)} layers complete"
        return f"{shown}, unfinished: {', '.join(unfinished[:3])}" if unfinished else shown


def union_s(intervals: Iterable[tuple[float, float]]) -> float | None:
    """Seconds covered by at least one interval, overlaps counted once; None without intervals."""
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


Chain = tuple[str, ...]
"""A layer with all layers below it: dockerd shares chains between pulls, not single layers."""


@dataclass(slots=True, kw_only=True)
class DockerAttempt:
    """One attempt of a pull. `started` and `ended` are monotonic seconds; `started_at` is the UTC time of the start."""

    number: int
    started: float
    started_at: datetime
    timeline: PullTimeline
    ended: float = 0.0
    code: ErrorCode | None = None
    error: str | None = None
    other_bytes: int | None = 0
    """The bytes of the timeline's `others`; None if the daemon does not tell them."""

    def end(self, at: float, code: ErrorCode | None = None, error: str | None = None) -> None:
        """Set its end and, for a failure, the reason."""
        self.ended, self.code, self.error = at, code, error


class Claims:
    """Which pull of a trial downloads which layer: the first that requests it. Thread-safe."""

    def __init__(self) -> None:
        self._owners: dict[Chain, int] = {}

    def claim(self, chain: Chain, pull: int) -> int:
        """The pull that downloads it: `pull`, unless another claimed it before."""
        return self._owners.setdefault(chain, pull)

    def owner(self, chain: Chain) -> int | None:
        return self._owners.get(chain)

    def waive(self, chain: Chain, pull: int) -> None:
        """Withdraw a claim: the layer was in the store, so `pull` does not download it."""
        if self._owners.get(chain) == pull:
            self._owners.pop(chain, None)

    def release(self, pull: int) -> None:
        """Release the claims of a failed pull: dockerd drops its layers, and another pull may download them."""
        for chain in [chain for chain, owner in list(self._owners.items()) if owner == pull]:
            self._owners.pop(chain, None)


def chains(manifest: Manifest, source: EventSource = GRAPH_DRIVER_EVENTS) -> dict[str, Chain]:
    """What pulls share of each layer, by its short ID: its chain (for a repeated layer, the lower one), or the blob alone."""
    digests = [layer.digest for layer in manifest.layers]
    found: dict[str, Chain] = {}
    for index, digest in enumerate(digests):
        found.setdefault(short_id(digest), tuple(digests[: index + 1]) if source.shares_chains else (digest,))
    return found


def image_chain(manifest: Manifest) -> Chain:
    """The claim for the image itself: its config."""
    return (manifest.config.digest,)


def config_chain(manifest: Manifest) -> Chain:
    """The claim for the config's download; nobody's pull owns it where the store had the image before."""
    return ("config", manifest.config.digest)


def outcome(request: PullRequest, attempts: list[DockerAttempt], claims: Claims) -> PullOutcome:
    """The outcome of an ended pull; values that the events do not show are None."""
    last, manifest = attempts[-1], request.expected.manifest
    cached = shared = None
    if last.code is None:
        origins = [_origin(request, layer, last.timeline, claims) for layer in manifest.layers]
        cached, shared = origins.count("cached"), origins.count("shared")
    timelines = [attempt.timeline for attempt in attempts]
    resolved = [
        attempt.timeline.first_layer - attempt.started
        for attempt in attempts
        if attempt.timeline.first_layer is not None
    ]
    return PullOutcome(
        ok=last.code is None,
        error_code=last.code,
        error=last.error,
        attempts=len(attempts),
        bytes=_received(request, attempts, claims),
        layers=len(manifest.layers) if last.code is None else None,
        layers_cached=cached,
        layers_shared=shared,
        resolve_s=sum(resolved) if resolved else None,
        download_s=union_s(layer.download for one in timelines for layer in one.layers.values() if layer.download),
        extract_s=union_s(layer.extraction for one in timelines for layer in one.layers.values() if layer.extraction),
        transfers=tuple(transfer for attempt in attempts for transfer in _transfers(request, attempt, claims)),
        duration_s=last.ended - attempts[0].started,
    )


def _origin(request: PullRequest, layer: Descriptor, timeline: PullTimeline, claims: Claims) -> str:
    """The origin of a layer of a successful pull: `brought` (downloaded), `shared` or `cached`."""
    manifest = request.expected.manifest
    seen = timeline.layers.get(short_id(layer.digest))
    # Without layer events the image itself was already in the store, by this name or another.
    chain = chains(manifest, timeline.source)[short_id(layer.digest)] if timeline.layers else image_chain(manifest)
    if seen is not None and seen.fetched:
        return "brought" if claims.claim(chain, request.pull) == request.pull else "shared"
    owner = claims.owner(chain)
    if owner == request.pull:
        return "brought"
    return "cached" if owner is None else "shared"


def _received(request: PullRequest, attempts: list[DockerAttempt], claims: Claims) -> int | None:
    """Bytes of blobs that this pull downloaded, over all attempts; None if it failed before, resumed, or they are not told."""
    if all(not attempt.timeline.layers and attempt.code is not None for attempt in attempts) or _resumed(attempts):
        return None
    config = sum(_config_bytes(request, attempt.timeline, claims) for attempt in attempts)
    others = [attempt.other_bytes for attempt in attempts]
    if None in others:
        return None
    return (
        config
        + sum(size or 0 for size in others)
        + sum(size for attempt in attempts for _, _, size in _fetched(request, attempt.timeline, claims))
    )


def _config_bytes(request: PullRequest, timeline: PullTimeline, claims: Claims) -> int:
    """dockerd sends no event for the config; it downloads one for each image that the store lacks."""
    config = request.expected.manifest.config
    if not timeline.complete:
        return 0
    if timeline.source.polled:  # an image may have a new config, and no layer with an event
        return (
            config.size_bytes
            if claims.claim(config_chain(request.expected.manifest), request.pull) == request.pull
            else 0
        )
    return config.size_bytes if timeline.layers else 0


def _resumed(attempts: list[DockerAttempt]) -> bool:
    """Whether an attempt continued the partial layer of an earlier one, so that only the sum of both is one layer."""
    partial: set[str] = set()
    for attempt in attempts:
        fetched = {name: layer for name, layer in attempt.timeline.layers.items() if layer.fetched}
        if partial & fetched.keys():
            return True
        if attempt.timeline.source.resumes:
            partial |= {name for name, layer in fetched.items() if layer.download_to is None}
    return False


def _fetched(
    request: PullRequest, timeline: PullTimeline, claims: Claims
) -> Iterator[tuple[Descriptor, LayerTimeline, int]]:
    """Each requested layer, once, with its bytes; 0 if another pull of the trial downloads it."""
    chain_of = chains(request.expected.manifest, timeline.source)
    for layer in {layer.digest: layer for layer in request.expected.manifest.layers}.values():
        name = short_id(layer.digest)
        seen = timeline.layers.get(name)
        if seen is None or not seen.fetched:
            continue
        ours = claims.claim(chain_of[name], request.pull) == request.pull
        came = layer.size_bytes if seen.download_to is not None else seen.received_bytes
        yield layer, seen, came if ours else 0


def _transfers(request: PullRequest, attempt: DockerAttempt, claims: Claims) -> Iterator[Transfer]:
    for layer, seen, size in _fetched(request, attempt.timeline, claims):
        download, extraction = seen.download, seen.extraction
        begun = seen.download_from if seen.download_from is not None else seen.queued
        offset = 0.0 if begun is None else begun - attempt.started
        unfinished = seen.download_to is None or (seen.extract_from is not None and seen.extract_to is None)
        yield Transfer(
            pull=request.pull,
            attempt=attempt.number,
            kind="layer",
            digest=layer.digest,
            bytes=size,
            status=None,
            started_at=attempt.started_at + timedelta(seconds=offset),
            total_s=None if download is None else download[1] - download[0],
            extract_s=None if extraction is None else extraction[1] - extraction[0],
            error_code=attempt.code if unfinished else None,
        )
