"""One pull by the wire engine: its manifest, then config and layers by parallel workers, with retries.

A staged pull downloads its base images first.
"""

import re
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, wait
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from threading import Condition
from typing import TypeVar

from pullbench.engines.base import Clock, PullOutcome, PullRequest
from pullbench.engines.wire.body import REFUSALS, BlobBody, CheckedBody, ChunkedBlob, ManifestBody
from pullbench.engines.wire.client import WireClient
from pullbench.engines.wire.curl import Handles
from pullbench.engines.wire.record import RANGE_REFUSED, PullAttempt, PullLog
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.manifest import (
    MAX_NESTED_INDEXES,
    Descriptor,
    Index,
    Manifest,
    ManifestError,
    SchemaOneError,
    parse_manifest,
)
from pullbench.model.platform import Platform
from pullbench.model.record import Transfer, TransferKind
from pullbench.model.reference import Reference
from pullbench.registry.answer import backoff_s, may_pass

Task = Callable[[], None]
_AGE = re.compile(r" age=\S+")
_SLICE_S = 0.05  # how often an idle worker, or a pull that waits to retry, checks for cancellation


class BlobQueue:
    """The queue of one pull's blobs and parts of blobs, and its workers.

    With `grows` a task may insert others at the front. An idle worker waits only if more tasks can still come: with a thousand
    concurrent pulls, waiting workers alone would keep the machine busy.
    """

    def __init__(self, stopped: Callable[[], bool], *, grows: bool) -> None:
        self._todo: deque[Task] = deque()
        self._stopped = stopped
        self._grows = grows
        self._busy = 0
        self._changed = Condition()

    def put_first(self, tasks: Iterable[Task]) -> None:
        """Insert tasks, in order, before all waiting ones; called by a task, or before `run`."""
        with self._changed:
            self._todo.extendleft(reversed(list(tasks)))
            self._changed.notify_all()

    def run(self, workers: int, executor: Executor | None) -> None:
        """Run all tasks; this thread is the first worker, the executor has the others."""
        others = [executor.submit(self._work) for _ in range(workers - 1)] if executor else []
        try:
            self._work()
        finally:
            wait([worker for worker in others if not worker.cancel()])
        for worker in others:
            if not worker.cancelled():
                worker.result()  # an error here is a bug and must be visible

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            finally:
                with self._changed:
                    self._busy -= 1
                    if not self._todo:
                        self._changed.notify_all()

    def _next(self) -> Task | None:
        """The next task; waits while a running task may still add some."""
        with self._changed:
            while not self._stopped():
                if self._todo:
                    self._busy += 1
                    return self._todo.popleft()
                if not self._busy or not self._grows:
                    return None
                self._changed.wait(_SLICE_S)
        return None


BodyT = TypeVar("BodyT", bound=CheckedBody)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullContext:
    """The context of a pull: the engine's clock, the trial's threads, and where bytes are written."""

    clock: Clock
    workers: int
    """The number of concurrent blobs of one pull."""
    executor: Executor | None
    """Runs the workers other than the pull's own thread; None if there is only one worker."""
    chunk_bytes: int | None
    """Layers above this size are downloaded in parts of this size."""
    new_path: Callable[[], Path] | None
    """Returns a new file for each blob; None to drop verified content."""
    cancelled: Callable[[], bool]


class Fetcher:
    """Downloads manifests, blobs and parts of blobs for one pull until it fails; safe for the pull's threads."""

    def __init__(self, request: PullRequest, context: PullContext, client: WireClient, handles: Handles) -> None:
        self.log = PullLog(request.pull)
        self.failure: RegistryError | None = None
        """The first failure; the downloads that it stops have none of their own."""
        self.fetched: set[str] = set()
        """Digests of complete and verified content."""
        self._request = request
        self._context = context
        self._client = client
        self._handles = handles
        self._clock = context.clock
        self._deadline_s = context.clock.monotonic() + request.timeout_s
        self._lock = threading.Lock()
        self._chunked: list[ChunkedBlob] = []

    def stopped(self) -> bool:
        return self.failure is not None or self._context.cancelled()

    def fail(self, error: RegistryError) -> None:
        """End the pull with this error, unless it has ended already."""
        with self._lock:
            if self.failure is None:
                self.failure = error

    def error(self, code: ErrorCode, reference: Reference, detail: str) -> RegistryError:
        """An error of a whole image."""
        route = self._request.route
        where = f"GET {route.url}/v2/{route.repository(reference)}/manifests/{reference.locator}"
        return RegistryError(code, where, detail)

    # Manifests

    def manifest(self, reference: Reference) -> Manifest:
        """The manifest for the pull's platform, through the index if there is one. Raises RegistryError."""
        found = self._document(reference, reference.locator, None)
        for _ in range(MAX_NESTED_INDEXES):
            if isinstance(found, Manifest):
                return found
            chosen = found.select(Platform.parse(self._request.platform))
            if chosen is None:
                there = ", ".join(str(platform) for platform in found.platforms) or "none"
                detail = f"no {self._request.platform} among: {there}"
                raise self.error(ErrorCode.PLATFORM_MISSING, reference, detail)
            found = self._document(reference, chosen.digest, chosen.size_bytes)
        raise self.error(ErrorCode.NOT_A_REGISTRY, reference, f"more than {MAX_NESTED_INDEXES} indexes in each other")

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
        except SchemaOneError as error:
            raise self.error(ErrorCode.PLATFORM_MISSING, reference, str(error)) from error
        except ManifestError as error:
            raise self.error(ErrorCode.NOT_A_REGISTRY, reference, str(error)) from error

    # Blobs

    def blobs(self, reference: Reference, manifest: Manifest, queue: BlobQueue) -> list[Task]:
        """Tasks for the queue: config and layers in the manifest's order, without those already downloaded."""
        repository = self._request.route.repository(reference)
        tasks: list[Task] = []
        for blob in manifest.blobs:
            if blob.digest in self.fetched:
                continue
            is_layer, chunk_bytes = blob.digest != manifest.config.digest, self._context.chunk_bytes
            if is_layer and chunk_bytes is not None and blob.size_bytes > chunk_bytes:
                tasks.append(partial(self._in_parts, repository, blob, chunk_bytes, queue))
            else:
                tasks.append(partial(self._whole, repository, blob, "layer" if is_layer else "config"))
        return tasks

    def close(self) -> None:
        """Close the open files of a failed pull; nothing may be running."""
        for blob in self._chunked:
            blob.close()

    def _whole(self, repository: str, blob: Descriptor, kind: TransferKind, note: str | None = None) -> None:
        path = self._context.new_path() if self._context.new_path else None
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

    def _in_parts(self, repository: str, layer: Descriptor, chunk_bytes: int, queue: BlobQueue) -> None:
        """Download the first part of a layer; the others go to the front when the server shows that it supports ranges."""

        def others() -> None:
            queue.put_first(partial(self._later_part, repository, blob, index) for index in range(1, len(blob)))

        path = self._context.new_path() if self._context.new_path else None
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
            attempt = PullAttempt(
                log=self.log,
                number=number,
                repository=repository,
                deadline_s=self._deadline_s,
                stopped=self.stopped,
                handles=self._handles,
                forgiven=forgiven,
            )
            try:
                self._client.get(path, body, attempt, kind=kind, digest=digest)
                return body
            except RegistryError as error:
                if not self._wait_to_retry(error, number):
                    raise
            finally:
                body.close()
        raise AssertionError("unreachable")

    def _wait_to_retry(self, error: RegistryError, number: int) -> bool:
        """Wait for the server's time, else for `backoff_s`; False if there is no further attempt."""
        if not may_pass(error) or number > self._request.retries:
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


class WirePull:
    """The state of one pull. `run` is called once; it raises nothing for failures of a server.

    The request's base images are pulled first; the image itself then downloads only the rest.
    """

    def __init__(self, request: PullRequest, client: WireClient, context: PullContext) -> None:
        self._request = request
        self._client = client
        self._context = context
        self._clock = context.clock
        self._manifest: Manifest | None = None
        self._auth_s = 0.0
        self._resolve_s = 0.0
        self._download_s: float | None = None

    def run(self) -> PullOutcome:
        """Pull, and return the outcome; the duration ends before this pull's own connections are closed."""
        started_s = self._clock.monotonic()
        with self._client.connections() as handles:
            fetcher = Fetcher(self._request, self._context, self._client, handles)
            try:
                for reference in (*(base.reference for base in self._request.bases), self._request.reference):
                    if not fetcher.stopped():
                        self._stage(reference, fetcher)
            except RegistryError as error:
                fetcher.fail(error)
            finally:
                fetcher.close()
                ended_s = self._clock.monotonic()
        return self._outcome(fetcher, ended_s - started_s)

    def _stage(self, reference: Reference, fetcher: Fetcher) -> None:
        """Pull one image, without the content of earlier stages."""
        started_s, authorized_s = self._clock.monotonic(), fetcher.log.auth_s
        try:
            manifest = fetcher.manifest(reference)
        finally:
            resolved_s = self._clock.monotonic()
            auth_s = fetcher.log.auth_s - authorized_s
            self._auth_s += auth_s
            self._resolve_s += max(0.0, resolved_s - started_s - auth_s)
        if reference is self._request.reference:
            self._manifest = manifest
        chunked = self._context.chunk_bytes is not None
        queue = BlobQueue(fetcher.stopped, grows=chunked)
        tasks = fetcher.blobs(reference, manifest, queue)
        queue.put_first(tasks)
        most = self._context.workers
        queue.run(most if chunked else min(most, len(tasks)), self._context.executor)
        self._download_s = (self._download_s or 0.0) + self._clock.monotonic() - resolved_s

    def _outcome(self, fetcher: Fetcher, duration_s: float) -> PullOutcome:
        rows = sorted(fetcher.log.rows, key=lambda row: row.started_at)
        failure, manifest = fetcher.failure, self._manifest
        if failure is None and (manifest is None or any(blob.digest not in fetcher.fetched for blob in manifest.blobs)):
            detail = "stopped before all layers had arrived"
            failure = fetcher.error(ErrorCode.CANCELLED, self._request.reference, detail)
        content = [row for row in rows if row.kind in ("config", "layer")]
        return PullOutcome(
            ok=failure is None,
            error_code=failure.code if failure else None,
            error=f"{failure.where}: {failure.detail}" if failure else None,
            attempts=max((row.attempt for row in rows), default=1),
            bytes=sum(row.bytes or 0 for row in content),
            layers=len(manifest.layers) if manifest else None,
            auth_s=self._auth_s,
            resolve_s=self._resolve_s,
            download_s=self._download_s,
            served_by=_main_source(content or rows),
            transfers=tuple(rows),
            duration_s=duration_s,
        )


def _main_source(rows: list[Transfer]) -> str | None:
    """The server, or the cache's word on hit or miss, of most of the bytes; of those rows, the largest one's."""
    sources = dict[str, list[Transfer]]()
    for row in rows:
        if row.served_by is not None:
            sources.setdefault(_AGE.sub("", row.served_by), []).append(row)
    if not sources:
        return None
    most = max(sources.values(), key=lambda found: sum(row.bytes or 0 for row in found))
    return max(most, key=lambda row: row.bytes or 0).served_by
