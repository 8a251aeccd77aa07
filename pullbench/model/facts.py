"""The facts for a plan: gathered by IO, stored with the run, read again to resume it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pullbench.errors import ErrorCode
from pullbench.model.manifest import Descriptor, Manifest
from pullbench.model.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """Whether an engine can be used here, and its store's content before the run."""

    name: str
    kind: str
    version: str | None = None
    unavailable: str | None = None
    """Why the engine cannot be used (not installed, no answer); None if it can."""
    store_id: str | None = None
    """An identifier of its store, such as the ID in `docker info`; None without a store."""
    present: frozenset[str] = frozenset()
    """What identifies the images in the store that no run has pulled: digests of configs (Docker's own store), or of manifests
    (containerd's)."""
    is_local: bool = True
    """Whether it is known to work on this machine; False for a daemon that may be elsewhere."""
    image_store: str | None = None
    """The store of a Docker daemon, such as `overlay2` or `containerd (overlayfs)`."""
    max_concurrent_downloads: int | None = None
    """The setting of a Docker daemon; None if it cannot be read, or has no effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How an index lists a manifest, for the clients that read it differently."""

    platform: Platform | None
    """The platform in the entry; None if the entry names none."""
    depth: int = 1
    """The number of indexes above the manifest: 2 for an index in an index."""
    containers_digest: str | None = None
    """The entry that podman and skopeo choose in the first index; None if they find none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedType:
    """The type of a manifest or an index as the registry serves it: some clients go by Content-Type alone."""

    content_type: str
    """Content-Type without parameters; empty if there is none."""
    media_type: str = ""
    """The document's own mediaType; empty if it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformImage:
    """One platform's manifest of an image, as docker and containerd choose it."""

    digest: str
    manifest: Manifest
    listing: Listing | None = None
    """None without an index."""
    served: tuple[ServedType, ...] = ()
    """The index, if there is one, and the manifest; empty if it is not known."""

    @property
    def manifest_requests(self) -> int:
        """The GETs of manifests and indexes that a pull sends."""
        return 1 + (0 if self.listing is None else self.listing.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadAnswer:
    """The answer to HEAD of a manifest, as clients need it. GET of it is fine."""

    status: int
    content_type: str = ""
    """Without parameters."""
    size_bytes: int | None = None
    """Content-Length; None if it is missing."""
    has_digest: bool = True
    """Whether Docker-Content-Digest is there. Without it clients send GET."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """A registry's answer for one image of the spec."""

    registry: str
    image: str
    digest: str | None = None
    is_index: bool = False
    platforms: Mapping[str, PlatformImage] = field(default_factory=dict)
    """By the platform's text in the spec; without platforms that the image lacks."""
    head: HeadAnswer | None = None
    """The answer to HEAD of its digest; None if it was not asked for, or the answers differ."""
    error_code: ErrorCode | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that `plan` needs in addition to the spec. `offline` facts are empty and exclude nothing."""

    host_platform: str
    engines: Mapping[str, EngineFacts] = field(default_factory=dict)
    images: Mapping[tuple[str, str], ImageFacts] = field(default_factory=dict)
    """By (registry, image)."""
    offline: bool = False

    def platform_image(self, registry: str, image: str, platform: str) -> PlatformImage | None:
        found = self.images.get((registry, image))
        return None if found is None else found.platforms.get(platform)

    def identities(self, registry: str, image: str, platform: str) -> frozenset[str]:
        """By what a store may know a platform's image: the digests of its config, of its manifest, and of the index above it."""
        found = self.platform_image(registry, image, platform)
        if found is None:
            return frozenset()
        above = self.images[registry, image].digest
        return frozenset({found.manifest.config.digest, found.digest, *([above] if above else [])})

    def to_json(self) -> str:
        """One JSON document; equal facts give equal documents."""
        document = {
            "host_platform": self.host_platform,
            "engines": [_plain(engine) for engine in self.engines.values()],
            "images": [_plain(image) for image in self.images.values()],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Facts":
        """The inverse of `to_json`."""
        document = json.loads(text)
        engines = [EngineFacts(**{**entry, "present": frozenset(entry["present"])}) for entry in document["engines"]]
        images = [_image(entry) for entry in document["images"]]
        return cls(
            host_platform=document["host_platform"],
            engines={engine.name: engine for engine in engines},
            images={(image.registry, image.image): image for image in images},
        )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


def _image(entry: dict[str, Any]) -> ImageFacts:
    platforms = {
        name: PlatformImage(
            digest=found["digest"],
            manifest=Manifest(
                media_type=found["manifest"]["media_type"],
                config=_descriptor(found["manifest"]["config"]),
                layers=tuple(_descriptor(layer) for layer in found["manifest"]["layers"]),
            ),
            listing=_listing(found.get("listing")),
            served=tuple(ServedType(**each) for each in found.get("served", ())),
        )
        for name, found in entry["platforms"].items()
    }
    code, head = entry["error_code"], entry.get("head")  # facts of older versions have no `head`
    known = {
        "platforms": platforms,
        "error_code": None if code is None else ErrorCode(code),
        "head": None if head is None else HeadAnswer(**head),
    }
    return ImageFacts(**{**entry, **known})


def _listing(entry: dict[str, Any] | None) -> Listing | None:
    """Facts of older versions have none."""
    return None if entry is None else Listing(**{**entry, "platform": _platform(entry["platform"])})


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    return Descriptor(**{**entry, "platform": _platform(entry["platform"]), "urls": tuple(entry.get("urls", ()))})


def _platform(entry: dict[str, Any] | None) -> Platform | None:
    return None if entry is None else Platform(**entry)
