"""Synthetic twins of a trial's images: as many layers, of sizes equal but for a kilobyte, and none seen before. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pullbench.model.facts import PlatformImage
from pullbench.model.workload import MIN_LAYER_BYTES, ImageShape, LayerShape, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """An image of the spec, as one platform of one registry has it."""

    image: str
    is_index: bool
    found: PlatformImage


def twins(pulls: Sequence[Original], *, platform: str, seed: int) -> Workload:
    """One image a pull, in order. Another seed shares no digest with it.

    Layers that images share are shared by their twins, and each stands once in a manifest. An image that is pulled again
    has a twin of its own for that, which shares nothing with the first: a cache would have it. A layer below
    MIN_LAYER_BYTES becomes as large as that.
    """
    rounds: dict[str, int] = {}
    numbers: dict[str, int] = {}
    shapes = []
    for number, original in enumerate(pulls):
        turn = rounds[original.image] = rounds.get(original.image, -1) + 1
        layers = [
            LayerShape(
                key=(turn, numbers.setdefault(layer.digest, len(numbers))),
                size_bytes=max(MIN_LAYER_BYTES, layer.size_bytes),
            )
            for layer in original.found.manifest.layers
        ]
        shapes.append(ImageShape(name=str(number), layers=tuple(layers), is_index=original.is_index))
    return Workload(preset="cold", seed=seed, platforms=(platform,), images=tuple(shapes))
