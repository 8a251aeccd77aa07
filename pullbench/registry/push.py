"""Pushes synthetic images: only missing content, never over a foreign tag, with constant memory."""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeVar
from urllib.parse import quote, urldefrag

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.manifest import OCI_MANIFEST, Index, Manifest
from pullbench.model.reference import Reference
from pullbench.model.text import clean
from pullbench.model.upload import Blob, BuiltImage, Document, SyntheticImage
from pullbench.model.workload import RECIPE_ANNOTATION, WORKLOAD_ANNOTATION
from pullbench.registry.answer import MAX_ERROR_BYTES, Answer, AnswerError, backoff_s, is_untaken, may_pass
from pullbench.registry.client import FetchedManifest, RegistryClient, stated_digest
from pullbench.registry.redirect import RedirectRefusedError, destination

# The tag's content before a push


@dataclass(frozen=True, slots=True, kw_only=True)
class TagState:
    """An image and the content of its tag. `workload` is the workload of another pullbench image."""

    image: SyntheticImage
    kind: Literal["absent", "same", "ours", "foreign"]
    fetched: FetchedManifest | None = None
    workload: str = ""


def read_tag(client: RegistryClient, image: SyntheticImage) -> TagState:
    """Read the annotations of what the tag has. It sends GET alone: a registry that refuses HEAD with 404 may have the tag."""
    try:
        with pushing():
            fetched = client.manifest(image.reference)
    except RegistryError as error:
        if error.status == 404:
            return TagState(image=image, kind="absent")
        if (
            error.code in (ErrorCode.NOT_A_REGISTRY, ErrorCode.PLATFORM_MISSING) and error.status == 200
        ):  # no known kind of image
            return TagState(image=image, kind="foreign")
        raise
    annotations = _annotations(fetched.content)
    workload = clean(annotations.get(WORKLOAD_ANNOTATION, ""), 60)
    if not workload:
        return TagState(image=image, kind="foreign", fetched=fetched)
    same = annotations.get(RECIPE_ANNOTATION) == image.recipe
    return TagState(image=image, kind="same" if same else "ours", fetched=fetched, workload=workload)


def is_ours(fetched: FetchedManifest) -> bool:
    """Whether the image's annotations show that pullbench made it."""
    return bool(_annotations(fetched.content).get(WORKLOAD_ANNOTATION))


def refuse_to_overwrite(host: str, states: Sequence[TagState], *, replace: bool) -> None:
    """Raise UsageError if a tag must not be overwritten: a foreign image, or another workload without `replace`."""
    foreign = [entry for entry in states if entry.kind == "foreign"]
    others = [entry for entry in states if entry.kind == "ours" and not replace]
    if foreign:
        why = f"is not an image of pullbench (no annotation {WORKLOAD_ANNOTATION}): use another repository or tag"
    elif others:
        why = f"has another workload ({others[0].workload}; its options or its seed differ): use another tag, or overwrite it with --replace"
    else:
        return
    found = foreign or others
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise UsageError(f"{host}/{found[0].image.reference}{more} {why}; nothing was pushed")


def is_whole(client: RegistryClient, image: SyntheticImage, fetched: FetchedManifest) -> bool:
    """Whether the registry has all content of the tagged image; a registry may have lost blobs of a manifest."""
    repository = client.route.repository(image.reference)
    try:
        manifests = [fetched.document]
        if isinstance(fetched.document, Index):
            entries = fetched.document.manifests
            manifests = [client.manifest(image.reference.pinned(entry.digest)).document for entry in entries]
    except RegistryError as error:
        if error.status == 404:
            return False
        raise
    blobs = {blob.digest for one in manifests if isinstance(one, Manifest) for blob in one.blobs}
    return all(has_blob(client, repository, digest) for digest in sorted(blobs))


def _annotations(content: bytes) -> dict[str, object]:
    """The annotations of a manifest or an index that was parsed before."""
    found = json.loads(content).get("annotations")
    return found if isinstance(found, dict) else {}


# Uploads (OCI distribution spec 1.1, "Pushing"): blobs in one request, then manifests


_OCTETS = "application/octet-stream"
_NO_MOUNT = frozenset({400, 401, 403, 404, 405, 501})
"""Statuses of a registry that cannot mount this blob; the blob is sent instead."""
_ENOSPC = 28


class PushError(RegistryError):
    """A push failed. Its remedy is about pushing; RegistryError's remedies are about pulling."""

    def __init__(self, code: ErrorCode, cause: RegistryError, remedy: str) -> None:
        self._remedy = remedy
        super().__init__(code, cause.where, cause.detail, status=cause.status, retry_after_s=cause.retry_after_s)

    @property
    def remedy(self) -> str:
        return self._remedy


@contextlib.contextmanager
def pushing() -> Iterator[None]:
    """Inside this context, a registry's refusal is a PushError."""
    try:
        yield
    except PushError:
        raise
    except RegistryError as error:
        raise _refused(error) from error


def has_blob(client: RegistryClient, repository: str, digest: str) -> bool:
    """Whether the repository has a blob; GET decides where HEAD is refused with another status than 404."""
    try:
        client.find_blob(repository, digest, get_after_404=False)
    except RegistryError as error:
        if error.status == 404:
            return False
        raise
    return True


def send_blob(
    client: RegistryClient,
    repository: str,
    blob: Blob,
    *,
    mount_from: str | None = None,
    on_piece: Callable[[bytes], None] | None = None,
) -> Literal["sent", "mounted"]:
    """Mount a blob from another repository if the registry can, else send it in pieces.

    `on_piece` is called before each piece, and may raise to end the upload. Raises RegistryError.
    """
    digest = blob.descriptor.digest
    begun = _mounted_or_begun(client, repository, digest, mount_from)
    if begun is None:
        return "mounted"

    def pieces() -> Iterator[bytes]:
        for piece in blob.pieces():
            if on_piece is not None:
                on_piece(piece)
            yield piece

    location = urldefrag(_upload_url(begun)).url
    headers = {"Content-Type": _OCTETS, "Content-Length": str(blob.descriptor.size_bytes)}
    # The location's query is the registry's state (CNCF distribution's `_state`): it is kept unchanged.
    url = f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe=':')}"
    try:
        client.ask("PUT", url, repository=repository, headers=headers, content=pieces, limit_bytes=MAX_ERROR_BYTES)
    except BaseException:
        # The registry keeps received data until it purges it, by default after a week. Deleting the upload is best
        # effort: CNCF distribution 2.8 does not delete a partial upload.
        with contextlib.suppress(RegistryError):
            client.ask("DELETE", location, repository=repository, limit_bytes=MAX_ERROR_BYTES)
        raise
    return "sent"


def try_push(client: RegistryClient, repository: str) -> None:
    """Open an upload and cancel it: nothing is stored. Raises RegistryError, with a remedy, if pushes are refused.

    Cancelling is best effort, as in `send_blob`. `client` must have `actions="pull,push"`.
    """
    with pushing():
        location = _upload_url(_begin(client, repository))
    with contextlib.suppress(RegistryError):
        client.ask("DELETE", location, repository=repository, limit_bytes=MAX_ERROR_BYTES)


def put_manifest(client: RegistryClient, reference: Reference, document: Document) -> None:
    """Send a manifest or an index to a tag or a digest, and check that the registry stored exactly these bytes."""
    repository = client.route.repository(reference)
    answer = client.ask(
        "PUT",
        f"/v2/{repository}/manifests/{quote(reference.locator, safe=':')}",
        repository=repository,
        headers={"Content-Type": document.descriptor.media_type or OCI_MANIFEST},
        content=document.content,
        limit_bytes=MAX_ERROR_BYTES,
    )
    stated = stated_digest(answer)
    if stated is not None and stated != document.descriptor.digest:
        detail = f"the registry stored {stated}, not {document.descriptor.digest}"
        raise answer.error_of(ErrorCode.DIGEST_MISMATCH, detail)


def _mounted_or_begun(client: RegistryClient, repository: str, digest: str, mount_from: str | None) -> Answer | None:
    """The opened upload; None if the blob was mounted."""
    if mount_from is not None:
        query = f"?mount={quote(digest, safe=':')}&from={quote(mount_from, safe='/')}"
        try:
            answer = _post(client, repository, query)
        except RegistryError as error:
            if error.status not in _NO_MOUNT:
                raise
        else:
            return None if answer.status == 201 else answer
    return _begin(client, repository)


def _begin(client: RegistryClient, repository: str) -> Answer:
    answer = _post(client, repository)
    if answer.status != 202:
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, f"{answer.status} instead of 202 for a new upload")
    return answer


def _upload_url(begun: Answer) -> str:
    try:
        return destination(begun.url, begun.headers["location"])
    except RedirectRefusedError as refused:
        text = f"{begun.status} sends the upload {refused}"
        raise begun.error_of(refused.code, text) from refused


def _post(client: RegistryClient, repository: str, query: str = "") -> Answer:
    path = f"/v2/{repository}/blobs/uploads/{query}"
    answer = client.ask("POST", path, repository=repository, limit_bytes=MAX_ERROR_BYTES)
    if answer.status == 202 and "location" not in answer.headers:
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, "202 without a Location")
    return answer


def _refused(error: RegistryError) -> RegistryError:
    """The same failure with a remedy for pushes; failures unrelated to pushing are unchanged."""
    message = " ".join(f"{one.message} {one.detail}" for one in getattr(error, "problems", ())).lower()
    full = error.status == 507 or "no space left" in message or f"'err': {_ENOSPC}" in message
    if full and isinstance(error, AnswerError):
        return PushError(
            ErrorCode.DISK_FULL, error, "the registry's disk is full: free space there, or push fewer or smaller images"
        )
    if error.status == 403 and ("quota" in message or "exceed" in message):  # Harbor's message
        return PushError(ErrorCode.DISK_FULL, error, "the project's quota is used up: raise the quota, or push less")
    if error.status == 404 and _is_lost_upload(error):
        return PushError(ErrorCode.NOT_FOUND, error, _REPLICAS)
    found = _REFUSALS.get(error.status or 0)
    if found is None and is_untaken(error):
        found = (ErrorCode.FORBIDDEN, "the registry refuses this image: check its log and its rules")
    return error if found is None else PushError(found[0], error, found[1])


def _is_lost_upload(error: RegistryError) -> bool:
    """Whether the registry does not know an upload that it opened before: only that request has a path of its own."""
    is_part = "/blobs/uploads/" in error.where and error.where.startswith(("PUT ", "PATCH "))
    return is_part and not any(one.code == "NAME_UNKNOWN" for one in getattr(error, "problems", ()))


_REPLICAS = (
    "the registry opened this upload and no longer knows it: give the replicas behind the balancer one storage (and one `http.secret`), "
    "or let the balancer send a client to the same replica"
)
_NO_PUSHES = "the registry accepts no pushes (read-only, or a mirror): push to its upstream"
_REFUSALS = {
    401: (
        ErrorCode.UNAUTHORIZED,
        "log in as a user who may push (`docker login HOST`), or set `credentials`; or name a namespace of this user, "
        "as Quay and hosted registries want (`images push --repository NAMESPACE/PREFIX`)",
    ),
    403: (
        ErrorCode.FORBIDDEN,
        "this user may not push there: grant the push permission, or name a namespace of this user "
        "(`images push --repository NAMESPACE/PREFIX`)",
    ),
    404: (ErrorCode.NOT_FOUND, "the registry does not create repositories on push: create it (or its project) first"),
    405: (ErrorCode.FORBIDDEN, _NO_PUSHES),
    501: (ErrorCode.FORBIDDEN, _NO_PUSHES),
    412: (ErrorCode.FORBIDDEN, "a rule of the registry forbids it, such as an immutable tag: use another tag"),
    413: (
        ErrorCode.TOO_LARGE,
        "the registry, or a proxy in front of it, limits uploads: raise its limit (nginx: `client_max_body_size 0;`), or push less",
    ),
}


# The push of a workload


ATTEMPTS = 3
"""The number of attempts for a blob or a manifest; pushes may retry because they are not measured."""
_WAIT_AT_MOST_S = 30.0
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedImage:
    """An image at the registry, and whether this push created it."""

    reference: Reference
    digest: str
    outcome: Literal["pushed", "there"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """The result of a push; `images` in the given order."""

    images: tuple[PushedImage, ...]
    blobs_sent: int
    blobs_mounted: int
    blobs_there: int
    bytes_sent: int
    """Bytes of configs and layers."""


class PushWatch(Protocol):
    """Receives the progress of a push, from several threads."""

    def moved(self, size_bytes: int) -> None:
        """This many bytes are done: sent, mounted, or already there. Negative if an attempt failed."""

    def settled(self, image: PushedImage) -> None:
        """The registry now has this image."""


class Unwatched:
    """A watch that ignores everything."""

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
    """Push images to a registry; all tags are checked before anything is sent.

    `client` must have `actions="pull,push"`. Complete images are skipped. Raises UsageError, with nothing sent, if a tag has a
    foreign image, or another workload without `replace`. Raises RegistryError if the registry fails: pushed content stays, and
    the same call continues from there.
    """
    return _Push(client, replace=replace, watch=watch or Unwatched()).run(tuple(images), workers)


@dataclass(slots=True)
class _BlobState:
    """One blob of the workload: sent by one thread, then mounted from a repository that has it."""

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
            states = self._each(pool, [partial(read_tag, self._client, image) for image in images])
            refuse_to_overwrite(self._client.route.host, states, replace=self._replace)
            pushed = self._each(pool, [partial(self._bring, entry) for entry in states])
        return PushReport(
            images=tuple(pushed),
            blobs_sent=self._counts["sent"],
            blobs_mounted=self._counts["mounted"],
            blobs_there=self._counts["there"],
            bytes_sent=self._counts["bytes"],
        )

    def _each(self, pool: ThreadPoolExecutor, calls: Sequence[Callable[[], Result]]) -> list[Result]:
        """All results in order; the first failure, or Ctrl-C, stops the others at their next piece."""
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
        """Make the call; if it fails, all calls fail."""
        self._check_stop()
        try:
            return call()
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()
            raise

    def _bring(self, state: TagState) -> PushedImage:
        image = state.image
        if state.kind == "same" and state.fetched is not None and is_whole(self._client, image, state.fetched):
            self._watch.moved(image.size_bytes)
            return self._settled(image, state.fetched.digest, "there")
        built = image.build()
        repository = self._client.route.repository(image.reference)
        for blob in built.blobs:
            self._again(partial(self._blob, repository, blob))
        self._documents(state, built)
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

    def _documents(self, state: TagState, built: BuiltImage) -> None:
        """Send the manifests, then the tag, unless the tag has changed since it was checked."""
        reference = state.image.reference
        for document in built.manifests:
            pinned = Reference(repository=reference.repository, digest=document.descriptor.digest)
            self._again(partial(self._put, pinned, document))
        expected = {built.tagged.descriptor.digest, state.fetched.digest if state.fetched else None}
        if self._client.digest_at(reference) not in expected:
            place = f"{self._client.route.host}/{reference}"
            raise UsageError(f"{place} was changed by someone else during this push: use another tag")
        self._again(partial(self._put, reference, built.tagged))

    def _put(self, reference: Reference, document: Document) -> None:
        self._check_stop()
        with pushing():
            put_manifest(self._client, reference, document)

    def _again(self, call: Callable[[], None]) -> None:
        """Make the call, and retry if the failure may go away."""
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
                ErrorCode.CANCELLED, where, "stopped: another upload failed, or the push was interrupted"
            )
