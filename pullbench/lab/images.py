"""Synthetic images: their JSON documents (OCI image spec), written into a directory or streamed to a registry.

In a directory they are an OCI image layout, which skopeo can read: layer counts and sizes of a large crawl, shared base
layers, an index of several platforms. When streamed, layers are generated from seeds while they are sent, and not stored.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pullbench.errors import UsageError
from pullbench.lab.contents import NAME_ANNOTATION, LabImage, blob_path, digest_of, read_images
from pullbench.lab.layer import Layer, describe_layer, layer_pieces, write_layer
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.upload import Blob, BuiltImage, Document, SyntheticImage
from pullbench.model.workload import (
    REALISTIC_SHARE,
    RECIPE_ANNOTATION,
    WORKLOAD_ANNOTATION,
    ImageShape,
    LayerShape,
    Workload,
    realistic_images,
)

_CREATED = "2024-01-01T00:00:00Z"


def config_json(platform: Platform, layers: Sequence[Layer]) -> bytes:
    """An image's config: its platform, and the digests of its unpacked layers."""
    return as_json(
        {
            "created": _CREATED,
            **_platform_json(platform),
            "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _CREATED, "created_by": "pullbench lab"} for _ in layers],
        }
    )


def manifest_json(config: Descriptor, layers: Sequence[Layer], annotations: Mapping[str, str] | None = None) -> bytes:
    return as_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor_json(config),
            "layers": [_descriptor_json(layer_descriptor(layer)) for layer in layers],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def index_json(manifests: Sequence[Descriptor], annotations: Mapping[str, str] | None = None) -> bytes:
    """An index of platforms' manifests."""
    return as_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [_descriptor_json(manifest) for manifest in manifests],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )


def layer_descriptor(layer: Layer) -> Descriptor:
    return Descriptor(media_type=OCI_LAYER_GZIP, digest=layer.digest, size_bytes=layer.size_bytes)


def described(media_type: str, content: bytes, platform: Platform | None = None) -> Descriptor:
    """The descriptor of these bytes."""
    return Descriptor(media_type=media_type, digest=digest_of(content), size_bytes=len(content), platform=platform)


def as_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _descriptor_json(descriptor: Descriptor) -> dict[str, Any]:
    entry = {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size_bytes}
    return entry if descriptor.platform is None else {**entry, "platform": _platform_json(descriptor.platform)}


def _platform_json(platform: Platform) -> dict[str, str]:
    """In normal form: podman and skopeo know no other names."""
    own = platform.normal()
    named = {"os": own.os, "architecture": own.architecture}
    return named | ({"variant": own.variant} if own.variant else {})


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

    The largest sizes are cut to meet the budget; small layers keep their size. The same arguments give the same digests on
    every machine. Raises UsageError if even the smallest layers exceed the budget.
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
            manifests.append(_write_manifest(blobs, Platform.parse(platform), layers))
        index = _write_document(blobs, OCI_INDEX, index_json(manifests))
        indexes.append(_layout_entry(index, f"lab/app-{image + 1}:1.0"))
    _write_layout(folder, indexes)
    return read_images(folder)


def make_image(folder: Path, *, name: str, platform: str, seed: int, layers_bytes: Sequence[int]) -> LabImage:
    """Write one image with layers of at most these sizes into `folder`, an OCI image layout with only this image."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    layers = [write_layer(blobs, seed=(seed, number), size_bytes=size) for number, size in enumerate(layers_bytes)]
    index = _write_document(blobs, OCI_INDEX, index_json([_write_manifest(blobs, Platform.parse(platform), layers)]))
    _write_layout(folder, [_layout_entry(index, name)])
    return read_images(folder)[0]


def _write_layout(folder: Path, indexes: Sequence[dict[str, Any]]) -> None:
    (folder / "index.json").write_bytes(as_json({"schemaVersion": 2, "manifests": list(indexes)}))
    (folder / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))


def _write_manifest(blobs: Path, platform: Platform, layers: Sequence[Layer]) -> Descriptor:
    """Write config and manifest; returns the manifest's descriptor with its platform, as for an index."""
    config = _write_document(blobs, OCI_CONFIG, config_json(platform, layers))
    return _write_document(blobs, OCI_MANIFEST, manifest_json(config, layers), platform)


def _write_document(blobs: Path, media_type: str, content: bytes, platform: Platform | None = None) -> Descriptor:
    descriptor = described(media_type, content, platform)
    blob_path(blobs, descriptor.digest).write_bytes(content)
    return descriptor


def _layout_entry(index: Descriptor, name: str) -> dict[str, Any]:
    """An index's entry in the layout's own index (OCI image layout, "index.json file")."""
    return {
        "mediaType": index.media_type,
        "digest": index.digest,
        "size": index.size_bytes,
        "annotations": {NAME_ANNOTATION: name},
    }


def workload_images(workload: Workload, *, repository: str, tag: str) -> tuple[SyntheticImage, ...]:
    """The images under `repository/NAME:tag`; nothing is generated before `build`, which any thread may call.

    One platform gives a manifest, several an index. Raises UsageError if repository and tag are not a valid reference.
    """
    try:
        references = [Reference.parse(f"{repository}/{shape.name}:{tag}") for shape in workload.images]
    except ValueError as error:
        raise UsageError(str(error)) from None
    return images_at(workload, references)


def images_at(workload: Workload, references: Sequence[Reference]) -> tuple[SyntheticImage, ...]:
    """The images under the caller's names, one for each."""
    cache = _LayerCache()
    return tuple(
        SyntheticImage(
            reference=reference,
            recipe=workload.recipe(shape),
            size_bytes=shape.size_bytes * len(workload.platforms),
            build=partial(_build, workload, shape, cache),
        )
        for shape, reference in zip(workload.images, references, strict=True)
    )


class _LayerCache:
    """Describes each layer once, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: dict[tuple[int, ...], threading.Lock] = {}
        self._known: dict[tuple[int, ...], Layer] = {}

    def layer(self, seed: tuple[int, ...], size_bytes: int) -> Layer:
        with self._lock:
            busy = self._busy.setdefault(seed, threading.Lock())
        with busy:
            if seed not in self._known:
                self._known[seed] = describe_layer(seed=seed, size_bytes=size_bytes)
            return self._known[seed]


def _build(workload: Workload, shape: ImageShape, cache: _LayerCache) -> BuiltImage:
    annotations = {WORKLOAD_ANNOTATION: workload.label, RECIPE_ANNOTATION: workload.recipe(shape)}
    blobs: dict[str, Blob] = {}
    manifests = []
    several = len(workload.platforms) > 1 or shape.is_index
    for number, platform in enumerate(workload.platforms):
        made = [_layer_source(workload, number, layer, cache) for layer in shape.layers]
        manifests.append(_manifest_document(Platform.parse(platform), made, blobs, {} if several else annotations))
    if not several:
        return BuiltImage(blobs=tuple(blobs.values()), manifests=(), tagged=manifests[0])
    index = index_json([manifest.descriptor for manifest in manifests], annotations)
    tagged = Document(descriptor=described(OCI_INDEX, index), content=index)
    return BuiltImage(blobs=tuple(blobs.values()), manifests=tuple(manifests), tagged=tagged)


def _layer_source(
    workload: Workload, platform: int, shape: LayerShape, cache: _LayerCache
) -> tuple[Layer, Callable[[], Iterator[bytes]]]:
    seed = workload.layer_seed(platform, shape)
    layer = cache.layer(seed, shape.size_bytes)
    return layer, partial(layer_pieces, seed=seed, size_bytes=shape.size_bytes)


def _manifest_document(
    platform: Platform,
    made: list[tuple[Layer, Callable[[], Iterator[bytes]]]],
    blobs: dict[str, Blob],
    annotations: Mapping[str, str],
) -> Document:
    """The platform's manifest; adds its layers and config to `blobs`."""
    layers = [layer for layer, _ in made]
    for layer, pieces in made:
        blobs[layer.digest] = Blob(descriptor=layer_descriptor(layer), pieces=pieces)
    config = config_json(platform, layers)
    blob = Blob(descriptor=described(OCI_CONFIG, config), pieces=lambda: [config])
    blobs[blob.descriptor.digest] = blob
    content = manifest_json(blob.descriptor, layers, annotations)
    return Document(descriptor=described(OCI_MANIFEST, content, platform), content=content)
