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
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
"""The beginning of schema 1's media types: with and without a signature."""
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

ACCEPT = ", ".join((OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST))
"""One Accept line with every supported type: proxies that keep only one of several lines break indexes."""

MANIFEST_TYPES = frozenset({OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST})
"""The Content-Types that clients take for a manifest or an index."""

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""A registry may refuse larger manifests (distribution spec, "Pushing Manifests"), so nothing larger is one."""

MAX_NESTED_INDEXES = 8
"""Indexes in indexes are followed this deep; two are seen in practice."""


class ManifestError(ValueError):
    """The document is no valid manifest or index; the text gives the reason."""


class SchemaOneError(ManifestError):
    """The document is a manifest of Docker's schema 1, which no client of today pulls."""

    def __init__(self) -> None:
        super().__init__("a manifest of schema 1: no client of today pulls it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A reference to content: media type, digest and size (OCI image spec, descriptor)."""

    media_type: str
    digest: str
    size_bytes: int
    platform: Platform | None = None
    """None if the entry of an index names no platform, and for all other content."""
    urls: tuple[str, ...] = ()
    """Other places of a foreign layer, without queries; a registry need not store it (OCI image spec, "Non-Distributable
    Layers")."""

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
    def artifact(self) -> str | None:
        """What it is if its config shows that it is no image: a Helm chart, or another artifact (ORAS); else None."""
        kind = self.config.media_type
        if kind in (OCI_CONFIG, DOCKER_CONFIG, ""):
            return None
        return "a Helm chart" if kind == _HELM_CONFIG else f"an artifact of type {kind[:120]}"

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
        """The named platforms, each once, without attestations (unknown/unknown), which are no images."""
        named = (entry.platform for entry in self.manifests if entry.platform is not None)
        return tuple(dict.fromkeys(each for each in named if each.architecture not in ("", "unknown")))

    @property
    def has_attestations(self) -> bool:
        """Whether it lists attestations, as BuildKit does: manifests for the platform unknown/unknown."""
        return any(entry.platform is not None and entry.platform.architecture == "unknown" for entry in self.manifests)

    def select(self, platform: Platform) -> Descriptor | None:
        """The entry that docker and containerd choose: of the best platform, else the first that names none, or None."""
        candidates = platform.candidates()
        named = [entry for entry in self.manifests if entry.platform is not None and platform.accepts(entry.platform)]
        unnamed = (entry for entry in self.manifests if entry.platform is None)
        return min(named, key=lambda entry: candidates.index(_normal(entry)), default=None) or next(unnamed, None)

    def containers_select(self, platform: Platform) -> Descriptor | None:
        """The entry that podman and skopeo choose: names must be exact, and a Docker list must name a platform."""
        for candidate in platform.containers_candidates():
            for entry in self.manifests:
                if entry.platform == candidate:
                    return entry
        unnamed = (entry for entry in self.manifests if entry.platform is None)
        return None if self.media_type == DOCKER_LIST else next(unnamed, None)


def _normal(entry: Descriptor) -> Platform | None:
    return None if entry.platform is None else entry.platform.normal()


def own_media_type(content: bytes) -> str:
    """The mediaType in a document; empty if it has none, as OCI allows."""
    try:
        found = json.loads(content).get("mediaType")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def parse_manifest(content: bytes, content_type: str = "") -> Manifest | Index:
    """Read a manifest or an index; the document's own mediaType takes precedence over the header.

    Raises SchemaOneError for schema 1, and ManifestError for anything else, including foreign JSON.
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
    if declared.startswith(DOCKER_SCHEMA_1) or (document.get("schemaVersion") == 1 and "fsLayers" in document):
        raise SchemaOneError
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
    named, urls = entry.get("platform"), entry.get("urls")
    platform = None
    if isinstance(named, dict):
        os, architecture, variant = (str(named.get(key) or "") for key in ("os", "architecture", "variant"))
        platform = Platform(os=os, architecture=architecture, variant=variant or None)
    size = entry["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not isinstance(entry["digest"], str):
        raise TypeError("size or digest")
    return Descriptor(
        media_type=str(entry.get("mediaType", "")),
        digest=entry["digest"],
        size_bytes=size,
        platform=platform,
        urls=tuple(str(url).partition("?")[0] for url in urls) if isinstance(urls, list) else (),
    )
