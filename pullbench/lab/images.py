"""Synthetic images as real ones are: layer counts and sizes of a large crawl, base layers that are shared, an index
of several platforms. They are kept as an OCI image layout, so skopeo and its kin can read the folder too."""

import bisect
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.lab.layer import MIN_LAYER_BYTES, Layer, write_layer
from pullbench.lab.layout import NAME_ANNOTATION, LabImage, blob_path, digest_of, read_images
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform

_CREATED = "2024-01-01T00:00:00Z"

# Compressed sizes over one large crawl: (share of layers, bytes); between the points on a logarithmic scale.
_LAYER_BYTES = ((0.0, 300), (0.25, 627), (0.5, 474e3), (0.75, 15.6e6), (0.9, 75e6), (0.95, 188e6), (1.0, 1e9))
_LAYER_COUNT = ((0.0, 3), (0.5, 9), (0.75, 14), (0.9, 22), (1.0, 40))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """Sizes before they are made: the layers of each base, and each image's base and own layers."""

    bases: tuple[tuple[int, ...], ...]
    images: tuple[tuple[int, tuple[int, ...]], ...]


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
    are. The same arguments give the same digests on every machine. Raises ValueError where the budget cannot hold
    even the smallest layers.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    shape = _shape(seed, count, total_bytes / len(platforms), max_layers)
    entries = []
    for number, platform in enumerate(platforms):
        bases = [_layers(blobs, (seed, number, 0, base), sizes) for base, sizes in enumerate(shape.bases)]
        for image, (base, sizes) in enumerate(shape.images):
            own = _layers(blobs, (seed, number, 1, image), sizes)
            entries.append((image, _manifest(blobs, Platform.parse(platform), [*bases[base], *own])))
    indexes = []
    for image in range(count):
        manifests = [entry for number, entry in entries if number == image]
        index = _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
        indexes.append({**_put(blobs, OCI_INDEX, index), "annotations": {NAME_ANNOTATION: f"lab/app-{image + 1}:1.0"}})
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": indexes}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return read_images(folder)


def _shape(seed: int, count: int, budget_bytes: float, max_layers: int) -> _Shape:
    """Draw counts and sizes, then cut the large end off so that one platform's layers meet the budget."""
    draw = random.Random(f"shape:{seed}")
    bases = [_draws(draw, 1 + draw.randrange(2), 0.5) for _ in range(1 + count // 4)]
    weights = [1 / (rank + 1) for rank in range(len(bases))]
    images = []
    for _ in range(count):
        base = draw.choices(range(len(bases)), weights)[0]
        layers = min(round(_quantile(_LAYER_COUNT, draw.random())), max_layers)
        images.append((base, _draws(draw, max(1, layers - len(bases[base])), 0.0)))
    used = {base for base, _ in images}
    every = [size for base in used for size in bases[base]] + [size for _, sizes in images for size in sizes]
    overhead = 2000 * count + 1000 * len(every)
    cut = _cut(every, budget_bytes - overhead)
    return _Shape(
        bases=tuple(_bounded(sizes, cut) if base in used else () for base, sizes in enumerate(bases)),
        images=tuple((base, _bounded(sizes, cut)) for base, sizes in images),
    )


def _draws(draw: random.Random, count: int, lowest: float) -> list[tuple[float, float]]:
    """(size, jitter): the jitter moves the cut, so that cut layers are not all of one size."""
    return [(_quantile(_LAYER_BYTES, draw.uniform(lowest, 1.0)), draw.uniform(0.5, 1.5)) for _ in range(count)]


def _bounded(draws: Sequence[tuple[float, float]], cut: float) -> tuple[int, ...]:
    return tuple(max(MIN_LAYER_BYTES, int(min(size, cut * jitter))) for size, jitter in draws)


def _cut(draws: Sequence[tuple[float, float]], budget_bytes: float) -> float:
    """The greatest cut under which all sizes together fit the budget, by bisection."""
    low, high = 0.0, 2e9
    if sum(_bounded(draws, low)) > budget_bytes:
        raise ValueError(f"{len(draws)} layers do not fit a budget of {budget_bytes:.0f} bytes a platform")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(_bounded(draws, middle)) <= budget_bytes else (low, middle)
    return low


def _quantile(points: Sequence[tuple[float, float]], share: float) -> float:
    """The value at a share of the distribution, interpolated on a logarithmic scale."""
    at = min(bisect.bisect_right(points, share, key=lambda point: point[0]), len(points) - 1)
    (from_share, from_value), (to_share, to_value) = points[at - 1], points[at]
    return float(from_value * (to_value / from_value) ** ((share - from_share) / (to_share - from_share)))


def _layers(blobs: Path, seed: tuple[int, ...], sizes: Sequence[int]) -> list[Layer]:
    return [write_layer(blobs, seed=(*seed, number), size_bytes=size) for number, size in enumerate(sizes)]


def _manifest(blobs: Path, platform: Platform, layers: Sequence[Layer]) -> dict[str, Any]:
    """Write config and manifest; the manifest's descriptor with its platform, as an index holds it."""
    named = {"os": platform.os, "architecture": platform.architecture}
    named |= {"variant": platform.variant} if platform.variant else {}
    config = {
        "created": _CREATED,
        **named,
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": _CREATED, "created_by": "pullbench lab"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _put(blobs, OCI_CONFIG, _json(config)),
        "layers": [_descriptor(OCI_LAYER_GZIP, layer.digest, layer.size_bytes) for layer in layers],
    }
    return {**_put(blobs, OCI_MANIFEST, _json(manifest)), "platform": named}


def _put(blobs: Path, media_type: str, content: bytes) -> dict[str, Any]:
    digest = digest_of(content)
    blob_path(blobs, digest).write_bytes(content)
    return _descriptor(media_type, digest, len(content))


def _descriptor(media_type: str, digest: str, size_bytes: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size_bytes}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
