"""Synthetic images as real ones are: layer counts and sizes of a large crawl, base layers that are shared, an index
of several platforms. They are kept as an OCI image layout, so skopeo and its kin can read the folder too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pullbench.lab.documents import as_json, config_json, described, index_json, manifest_json
from pullbench.lab.layer import Layer, write_layer
from pullbench.lab.layout import NAME_ANNOTATION, LabImage, blob_path, read_images
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor
from pullbench.model.platform import Platform
from pullbench.model.workload import REALISTIC_SHARE, realistic_images


def make_images(
    folder: Path,
    *,
    seed: int,
    count: int,
    total_bytes: int,
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    max_layers: int = 40,
) -> tuple[LabImage, ...]:
    """Write `count` images of together at most `total_bytes` (all platforms) into `folder`, an OCI image layout.

    The large end of the size distribution is cut off where it meets the budget; small layers stay as small as they
    are. The same arguments give the same digests on every machine. Raises UsageError where the budget cannot hold
    even the smallest layers.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    shapes = realistic_images(seed, count, total_bytes / len(platforms), max_layers=max_layers, share=REALISTIC_SHARE)
    made: dict[tuple[int, ...], Layer] = {}
    indexes = []
    for image, shape in enumerate(shapes):
        manifests = []
        for number, platform in enumerate(platforms):
            layers = []
            for layer in shape.layers:
                key = (seed, number, *layer.key)
                if key not in made:
                    made[key] = write_layer(blobs, seed=key, size_bytes=layer.size_bytes)
                layers.append(made[key])
            manifests.append(_manifest(blobs, Platform.parse(platform), layers))
        index = _put(blobs, OCI_INDEX, index_json(manifests))
        indexes.append(_named(index, f"lab/app-{image + 1}:1.0"))
    _finish(folder, indexes)
    return read_images(folder)


def make_image(folder: Path, *, name: str, platform: str, seed: int, layers_bytes: Sequence[int]) -> LabImage:
    """Write one image with layers of at most these sizes into `folder`, an OCI image layout that holds it alone."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layers = [write_layer(blobs, seed=(seed, number), size_bytes=size) for number, size in enumerate(layers_bytes)]
    index = _put(blobs, OCI_INDEX, index_json([_manifest(blobs, Platform.parse(platform), layers)]))
    _finish(folder, [_named(index, name)])
    return read_images(folder)[0]


def _finish(folder: Path, indexes: Sequence[dict[str, Any]]) -> None:
    (folder / "index.json").write_bytes(as_json({"schemaVersion": 2, "manifests": list(indexes)}))
    (folder / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))


def _manifest(blobs: Path, platform: Platform, layers: Sequence[Layer]) -> Descriptor:
    """Write config and manifest; the manifest's descriptor with its platform, as an index holds it."""
    config = _put(blobs, OCI_CONFIG, config_json(platform, layers))
    return _put(blobs, OCI_MANIFEST, manifest_json(config, layers), platform)


def _put(blobs: Path, media_type: str, content: bytes, platform: Platform | None = None) -> Descriptor:
    descriptor = described(media_type, content, platform)
    blob_path(blobs, descriptor.digest).write_bytes(content)
    return descriptor


def _named(index: Descriptor, name: str) -> dict[str, Any]:
    """An index's entry in the layout's own index (OCI image layout, "index.json file")."""
    return {
        "mediaType": index.media_type,
        "digest": index.digest,
        "size": index.size_bytes,
        "annotations": {NAME_ANNOTATION: name},
    }
