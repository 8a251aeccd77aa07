"""The folder in which images lie, an OCI image layout, and the reading of it (no numpy: servers start with it)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAME_ANNOTATION = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabImage:
    """An image for several platforms; its blobs lie in files that are named by their digests."""

    repository: str
    tag: str
    index: bytes
    manifests: Mapping[str, bytes]
    """By digest; the index is not among them."""
    blobs: Mapping[str, Path]
    """Configs and layers of all platforms, by digest."""

    @property
    def name(self) -> str:
        """As a spec names it: `lab/app-1:1.0`."""
        return f"{self.repository}:{self.tag}"

    @property
    def digest(self) -> str:
        return digest_of(self.index)


def read_images(folder: Path) -> tuple[LabImage, ...]:
    """The images of a folder that `make_images` filled."""
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
    """Where content lies under `blobs/sha256` (OCI image layout, "Blobs")."""
    return blobs / digest.removeprefix("sha256:")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
