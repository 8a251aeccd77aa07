"""A workload's images as streams: layers are grown from their seeds when they are sent, and kept nowhere."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pullbench.errors import UsageError
from pullbench.lab.documents import config_json, described, index_json, layer_descriptor, manifest_json
from pullbench.lab.layer import Layer, describe_layer, layer_pieces
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.upload import Blob, BuiltImage, Document, SyntheticImage
from pullbench.model.workload import RECIPE_ANNOTATION, WORKLOAD_ANNOTATION, ImageShape, LayerShape, Workload


def workload_images(workload: Workload, *, repository: str, tag: str) -> tuple[SyntheticImage, ...]:
    """The images under `repository/NAME:tag`; nothing is made before `build` is called, which any thread may do.

    One platform makes a manifest, several an index. Raises UsageError where repository and tag are no reference.
    """
    try:
        references = [Reference.parse(f"{repository}/{shape.name}:{tag}") for shape in workload.images]
    except ValueError as error:
        raise UsageError(str(error)) from None
    return images_at(workload, references)


def images_at(workload: Workload, references: Sequence[Reference]) -> tuple[SyntheticImage, ...]:
    """The images under names of the caller's own, one for each."""
    foundry = _Foundry()
    return tuple(
        SyntheticImage(
            reference=reference,
            recipe=workload.recipe(shape),
            size_bytes=shape.size_bytes * len(workload.platforms),
            build=partial(_build, workload, shape, foundry),
        )
        for shape, reference in zip(workload.images, references, strict=True)
    )


class _Foundry:
    """Describes each layer once, whichever thread asks first."""

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


def _build(workload: Workload, shape: ImageShape, foundry: _Foundry) -> BuiltImage:
    annotations = {WORKLOAD_ANNOTATION: workload.label, RECIPE_ANNOTATION: workload.recipe(shape)}
    blobs: dict[str, Blob] = {}
    manifests = []
    several = len(workload.platforms) > 1 or shape.is_index
    for number, platform in enumerate(workload.platforms):
        made = [_layer(workload, number, layer, foundry) for layer in shape.layers]
        manifests.append(_manifest(Platform.parse(platform), made, blobs, {} if several else annotations))
    if not several:
        return BuiltImage(blobs=tuple(blobs.values()), manifests=(), tagged=manifests[0])
    index = index_json([manifest.descriptor for manifest in manifests], annotations)
    tagged = Document(descriptor=described(OCI_INDEX, index), content=index)
    return BuiltImage(blobs=tuple(blobs.values()), manifests=tuple(manifests), tagged=tagged)


def _layer(
    workload: Workload, platform: int, shape: LayerShape, foundry: _Foundry
) -> tuple[Layer, Callable[[], Iterator[bytes]]]:
    seed = workload.layer_seed(platform, shape)
    layer = foundry.layer(seed, shape.size_bytes)
    return layer, partial(layer_pieces, seed=seed, size_bytes=shape.size_bytes)


def _manifest(
    platform: Platform,
    made: list[tuple[Layer, Callable[[], Iterator[bytes]]]],
    blobs: dict[str, Blob],
    annotations: Mapping[str, str],
) -> Document:
    """The platform's manifest; its layers and config are added to `blobs`."""
    layers = [layer for layer, _ in made]
    for layer, pieces in made:
        blobs[layer.digest] = Blob(descriptor=layer_descriptor(layer), pieces=pieces)
    config = config_json(platform, layers)
    blob = Blob(descriptor=described(OCI_CONFIG, config), pieces=lambda: [config])
    blobs[blob.descriptor.digest] = blob
    content = manifest_json(blob.descriptor, layers, annotations)
    return Document(descriptor=described(OCI_MANIFEST, content, platform), content=content)
