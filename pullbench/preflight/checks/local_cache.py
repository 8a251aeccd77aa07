"""`local-cache`: the images in the Docker daemon's store, and how much of them no container uses."""

from dataclasses import dataclass

from pullbench.daemon.usage import usage
from pullbench.model.finding import Finding, Status
from pullbench.model.text import format_bytes
from pullbench.preflight.check import (
    Check,
    FindingKind,
    Local,
    Room,
    engine_of,
    every_docker,
    passed,
    warned,
    without_docker,
)
from pullbench.preflight.context import CheckContext

ID = "local-cache"
RECLAIMABLE = "local-cache-reclaimable"
MUCH_BYTES = 10 * 10**9
MUCH_SHARE = 0.5
EXPECTED = "under 10 GB, or under half of the images' bytes, are reclaimable"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStoreUsage:
    """Counts and bytes of the images in one daemon's store."""

    host: str | None
    images: int
    dangling: int
    unused: int
    bytes: int
    """On disk, a shared layer counted once."""
    reclaimable_bytes: int


def probe(context: CheckContext, target: Local) -> ImageStoreUsage:
    entry = engine_of(context, target)
    found = usage(context.daemon(entry.host))
    return ImageStoreUsage(
        host=entry.host,
        images=len(found.images),
        dangling=sum(image.is_dangling for image in found.images),
        unused=len(found.unused),
        bytes=found.layers_bytes,
        reclaimable_bytes=found.reclaimable_bytes,
    )


def judge(evidence: ImageStoreUsage, target: Local) -> list[Finding]:
    free, total = evidence.reclaimable_bytes, evidence.bytes
    images = f"{evidence.images} {'image' if evidence.images == 1 else 'images'}, {format_bytes(total)}"
    text = f"{images}; {evidence.unused} unused ({evidence.dangling} dangling), {format_bytes(free)} reclaimable"
    if free < MUCH_BYTES or free < MUCH_SHARE * total:
        return [passed(ID, target, text, EXPECTED)]
    host = f" --host {evidence.host}" if evidence.host else ""
    cure = f"list the unused images with `pullbench prune{host} --keep 'PATTERN'`, then remove them with `--apply`"
    return [warned(ID, target, text, EXPECTED, cure, kind=RECLAIMABLE)]


CHECK = Check(
    id=ID,
    room=Room.CLIENT,
    looks_at="Counts the images in the Docker daemon's store (the Engine API's /system/df): their bytes on disk, unused and "
    "untagged images, and the bytes that removing them would free.",
    statuses={
        Status.PASS: "under 10 GB, or under half of the images' bytes, are reclaimable",
        Status.WARN: "10 GB or more, and at least half of the images' bytes, belong to images that no container uses",
        Status.SKIP: "the spec uses no docker engine",
    },
    advice="List the unused images with `pullbench prune --keep PATTERN`; remove them with `--apply`.",
    kinds={
        RECLAIMABLE: FindingKind(
            cause="Images of earlier pulls and builds stay in the daemon until somebody removes them.",
            remedy="List the unused images with `pullbench prune --keep PATTERN`; remove them with `--apply`.",
        ),
    },
    targets=every_docker,
    probe=probe,
    judge=judge,
    needs=frozenset({"docker-daemon"}),
    skips=without_docker,
)
