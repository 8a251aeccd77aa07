"""`local-disk`: this machine's disks have room for the run at its peak."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pullbench.daemon.image_store import data_directory
from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.spec import EngineEntry
from pullbench.model.text import format_bytes
from pullbench.preflight.check import (
    Check,
    FindingKind,
    Local,
    ObservedFault,
    Room,
    engine_of,
    engine_target,
    failed,
    passed,
    warned,
)
from pullbench.preflight.context import CheckContext

ID = "local-disk"
FEW_INODES_FREE = "local-disk-few-inodes-free"
LOW = "local-disk-low"
EXPECTED = "the disk has room for the run's peak, and a fifth of it stays free"
UNPACKED = 3.5
"""Bytes on disk per byte of a layer. All public images of Docker Hub were 167 TB of files in 47 TB of layers
(Zhao and others, "Large-Scale Analysis of the Docker Hub Dataset", IEEE CLUSTER 2019)."""
LOW_SHARE = 0.2
ROOMY_BYTES = 100 * 10**9
"""This much free space is enough on any disk."""
FEW_INODES = 50_000
"""Fewer than a few images need (Debian's base has 10,000 files)."""
RESULTS = Local(name="working directory")
RESULTS_BYTES = 100 * 10**6
"""Results and reports of a long run; a trial's part takes about 30 kB, a report 5 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The file system of a directory, and the bytes that the run needs there; None if sizes are unknown."""

    path: str
    what: str
    need_bytes: int | None = None
    unpacks: bool = False
    total_bytes: int = 0
    free_bytes: int = 0
    total_inodes: int = 0
    """0 on file systems that create inodes on demand (btrfs)."""
    free_inodes: int = 0
    elsewhere: str = ""
    """Why the disk cannot be checked from this machine."""


def every_disk(context: CheckContext) -> list[Local]:
    """Each measured engine that writes to disk, and the directory for results."""
    measured = None if context.plan is None else {cell.engine for cell in context.plan.cells}
    engines = [entry for entry in context.engines if measured is None or entry.name in measured]
    return [*(engine_target(entry) for entry in engines if _writes(entry)), RESULTS]


def _writes(entry: EngineEntry) -> bool:
    return entry.kind not in ("wire", "fake") or entry.sink == "disk"


def probe(context: CheckContext, target: Local) -> Disk:
    if target == RESULTS:
        return disk_under(Path.cwd(), what="results/ and reports/ by default", need_bytes=RESULTS_BYTES)
    entry = engine_of(context, target)
    need, unpacks = need_bytes(context, entry), entry.kind not in ("wire", "skopeo")
    if entry.kind != "docker":
        directory, what = Path(tempfile.gettempdir()), "the directory for temporary files (TMPDIR), where it pulls to"
        return disk_under(directory, what=what, need_bytes=need, unpacks=unpacks)
    daemon = context.daemon(entry.host)
    root = Path(data_directory(daemon.info()))
    if not daemon.host.startswith("unix://") or not root.is_dir():
        where = (
            f"{root} of the daemon at {daemon.host} is not on this machine: run `df -h {root}` on the daemon's machine"
        )
        return Disk(path=str(root), what="the daemon's images", need_bytes=need, elsewhere=where)
    return disk_under(root, what="the daemon's images", need_bytes=need, unpacks=unpacks)


def disk_under(path: Path, *, what: str, need_bytes: int | None, unpacks: bool = False) -> Disk:
    """The result of statvfs for a directory, as `df` shows it: space reserved for root is not free."""
    found = os.statvfs(path)
    return Disk(
        path=str(path),
        what=what,
        need_bytes=need_bytes,
        unpacks=unpacks,
        total_bytes=found.f_blocks * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
        total_inodes=found.f_files,
        free_inodes=found.f_favail,
    )


def need_bytes(context: CheckContext, entry: EngineEntry) -> int | None:
    """The peak disk use of an engine's pulls; None if the facts lack an image.

    Docker stores a layer once for the whole run. Other engines use a separate store for every pull of a trial. Engines
    that unpack store a layer both compressed and as files.
    """
    factor = 1.0 if entry.kind in ("wire", "skopeo") else 1.0 + UNPACKED
    stored: dict[str, int] = {}
    largest = 0
    for registry, platform, images in _trials(context, entry):
        trial = 0
        for image in images:
            found = context.facts.platform_image(registry, image, platform)
            if found is None:
                return None
            sizes = {blob.digest: blob.size_bytes for blob in found.manifest.blobs}
            stored |= sizes
            trial += sum(sizes.values())
        largest = max(largest, trial)
    return round(factor * (sum(stored.values()) if entry.kind == "docker" else largest))


def _trials(context: CheckContext, entry: EngineEntry) -> set[tuple[str, str, tuple[str, ...]]]:
    """The registry, platform and images of the engine's trials; every image once without a plan."""
    if context.plan is not None:
        trials = (trial for trial in context.plan.trials if trial.cell.engine == entry.name)
        return {(trial.cell.registry, trial.cell.platform, trial.images) for trial in trials}
    images = tuple(context.spec.images)
    return {(route.registry, platform, images) for route in context.routes for platform in context.platforms}


def judge(evidence: Disk, target: Local) -> list[Finding]:
    if evidence.elsewhere:
        return [Finding(check=ID, target=target.name, status=Status.SKIP, observed=evidence.elsewhere)]
    need, left = evidence.need_bytes, evidence.free_bytes - (evidence.need_bytes or 0)
    text = f"{evidence.path}: {format_bytes(evidence.free_bytes)} of {format_bytes(evidence.total_bytes)} free"
    estimated = f" (layers, plus {UNPACKED:g} times as much unpacked)" if evidence.unpacks else ""
    text += ", the run's need is unknown" if need is None else f", the run needs up to {format_bytes(need)}{estimated}"
    cure = _cure(evidence, target)
    if evidence.total_inodes and evidence.free_inodes == 0:
        return [failed(ID, target, _full(evidence, f"{text}; no inode is free"), EXPECTED, cure)]
    if evidence.free_bytes == 0 or left < 0:
        return [failed(ID, target, _full(evidence, text), EXPECTED, cure)]
    if evidence.total_inodes and evidence.unpacks and evidence.free_inodes < FEW_INODES:
        return [
            warned(
                ID, target, f"{text}; only {evidence.free_inodes} inodes are free", EXPECTED, cure, kind=FEW_INODES_FREE
            )
        ]
    if left < LOW_SHARE * evidence.total_bytes and left < ROOMY_BYTES:
        share = left / evidence.total_bytes
        return [warned(ID, target, f"{text}; {share:.0%} of it would stay free", EXPECTED, cure, kind=LOW)]
    return [passed(ID, target, text, EXPECTED)]


def _full(evidence: Disk, text: str) -> ObservedFault:
    return ObservedFault(code=ErrorCode.DISK_FULL, text=text, parameters={"path": evidence.path})


def _cure(evidence: Disk, target: Local) -> str:
    see = f"find what fills it: `du -xh -d1 {evidence.path} | sort -h | tail`, `df -hi {evidence.path}`"
    if target == RESULTS:
        return f"{see}; or write results to another disk: `pullbench run SPEC --results DIR --reports DIR`"
    if evidence.what == "the daemon's images":
        free = "free space with `pullbench prune --keep PATTERN` (then `--apply`) or `docker system prune`"
        return (
            f'{free}; or move the data: `"data-root": "/larger/disk"` in /etc/docker/daemon.json; or use fewer images'
        )
    return f"{see}; or use a larger disk: `TMPDIR=/larger/disk pullbench run SPEC`; or lower `pulls_per_trial`"


CHECK = Check(
    id=ID,
    room=Room.STORAGE,
    looks_at="Compares the free bytes and inodes with the run's peak on every file system that the run writes to: Docker's data "
    "root (with containerd's image store that of its containerd), the directory for temporary files (podman, skopeo, containerd and wire with `sink: disk` pull there) and the "
    f"working directory. A byte of an unpacked layer counts {UNPACKED:g} bytes, the ratio of all Docker Hub images (Zhao and "
    "others, IEEE CLUSTER 2019), plus the layer itself.",
    statuses={
        Status.PASS: "the run fits, and a fifth of the disk (or 100 GB) stays free",
        Status.WARN: f"the run fits, but less than that stays free, or under {FEW_INODES} inodes are free",
        Status.FAIL: "the run does not fit, or no byte or inode is free",
        Status.SKIP: "the daemon's disk is on another machine",
    },
    advice="Free space (`pullbench prune --keep PATTERN --apply`, `docker system prune`), use another disk (`TMPDIR`, Docker's "
    "`data-root`), or lower `pulls_per_trial`.",
    kinds={
        FEW_INODES_FREE: FindingKind(
            cause="Many small files use the file system's inodes: unpacked layers, or caches of builds.",
            remedy="Remove unused images (`pullbench prune --keep PATTERN --apply`), or use a file system with more inodes.",
        ),
        LOW: FindingKind(
            cause="The run fits, and little stays free. A disk that is nearly full is slower, and other programs may fill it during the run.",
            remedy="Free space, use another disk (`TMPDIR`, Docker's `data-root`), or lower `pulls_per_trial`.",
        ),
    },
    targets=every_disk,
    probe=probe,
    judge=judge,
    needs=frozenset({"docker-daemon"}),
    timeout_s=30.0,
)
