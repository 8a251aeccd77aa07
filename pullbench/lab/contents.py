"""What a lab registry holds: manifests and tags by repository, blobs as files by digest."""

import bisect
import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pullbench.lab.layout import LabImage, digest_of
from pullbench.model.manifest import OCI_INDEX, OCI_MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest or an index, byte for byte as it was put."""

    digest: str
    media_type: str
    content: bytes
    stored_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob in a file."""

    digest: str
    path: Path
    size_bytes: int
    stored_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Repository:
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    blobs: dict[str, StoredBlob] = field(default_factory=dict)


class Contents:
    """A registry's store, safe for many threads; content belongs to the repositories that it was put into."""

    def __init__(self, images: Iterable[LabImage] = ()) -> None:
        self._lock = threading.Lock()
        self._repositories: dict[str, _Repository] = {}
        self._layers: set[str] = set()
        for image in images:
            self.add(image)

    def add(self, image: LabImage) -> Self:
        """Put an image with all its platforms under its tag."""
        for digest, path in image.blobs.items():
            self.put_blob(image.repository, digest, path)
        for content in image.manifests.values():
            self.put_manifest(image.repository, content, OCI_MANIFEST)
        self.put_manifest(image.repository, image.index, OCI_INDEX, tag=image.tag)
        return self

    def put_blob(self, repository: str, digest: str, path: Path) -> StoredBlob:
        blob = StoredBlob(digest=digest, path=path, size_bytes=path.stat().st_size)
        self.link_blob(repository, blob)
        return blob

    def link_blob(self, repository: str, blob: StoredBlob) -> None:
        """Let a repository hold what another one has stored."""
        with self._lock:
            self._repository(repository).blobs[blob.digest] = blob

    def put_manifest(
        self, repository: str, content: bytes, media_type: str, *, tag: str | None = None
    ) -> StoredManifest:
        """Put a manifest under its own digest, and under a tag where one is given."""
        manifest = StoredManifest(digest=digest_of(content), media_type=media_type, content=content)
        with self._lock:
            self._layers |= _layers_of(content)
            held = self._repository(repository)
            held.manifests[manifest.digest] = manifest
            if tag is not None:
                held.tags[tag] = manifest.digest
        return manifest

    def manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """By tag or digest."""
        with self._lock:
            held = self._repositories.get(repository)
            return None if held is None else held.manifests.get(held.tags.get(reference, reference))

    def blob(self, repository: str, digest: str) -> StoredBlob | None:
        with self._lock:
            held = self._repositories.get(repository)
            return None if held is None else held.blobs.get(digest)

    def blob_of_any(self, digest: str) -> StoredBlob | None:
        """The blob whichever repository holds it."""
        with self._lock:
            held = (repository.blobs.get(digest) for repository in self._repositories.values())
            return next((blob for blob in held if blob is not None), None)

    def is_layer(self, digest: str) -> bool:
        """Whether a manifest that is here names it as a layer."""
        with self._lock:
            return digest in self._layers

    def repositories(self) -> list[str]:
        with self._lock:
            return sorted(self._repositories)

    def tags(self, repository: str) -> list[str] | None:
        """None where there is no such repository."""
        with self._lock:
            held = self._repositories.get(repository)
            return None if held is None else sorted(held.tags)

    def _repository(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())


def _layers_of(manifest: bytes) -> set[str]:
    """The digests of its layers; none where it is an index, or whatever else an upstream sent."""
    try:
        return {str(layer["digest"]) for layer in json.loads(manifest).get("layers", [])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def page(names: Sequence[str], *, limit: int | None, last: str | None) -> tuple[list[str], bool]:
    """The names after `last`, at most `limit`, and whether more follow (distribution spec, "Listing Tags")."""
    start = 0 if last is None else bisect.bisect_right(names, last)
    end = len(names) if limit is None else start + limit
    return list(names[start:end]), limit != 0 and end < len(names)
