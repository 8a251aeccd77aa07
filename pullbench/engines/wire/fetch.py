"""Gets things for one pull: manifests, blobs, and parts of blobs, each tried as often as allowed."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from pullbench.engines.base import Clock, PullRequest, backoff_s
from pullbench.engines.wire.blob_queue import Lanes, Task
from pullbench.engines.wire.body import BlobBody, CheckedBody, ManifestBody
from pullbench.engines.wire.chunks import REFUSALS, ChunkedBlob
from pullbench.engines.wire.curl import Handles
from pullbench.engines.wire.record import RANGE_REFUSED, Attempt, PullLog
from pullbench.engines.wire.session import Session
from pullbench.errors import RETRYABLE, ErrorCode, RegistryError
from pullbench.model.manifest import Descriptor, Index, Manifest, ManifestError, parse_manifest
from pullbench.model.platform import Platform
from pullbench.model.record import TransferKind
from pullbench.model.reference import Reference

BodyT = TypeVar("BodyT", bound=CheckedBody)

_SLICE_S = 0.05  # how soon a waiting pull sees that it was cancelled
_NOT_IMPLEMENTED = 501  # a server error that does not pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a pull fetches with."""

    session: Session
    handles: Handles
    clock: Clock
    chunk_bytes: int | None
    """Layers above it come in parts of it."""
    new_path: Callable[[], Path] | None
    """A fresh file for each blob; None to drop what was verified."""
    cancelled: Callable[[], bool]


class Fetcher:
    """Fetches for one pull until it fails; safe for the pull's threads."""

    def __init__(self, request: PullRequest, means: Means) -> None:
        self.log = PullLog(request.pull)
        self.failure: RegistryError | None = None
        """The first; what it stops has none of its own."""
        self.fetched: set[str] = set()
        """Digests of what is here whole and verified."""
        self._request = request
        self._means = means
        self._clock = means.clock
        self._deadline_s = means.clock.monotonic() + request.timeout_s
        self._lock = threading.Lock()
        self._chunked: list[ChunkedBlob] = []

    def stopped(self) -> bool:
        return self.failure is not None or self._means.cancelled()

    def fail(self, error: RegistryError) -> None:
        """End the pull by this error, where nothing ended it before."""
        with self._lock:
            if self.failure is None:
                self.failure = error

    def error(self, code: ErrorCode, reference: Reference, detail: str) -> RegistryError:
        """An error about an image as a whole."""
        route = self._request.route
        where = f"GET {route.url}/v2/{route.repository(reference)}/manifests/{reference.locator}"
        return RegistryError(code, where, detail)

    # Manifests

    def manifest(self, reference: Reference) -> Manifest:
        """The pull's platform of an image, by its index where there is one. Raises RegistryError."""
        found = self._document(reference, reference.locator, None)
        if isinstance(found, Index):
            chosen = found.select(Platform.parse(self._request.platform))
            if chosen is None:
                there = ", ".join(str(platform) for platform in found.platforms) or "none"
                detail = f"no {self._request.platform} among: {there}"
                raise self.error(ErrorCode.PLATFORM_MISSING, reference, detail)
            found = self._document(reference, chosen.digest, chosen.size_bytes)
        if isinstance(found, Index):
            raise self.error(ErrorCode.NOT_A_REGISTRY, reference, "an index inside an index")
        return found

    def _document(self, reference: Reference, digest: str, size_bytes: int | None) -> Manifest | Index:
        body = self._fetch(
            self._request.route.repository(reference),
            f"manifests/{digest}",
            lambda: ManifestBody(digest, size_bytes),
            kind="manifest",
            digest=digest,
        )
        try:
            return parse_manifest(bytes(body.content))
        except ManifestError as error:
            raise self.error(ErrorCode.NOT_A_REGISTRY, reference, str(error)) from error

    # Blobs

    def blobs(self, reference: Reference, manifest: Manifest, lanes: Lanes) -> list[Task]:
        """Tasks for the lanes: config and layers in the manifest's order, without what is here already."""
        repository = self._request.route.repository(reference)
        tasks: list[Task] = []
        for blob in manifest.blobs:
            if blob.digest in self.fetched:
                continue
            is_layer, chunk_bytes = blob.digest != manifest.config.digest, self._means.chunk_bytes
            if is_layer and chunk_bytes is not None and blob.size_bytes > chunk_bytes:
                tasks.append(partial(self._in_parts, repository, blob, chunk_bytes, lanes))
            else:
                tasks.append(partial(self._whole, repository, blob, "layer" if is_layer else "config"))
        return tasks

    def close(self) -> None:
        """Close what a failed pull left open; nothing may be under way."""
        for blob in self._chunked:
            blob.close()

    def _whole(self, repository: str, blob: Descriptor, kind: TransferKind, note: str | None = None) -> None:
        path = self._means.new_path() if self._means.new_path else None
        try:
            self._fetch(
                repository,
                f"blobs/{blob.digest}",
                lambda: BlobBody(blob, path, note),
                kind=kind,
                digest=blob.digest,
            )
        except RegistryError as error:
            self.fail(error)
        else:
            self.fetched.add(blob.digest)

    def _in_parts(self, repository: str, layer: Descriptor, chunk_bytes: int, lanes: Lanes) -> None:
        """The first part of a layer; the others are put before the lanes when the server shows that it has ranges."""

        def others() -> None:
            lanes.put_first(partial(self._later_part, repository, blob, index) for index in range(1, len(blob)))

        path = self._means.new_path() if self._means.new_path else None
        blob = ChunkedBlob(layer, chunk_bytes, path=path, stopped=self.stopped, granted=others)
        self._chunked.append(blob)
        try:
            self._part(repository, blob, 0)
        except RegistryError as error:
            if error.status in REFUSALS and not blob.is_granted:
                self._whole(repository, layer, "layer", RANGE_REFUSED)
            else:
                self.fail(error)

    def _later_part(self, repository: str, blob: ChunkedBlob, index: int) -> None:
        try:
            self._part(repository, blob, index)
        except RegistryError as error:
            self.fail(error)

    def _part(self, repository: str, blob: ChunkedBlob, index: int) -> None:
        self._fetch(
            repository,
            f"blobs/{blob.descriptor.digest}",
            lambda: blob.part(index),
            kind="layer",
            digest=blob.descriptor.digest,
            forgiven=() if blob.is_granted else REFUSALS,
        )
        if blob.is_complete:
            self.fetched.add(blob.descriptor.digest)

    # Attempts

    def _fetch(
        self,
        repository: str,
        path: str,
        make_body: Callable[[], BodyT],
        *,
        kind: TransferKind,
        digest: str,
        forgiven: Collection[int] = (),
    ) -> BodyT:
        for number in count(1):
            body = make_body()
            attempt = Attempt(
                log=self.log,
                number=number,
                repository=repository,
                deadline_s=self._deadline_s,
                stopped=self.stopped,
                handles=self._means.handles,
                forgiven=forgiven,
            )
            try:
                self._means.session.get(path, body, attempt, kind=kind, digest=digest)
                return body
            except RegistryError as error:
                if not self._wait_to_retry(error, number):
                    raise
            finally:
                body.close()
        raise AssertionError("unreachable")

    def _wait_to_retry(self, error: RegistryError, number: int) -> bool:
        """Wait as long as the server asks, or as base.backoff_s says; False where another try is not due."""
        if error.code not in RETRYABLE or error.status == _NOT_IMPLEMENTED or number > self._request.retries:
            return False
        until_s = self._clock.monotonic() + backoff_s(number, error.retry_after_s)
        if until_s >= self._deadline_s:
            return False
        while (left_s := until_s - self._clock.monotonic()) > 0:
            if self.stopped():
                detail = "stopped before the next attempt"
                raise self.error(ErrorCode.CANCELLED, self._request.reference, detail) from error
            self._clock.sleep(min(left_s, _SLICE_S))
        return True
