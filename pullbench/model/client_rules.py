"""Which client refuses which image: the rules of docker, containerd, podman and skopeo, as tests saw them.

docs/image-kinds.md has the table. tests/integration/test_odd_images.py holds each rule against the clients that are installed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pullbench.model.facts import EngineFacts, Listing, PlatformImage
from pullbench.model.manifest import Descriptor
from pullbench.model.platform import Platform

Store = Literal["overlay2", "containerd"]

MAX_DOCKER_LAYERS = 125
"""Docker's own store refuses a layer on 125 others (`max depth exceeded`)."""
LARGE_MANIFESTS = (
    "docker with overlay2 may still pull it; containerd, docker with containerd's store, podman and skopeo refuse it"
)
"""Who pulls a manifest of more than 4 MiB."""
_OLD_DOCKER = (23,)
"""Older ones match platforms more strictly, and know no nested index, no entry without a platform and no zstd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client as the rules tell them apart. `store` is docker's: overlay2 is any store of its own. An unknown version is new."""

    kind: str
    """A key of CAPABILITIES."""
    store: Store | None = None
    version: tuple[int, ...] | None = None

    @classmethod
    def of_engine(cls, engine: EngineFacts) -> "Client":
        """The client behind an engine, by its version."""
        found = re.match(r"\D*(\d+(?:\.\d+)*)", engine.version or "")
        version = tuple(int(part) for part in found[1].split(".")) if found else None
        own: Store = "containerd" if (engine.image_store or "").startswith("containerd") else "overlay2"
        return cls(kind=engine.kind, store=own if engine.kind == "docker" else None, version=version)

    @property
    def unpacks_by_containerd(self) -> bool:
        return self.kind == "containerd" or self.store == "containerd"

    def is_before(self, version: tuple[int, ...]) -> bool:
        return self.version is not None and self.version < version


TODAY: dict[str, Client] = {
    "docker with overlay2": Client(kind="docker", store="overlay2"),
    "docker with containerd's store": Client(kind="docker", store="containerd"),
    "ctr": Client(kind="containerd"),
    "podman": Client(kind="podman"),
    "skopeo": Client(kind="skopeo"),
}
"""The clients of today by name: a registry's users may have any of them."""


def refusals(image: PlatformImage, platform: Platform, client: Client) -> tuple[str, ...]:
    """Why a client refuses the image that a plan has for a platform, or pulls another one; empty if it pulls it.

    wire pulls everything that a registry serves: it does not unpack, and it matches platforms as docker and containerd do.
    """
    if client.kind in ("wire", "fake"):
        return ()
    return (*_by_listing(image, platform, client), *_by_layers(image, client))


def _by_listing(image: PlatformImage, platform: Platform, client: Client) -> Iterator[str]:
    listing = image.listing
    if listing is None:
        return
    if client.kind in ("podman", "skopeo"):
        if listing.depth > 1:
            yield "the index leads to another index"
        elif listing.containers_digest is None:
            named = "no platform" if listing.platform is None else f"{listing.platform}"
            yield f"the index lists it for {named}, which {client.kind} does not take for {platform}"
        elif listing.containers_digest != image.digest:
            yield f"it chooses another entry of the index, {listing.containers_digest}"
        return
    if client.kind == "docker" and client.is_before(_OLD_DOCKER):
        if listing.depth > 1:
            yield "the index leads to another index"
        elif listing.platform is None:
            yield "the index lists it without a platform"
        elif listing.platform.normal() not in _old_docker_candidates(platform):
            yield f"the index lists it for {listing.platform}, which this version does not take for {platform}"
    if client.kind == "containerd" and not _is_exact(listing, platform):
        yield f"the index lists it for {listing.platform}, and ctr unpacks only {platform}"


def _is_exact(listing: Listing, platform: Platform) -> bool:
    return listing.platform is None or platform.equals(listing.platform)


def _old_docker_candidates(platform: Platform) -> tuple[Platform, ...]:
    own = platform.normal()
    return platform.candidates() if own.architecture == "arm" else (own,)


def _is_zstd(layer: Descriptor) -> bool:
    return layer.media_type.endswith("+zstd")


def _by_layers(image: PlatformImage, client: Client) -> Iterator[str]:
    layers = image.manifest.layers
    if client.store == "overlay2" and len(layers) > MAX_DOCKER_LAYERS:
        yield f"it has {len(layers)} layers, and docker's own store takes at most {MAX_DOCKER_LAYERS}"
    if client.kind == "docker" and client.is_before(_OLD_DOCKER) and any(_is_zstd(layer) for layer in layers):
        yield "a layer is compressed with zstd, which this version cannot unpack"
    if client.unpacks_by_containerd and any(layer.size_bytes == 0 for layer in layers):
        yield "a layer has 0 bytes"
