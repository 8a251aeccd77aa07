"""A daemon's image store in memory, for what is counted and removed."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import ErrorCode, RegistryError

NOW = datetime(2026, 11, 23, 16, 15, tzinfo=UTC)


def image_id(name: str) -> str:
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


class ImageStore(DockerDaemon):
    """Answers as a daemon does; it lets go of an image with its last name, and refuses what the test says."""

    def __init__(self, *, layers_bytes: int | None = None) -> None:
        super().__init__("unix:///nowhere.sock")
        self.stored: dict[str, dict[str, Any]] = {}
        self.container_images: list[str] = []
        self.removed: list[str] = []
        self.forced: list[str] = []
        self.document: Mapping[str, Any] | None = None
        self.silent_after: int | None = None
        """How many removals it answers before it answers nothing any more."""
        self._layers_bytes = layers_bytes
        self._refused: dict[str, str] = {}

    def add(
        self,
        name: str,
        *,
        more: tuple[str, ...] = (),
        size: int = 100,
        shared: int = 0,
        containers: int = 0,
        counted: int | None = None,
        age: timedelta = timedelta(days=30),
        refused: str | None = None,
    ) -> None:
        made = image_id(name)
        self.stored[made] = {
            "Id": made,
            "RepoTags": [name, *more],
            "RepoDigests": None,
            "Size": size,
            "SharedSize": shared,
            "Containers": containers if counted is None else counted,
            "Created": int((NOW - age).timestamp()),
        }
        self.container_images += [made] * containers
        if refused is not None:
            self._refused[made] = refused

    def disk_usage(self) -> Mapping[str, Any]:
        self._answer()
        total = sum(image["Size"] for image in self.stored.values())
        layers = total if self._layers_bytes is None else self._layers_bytes
        return self.document or {"Images": list(self.stored.values()), "LayersSize": layers}

    def used_image_ids(self) -> list[str]:
        self._answer()
        return self.container_images

    def find(self, reference: str) -> Mapping[str, Any] | None:
        return self.stored.get(reference)

    def remove(self, image: str, *, force: bool = False) -> None:
        self._answer()
        found = next((one for one in self.stored.values() if image == one["Id"] or image in one["RepoTags"]), None)
        if found is None:
            raise RegistryError(ErrorCode.NOT_FOUND, "docker", f"No such image: {image}")
        if found["Id"] in self._refused:
            raise RegistryError(ErrorCode.UNKNOWN, "docker", self._refused[found["Id"]], status=409)
        self.removed.append(image)
        self.forced += [image] if force else []
        found["RepoTags"] = [name for name in found["RepoTags"] if name != image and "<none>" not in name]
        if not found["RepoTags"]:
            del self.stored[found["Id"]]

    def _answer(self) -> None:
        if self.silent_after is not None and len(self.removed) >= self.silent_after:
            raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", "no answer from the daemon: gone")
