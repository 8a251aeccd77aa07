"""A connection to a lab registry that accepts pushes (OCI distribution spec 1.1, "Pushing" and "Content Management")."""

import re
from collections.abc import Iterator, Mapping
from email.message import Message
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from pullbench.lab.contents import digest_of, subject_of
from pullbench.lab.handler import CONTENT_PATH, Handler, RegistryState
from pullbench.lab.uploads import DigestError, FullError, MissingContentError, Upload, Uploads
from pullbench.model.manifest import MAX_MANIFEST_BYTES, ManifestError
from pullbench.model.reference import is_digest, is_repository, is_tag

UPLOAD_PATH = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>[^/]*)")
_RANGE = re.compile(r"(?:bytes=)?(\d+)-(\d+)", re.ASCII)
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")
_PIECE_BYTES = 1 << 18
_MOST_DRAINED = 1 << 26
"""A refused request's body is read up to this size, so that the client reads the answer."""


class _MalformedError(Exception):
    """The body's framing is not HTTP: 400, and the connection ends."""


class PushHandler(Handler):
    """Answers POST, PATCH, PUT and DELETE too if the registry has `uploads`; else 405."""

    def __init__(self, *connection: Any, registry: RegistryState) -> None:
        self._body: Iterator[bytes] | None = None
        super().__init__(*connection, registry=registry)

    def do_POST(self) -> None:  # noqa: N802  (the name that the base class calls)
        self._body = body_of(self.headers, self.rfile)
        try:
            self._exchange(self._answer_change)
        finally:
            self._body = None

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def _answer_change(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        upload, content = UPLOAD_PATH.fullmatch(parts.path), CONTENT_PATH.fullmatch(parts.path)
        found, counters = upload or content, self.registry.counters
        if found is None and self.registry.uploads is not None:
            super()._elsewhere(parts.path)
            return
        if found is None or self.command not in self._allowed():
            counters.request("other")
            self.send_error(405, "the registry accepts no pushes" if self.registry.uploads is None else None)
            return
        counters.request(f"upload_{self.command.lower()}" if upload else self._kind_of(found["kind"]))
        name = found["name"]
        action = "delete" if self.command == "DELETE" and not upload else "pull,push"
        if not self._may_pass(f"repository:{name}:{action}"):
            return
        if not is_repository(name):
            self._refuse(400, "NAME_INVALID", f"'{name[:80]}' is not a repository name")
            return
        try:
            if upload:
                self._upload(name, upload["upload"], query)
            elif self.command == "DELETE":
                self._delete(name, found["kind"], found["reference"])
            else:
                self._put_manifest(name, found["reference"])
        except FullError:
            text = f"the lab stores at most {self._uploads.most_bytes} bytes of pushes"
            self._refuse(413, "SIZE_INVALID", text)
        except _MalformedError as error:
            self.close_connection = True
            self._refuse(400, "SIZE_INVALID", str(error))

    def _allowed(self) -> tuple[str, ...]:
        path = urlsplit(getattr(self, "path", "")).path
        if self.registry.uploads is None:
            return super()._allowed()
        if found := UPLOAD_PATH.fullmatch(path):
            return ("GET", "PATCH", "PUT", "DELETE") if found["upload"] else ("POST",)
        found = CONTENT_PATH.fullmatch(path)
        more = {"manifests": ("PUT", "DELETE"), "blobs": ("DELETE",)}.get(found["kind"] or "", ()) if found else ()
        return (*super()._allowed(), *more)

    def _elsewhere(self, path: str) -> None:
        found = UPLOAD_PATH.fullmatch(path) if self.registry.uploads is not None else None
        if found is None:
            super()._elsewhere(path)
            return
        self.registry.counters.request(f"upload_{self.command.lower()}")
        if self.command not in self._allowed():
            self.send_error(405)
        elif self._may_pass(f"repository:{found['name']}:pull,push"):
            upload = self._uploads.find(found["name"], found["upload"])
            if upload is None:
                self._no_upload()
            else:
                self._head(204, None, self._state(upload))

    @property
    def _uploads(self) -> Uploads:
        assert self.registry.uploads is not None
        return self.registry.uploads

    def _upload(self, name: str, upload_id: str, query: Mapping[str, list[str]]) -> None:
        digest = query.get("digest", [""])[0]
        if self.command == "POST" and self._is_mounted(name, query):
            return
        begins = self.command == "POST"
        upload = self._uploads.open(name) if begins else self._uploads.find(name, upload_id)
        if upload is None:
            self._no_upload()
            return
        with upload.lock:
            if self.command == "DELETE":
                self._uploads.cancel(upload)
                self._head(204, None, {})
            elif self.command == "PUT" or digest:
                self._finish(upload, digest)
            elif self.command == "POST":
                self._reply(202, b"", "text/plain", self._state(upload))
            elif self._is_next(upload):
                self._uploads.append(upload, self._pieces())
                self._reply(202, b"", "text/plain", self._state(upload))

    def _is_mounted(self, name: str, query: Mapping[str, list[str]]) -> bool:
        """Mount a blob if the account may pull it; else the answer is a new upload."""
        digest, source = query.get("mount", [""])[0], query.get("from", [""])[0]
        authorization, host = self.headers.get("Authorization", ""), self.headers.get("Host", "")
        if not source or not is_digest(digest):
            return False
        if self.registry.access.refuse(authorization, scope=f"repository:{source}:pull", host=host) is not None:
            return False
        if not self._uploads.mount(name, digest, source=source):
            return False
        self._created(name, "blobs", digest)
        return True

    def _is_next(self, upload: Upload) -> bool:
        """Whether a chunk continues the upload; else the answer is 416 with where it has to begin."""
        stated = self.headers.get("Content-Range")
        found = _RANGE.fullmatch(stated) if stated else None
        if stated is None or (found is not None and int(found[1]) == upload.size_bytes):
            return True
        self._refuse(416, "BLOB_UPLOAD_INVALID", f"the upload has {upload.size_bytes} bytes", self._state(upload))
        return False

    def _finish(self, upload: Upload, digest: str) -> None:
        if not is_digest(digest):
            self._refuse(400, "DIGEST_INVALID", f"'{digest[:80]}' is not a digest")
            return
        if not self._is_next(upload):
            return
        self._uploads.append(upload, self._pieces())
        try:
            self._uploads.finish(upload, digest)
        except DigestError:
            self._refuse(400, "DIGEST_INVALID", f"the received bytes do not match {digest}")
            return
        self._created(upload.repository, "blobs", digest)

    def _put_manifest(self, name: str, reference: str) -> None:
        if not is_digest(reference) and not is_tag(reference):
            code = "DIGEST_INVALID" if ":" in reference else "MANIFEST_INVALID"
            self._refuse(400, code, f"'{reference[:80]}' is neither a tag nor a digest")
            return
        content = b""
        for piece in self._pieces():
            content += piece
            if len(content) > MAX_MANIFEST_BYTES:
                self._refuse(413, "SIZE_INVALID", f"a manifest has at most {MAX_MANIFEST_BYTES} bytes")
                return
        if is_digest(reference) and digest_of(content) != reference:
            self._refuse(400, "DIGEST_INVALID", f"the manifest is {digest_of(content)}")
            return
        media_type, tag = self.headers.get("Content-Type", ""), None if is_digest(reference) else reference
        try:
            stored = self._uploads.put_manifest(name, content, media_type, tag=tag)
        except ManifestError as error:
            self._refuse(400, "MANIFEST_INVALID", str(error))
        except MissingContentError as error:
            self._refuse(400, "MANIFEST_BLOB_UNKNOWN", f"{error} is not in {name}")
        else:
            subject = subject_of(content)
            self._created(name, "manifests", stored.digest, {"OCI-Subject": subject} if subject else {})

    def _delete(self, name: str, kind: str, reference: str) -> None:
        if not is_digest(reference) and (kind == "blobs" or ":" in reference):
            self._refuse(400, "DIGEST_INVALID", f"'{reference[:80]}' is not a digest")
            return
        if kind == "blobs":
            found, code = self._uploads.delete_blob(name, reference), "BLOB_UNKNOWN"
        elif is_digest(reference):
            found, code = self._uploads.delete_manifest(name, reference), "MANIFEST_UNKNOWN"
        else:
            found, code = self.registry.contents.remove_tag(name, reference), "MANIFEST_UNKNOWN"
        if found:
            self._reply(202, b"", "text/plain")
        else:
            self._refuse(404, code, f"{reference} is not in {name}")

    def _no_upload(self) -> None:
        self._refuse(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")

    def _created(self, name: str, kind: str, digest: str, more: Mapping[str, str] | None = None) -> None:
        location = f"/v2/{quote(name)}/{kind}/{digest}"
        self._reply(201, b"", "text/plain", {"Location": location, "Docker-Content-Digest": digest, **(more or {})})

    def _state(self, upload: Upload) -> dict[str, str]:
        return {
            "Location": f"/v2/{quote(upload.repository)}/blobs/uploads/{upload.id}",
            "Range": f"0-{max(0, upload.size_bytes - 1)}",
            "Docker-Upload-UUID": upload.id,
        }

    def _pieces(self) -> Iterator[bytes]:
        for piece in self._body or ():
            self.registry.counters.add("pushed_bytes", len(piece))
            yield piece

    def _head(self, status: int, size_bytes: int | None, headers: Mapping[str, str]) -> None:
        if self._body is not None:
            self._drain(self._body)
        super()._head(status, size_bytes, headers)

    def _drain(self, body: Iterator[bytes]) -> None:
        """Read what a request still sends: an unread body would be parsed as the next request, or reset the connection."""
        drained = 0
        try:
            for piece in body:
                drained += len(piece)
                if drained > _MOST_DRAINED:
                    self.close_connection = True
                    return
        except _MalformedError:
            self.close_connection = True


def body_of(headers: Message, source: BufferedIOBase) -> Iterator[bytes]:
    """A request's body in pieces, by its Content-Length or its chunks (RFC 9112, section 6). Raises _MalformedError."""
    if "Transfer-Encoding" in headers:
        if headers["Transfer-Encoding"].strip().lower() != "chunked":
            raise _MalformedError("the transfer encoding is not known")
        while size := _chunk_size(source):
            yield from _exactly(source, size)
            source.readline(3)
        while source.readline(1 << 16).strip():
            pass  # trailers
        return
    length = headers.get("Content-Length", "0")
    if not (length.isascii() and length.isdigit()):
        raise _MalformedError("Content-Length is not a number")
    yield from _exactly(source, int(length))


def _chunk_size(source: BufferedIOBase) -> int:
    found = _CHUNK_SIZE.fullmatch(source.readline(1 << 12).partition(b";")[0].strip())
    if found is None:
        raise _MalformedError("a chunk has no size")
    return int(found[0], 16)


def _exactly(source: BufferedIOBase, size: int) -> Iterator[bytes]:
    while size > 0:
        piece = source.read(min(size, _PIECE_BYTES))
        if not piece:
            raise _MalformedError("the body ends early")
        size -= len(piece)
        yield piece
