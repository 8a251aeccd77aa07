"""Synthetic workloads as data: images with their layers, sizes and shared layers. Pure and seeded.

They follow a preset, or the shape of real images (`workload_like`).
"""

import bisect
import hashlib
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pullbench.errors import UsageError
from pullbench.model.facts import PlatformImage
from pullbench.model.text import format_bytes

Preset = Literal["zb", "spegel", "realistic"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

WORKLOAD_ANNOTATION = "dev.pullbench.workload"
"""Marks a manifest as pullbench's, which may be replaced: preset and seed, for display."""
RECIPE_ANNOTATION = "dev.pullbench.recipe"
"""The inputs of an image, as a digest: equal recipes give equal bytes."""

MIN_LAYER_BYTES = 2076
"""The smallest layer: one small file, the end of the tar, and gzip around it (see lab/layer.py)."""
MAX_LAYERS = 120
"""The limit; a Docker host's overlay file system stacks at most 127."""
MAX_IMAGES = 10_000
_GENERATOR = 1  # increases if the same recipe would give other bytes

# Compressed sizes in a large crawl: (share of layers, bytes); logarithmic interpolation between the points.
LAYER_BYTES = ((0.0, 300), (0.25, 627), (0.5, 474e3), (0.75, 15.6e6), (0.9, 75e6), (0.95, 188e6), (1.0, 1e9))
LAYER_COUNT = ((0.0, 3), (0.5, 9), (0.75, 14), (0.9, 22), (1.0, 40))
REALISTIC_SHARE = 0.2
_REALISTIC_COUNT, _REALISTIC_BYTES = 8, 10**9

MB = 10**6
# (size, layers) of one image after the other; any number of first images has about the same mix as all.
_ZB = tuple((size * MB, 1) for size in (10, 1, 10, 10, 10, 100, 10, 1, 10, 10))
_SPEGEL = tuple((size * MB, layers) for size in (10, 100, 1000) for layers in (1, 4))
_FIXED: dict[Preset, tuple[tuple[int, int], ...]] = {"zb": _ZB, "spegel": _SPEGEL}

_IMAGES_A_BASE = 4
"""One of this many images starts a new base; the others use an earlier image's, which makes their use Zipf-like (Simon)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """A planned layer. Layers with the same key are one layer; the key is part of their content's seed."""

    key: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShape:
    """A planned image: the last part of its name, and its layers, base first."""

    name: str
    layers: tuple[LayerShape, ...]
    is_index: bool = False
    """Whether its tag points to an index, even for a single platform."""

    @property
    def size_bytes(self) -> int:
        return sum(layer.size_bytes for layer in self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A set of images, each for every platform. Platforms share no layers."""

    preset: str
    """One of PRESETS, or another description."""
    seed: int
    platforms: tuple[str, ...]
    images: tuple[ImageShape, ...]

    @property
    def size_bytes(self) -> int:
        """Its size in a registry that stores a shared layer once, without manifests and configs."""
        return len(self.platforms) * _unique_bytes(self.images)

    @property
    def label(self) -> str:
        return f"{self.preset} seed {self.seed}"

    def layer_seed(self, platform: int, layer: LayerShape) -> tuple[int, ...]:
        """The seed of a layer's content; `platform` counts from 0."""
        return (self.seed, platform, *layer.key)

    def recipe(self, image: ImageShape) -> str:
        """The digest of everything that determines an image's bytes."""
        layers = [[list(layer.key), layer.size_bytes] for layer in image.layers]
        document = [_GENERATOR, self.label, self.platforms, layers, *(["index"] if image.is_index else [])]
        return f"sha256:{hashlib.sha256(json.dumps(document).encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """An image of the spec, for one platform at one registry."""

    image: str
    is_index: bool
    found: PlatformImage


def make_workload(
    preset: Preset,
    *,
    seed: int,
    platforms: Sequence[str],
    count: int | None = None,
    total_bytes: int | None = None,
    layers: int | None = None,
    share: float | None = None,
) -> Workload:
    """The images of a preset; the same arguments give the same images on every machine.

    zb, spegel: fixed sizes, so `total_bytes` limits the number of images; `layers` is the number per image.
    realistic: sizes and counts of a large crawl, with the largest sizes cut to meet `total_bytes`; `layers` is the maximum.
    `share` is the part of each image's layers that comes from common bases. Raises UsageError for impossible arguments.
    """
    _check_bounds(seed, platforms, count, layers, share)
    one_platform = None if total_bytes is None else total_bytes / len(platforms)
    if preset == "realistic":
        images = realistic_images(
            seed,
            count or _REALISTIC_COUNT,
            _REALISTIC_BYTES / len(platforms) if one_platform is None else one_platform,
            max_layers=layers or MAX_LAYERS,
            share=REALISTIC_SHARE if share is None else share,
        )
    else:
        images = _fixed_images(preset, seed, count, one_platform, layers, share or 0.0)
    return Workload(preset=preset, seed=seed, platforms=tuple(platforms), images=images)


def workload_like(pulls: Sequence[SourceImage], *, platform: str, seed: int) -> Workload:
    """One synthetic image per pull, in order, each with its source's number of layers and the same sizes within a kilobyte.

    Another seed shares no digest with it. Layers that sources share are shared by their images, and occur once in a manifest.
    A source that is pulled again gets a separate image that shares nothing with the first, because a cache would have it. A
    layer below MIN_LAYER_BYTES gets that size.
    """
    rounds: dict[str, int] = {}
    numbers: dict[str, int] = {}
    shapes = []
    for number, source in enumerate(pulls):
        turn = rounds[source.image] = rounds.get(source.image, -1) + 1
        layers = [
            LayerShape(
                key=(turn, numbers.setdefault(layer.digest, len(numbers))),
                size_bytes=max(MIN_LAYER_BYTES, layer.size_bytes),
            )
            for layer in source.found.manifest.layers
        ]
        shapes.append(ImageShape(name=str(number), layers=tuple(layers), is_index=source.is_index))
    return Workload(preset="cold", seed=seed, platforms=(platform,), images=tuple(shapes))


def realistic_images(
    seed: int, count: int, budget_bytes: float, *, max_layers: int, share: float
) -> tuple[ImageShape, ...]:
    """Images as found in a large crawl, of at most `budget_bytes` together (including configs and manifests).

    Small layers keep their size. Raises UsageError if even the smallest layers exceed the budget.
    """
    bases, sizes = _Bases(f"realistic:{seed}"), dict[tuple[int, ...], tuple[float, float]]()
    keys: list[list[tuple[int, ...]]] = []
    for image in range(count):
        draw = random.Random(f"realistic:{seed}:{image}")
        total = min(round(quantile(LAYER_COUNT, draw.random())), max_layers)
        shared = _rounded(share * total, draw)
        base = bases.choose(0)
        keys.append([(0, base, layer) for layer in range(shared)])
        keys[-1] += [(1, image, layer) for layer in range(total - shared)]
        for key in keys[-1]:
            sizes.setdefault(key, _drawn_size(f"realistic:{seed}:{key}", lowest=0.5 if key[0] == 0 else 0.0))
    documents = 2000 * count + 1000 * len(sizes)
    cut = _cut(list(sizes.values()), budget_bytes, documents)
    return tuple(
        ImageShape(
            name=f"realistic-{image + 1}",
            layers=tuple(LayerShape(key=key, size_bytes=_bounded(*sizes[key], cut)) for key in chosen),
        )
        for image, chosen in enumerate(keys)
    )


def quantile(points: Sequence[tuple[float, float]], share: float) -> float:
    """The value at a share of the distribution, with logarithmic interpolation."""
    at = min(bisect.bisect_right(points, share, key=lambda point: point[0]), len(points) - 1)
    (from_share, from_value), (to_share, to_value) = points[at - 1], points[at]
    return float(from_value * (to_value / from_value) ** ((share - from_share) / (to_share - from_share)))


def _check_bounds(
    seed: int, platforms: Sequence[str], count: int | None, layers: int | None, share: float | None
) -> None:
    bounds = (
        ("seed", seed, 0, 2**63 - 1),
        ("count", 1 if count is None else count, 1, MAX_IMAGES),
        ("layers", 1 if layers is None else layers, 1, MAX_LAYERS),
        ("share", 0.0 if share is None else share, 0, 1),
    )
    for name, value, low, high in bounds:
        if not low <= value <= high:
            raise UsageError(f"{name}: {value} is not between {low} and {high}")
    twice = [platform for platform in platforms if list(platforms).count(platform) > 1]
    if twice or not platforms:
        raise UsageError(f"platform: {twice[0] + ' is listed twice' if twice else 'none is given'}")


def _fixed_images(
    preset: Preset, seed: int, count: int | None, budget_bytes: float | None, layers: int | None, share: float
) -> tuple[ImageShape, ...]:
    """The requested number, else as many as fit, else one round of the preset."""
    shapes = _fixed_shapes(preset, seed, layers, share)
    pattern = _FIXED[preset]
    if budget_bytes is None:
        return tuple(itertools.islice(shapes, count or len(pattern)))
    taken: list[ImageShape] = []
    seen: set[LayerShape] = set()
    used = 0
    for image in itertools.islice(shapes, count or MAX_IMAGES):
        used += sum(layer.size_bytes for layer in {*image.layers} - seen)
        if used > budget_bytes:
            break
        seen.update(image.layers)
        taken.append(image)
    if len(taken) < (count or 1):
        raise UsageError(
            f"size: {count or 1} images of {preset} take more than {format_bytes(budget_bytes)} a platform; "
            f"{len(taken)} fit"
        )
    return tuple(taken)


def _fixed_shapes(preset: Preset, seed: int, layers: int | None, share: float) -> Iterator[ImageShape]:
    kind = 2 * PRESETS.index(preset) + 2  # 0 and 1 are realistic's
    bases = _Bases(f"{preset}:{seed}")
    for image in itertools.count():
        size, number = _FIXED[preset][image % len(_FIXED[preset])]
        number = layers or number
        shared = _rounded(share * number, random.Random(f"{preset}:{seed}:{image}"))
        base = bases.choose(size, number)
        keys: list[tuple[int, ...]] = [(kind, size // MB, number, base, layer) for layer in range(shared)]
        keys += [(kind + 1, image, layer) for layer in range(number - shared)]
        yield ImageShape(
            name=f"{preset}-{image + 1}-{size // MB}mb" + (f"-{number}layers" if number > 1 else ""),
            layers=tuple(LayerShape(key=key, size_bytes=size // number) for key in keys),
        )


class _Bases:
    """The base of each image: an earlier image's of the same class, or a new one."""

    def __init__(self, seed: str) -> None:
        self._draw = random.Random(f"{seed}:bases")
        self._chosen: dict[tuple[int, ...], list[int]] = {}

    def choose(self, *of_class: int) -> int:
        earlier = self._chosen.setdefault(of_class, [])
        opens = len(earlier) % _IMAGES_A_BASE == 0
        base = len(earlier) // _IMAGES_A_BASE if opens else self._draw.choice(earlier)
        earlier.append(base)
        return base


def _rounded(value: float, draw: random.Random) -> int:
    """Round randomly up or down, so that the mean is the value."""
    whole = int(value)
    return whole + (draw.random() < value - whole)


def _drawn_size(seed: str, *, lowest: float) -> tuple[float, float]:
    """(size, jitter): the jitter varies the cut, so that cut layers have different sizes."""
    draw = random.Random(seed)
    return quantile(LAYER_BYTES, draw.uniform(lowest, 1.0)), draw.uniform(0.5, 1.5)


def _bounded(size: float, jitter: float, cut: float) -> int:
    return max(MIN_LAYER_BYTES, int(min(size, cut * jitter)))


def _cut(draws: Sequence[tuple[float, float]], budget_bytes: float, documents_bytes: int) -> float:
    """The largest cut with all sizes within the budget, by bisection."""

    def total(cut: float) -> int:
        return documents_bytes + sum(_bounded(size, jitter, cut) for size, jitter in draws)

    low, high = 0.0, 2e9
    if total(low) > budget_bytes:
        needed = f"{len(draws)} layers take at least {format_bytes(total(low))} a platform"
        raise UsageError(
            f"size: {needed}, and {format_bytes(budget_bytes)} are allowed; ask for fewer images or layers"
        )
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) <= budget_bytes else (low, middle)
    return low


def _unique_bytes(images: Iterable[ImageShape]) -> int:
    return sum(layer.size_bytes for layer in {layer for image in images for layer in image.layers})
