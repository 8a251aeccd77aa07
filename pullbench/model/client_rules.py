"""Which client refuses which image: the rules of docker, containerd, podman and skopeo, as tests saw them.

docs/image-kinds.md has the table. tests/integration/test_odd_images.py holds each rule against the clients that are installed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pullbench.model.facts import EngineFacts, HeadAnswer, Listing, PlatformImage, ServedType
from pullbench.model.manifest import DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_TYPES, Descriptor
from pullbench.model.platform import Platform

Store = Literal["overlay2", "containerd"]

MAX_DOCKER_LAYERS = 125
"""Docker's own store refuses a layer on 125 others (`max depth exceeded`)."""
LARGE_MANIFESTS = (
    "docker with overlay2 may still pull it; containerd, docker with containerd's store, podman and skopeo refuse it"
)
"""Who pulls a manifest of more than 4 MiB."""
HEAD_KINDS = ("docker", "containerd")
"""Kinds of engines whose clients send HEAD of a manifest; docker before a pull by digest only with containerd's store."""
_METHOD_NOT_ALLOWED = 405
_DOCKER_WITH_REFERRERS = (29, 1)
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
    by_type = (reason for served in image.served for reason in _by_type(served, client))
    return (*by_type, *_by_listing(image, platform, client), *_by_layers(image, client))


def _by_type(served: ServedType, client: Client) -> Iterator[str]:
    """containerd compares the text, the others ignore case; docker also wants the document's own type, where it has one."""
    given, own = served.content_type, served.media_type
    if (given if client.unpacks_by_containerd else given.lower()) not in MANIFEST_TYPES:
        yield f"its manifest has {f'the Content-Type {given}' if given else 'no Content-Type'}"
    elif own in ("", given.lower()) or client.unpacks_by_containerd:
        return
    elif client.kind == "docker" or given.lower() in (DOCKER_MANIFEST, DOCKER_LIST):
        yield f"the registry serves {own} as {given}"


def is_mistyped(image: PlatformImage) -> bool:
    """Whether a client refuses the type that the registry serves, which pushing the image anew does not change."""
    return any(next(_by_type(served, client), "") for served in image.served for client in TODAY.values())


def head_refusals(
    answer: HeadAnswer, client: Client, *, by_digest: bool = False, get_lacks_length: bool = False
) -> tuple[str, ...]:
    """Why a client does not pull a manifest after this HEAD of it, although GET is fine; empty if it does.

    docker with its own store sends HEAD of a tag only, and falls back to GET, except after a 200 with a digest that lacks other
    headers. Of that GET it reads the same headers, if it has a digest: `get_lacks_length` says so of Content-Length. containerd sends HEAD of a digest too, and falls back only after 405. podman, skopeo and wire send no HEAD.
    """
    if client.kind not in HEAD_KINDS:
        return ()
    if client.unpacks_by_containerd:
        return tuple(_containerd_by_head(answer, by_digest=by_digest))
    return () if by_digest else tuple(_docker_by_tag(answer, get_lacks_length))


def _docker_by_tag(answer: HeadAnswer, get_lacks_length: bool) -> Iterator[str]:
    if answer.status >= 300 or not answer.has_digest:
        if get_lacks_length:
            yield "it sends GET after HEAD of its manifest, and that answer has no Content-Length"
        return
    if not answer.content_type:
        yield "HEAD of its manifest has no Content-Type"
    if answer.size_bytes is None:
        yield "HEAD of its manifest has no Content-Length"


def _containerd_by_head(answer: HeadAnswer, *, by_digest: bool) -> Iterator[str]:
    if answer.status >= 300:
        if answer.status != _METHOD_NOT_ALLOWED:
            yield f"HEAD of its manifest is answered with {answer.status}"
        return
    if answer.size_bytes is None or not (answer.has_digest or by_digest):
        return  # it sends GET then, whose headers count
    if answer.content_type not in MANIFEST_TYPES:
        given = f"the Content-Type {answer.content_type}" if answer.content_type else "no Content-Type"
        yield f"HEAD of its manifest has {given}"
    if answer.size_bytes == 0:
        yield "HEAD of its manifest has a Content-Length of 0"


def asks_for_referrers(client: Client) -> bool:
    """Whether a client asks what refers to the attestations of an image that it pulls (the source of moby 29.1)."""
    return client.store == "containerd" and not client.is_before(_DOCKER_WITH_REFERRERS)


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
