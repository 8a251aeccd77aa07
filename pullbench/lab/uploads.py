"""What clients push to a lab registry: uploads in progress, and the blobs and manifests that they become.

Blobs are files of one directory. All that was pushed counts against one limit, and deleted content is freed immediately.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pullbench.lab.contents import Contents, StoredManifest
from pullbench.model.manifest import Index, Manifest, parse_manifest

MOST_BYTES = 2 * 10**9
"""The most bytes that a registry of the lab stores of pushes; `images push` sends 1 GB by default."""
MOST_OPEN = 1000
"""The most uploads in progress; one more ends the oldest."""


class FullError(Exception):
    """The limit is reached: 413."""


class DigestError(Exception):
    """The received bytes have another digest: 400."""


class MissingContentError(Exception):
    """The manifest refers to content that the repository does not have: 400."""


@dataclass(slots=True, kw_only=True)
class Upload:
    """One upload in progress. `lock` is held while a request adds to it."""

    id: str
    repository: str
    path: Path
    size_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Uploads:
    """The pushed content of one registry, in `folder`; thread-safe."""

    def __init__(self, contents: Contents, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._contents = contents
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, Upload] = {}
        self._manifests: set[tuple[str, str]] = set()
        self._used = 0
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def used_bytes(self) -> int:
        """The bytes of all uploads, blobs and manifests."""
        with self._lock:
            return self._used

    def open(self, repository: str) -> Upload:
        """Begin an upload."""
        name = secrets.token_hex(16)
        upload = Upload(id=name, repository=repository, path=self._folder / f"upload-{name}")
        with self._lock:
            if len(self._open) >= MOST_OPEN:
                self._drop(next(iter(self._open.values())))
            self._open[name] = upload
        return upload

    def find(self, repository: str, name: str) -> Upload | None:
        with self._lock:
            found = self._open.get(name)
        return found if found is not None and found.repository == repository else None

    def append(self, upload: Upload, pieces: Iterable[bytes]) -> None:
        """Store the bytes of one request. Raises FullError; the upload is then ended."""
        with upload.path.open("ab") as file:
            for piece in pieces:
                with self._lock:
                    if upload.id not in self._open or self._used + len(piece) > self.most_bytes:
                        self._drop(upload)
                        raise FullError
                    self._used += len(piece)
                    upload.size_bytes += len(piece)
                file.write(piece)

    def finish(self, upload: Upload, digest: str) -> None:
        """Make the upload a blob of its repository. Raises DigestError or FullError; the upload is then ended."""
        upload.path.touch()
        with upload.path.open("rb") as file:
            found = hashlib.file_digest(file, digest.partition(":")[0]).hexdigest()
        with self._lock:
            if upload.id not in self._open:
                upload.path.unlink(missing_ok=True)
                raise FullError
            stored = self._folder / digest.replace(":", "-")
            if not digest.endswith(f":{found}"):
                self._drop(upload)
                raise DigestError
            if stored.exists():
                self._drop(upload)
            else:
                upload.path.rename(stored)
                self._open.pop(upload.id, None)
            self._contents.put_blob(upload.repository, digest, stored)

    def cancel(self, upload: Upload) -> None:
        with self._lock:
            self._drop(upload)

    def mount(self, repository: str, digest: str, *, source: str) -> bool:
        """Add a blob of another repository; False if that does not have it."""
        with self._lock:
            blob = self._contents.blob(source, digest)
            if blob is not None:
                self._contents.link_blob(repository, blob)
            return blob is not None

    def put_manifest(self, repository: str, content: bytes, media_type: str, *, tag: str | None) -> StoredManifest:
        """Store a manifest. Raises ManifestError, MissingContentError with the first missing digest, or FullError."""
        document = parse_manifest(content, media_type)
        with self._lock:
            if isinstance(document, Index):
                missing = [one.digest for one in document.manifests if not self._has_manifest(repository, one.digest)]
            else:
                missing = [one.digest for one in document.blobs if self._contents.blob(repository, one.digest) is None]
            if missing:
                raise MissingContentError(missing[0])
            if self._used + len(content) > self.most_bytes:
                raise FullError
            stored = self._contents.put_manifest(repository, content, media_type or document.media_type, tag=tag)
            if (repository, stored.digest) not in self._manifests:
                self._manifests.add((repository, stored.digest))
                self._used += len(content)
            return stored

    def delete_manifest(self, repository: str, digest: str) -> bool:
        """Delete a manifest, its tags, and the blobs that no other manifest of the repository needs; False if unknown."""
        with self._lock:
            removed = self._contents.remove_manifest(repository, digest)
            if removed is None:
                return False
            if (repository, digest) in self._manifests:
                self._manifests.remove((repository, digest))
                self._used -= len(removed.content)
            document = parse_manifest(removed.content, removed.media_type)
            if isinstance(document, Manifest):
                needed = self._contents.needed_blobs(repository)
                for blob in document.blobs:
                    if blob.digest not in needed:
                        self._free(repository, blob.digest)
            return True

    def delete_blob(self, repository: str, digest: str) -> bool:
        """Delete a blob of a repository; False if unknown."""
        with self._lock:
            return self._free(repository, digest)

    def _has_manifest(self, repository: str, digest: str) -> bool:
        return self._contents.manifest(repository, digest) is not None

    def _free(self, repository: str, digest: str) -> bool:
        """Remove a blob from a repository, and its file if it was pushed and no repository has it any more."""
        blob = self._contents.remove_blob(repository, digest)
        if blob is not None and blob.path.parent == self._folder and self._contents.blob_of_any(digest) is None:
            blob.path.unlink(missing_ok=True)
            self._used -= blob.size_bytes
        return blob is not None

    def _drop(self, upload: Upload) -> None:
        if self._open.pop(upload.id, None) is not None:
            self._used -= upload.size_bytes
            upload.path.unlink(missing_ok=True)
