"""A daemon with containerd's image store in memory: names of indexes and manifests, and content that goes when it is collected.

It does what Docker 28.5 was seen to do: the removal of a name by digest takes the tags of its repository, a removal by platform
takes layers from every image, and content goes only with a synchronous removal.
"""

import json
from collections.abc import Mapping
from typing import Any

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import PlatformImage

INFO = {
    "Driver": "overlayfs",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "DockerRootDir": "/var/lib/docker",
    "ServerVersion": "28.5.2",
}


class ContainerdDaemon(DockerDaemon):
    """`indexes` and `platforms` say what exists in registries; `hold` is a user's pull."""

    identity = "FAKE:ID"

    def __init__(self, api: tuple[int, int] = (1, 51)) -> None:
        super().__init__("unix:///nowhere.sock")
        self.api = api
        self.indexes: dict[str, tuple[str, ...]] = {}
        self.platforms: dict[str, tuple[str, PlatformImage]] = {}
        self.names: dict[str, str] = {}
        self.content: set[str] = set()
        self.used: list[dict[str, Any]] = []
        self.done: list[str] = []
        self.conflicts = 0

    @property
    def api_version(self) -> tuple[int, int]:
        return self.api

    def info(self) -> Mapping[str, Any]:
        return INFO

    def offers(self, index: str, **images: PlatformImage) -> None:
        """An index of these images, by architecture."""
        self.indexes[index] = tuple(image.digest for image in images.values())
        self.platforms |= {image.digest: (architecture, image) for architecture, image in images.items()}

    def hold(self, name: str, target: str, *manifests: str) -> None:
        self.names[name] = target
        self.content |= set(manifests)

    def present(self, target: str) -> list[str]:
        return [digest for digest in self.indexes.get(target, (target,)) if digest in self.content]

    def images(self) -> list[Mapping[str, Any]]:
        return [self._document(target) for target in dict.fromkeys(self.names.values())]

    def inspect(self, reference: str, **more: object) -> Mapping[str, Any]:
        target = self._resolve(reference)
        document = dict(self._document(target))
        chosen = self.present(target)
        if "platform" in more:
            wanted = json.loads(str(more["platform"]))["architecture"]
            chosen = [digest for digest in chosen if self.platforms[digest][0] == wanted]
            if not chosen:
                raise RegistryError(ErrorCode.NOT_FOUND, "docker", "does not provide the specified platform")
            document["Descriptor"] = {"digest": chosen[0]}
        for digest in chosen[:1]:
            architecture, image = self.platforms[digest]
            document |= {"Os": "linux", "Architecture": architecture}
            document["RootFS"] = {"Layers": [layer.digest for layer in image.manifest.layers]}
        return document

    def remove(self, image: str, *, force: bool = False) -> None:
        target = self._resolve(image)
        same = [name for name, of in self.names.items() if of == target]
        if image != target and any(name for name in same if _repository(name) != _repository(image)):
            same = [name for name in same if _repository(name) == _repository(image)]
        elif image == target and len(same) > 1 and not force:
            raise RegistryError(ErrorCode.UNKNOWN, "docker", "conflict: image is referenced in multiple repositories")
        self.done.append(f"remove {image}" + (" force" if force else ""))
        for name in same:
            del self.names[name]
        self._collect()

    def remove_platform(self, image: str, platform: str) -> None:
        (digest,) = (
            digest
            for digest in self.present(self._resolve(image))
            if self.platforms[digest][0] == json.loads(platform)["architecture"]
        )
        self.done.append(f"remove platform {digest}")
        layers = {layer.digest for layer in self.platforms[digest][1].manifest.layers}
        self.content -= {
            other
            for other in self.content
            if layers & {layer.digest for layer in self.platforms[other][1].manifest.layers}
        }

    def containers(self) -> list[Mapping[str, Any]]:
        return list(self.used)

    def import_empty(self, label: str) -> None:
        self.done.append(f"import {label}")

    def prune_labelled(self, label: str) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise RegistryError(ErrorCode.UNKNOWN, "docker", "a prune operation is already running", status=409)
        self.done.append(f"prune {label}")
        self._collect()

    def _collect(self) -> None:
        named = {digest for target in self.names.values() for digest in self.indexes.get(target, (target,))}
        self.content &= named

    def _resolve(self, reference: str) -> str:
        digest = reference.rpartition("@")[2]
        for name, target in self.names.items():
            if reference in (name, target) or (digest == target and _repository(name) == _repository(reference)):
                return target
        raise RegistryError(ErrorCode.NOT_FOUND, "docker", f"No such image: {reference}")

    def _document(self, target: str) -> Mapping[str, Any]:
        names = [name for name, of in self.names.items() if of == target]
        digests = sorted({f"{_repository(name)}@{target}" for name in names})
        entry: dict[str, Any] = {"Id": target, "RepoTags": names, "RepoDigests": digests, "Size": 100}
        if self.api >= (1, 48):
            entry["Manifests"] = [
                {
                    "ID": digest,
                    "Kind": "image",
                    "Available": digest in self.content,
                    "ImageData": {"Platform": {"os": "linux", "architecture": self.platforms[digest][0]}},
                }
                for digest in self.indexes.get(target, (target,))
            ]
        return entry


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
