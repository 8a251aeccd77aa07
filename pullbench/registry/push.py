"""Pushes synthetic images: only what is not there, never over a tag that is not ours, in memory that does not grow."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeVar

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.reference import Reference
from pullbench.model.upload import Blob, BuiltImage, Document, SyntheticImage
from pullbench.registry.answer import backoff_s, may_pass
from pullbench.registry.client import RegistryClient
from pullbench.registry.standing import Standing, is_whole, look, refuse
from pullbench.registry.upload import has_blob, pushing, put_manifest, send_blob

ATTEMPTS = 3
"""A blob or a manifest is tried so often where the failure may pass; a push is no measurement."""
_WAIT_AT_MOST_S = 30.0
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedImage:
    """An image that the registry holds now, and whether this push brought it."""

    reference: Reference
    digest: str
    outcome: Literal["pushed", "there"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """What a push did; `images` in the order given."""

    images: tuple[PushedImage, ...]
    blobs_sent: int
    blobs_mounted: int
    blobs_there: int
    bytes_sent: int
    """Configs and layers."""


class PushWatch(Protocol):
    """Hears how a push goes on, from several threads."""

    def moved(self, size_bytes: int) -> None:
        """So much less is to be done: it was sent, mounted, or found there. Negative where an attempt came to nothing."""

    def settled(self, image: PushedImage) -> None:
        """The registry holds this image now."""


class Unwatched:
    """Nobody listens."""

    def moved(self, size_bytes: int) -> None: ...

    def settled(self, image: PushedImage) -> None: ...


def push_workload(
    client: RegistryClient,
    images: Iterable[SyntheticImage],
    *,
    workers: int = 4,
    replace: bool = False,
    watch: PushWatch | None = None,
) -> PushReport:
    """Bring images into a registry; every tag is looked at before anything is sent.

    `client` was made with `actions="pull,push"`. An image that is there whole is left alone. Raises UsageError, with
    nothing sent, where a tag holds an image that is not ours, or another workload's unless `replace`; RegistryError
    where the registry fails: what was pushed stays, and the same call goes on from there.
    """
    return _Push(client, replace=replace, watch=watch or Unwatched()).run(tuple(images), workers)


@dataclass(slots=True)
class _BlobState:
    """One blob of the workload: sent by one thread at a time, and mounted from where it is known to be."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    repository: str | None = None


class _Push:
    def __init__(self, client: RegistryClient, *, replace: bool, watch: PushWatch) -> None:
        self._client = client
        self._replace = replace
        self._watch = watch
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._blobs: dict[str, _BlobState] = {}

    def run(self, images: Sequence[SyntheticImage], workers: int) -> PushReport:
        with ThreadPoolExecutor(workers, thread_name_prefix="push") as pool:
            standing = self._each(pool, [partial(look, self._client, image) for image in images])
            refuse(self._client.route.host, standing, replace=self._replace)
            pushed = self._each(pool, [partial(self._bring, entry) for entry in standing])
        return PushReport(
            images=tuple(pushed),
            blobs_sent=self._counts["sent"],
            blobs_mounted=self._counts["mounted"],
            blobs_there=self._counts["there"],
            bytes_sent=self._counts["bytes"],
        )

    def _each(self, pool: ThreadPoolExecutor, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """All results in order; the first failure, or Ctrl-C, ends the others at their next piece."""
        futures = [pool.submit(self._guarded, call) for call in calls]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            if self._failure is not None:
                raise self._failure
        except BaseException:
            self._stop.set()
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]

    def _guarded(self, call: Callable[[], Result]) -> Result:
        """The call, which fails for all where it fails."""
        self._check_stop()
        try:
            return call()
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()
            raise

    def _bring(self, standing: Standing) -> PushedImage:
        image = standing.image
        if standing.kind == "same" and standing.fetched is not None and is_whole(self._client, image, standing.fetched):
            self._watch.moved(image.size_bytes)
            return self._settled(image, standing.fetched.digest, "there")
        built = image.build()
        repository = self._client.route.repository(image.reference)
        for blob in built.blobs:
            self._again(partial(self._blob, repository, blob))
        self._documents(standing, built)
        return self._settled(image, built.tagged.descriptor.digest, "pushed")

    def _blob(self, repository: str, blob: Blob) -> None:
        digest, size = blob.descriptor.digest, blob.descriptor.size_bytes
        with self._lock:
            state = self._blobs.setdefault(digest, _BlobState())
        with state.lock:
            self._check_stop()
            with pushing():
                there = has_blob(self._client, repository, digest)
            if there:
                self._watch.moved(size)
                self._count("there", 0)
            elif self._send(repository, blob, state.repository) == "mounted":
                self._watch.moved(size)
                self._count("mounted", 0)
            else:
                self._count("sent", size)
            state.repository = state.repository or repository

    def _send(self, repository: str, blob: Blob, mount_from: str | None) -> Literal["sent", "mounted"]:
        moved = 0

        def on_piece(piece: bytes) -> None:
            nonlocal moved
            self._check_stop()
            moved += len(piece)
            self._watch.moved(len(piece))

        try:
            with pushing():
                return send_blob(self._client, repository, blob, mount_from=mount_from, on_piece=on_piece)
        except BaseException:
            self._watch.moved(-moved)
            raise

    def _documents(self, standing: Standing, built: BuiltImage) -> None:
        """Manifests, then the tag, unless somebody put another image there since it was looked at."""
        reference = standing.image.reference
        for document in built.manifests:
            pinned = Reference(repository=reference.repository, digest=document.descriptor.digest)
            self._again(partial(self._put, pinned, document))
        expected = {built.tagged.descriptor.digest, standing.fetched.digest if standing.fetched else None}
        if self._digest_at(reference) not in expected:
            place = f"{self._client.route.host}/{reference}"
            raise UsageError(f"{place} was changed by somebody else during this push: name another tag")
        self._again(partial(self._put, reference, built.tagged))

    def _put(self, reference: Reference, document: Document) -> None:
        self._check_stop()
        with pushing():
            put_manifest(self._client, reference, document)

    def _digest_at(self, reference: Reference) -> str | None:
        try:
            return self._client.head_manifest(reference).digest or self._client.manifest(reference).digest
        except RegistryError as error:
            if error.status == 404:
                return None
            raise

    def _again(self, call: Callable[[], None]) -> None:
        """Call, and call again where the failure may pass."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                call()
                return
            except RegistryError as error:
                if not may_pass(error) or attempt == ATTEMPTS:
                    raise
                pause_s = backoff_s(attempt, error.retry_after_s)
            self._stop.wait(min(pause_s, _WAIT_AT_MOST_S))

    def _settled(self, image: SyntheticImage, digest: str, outcome: Literal["pushed", "there"]) -> PushedImage:
        settled = PushedImage(reference=image.reference, digest=digest, outcome=outcome)
        self._watch.settled(settled)
        return settled

    def _count(self, what: Literal["sent", "mounted", "there"], sent_bytes: int) -> None:
        with self._lock:
            self._counts.update({what: 1, "bytes": sent_bytes})

    def _check_stop(self) -> None:
        if self._stop.is_set():
            where = f"push to {self._client.route.url}"
            raise RegistryError(
                ErrorCode.CANCELLED, where, "ended, because another upload failed or it was interrupted"
            )
