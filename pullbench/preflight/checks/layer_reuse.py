"""`layer-reuse`: how many bytes the images share, and how many bytes are downloaded twice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pullbench.errors import PullbenchError
from pullbench.model.addresses import login_host
from pullbench.model.facts import PlatformImage
from pullbench.model.finding import Finding, Status
from pullbench.model.image_config import ImageConfig
from pullbench.model.route import DIRECT
from pullbench.model.text import format_bytes
from pullbench.preflight.check import Check, FindingKind, Room, Target, passed, skipped, warned
from pullbench.preflight.context import CheckContext

ID = "layer-reuse"
TWICE = "layer-reuse-twice"
EXPECTED = "content that the images share is stored and downloaded once"
WORTH_A_WARNING = 0.1
"""Share of the unique bytes: if more is downloaded twice, changing the image builds is worth it."""
MOST_CONFIGS = 200
SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """A stored layer; `diff_id` is the digest of its uncompressed tar, None if the config does not have it."""

    digest: str
    size_bytes: int
    diff_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayers:
    """One platform of an image: its layers, base first, and the build step of its first layer."""

    image: str
    platform: str
    layers: tuple[StoredLayer, ...]
    base_steps: str = ""
    base_created: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateBytes:
    """Bytes that are downloaded twice without need: under different digests, or as two versions of one base."""

    size_bytes: int
    images: tuple[str, ...]
    why: str
    is_base: bool = False


def targets(context: CheckContext) -> list[Target]:
    """Each registry, without a proxy if the matrix has such a route."""
    chosen: dict[str, Target] = {}
    for route in context.routes:
        if route.registry not in chosen or route.proxy == DIRECT:
            chosen[route.registry] = Target(route=route)
    return list(chosen.values())


def probe(context: CheckContext, target: Target) -> tuple[ImageLayers, ...]:
    """The layers of the images that exist, from the facts if possible; reads at most MOST_CONFIGS configs."""
    found: list[ImageLayers] = []
    for image in context.spec.images:
        for platform in context.platforms:
            try:
                offer = context.platform_image(target.route, image, platform)
            except PullbenchError:
                continue
            if offer is not None:
                config = _config(context, target, image, offer) if len(found) < MOST_CONFIGS else ImageConfig()
                found.append(_built(image, platform, offer, config))
    return tuple(found)


def _config(context: CheckContext, target: Target, image: str, offer: PlatformImage) -> ImageConfig:
    try:
        return context.config(target.route, image, offer.manifest.config)
    except PullbenchError:
        return ImageConfig()


def _built(image: str, platform: str, offer: PlatformImage, config: ImageConfig) -> ImageLayers:
    stored = offer.manifest.layers
    diff_ids: Sequence[str | None] = config.diff_ids if len(config.diff_ids) == len(stored) else [None] * len(stored)
    return ImageLayers(
        image=image,
        platform=platform,
        layers=tuple(
            StoredLayer(digest=layer.digest, size_bytes=layer.size_bytes, diff_id=diff_id)
            for layer, diff_id in zip(stored, diff_ids, strict=True)
        ),
        base_steps=config.base_steps,
        base_created=config.base_created,
    )


def judge(evidence: tuple[ImageLayers, ...], target: Target) -> list[Finding]:
    if not evidence:
        return [skipped(ID, target, "not run: the registry has no image of the spec")]
    unique = {layer.digest: layer.size_bytes for built in evidence for layer in built.layers}
    unique_bytes, all_bytes = (
        sum(unique.values()),
        sum(layer.size_bytes for built in evidence for layer in built.layers),
    )
    observed = _sums(evidence, all_bytes, unique_bytes) + _shared_base(evidence)
    twice = sorted(_twice(evidence), key=lambda each: -each.size_bytes)
    wasted = sum(each.size_bytes for each in twice)
    for each in twice[:SHOWN]:
        observed += f"; {format_bytes(each.size_bytes)} downloaded twice for {' and '.join(each.images)}: {each.why}"
    if len(twice) > SHOWN:
        observed += f"; and {len(twice) - SHOWN} more duplicates"
    if wasted <= WORTH_A_WARNING * unique_bytes:
        return [passed(ID, target, observed, EXPECTED)]
    return [warned(ID, target, observed, EXPECTED, _cure(twice[0], target), kind=TWICE)]


def _sums(evidence: Sequence[ImageLayers], all_bytes: int, unique_bytes: int) -> str:
    """`3 images, 30 MB of layers, 20 MB unique (33% shared); linux/amd64 10 MB, linux/arm64 10 MB`."""
    images = len({built.image for built in evidence})
    share = 0.0 if not all_bytes else 1 - unique_bytes / all_bytes
    text = f"{images} {'image' if images == 1 else 'images'}, {format_bytes(all_bytes)} of layers, "
    text += f"{format_bytes(unique_bytes)} unique ({share:.0%} shared)"
    by_platform = _bytes_by_platform(evidence)
    if len(by_platform) > 1:
        each = ", ".join(f"{platform} {format_bytes(size)}" for platform, size in by_platform.items())
        text += f"; {each} (a pull downloads one platform)"
    return text


def _bytes_by_platform(evidence: Sequence[ImageLayers]) -> Mapping[str, int]:
    layers: dict[str, dict[str, int]] = {}
    for built in evidence:
        layers.setdefault(built.platform, {}).update({layer.digest: layer.size_bytes for layer in built.layers})
    return {platform: sum(sizes.values()) for platform, sizes in layers.items()}


def _shared_base(evidence: Sequence[ImageLayers]) -> str:
    """The base layers that most images of one platform share."""
    starts: dict[str, list[ImageLayers]] = {}
    for built in evidence:
        if built.layers:
            starts.setdefault(built.layers[0].digest, []).append(built)
    most = max(starts.values(), key=lambda group: len({built.image for built in group}), default=[])
    images = list(dict.fromkeys(built.image for built in most))
    if len(images) < 2:
        return "" if len({built.image for built in evidence}) < 2 else "; no two images share a base layer"
    common = 0
    for layers in zip(*(built.layers for built in most), strict=False):
        if len({layer.digest for layer in layers}) > 1:
            break
        common += 1
    size = format_bytes(sum(layer.size_bytes for layer in most[0].layers[:common]))
    return f"; {_some(images)} share their base ({common} {'layer' if common == 1 else 'layers'}, {size})"


def _twice(evidence: Sequence[ImageLayers]) -> Iterator[DuplicateBytes]:
    yield from _recompressed(evidence)
    yield from _other_bases(evidence)


def _recompressed(evidence: Sequence[ImageLayers]) -> Iterator[DuplicateBytes]:
    """Equal content (diff_id) under several digests: compressed with different programs, levels or formats."""
    stored: dict[str, dict[str, tuple[int, str]]] = {}
    for built in evidence:
        for layer in built.layers:
            if layer.diff_id is not None:
                stored.setdefault(layer.diff_id, {}).setdefault(layer.digest, (layer.size_bytes, built.image))
    groups: dict[tuple[str, ...], list[int]] = {}
    for copies in stored.values():
        if len(copies) > 1:
            images = tuple(dict.fromkeys(image for _, image in copies.values()))
            sizes = [size for size, _ in copies.values()]
            groups.setdefault(images, []).append(sum(sizes) - max(sizes))
    for images, wasted in groups.items():
        why = f"{len(wasted)} {'layer has' if len(wasted) == 1 else 'layers have'} the same content with different compression"
        yield DuplicateBytes(size_bytes=sum(wasted), images=images, why=why)


def _other_bases(evidence: Sequence[ImageLayers]) -> Iterator[DuplicateBytes]:
    """First layers of one platform with equal build steps and different content: versions of one base image."""
    bases: dict[tuple[str, str], dict[str, ImageLayers]] = {}
    for built in evidence:
        if built.layers and built.base_steps:
            content = built.layers[0].diff_id or built.layers[0].digest
            bases.setdefault((built.platform, built.base_steps), {}).setdefault(content, built)
    for (_, steps), versions in bases.items():
        if len(versions) > 1:
            sizes = [built.layers[0].size_bytes for built in versions.values()]
            dates = sorted({f"{built.base_created:%Y-%m-%d}" for built in versions.values() if built.base_created})
            of = f" of {' and '.join(dates)}" if len(dates) > 1 else ""
            yield DuplicateBytes(
                size_bytes=sum(sizes) - max(sizes),
                images=tuple(dict.fromkeys(built.image for built in versions.values())),
                why=f"{len(versions)} versions{of} of one base image (build step `{steps[:60].strip()}`)",
                is_base=True,
            )


def _cure(worst: DuplicateBytes, target: Target) -> str:
    host = login_host(target.route)
    looks = " and ".join(f"`docker manifest inspect -v {host}/{image}`" for image in worst.images[:2])
    if worst.is_base:
        return (
            f"build {_some(worst.images)} on one base with a fixed digest (`FROM base@sha256:…`), and rebuild all when it changes: "
            f"`docker buildx build --pull`; compare their layers: {looks}"
        )
    return (
        f"build {_some(worst.images)} with the same builder and compression: `docker buildx build --output "
        f"type=registry,compression=gzip,force-compression=true`; compare their layers: {looks}"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="Compares the layers of all images and platforms at a registry: their digests, the digests of their uncompressed "
    "content, and the build step of each base.",
    statuses={
        Status.PASS: "few bytes are downloaded twice; the finding lists all bytes, unique bytes, bytes by platform and the shared base",
        Status.WARN: f"more than {WORTH_A_WARNING:.0%} of the unique bytes are downloaded twice: two versions of one base, or the "
        "same content with different compression",
        Status.SKIP: "the registry has no image of the spec",
    },
    advice="Build images on one base with a fixed digest (`FROM base@sha256:…`), with the same builder and compression.",
    kinds={
        TWICE: FindingKind(
            cause="The images were built on two versions of one base, or the same content was compressed by different builders.",
            remedy="Build them on one base with a fixed digest (`FROM base@sha256:…`), with the same builder and compression.",
        ),
    },
    targets=targets,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
