"""The content and counters of a lab registry: images read from an OCI image layout, manifests, tags and blobs.

It does not import numpy, because the servers start with this module.
"""

import bisect
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pullbench.model.manifest import OCI_INDEX, OCI_MANIFEST

NAME_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabImage:
    """An image for several platforms; its blobs are in files named by their digests."""

    repository: str
    tag: str
    index: bytes
    manifests: Mapping[str, bytes]
    """By digest, without the index."""
    blobs: Mapping[str, Path]
    """Configs and layers of all platforms, by digest."""

    @property
    def name(self) -> str:
        """The name in a spec: `lab/app-1:1.0`."""
        return f"{self.repository}:{self.tag}"

    @property
    def digest(self) -> str:
        return digest_of(self.index)


def read_images(folder: Path) -> tuple[LabImage, ...]:
    """The images of a directory that `make_images` filled."""
    blobs = folder / "blobs" / "sha256"
    images = []
    for entry in json.loads((folder / "index.json").read_bytes())["manifests"]:
        repository, _, tag = entry["annotations"][NAME_ANNOTATION].partition(":")
        index = blob_path(blobs, entry["digest"]).read_bytes()
        manifests = {
            found["digest"]: blob_path(blobs, found["digest"]).read_bytes() for found in json.loads(index)["manifests"]
        }
        documents = [json.loads(content) for content in manifests.values()]
        digests = [blob["digest"] for found in documents for blob in (found["config"], *found["layers"])]
        images.append(
            LabImage(
                repository=repository,
                tag=tag,
                index=index,
                manifests=manifests,
                blobs={digest: blob_path(blobs, digest) for digest in digests},
            )
        )
    return tuple(images)


def blob_path(blobs: Path, digest: str) -> Path:
    """The path of a blob under `blobs/sha256` (OCI image layout, "Blobs")."""
    return blobs / digest.removeprefix("sha256:")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest or an index, byte for byte as it was stored."""

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
    """A registry's store, thread-safe; content belongs to the repositories that it was stored in."""

    def __init__(self, images: Iterable[LabImage] = ()) -> None:
        self._lock = threading.Lock()
        self._repositories: dict[str, _Repository] = {}
        self._layers: set[str] = set()
        for image in images:
            self.add(image)

    def add(self, image: LabImage) -> Self:
        """Store an image with all its platforms under its tag."""
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
        """Add a blob of another repository to a repository."""
        with self._lock:
            self._repository(repository).blobs[blob.digest] = blob

    def put_manifest(
        self, repository: str, content: bytes, media_type: str, *, tag: str | None = None
    ) -> StoredManifest:
        """Store a manifest under its digest, and under a tag if there is one."""
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

    def remove_manifest(self, repository: str, digest: str) -> StoredManifest | None:
        """Remove a manifest and the tags that point to it; None if there is none."""
        with self._lock:
            held = self._repositories.get(repository, _Repository())
            held.tags = {tag: pointed for tag, pointed in held.tags.items() if pointed != digest}
            return held.manifests.pop(digest, None)

    def remove_tag(self, repository: str, tag: str) -> bool:
        """Remove a tag and keep its manifest; False if there is none."""
        with self._lock:
            return self._repositories.get(repository, _Repository()).tags.pop(tag, None) is not None

    def remove_blob(self, repository: str, digest: str) -> StoredBlob | None:
        """Remove a blob from a repository, not its file; None if there is none."""
        with self._lock:
            return self._repositories.get(repository, _Repository()).blobs.pop(digest, None)

    def needed_blobs(self, repository: str) -> frozenset[str]:
        """The configs and layers of a repository's manifests."""
        documents = [_json_object(held.content) for held in self._manifests(repository)]
        blobs = [blob for found in documents for blob in (found.get("config", {}), *found.get("layers", ()))]
        return frozenset(blob["digest"] for blob in blobs if "digest" in blob)

    def referrers(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """The descriptors of the manifests whose `subject` is this digest (distribution spec, "Listing Referrers")."""
        found = []
        for held in self._manifests(repository):
            document = _json_object(held.content)
            if subject_of(held.content) == digest:
                entry = {"mediaType": held.media_type, "digest": held.digest, "size": len(held.content)}
                kind = document.get("artifactType") or document.get("config", {}).get("mediaType")
                more = {"artifactType": kind, "annotations": document.get("annotations")}
                found.append(entry | {key: value for key, value in more.items() if value})
        return found

    def _manifests(self, repository: str) -> list[StoredManifest]:
        with self._lock:
            return list(self._repositories.get(repository, _Repository()).manifests.values())

    def blob(self, repository: str, digest: str) -> StoredBlob | None:
        with self._lock:
            held = self._repositories.get(repository)
            return None if held is None else held.blobs.get(digest)

    def blob_of_any(self, digest: str) -> StoredBlob | None:
        """The blob, from any repository."""
        with self._lock:
            held = (repository.blobs.get(digest) for repository in self._repositories.values())
            return next((blob for blob in held if blob is not None), None)

    def is_layer(self, digest: str) -> bool:
        """Whether a stored manifest lists it as a layer."""
        with self._lock:
            return digest in self._layers

    def repositories(self) -> list[str]:
        with self._lock:
            return sorted(self._repositories)

    def tags(self, repository: str) -> list[str] | None:
        """None if there is no such repository."""
        with self._lock:
            held = self._repositories.get(repository)
            return None if held is None else sorted(held.tags)

    def _repository(self, name: str) -> _Repository:
        return self._repositories.setdefault(name, _Repository())


def subject_of(manifest: bytes) -> str | None:
    """The digest of the manifest that a manifest refers to; None without one."""
    subject = _json_object(manifest).get("subject")
    return str(subject.get("digest")) if isinstance(subject, dict) else None


def _json_object(content: bytes) -> dict[str, Any]:
    """A stored document; empty for content of an upstream that is no JSON object."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _layers_of(manifest: bytes) -> set[str]:
    """The digests of a manifest's layers; empty for an index, or any other content of an upstream."""
    try:
        return {str(layer["digest"]) for layer in json.loads(manifest).get("layers", [])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()


def page(names: Sequence[str], *, limit: int | None, last: str | None) -> tuple[list[str], bool]:
    """The names after `last`, at most `limit`, and whether more follow (distribution spec, "Listing Tags")."""
    start = 0 if last is None else bisect.bisect_right(names, last)
    end = len(names) if limit is None else start + limit
    return list(names[start:end]), limit != 0 and end < len(names)


class Counters:
    """Requests by kind and by status, body bytes sent, tokens issued, and requests to an upstream.

    For GET requests of layers: `layers`, `layer_bytes`, and for a cache `layer_hits`. `faults` are the injected ones.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._totals: Counter[str] = Counter(
            bytes=0, tokens=0, hits=0, misses=0, upstream_requests=0, upstream_bytes=0, connections=0
        )
        self._totals.update(layers=0, layer_bytes=0, layer_hits=0, faults=0, pushed_bytes=0)

    def request(self, kind: str) -> None:
        """`ping`, `manifest_get`, `blob_head`, `upload_post` … (with the method), `referrers`, `tags`, `catalog`, `token` or `other`."""
        with self._lock:
            self._requests[kind] += 1

    def status(self, status: int) -> None:
        with self._lock:
            self._statuses[str(status)] += 1

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a total; a negative amount corrects bytes that were announced but not sent."""
        with self._lock:
            self._totals[name] += amount

    def as_dict(self) -> dict[str, Any]:
        """The document of `/lab/counters`."""
        with self._lock:
            return {"requests": dict(self._requests), "statuses": dict(self._statuses), **self._totals}
