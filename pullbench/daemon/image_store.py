"""The image store of a Docker daemon: what identifies an image there, whether it is there, and the removal of what runs pulled.

Docker's own store (overlay2 and other graph drivers) names an image by its config, and a removal frees its layers. containerd's
image store, the default of a fresh Docker 29, differs in all of it:

- An image is an index or a single manifest. Several platforms of an index share one ID, and a removal by it takes all.
- What a platform has is seen by the digest of its manifest (Engine API 1.48). One platform can be removed from API 1.50 on.
- The removal of a name with a digest takes the tags of that repository too.
- A stopped pull keeps a lease on its layers for 8 hours, a failed one leaves partial layers, and content that is removed by
  platform is freed later. A pull that starts before would find them.

Source: moby, daemon/containerd/image_delete.go and image_prune.go; seen on Docker 28.5.
"""

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pullbench.daemon.docker import DockerDaemon, names_of, try_removal
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import PlatformImage
from pullbench.model.identity import wrong_image
from pullbench.model.image_config import platform_of
from pullbench.model.platform import Platform

_CONTAINERD = "io.containerd.snapshotter.v1"
_LISTS_PLATFORMS = (1, 48)
_REMOVES_PLATFORMS = (1, 50)
_TELLS_ORIGIN = (1, 53)
_LIMITS_DOWNLOADS = (29, 7)
_FREES_STOPPED_PULLS = (27, 4)
_CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
_LEFTOVERS = "pullbench.leftovers=1"
"""The label of an image that is imported only to be removed; no other image has it."""
_CONFLICT = 409
_PRUNE_ATTEMPTS = 20
_PRUNE_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """The result of a removal. `bytes` are the images' sizes on disk, including layers shared with other images."""

    removed: tuple[str, ...] = ()
    bytes: int = 0
    kept: Mapping[str, str] = field(default_factory=dict)
    """Image ID → why it was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullTarget:
    """An image that a trial pulls into a store."""

    name: str
    """As pulled: host/repository@digest."""
    digest: str
    """What its tag pointed at: an index, or a single manifest."""
    platform: str
    expected: PlatformImage


class DaemonStore(ABC):
    """One daemon's image store. Every method raises RegistryError if the daemon does not answer."""

    def __init__(self, daemon: DockerDaemon, info: Mapping[str, Any]) -> None:
        self._daemon = daemon
        self._info = info
        self._driver = str(info.get("Driver") or "")

    @property
    @abstractmethod
    def label(self) -> str:
        """Which store it is, such as `overlay2` or `containerd (overlayfs)`."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """An identifier of the store, for the record of what runs pulled into it."""

    @property
    @abstractmethod
    def frees_stopped_pulls(self) -> bool:
        """Whether `drop_leftovers` reaches what a stopped pull left, so that the next pull cannot continue it unseen."""

    @abstractmethod
    def image_ids(self) -> frozenset[str]:
        """What identifies the images that are there: digests of configs, or of manifests."""

    @abstractmethod
    def id_of(self, target: PullTarget) -> str:
        """What would identify this image in `image_ids`."""

    @abstractmethod
    def name_for(self, repository: str, digest: str, expected: PlatformImage, brought: Collection[str]) -> str:
        """The name to pull: the pinned digest, unless that would change an image of others; then the platform's own digest."""

    @abstractmethod
    def make_cold(self, targets: Collection[PullTarget], brought: Collection[str], *, any_image: bool) -> None:
        """Remove images that prevent cold pulls: those that a run brought, or `any_image` under test."""

    @abstractmethod
    def would_bring(self, targets: Collection[PullTarget]) -> list[str]:
        """Names and IDs that the store lacks now, so that only these pulls can add them."""

    @abstractmethod
    def mismatch(self, target: PullTarget) -> tuple[ErrorCode, str] | None:
        """What is wrong with a pulled image: its platform, its content; None if it is the expected one."""

    def attestation_bytes(self, target: PullTarget) -> int | None:  # noqa: ARG002  (Docker's own store fetches none)
        """The blobs of the attestations of a pulled image; None if the daemon does not say."""
        return None

    @abstractmethod
    def remove_brought(self, image_ids: Iterable[str], references: Iterable[str]) -> Cleaned:
        """Remove only images of runs: these names (`HOST/repo@digest`), and these images if no name remains.

        Images that someone has since tagged, pulled under another name or used in a container stay. Missing ones are skipped.
        """

    @abstractmethod
    def drop_leftovers(self) -> None:
        """Free what stopped and failed pulls left; no image goes."""

    @abstractmethod
    def pulled_tags(self) -> dict[str, str]:
        """Names of images from registries, such as `nginx:1.27`, with a remark where the daemon cannot tell.

        Images that were built or imported are left out.
        """

    def holds(self, target: PullTarget) -> bool:
        """Whether the image is in the store, under any name."""
        return self.id_of(target) in self.image_ids()


def image_store(daemon: DockerDaemon) -> DaemonStore:
    """The store that a daemon uses; raises RegistryError if the daemon does not answer."""
    info = daemon.info()
    return ContainerdStore(daemon, info) if uses_containerd(info) else GraphDriverStore(daemon, info)


def uses_containerd(info: Mapping[str, Any]) -> bool:
    """Whether `docker info` is that of a daemon with containerd's image store."""
    return any(tuple(pair) == ("driver-type", _CONTAINERD) for pair in info.get("DriverStatus") or ())


def limits_downloads(info: Mapping[str, Any]) -> bool:
    """Whether max-concurrent-downloads has an effect: with containerd's image store it has one from Docker 29.7 on."""
    return not uses_containerd(info) or _is_from(info, _LIMITS_DOWNLOADS)


def _is_from(info: Mapping[str, Any], version: tuple[int, int]) -> bool:
    """Whether a daemon is of this version or newer; one that says no version counts as new."""
    found = re.match(r"(\d+)\.(\d+)", str(info.get("ServerVersion") or ""))
    return found is None or (int(found[1]), int(found[2])) >= version


def data_directory(info: Mapping[str, Any]) -> str:
    """Where the daemon's images are: Docker's data root, or for containerd's image store the root of its containerd."""
    root = str(info.get("DockerRootDir") or "/var/lib/docker")
    if not uses_containerd(info):
        return root
    address = str((info.get("Containerd") or {}).get("Address") or _CONTAINERD_SOCKET)
    if address.replace("/var/run/", "/run/") == _CONTAINERD_SOCKET:
        return "/var/lib/containerd"  # a containerd of its own
    return f"{root}/containerd/daemon"  # one that dockerd started


def _wrong(
    target: PullTarget, image_id: str, promised: str, platform: Mapping[str, Any]
) -> tuple[ErrorCode, str] | None:
    return wrong_image(
        target.expected,
        Platform.parse(target.platform),
        image_id=image_id,
        promised=promised,
        platform=platform_of(platform),
        program="dockerd",
    )


def _inspected_platform(image: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): image.get(name) for name in ("Os", "Architecture", "Variant")}


class GraphDriverStore(DaemonStore):
    """Docker's own store: an image's ID is the digest of its config, and the removal of its last name removes it."""

    @property
    def label(self) -> str:
        return self._driver

    @property
    def identity(self) -> str:
        return self._daemon.identity

    @property
    def frees_stopped_pulls(self) -> bool:
        return True

    def image_ids(self) -> frozenset[str]:
        return self._daemon.image_ids()

    def id_of(self, target: PullTarget) -> str:
        return target.expected.manifest.config.digest

    def name_for(self, repository: str, digest: str, expected: PlatformImage, brought: Collection[str]) -> str:
        """dockerd would move a name of another platform's image to ours."""
        name = f"{repository}@{digest}"
        found = self._daemon.find(name)
        if found is None or name in brought or found["Id"] == expected.manifest.config.digest:
            return name
        return f"{repository}@{expected.digest}"

    def make_cold(self, targets: Collection[PullTarget], brought: Collection[str], *, any_image: bool) -> None:
        under_test = {self.id_of(target) for target in targets}
        if any_image:
            for image_id in under_test:
                try_removal(self._daemon, image_id, force=True)
        ours = under_test & set(brought)
        names = {*(target.name for target in targets), *self._names_in_store(ours)}
        self.remove_brought(ours, names & set(brought))

    def _names_in_store(self, image_ids: Iterable[str]) -> frozenset[str]:
        found = [image for image_id in image_ids if (image := self._daemon.find(image_id)) is not None]
        return frozenset[str]().union(*(names_of(image) for image in found))

    def would_bring(self, targets: Collection[PullTarget]) -> list[str]:
        present = self.image_ids()
        names: list[str] = []
        for target in targets:
            image_id = self.id_of(target)
            if image_id not in present:
                names += [target.name, image_id]
            elif target.name not in self._names_in_store([image_id]):
                names.append(target.name)
        return list(dict.fromkeys(names))

    def mismatch(self, target: PullTarget) -> tuple[ErrorCode, str] | None:
        """dockerd accepts a single image for any platform."""
        image = self._daemon.inspect(target.name)
        return _wrong(target, str(image["Id"]), self.id_of(target), _inspected_platform(image))

    def remove_brought(self, image_ids: Iterable[str], references: Iterable[str]) -> Cleaned:
        """The daemon itself refuses to remove images in use."""
        ours = frozenset(image_ids)
        found: dict[str, Mapping[str, Any]] = {}
        refused: dict[str, str] = {}
        for name in dict.fromkeys((*references, *ours)):
            image = self._daemon.find(name)
            if image is None:
                continue
            image_id = str(image["Id"])
            found.setdefault(image_id, image)
            if name not in ours and (reason := try_removal(self._daemon, name)) is not None:
                refused[image_id] = reason
        removed: list[str] = []
        kept: dict[str, str] = {}
        for image_id in found:
            if image_id in ours and image_id not in refused and (reason := self._remove_nameless(image_id)) is not None:
                refused[image_id] = reason
            if self._daemon.find(image_id) is None:
                removed.append(image_id)
            elif image_id in refused:
                kept[image_id] = refused[image_id]
        return Cleaned(
            removed=tuple(removed), bytes=sum(int(found[image_id].get("Size") or 0) for image_id in removed), kept=kept
        )

    def _remove_nameless(self, image_id: str) -> str | None:
        image = self._daemon.find(image_id)
        if image is None:
            return None
        if names := names_of(image):
            return f"it has other names: {', '.join(sorted(names))}"
        return try_removal(self._daemon, image_id)

    def drop_leftovers(self) -> None:
        """Nothing to do: dockerd drops what a pull did not finish."""

    def pulled_tags(self) -> dict[str, str]:
        """Only an image from a registry has a digest."""
        pulled = [image for image in self._daemon.images() if image.get("RepoDigests")]
        return {tag: "" for image in pulled for tag in image.get("RepoTags") or [] if "<none>" not in tag}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """An image of containerd's store: an index or a single manifest, with names."""

    image_id: str
    names: frozenset[str]
    """Tags, and names by digest: a tag is listed with its repository's name by digest too."""
    platforms: Mapping[str, Mapping[str, Any]]
    """Manifest digest → platform, where the content is there. Before API 1.48 that is not known: the image's own ID."""
    bytes: int

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "_Stored":
        image_id, listed = str(entry["Id"]), entry.get("Manifests")
        platforms: dict[str, Mapping[str, Any]] = {image_id: {}}
        if listed is not None:
            found = [each for each in listed if each.get("Kind") == "image" and each.get("Available")]
            platforms = {str(each["ID"]): (each.get("ImageData") or {}).get("Platform") or {} for each in found}
        return cls(
            image_id=image_id, names=names_of(entry), platforms=platforms, bytes=max(0, int(entry.get("Size") or 0))
        )

    def is_of(self, brought: Collection[str]) -> bool:
        """Whether runs brought all of it: every name and every platform."""
        return all(name in brought for name in (*self.names, *self.platforms))


class ContainerdStore(DaemonStore):
    """containerd's image store: an image under test is identified by the digest of its platform's manifest."""

    @property
    def label(self) -> str:
        return f"containerd ({self._driver})"

    @property
    def identity(self) -> str:
        """Not the daemon's ID alone: that is the same in both stores, and neither has the other's images."""
        return f"{self._daemon.identity}/containerd"

    @property
    def frees_stopped_pulls(self) -> bool:
        return _is_from(self._info, _FREES_STOPPED_PULLS)

    def image_ids(self) -> frozenset[str]:
        """Manifests; and indexes where a single platform could not be removed from them, so that any of it is in the way."""
        stored = self._stored()
        found = {digest for image in stored for digest in image.platforms}
        if not self._removes_platforms:
            found |= {image.image_id for image in stored}
        return frozenset(found)

    def id_of(self, target: PullTarget) -> str:
        return target.expected.digest if self._lists_platforms else target.name.rpartition("@")[2]

    def name_for(self, repository: str, digest: str, expected: PlatformImage, brought: Collection[str]) -> str:
        """The platform would be added to an index of others, and share its ID."""
        name = f"{repository}@{digest}"
        found = next((image for image in self._stored() if image.image_id == digest), None)
        if found is None or found.is_of(brought) or found.platforms.keys() <= {expected.digest}:
            return name
        return f"{repository}@{expected.digest}"

    def make_cold(self, targets: Collection[PullTarget], brought: Collection[str], *, any_image: bool) -> None:
        under_test = {digest for target in targets for digest in (self.id_of(target), target.digest)}
        if any_image:
            self._remove_any(targets)
        ours = under_test & set(brought)
        names = {target.name for target in targets}
        names |= {name for image in self._stored() if ours & image.platforms.keys() for name in image.names}
        self._remove(ours, names & set(brought), brought)
        self.drop_leftovers()

    def would_bring(self, targets: Collection[PullTarget]) -> list[str]:
        present, stored = self.image_ids(), self._stored()
        taken = frozenset[str]().union(*(image.names for image in stored))
        names: list[str] = []
        for target in targets:
            names += [] if target.name in taken else [target.name]
            digests = (self.id_of(target), *(() if self._removes_platforms else (target.digest,)))
            names += [digest for digest in digests if digest not in present]
        return list(dict.fromkeys(names))

    def mismatch(self, target: PullTarget) -> tuple[ErrorCode, str] | None:
        if not self._lists_platforms:
            image = self._daemon.inspect(target.name)
            if image["Id"] not in (target.digest, target.expected.digest):
                return ErrorCode.DIGEST_MISMATCH, f"dockerd pulled {image['Id']}, but the run expected {target.digest}"
            return _wrong(target, str(image["Id"]), str(image["Id"]), _inspected_platform(image))
        listed = self._daemon.inspect(target.name, manifests=1).get("Manifests") or []
        found = next((each for each in listed if each.get("ID") == target.expected.digest), None)
        if found is not None and found.get("Available"):
            platform = (found.get("ImageData") or {}).get("Platform") or {}
            return _wrong(target, target.expected.digest, target.expected.digest, platform)
        others = [str(each.get("ID")) for each in listed if each.get("Kind") == "image" and each.get("Available")]
        if others:
            text = f"dockerd pulled the manifest {', '.join(others)}, but the run expected {target.expected.digest}"
            return ErrorCode.DIGEST_MISMATCH, text
        return ErrorCode.ENGINE_UNAVAILABLE, "dockerd reports success, but its store lacks content of the image"

    def attestation_bytes(self, target: PullTarget) -> int | None:
        if not self._lists_platforms:
            return None
        listed = self._daemon.inspect(target.name, manifests=1).get("Manifests") or []
        sizes = [
            int((each.get("Size") or {}).get("Content") or 0) - int((each.get("Descriptor") or {}).get("size") or 0)
            for each in listed
            if (each.get("AttestationData") or {}).get("For") == target.expected.digest and each.get("Available")
        ]
        return sum(sizes) if sizes else None

    def remove_brought(self, image_ids: Iterable[str], references: Iterable[str]) -> Cleaned:
        ids, names = frozenset(image_ids), frozenset(references)
        cleaned = self._remove(ids, names, ids | names)
        if cleaned.removed:
            self.drop_leftovers()
        return cleaned

    def drop_leftovers(self) -> None:
        """Drop the leases of stopped pulls, and wait until containerd has freed everything that no image uses.

        dockerd waits for that only when it removes an image that is nothing but leftovers: a tiny one with a label of its own.
        """
        self._daemon.import_empty(_LEFTOVERS)
        for _ in range(_PRUNE_ATTEMPTS):
            try:
                self._daemon.prune_labelled(_LEFTOVERS)
            except RegistryError as error:
                if error.status != _CONFLICT:  # another prune is in progress
                    raise
                time.sleep(_PRUNE_AGAIN_S)
            else:
                return
        raise RegistryError(
            ErrorCode.ENGINE_UNAVAILABLE, f"docker {self._daemon.host}", "another `docker image prune` does not end"
        )

    def pulled_tags(self) -> dict[str, str]:
        """Builds have a digest here too; only from API 1.53 on the daemon says where an image comes from."""
        tells = self._daemon.api_version >= _TELLS_ORIGIN
        found: dict[str, str] = {}
        for image in self._daemon.images():
            tags = [tag for tag in image.get("RepoTags") or [] if "<none>" not in tag]
            if tells and tags:
                origin = self._daemon.inspect(str(image["Id"])).get("Identity") or {}
                tags = tags if origin.get("Pull") else []
            found |= {tag: "" if tells or "@" in tag else "may be a local build" for tag in tags}
        return found

    @property
    def _lists_platforms(self) -> bool:
        return self._daemon.api_version >= _LISTS_PLATFORMS

    @property
    def _removes_platforms(self) -> bool:
        return self._daemon.api_version >= _REMOVES_PLATFORMS

    def _stored(self) -> list[_Stored]:
        return [_Stored.of(entry) for entry in self._daemon.images()]

    def _remove(self, ids: Collection[str], names: Collection[str], brought: Collection[str]) -> Cleaned:
        """Remove images by these IDs and names; of what is not `brought`, only single platforms."""
        kept: dict[str, str] = {}
        size = 0
        before = self._stored()
        present = {digest for image in before for digest in image.platforms} & set(ids)
        for image in before:
            mine = image.platforms.keys() & set(ids)
            if not mine and not image.names & set(names):
                continue
            if image.is_of(brought):
                reasons = dict.fromkeys(mine, self._remove_whole(image))
            elif image.names & set(names) and (others := image.names - set(brought)):
                reasons = dict.fromkeys(mine, f"it has other names: {', '.join(sorted(others))}")
            else:
                reasons = {digest: self._remove_platform(image, digest, before) for digest in mine}
            kept |= {digest: reason for digest, reason in reasons.items() if reason is not None}
            size += image.bytes if image.is_of(brought) and not any(reasons.values()) else 0
        left = {digest for image in self._stored() for digest in image.platforms}
        return Cleaned(
            removed=tuple(sorted(present - left)),
            bytes=size,
            kept={digest: reason for digest, reason in kept.items() if digest in left},
        )

    def _remove_whole(self, image: _Stored) -> str | None:
        """The reason why an image stays that nobody else named; None if it is gone."""
        if self._is_used(image.image_id):
            return "a container uses it"
        reasons = [try_removal(self._daemon, name) for name in sorted(image.names)]
        if self._daemon.find(image.image_id) is not None:
            reasons.append(try_removal(self._daemon, image.image_id))
        return next((reason for reason in reversed(reasons) if reason), None)

    def _remove_platform(self, image: _Stored, digest: str, stored: Iterable[_Stored]) -> str | None:
        """Remove one platform of an image that has others; the reason why it stays, or None."""
        if not self._removes_platforms:
            return "its index has another platform, and Docker before 28.2 cannot remove one platform alone"
        if self._is_used(image.image_id, digest):
            return "a container uses it"
        platform = json.dumps(image.platforms[digest])
        found = self._inspected(image, digest)
        if found is None or str((found.get("Descriptor") or {}).get("digest")) != digest:
            return f"the daemon finds no single manifest of it for {platform}"
        if sharer := self._sharer(digest, _layers(found), stored):
            return f"{sharer} has layers of it, or may have, and would lose them"
        try:
            self._daemon.remove_platform(image.image_id, platform)
        except RegistryError as error:
            if error.code is ErrorCode.ENGINE_UNAVAILABLE:
                raise
            return None if error.code is ErrorCode.NOT_FOUND else error.detail
        return None

    def _sharer(self, digest: str, layers: frozenset[str], stored: Iterable[_Stored]) -> str | None:
        """An image with one of these layers: the removal of a platform takes its layers from every image."""
        for image in stored:
            for other in image.platforms.keys() - {digest}:
                found = self._inspected(image, other)
                if found is None or layers & _layers(found):
                    return min(image.names, default=image.image_id)
        return None

    def _inspected(self, image: _Stored, digest: str) -> Mapping[str, Any] | None:
        """One platform of an image; None if the daemon does not find it by its platform."""
        try:
            return self._daemon.inspect(image.image_id, platform=json.dumps(image.platforms[digest]))
        except RegistryError as error:
            if error.code is ErrorCode.ENGINE_UNAVAILABLE:
                raise
            return None

    def _remove_any(self, targets: Iterable[PullTarget]) -> None:
        """Remove these images of anybody; other platforms of their indexes stay."""
        for target in targets:
            stored, digest = self._stored(), self.id_of(target)
            for image in (image for image in stored if digest in image.platforms):
                if image.platforms.keys() != {digest}:
                    self._remove_platform(image, digest, stored)
                elif self._lists_platforms or self.mismatch(replace(target, name=image.image_id)) is None:
                    try_removal(self._daemon, image.image_id, force=True)

    def _is_used(self, image_id: str, digest: str | None = None) -> bool:
        """Whether a container uses an image, or one of its platforms, as far as the daemon says which."""
        for container in self._daemon.containers():
            platform = (container.get("ImageManifestDescriptor") or {}).get("digest")
            if container.get("ImageID") in (image_id, digest) and (None in (digest, platform) or platform == digest):
                return True
        return False


def _layers(image: Mapping[str, Any]) -> frozenset[str]:
    """The diff IDs of an inspected image."""
    return frozenset((image.get("RootFS") or {}).get("Layers") or ())
