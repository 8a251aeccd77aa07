"""From the timelines of a pull's attempts to its figures. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pullbench.engines.base import PullOutcome, PullRequest
from pullbench.engines.docker.events import LayerTimeline, PullTimeline, short_id, union_s
from pullbench.errors import ErrorCode
from pullbench.model.manifest import Descriptor, Manifest
from pullbench.model.record import Transfer

Chain = tuple[str, ...]
"""A layer with all layers below it: what dockerd shares between pulls is the chain, not the layer alone."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt of a pull. `started` and `ended` are monotonic seconds; `started_at` is the instant of the first."""

    number: int
    started: float
    started_at: datetime
    timeline: PullTimeline
    ended: float = 0.0
    code: ErrorCode | None = None
    error: str | None = None

    def end(self, at: float, code: ErrorCode | None = None, error: str | None = None) -> None:
        """Set when it ended and, where it failed, why."""
        self.ended, self.code, self.error = at, code, error


class Claims:
    """Which pull of a trial brings which layer: the first that asks for it. Safe for threads."""

    def __init__(self) -> None:
        self._owners: dict[Chain, int] = {}

    def claim(self, chain: Chain, pull: int) -> int:
        """The pull that brings it, which is `pull` where nobody did before."""
        return self._owners.setdefault(chain, pull)

    def owner(self, chain: Chain) -> int | None:
        return self._owners.get(chain)

    def release(self, pull: int) -> None:
        """Forget what a failed pull wanted to bring: dockerd lets go of it, and another pull may bring it."""
        for chain in [chain for chain, owner in list(self._owners.items()) if owner == pull]:
            self._owners.pop(chain, None)


def chains(manifest: Manifest) -> dict[str, Chain]:
    """Each layer's chain by its short ID; of a layer that stands there twice, the lower."""
    digests = [layer.digest for layer in manifest.layers]
    found: dict[str, Chain] = {}
    for index, digest in enumerate(digests):
        found.setdefault(short_id(digest), tuple(digests[: index + 1]))
    return found


def image_chain(manifest: Manifest) -> Chain:
    """What stands for the image itself among the claims: its config."""
    return (manifest.config.digest,)


def outcome(request: PullRequest, attempts: list[Attempt], claims: Claims) -> PullOutcome:
    """The figures of a pull that has ended; what the events did not show is None."""
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
        transfers=tuple(
            transfer for attempt in attempts for transfer in _transfers(request, attempt, chains(manifest), claims)
        ),
        duration_s=last.ended - attempts[0].started,
    )


def _origin(request: PullRequest, layer: Descriptor, timeline: PullTimeline, claims: Claims) -> str:
    """Where a layer of a pull that succeeded came from: `brought` by itself, `shared` or `cached`."""
    manifest = request.expected.manifest
    seen = timeline.layers.get(short_id(layer.digest))
    # Without an event of any layer the image itself was there, by this name or another.
    chain = chains(manifest)[short_id(layer.digest)] if timeline.layers else image_chain(manifest)
    if seen is not None and seen.fetched:
        return "brought" if claims.claim(chain, request.pull) == request.pull else "shared"
    owner = claims.owner(chain)
    if owner == request.pull:
        return "brought"
    return "cached" if owner is None else "shared"


def _received(request: PullRequest, attempts: list[Attempt], claims: Claims) -> int | None:
    """Bytes of config and layers that this pull brought, all attempts; None where it never came so far."""
    if all(not attempt.timeline.layers and attempt.code is not None for attempt in attempts):
        return None
    manifest = request.expected.manifest
    config = sum(
        manifest.config.size_bytes for one in attempts if one.timeline.layers and one.timeline.complete
    )  # dockerd shows no event of the config; it fetches one for each image that the store lacks
    return config + sum(
        size for one in attempts for _, _, size in _fetched(request, one.timeline, chains(manifest), claims)
    )


def _fetched(
    request: PullRequest, timeline: PullTimeline, chain_of: dict[str, Chain], claims: Claims
) -> Iterator[tuple[Descriptor, LayerTimeline, int]]:
    """Each layer that was asked for, once, with the bytes that came: none where another pull of the trial brings it."""
    for layer in {layer.digest: layer for layer in request.expected.manifest.layers}.values():
        name = short_id(layer.digest)
        seen = timeline.layers.get(name)
        if seen is None or not seen.fetched:
            continue
        ours = claims.claim(chain_of[name], request.pull) == request.pull
        came = layer.size_bytes if seen.download_to is not None else seen.received_bytes
        yield layer, seen, came if ours else 0


def _transfers(
    request: PullRequest, attempt: Attempt, chain_of: dict[str, Chain], claims: Claims
) -> Iterator[Transfer]:
    for layer, seen, size in _fetched(request, attempt.timeline, chain_of, claims):
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
