"""Manifests and indexes, OCI image spec 1.1 and Docker image manifest version 2, schema 2."""

import json
from dataclasses import dataclass
from typing import Any

from pullbench.model.platform import Platform
from pullbench.model.reference import is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
"""One Accept line with every supported type: proxies that keep only one of several lines break indexes."""

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""A registry may refuse larger manifests (distribution spec, "Pushing Manifests"), so nothing larger is one."""


class ManifestError(ValueError):
    """The document is no valid manifest or index; the text gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to content: media type, digest and size (OCI image spec, descriptor)."""

    media_type: str
    digest: str
    size_bytes: int
    platform: Platform | None = None

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise ManifestError(f"'{self.digest[:80]}' is not a digest")
        if not 0 <= self.size_bytes < 2**63:  # int64 (OCI image spec, descriptor)
            raise ManifestError(f"{self.digest} has a size of {self.size_bytes}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One platform's image: its config and its layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each digest once, in order: the blobs that a client downloads."""
        unique = {descriptor.digest: descriptor for descriptor in (self.config, *self.layers)}
        return tuple(unique.values())

    @property
    def size_bytes(self) -> int:
        """Config and layers, each digest counted once."""
        return sum(blob.size_bytes for blob in self.blobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Several platforms' manifests under one digest."""

    media_type: str
    manifests: tuple[Descriptor, ...]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        return tuple(entry.platform for entry in self.manifests if entry.platform is not None)

    def select(self, platform: Platform) -> Descriptor | None:
        """The first manifest of exactly this platform, else the first compatible one, or None."""
        serving = [entry for entry in self.manifests if entry.platform is not None and platform.accepts(entry.platform)]
        exact = (entry for entry in serving if entry.platform is not None and platform.equals(entry.platform))
        return next(exact, serving[0] if serving else None)


def parse_manifest(content: bytes, content_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; the document's own mediaType takes precedence over the header.

    Raises ManifestError for anything else, including foreign JSON and schema 1.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"the manifest is not JSON: {content[:60]!r}") from error
    if not isinstance(document, dict):
        raise ManifestError("the manifest is not a JSON object")
    declared = document.get("mediaType") or content_type.partition(";")[0].strip()
    if not isinstance(declared, str):
        raise ManifestError("the manifest's mediaType is not text")
    try:
        if declared in (OCI_INDEX, DOCKER_LIST) or (
            declared not in (OCI_MANIFEST, DOCKER_MANIFEST) and "manifests" in document
        ):
            entries = tuple(_descriptor(entry) for entry in document["manifests"])
            return Index(media_type=declared or OCI_INDEX, manifests=entries)
        layers = tuple(_descriptor(layer) for layer in document["layers"])
        return Manifest(media_type=declared or OCI_MANIFEST, config=_descriptor(document["config"]), layers=layers)
    except (KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"the manifest ({declared or 'no media type'}) has a missing or invalid field: {error}"
        ) from error


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    named = entry.get("platform")
    platform = None
    if isinstance(named, dict) and isinstance(named.get("os"), str) and isinstance(named.get("architecture"), str):
        platform = Platform(os=named["os"], architecture=named["architecture"], variant=named.get("variant") or None)
    size = entry["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not isinstance(entry["digest"], str):
        raise TypeError("size or digest")
    return Descriptor(
        media_type=str(entry.get("mediaType", "")), digest=entry["digest"], size_bytes=size, platform=platform
    )
