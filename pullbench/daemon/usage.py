"""The disk use of a Docker daemon's images, which of them are unused, and their removal."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pullbench.daemon.docker import DockerDaemon, names_of, try_removal

_HUB = "docker.io/"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image in the daemon's store. `own_bytes` are not shared with other images: removing it frees them."""

    image_id: str
    names: tuple[str, ...]
    bytes: int
    own_bytes: int
    containers: int
    """The number of its containers, including stopped ones."""
    created_at: datetime

    @property
    def is_dangling(self) -> bool:
        """Whether it has no name: an earlier build, or the old image of a tag that has moved."""
        return not self.names

    @property
    def label(self) -> str:
        """Its first name, or its short ID."""
        return self.names[0] if self.names else f"<none> {self.image_id.removeprefix('sha256:')[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The image part of `docker system df`."""

    images: tuple[StoredImage, ...]
    layers_bytes: int
    """On disk, shared layers counted once."""

    @property
    def unused(self) -> tuple[StoredImage, ...]:
        return tuple(image for image in self.images if image.containers == 0)

    @property
    def reclaimable_bytes(self) -> int:
        """The bytes that removing all unused images would free, as `docker system df` counts them."""
        used = sum(image.own_bytes for image in self.images if image.containers > 0)
        return max(0, min(self.layers_bytes - used, sum(image.bytes for image in self.unused)))


def usage(daemon: DockerDaemon) -> Usage:
    """The daemon's images; RegistryError if it does not answer."""
    document = daemon.disk_usage()
    counted = document.get("ImageUsage") or {}  # Engine API 1.52 moved these from the top level
    users: dict[str, int] = {}
    for image_id in daemon.used_image_ids():
        users[image_id] = users.get(image_id, 0) + 1
    images = [_stored(entry, users) for entry in document.get("Images") or counted.get("Items") or []]
    return Usage(
        images=tuple(sorted(images, key=lambda image: image.created_at, reverse=True)),
        layers_bytes=int(document.get("LayersSize") or counted.get("TotalSize") or 0),
    )


def _stored(entry: Mapping[str, Any], users: Mapping[str, int]) -> StoredImage:
    size, shared = int(entry.get("Size") or 0), int(entry.get("SharedSize") or 0)
    return StoredImage(
        image_id=str(entry["Id"]),
        names=_by_kind(names_of(entry)),
        bytes=size,
        own_bytes=size - shared if 0 <= shared <= size else size,
        containers=max(int(entry.get("Containers") or 0), users.get(str(entry["Id"]), 0)),
        created_at=datetime.fromtimestamp(max(0, int(entry.get("Created") or 0)), UTC),
    )


def _by_kind(names: Iterable[str]) -> tuple[str, ...]:
    """Tags before digests, which are hard to read."""
    return tuple(sorted(names, key=lambda name: ("@" in name, name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneDecision:
    """An image, and why it stays; None if it may be removed."""

    image: StoredImage
    kept: str | None = None


def decide_pruning(
    found: Usage, *, keep: Sequence[str] = (), made_before: datetime | None = None
) -> list[PruneDecision]:
    """Decide for each image: remove it if no container uses it, no pattern keeps it, and it is old enough.

    A pattern is a glob for an image's names (`nginx:*`, `registry.example.com/team/*`); without a tag it keeps all tags of the
    repository. `made_before` is compared with the image's creation time.
    """
    return [PruneDecision(image=image, kept=_reason(image, keep, made_before)) for image in found.images]


def _reason(image: StoredImage, keep: Sequence[str], made_before: datetime | None) -> str | None:
    if image.containers:
        return f"in use by {image.containers} container{'' if image.containers == 1 else 's'}"
    for pattern in keep:
        if any(fnmatch.fnmatchcase(name, pattern) for name in _spellings(image)):
            return f"kept by '{pattern}'"
    if made_before is not None and image.created_at >= made_before:
        return f"too new: created {image.created_at:%Y-%m-%d}"
    return None


def _spellings(image: StoredImage) -> Iterator[str]:
    """All spellings of an image's names: with and without its tag, and Docker Hub's long and short form."""
    for name in (*image.names, image.image_id, image.image_id.removeprefix("sha256:")):
        repository = re.sub(r"(@[^/]*|:[^/:]*)$", "", name)
        for written in (name, repository):
            yield written
            first = written.partition("/")[0]
            if not ("." in first or ":" in first or first == "localhost") or "/" not in written:
                yield f"{_HUB}{written}" if "/" in written else f"{_HUB}library/{written}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """The result for an image: removed, or still there with the reason."""

    image: StoredImage
    refused: str | None = None


def prune(daemon: DockerDaemon, images: Iterable[StoredImage]) -> Iterator[Pruned]:
    """Remove images, and yield each result; an image that a container has started to use stays.

    Nothing is forced: the daemon itself refuses images that others are built on. RegistryError if it stops answering.
    """
    for image in images:
        # Checked just before, because the daemon would not refuse to untag an image in use.
        if image.image_id in daemon.used_image_ids():
            yield Pruned(image=image, refused="a container uses it now")
            continue
        reasons = [try_removal(daemon, name) for name in image.names]
        if daemon.find(image.image_id) is not None:
            reasons.append(try_removal(daemon, image.image_id))
        gone = daemon.find(image.image_id) is None
        reason = next((reason for reason in reversed(reasons) if reason), "it is still there")
        yield Pruned(image=image, refused=None if gone else reason)
