"""Uploads over the API of the OCI distribution spec 1.1, section "Pushing": blobs in one request, then manifests."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import quote, urldefrag

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.manifest import OCI_MANIFEST
from pullbench.model.reference import Reference
from pullbench.model.upload import Blob, Document
from pullbench.registry.answer import MAX_ERROR_BYTES, Answer, AnswerError
from pullbench.registry.client import RegistryClient
from pullbench.registry.redirect import RedirectRefusedError, destination

_OCTETS = "application/octet-stream"
_NO_MOUNT = frozenset({400, 401, 403, 404, 405, 501})
"""What a registry says that mounts nothing, or not from there: the blob is sent then."""
_ENOSPC = 28


class PushError(RegistryError):
    """A registry did not take what was sent; the remedy is that of a push, where RegistryError's is that of a pull."""

    def __init__(self, code: ErrorCode, cause: RegistryError, remedy: str) -> None:
        super().__init__(code, cause.where, cause.detail, status=cause.status, retry_after_s=cause.retry_after_s)
        self.args = (f"{cause.where}: {cause.detail}; {remedy}",)
        self._remedy = remedy

    @property
    def remedy(self) -> str:
        return self._remedy


@contextlib.contextmanager
def pushing() -> Iterator[None]:
    """Inside it, what a registry refuses is told as a push that it refused."""
    try:
        yield
    except PushError:
        raise
    except RegistryError as error:
        raise _refused(error) from error


def has_blob(client: RegistryClient, repository: str, digest: str) -> bool:
    """Whether the repository holds a blob."""
    try:
        client.ask("HEAD", f"/v2/{repository}/blobs/{digest}", repository=repository)
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
    """Mount a blob from another repository where the registry does that, else send it, never whole in memory.

    `on_piece` sees each piece before it goes out, and may raise to end the upload. Raises RegistryError.
    """
    digest = blob.descriptor.digest
    begun = _begin(client, repository, digest, mount_from)
    if begun is None:
        return "mounted"

    def pieces() -> Iterator[bytes]:
        for piece in blob.pieces():
            if on_piece is not None:
                on_piece(piece)
            yield piece

    location = urldefrag(_upload_url(begun)).url
    headers = {"Content-Type": _OCTETS, "Content-Length": str(blob.descriptor.size_bytes)}
    # The location's own query is the registry's state (CNCF distribution's `_state`): kept to the letter.
    url = f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe=':')}"
    try:
        client.ask("PUT", url, repository=repository, headers=headers, content=pieces, limit_bytes=MAX_ERROR_BYTES)
    except BaseException:
        # What was received lies in the registry's storage until it purges that, by default after a week. Asking is best
        # effort: CNCF distribution 2.8 does not take back an upload of which a part came.
        with contextlib.suppress(RegistryError):
            client.ask("DELETE", location, repository=repository, limit_bytes=MAX_ERROR_BYTES)
        raise
    return "sent"


def put_manifest(client: RegistryClient, reference: Reference, document: Document) -> None:
    """Send a manifest or an index to a tag or a digest, and see that the registry took these bytes and no others."""
    repository = client.route.repository(reference)
    answer = client.ask(
        "PUT",
        f"/v2/{repository}/manifests/{quote(reference.locator, safe=':')}",
        repository=repository,
        headers={"Content-Type": document.descriptor.media_type or OCI_MANIFEST},
        content=document.content,
        limit_bytes=MAX_ERROR_BYTES,
    )
    stated = answer.headers.get("docker-content-digest", document.descriptor.digest).strip()
    if stated != document.descriptor.digest:
        detail = f"the registry stored {stated[:80]}, not {document.descriptor.digest}"
        raise RegistryError(ErrorCode.DIGEST_MISMATCH, answer.where, detail, status=answer.status)


def _begin(client: RegistryClient, repository: str, digest: str, mount_from: str | None) -> Answer | None:
    """The upload that was opened; None where the blob was mounted."""
    path = f"/v2/{repository}/blobs/uploads/"
    if mount_from is not None:
        query = f"?mount={quote(digest, safe=':')}&from={quote(mount_from, safe='/')}"
        try:
            answer = _post(client, repository, path + query)
        except RegistryError as error:
            if error.status not in _NO_MOUNT:
                raise
        else:
            return None if answer.status == 201 else answer
    answer = _post(client, repository, path)
    if answer.status != 202:
        raise RegistryError(
            ErrorCode.NOT_A_REGISTRY,
            answer.where,
            f"{answer.status}, where an upload opens with 202",
            status=answer.status,
        )
    return answer


def _upload_url(begun: Answer) -> str:
    try:
        return destination(begun.url, begun.headers["location"])
    except RedirectRefusedError as refused:
        text = f"{begun.status} sends the upload {refused}"
        raise RegistryError(refused.code, begun.where, text, status=begun.status) from refused


def _post(client: RegistryClient, repository: str, path: str) -> Answer:
    answer = client.ask("POST", path, repository=repository, limit_bytes=MAX_ERROR_BYTES)
    if answer.status == 202 and "location" not in answer.headers:
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, answer.where, "202 without a Location", status=answer.status)
    return answer


def _refused(error: RegistryError) -> RegistryError:
    """The same failure as one who pushes should read it; what has nothing to do with pushing stays as it is."""
    said = " ".join(f"{one.message} {one.detail}" for one in getattr(error, "problems", ())).lower()
    full = error.status == 507 or "no space left" in said or f"'err': {_ENOSPC}" in said
    if full and isinstance(error, AnswerError):
        return PushError(
            ErrorCode.DISK_FULL, error, "the registry's disk is full: free space there, or push fewer or smaller images"
        )
    if error.status == 403 and ("quota" in said or "exceed" in said):  # Harbor's words
        return PushError(ErrorCode.DISK_FULL, error, "the project's quota is used up: raise it, or push less")
    found = _REFUSALS.get(error.status or 0)
    if found is None and error.code is ErrorCode.NOT_A_REGISTRY and 400 <= (error.status or 0) < 500:
        found = (ErrorCode.FORBIDDEN, "the registry does not take this image: see its log, and what it allows")
    return error if found is None else PushError(found[0], error, found[1])


_REFUSALS = {
    401: (ErrorCode.UNAUTHORIZED, "log in as a user who may push (`docker login HOST`), or set `credentials`"),
    403: (
        ErrorCode.FORBIDDEN,
        "these credentials may not push there: grant the push right, or name another repository",
    ),
    404: (ErrorCode.NOT_FOUND, "the registry makes no repository by a push: create it (or its project) there first"),
    405: (ErrorCode.FORBIDDEN, "the registry takes no pushes (read-only, or a mirror): push to its upstream"),
    412: (ErrorCode.FORBIDDEN, "a rule of the registry forbids it, such as an immutable tag: name another tag"),
    413: (ErrorCode.TOO_LARGE, "a proxy before the registry limits uploads (nginx: `client_max_body_size 0;`)"),
}
