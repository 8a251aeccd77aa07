"""What one process can do: 1,000 concurrent pulls, a layer of 10 GB, and the use of the cores that it may use."""

import hashlib
import os
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks import apart, scene
from benchmarks.published import PIECE_BYTES, published
from benchmarks.scorecard import Goal, ScoreLine, ratios
from benchmarks.sitting import measure
from benchmarks.static_server import serve
from pullbench.engines.wire.body import BlobBody
from pullbench.engines.wire.curl import BUFFER_BYTES
from pullbench.model.manifest import OCI_LAYER_GZIP, Descriptor

CROWD, CROWD_LAYER_BYTES = 1000, [10_000, 100_000]
SMALL_PIECES, LARGE_PIECES = 10**8 // PIECE_BYTES, 10**10 // PIECE_BYTES
CORES_LAYERS, CORES_PIECES = 8, 10
HASHED_CHUNKS, HASHED_THREADS = 1500, 2


def lines(rounds: int) -> list[ScoreLine]:
    """The 1,000 pulls are from a docker-registry; the others from a static server, which leaves the client most of the machine."""
    return [*_crowd(), _memory(), *_hashing(rounds), *_cores(rounds)]


def _crowd() -> list[ScoreLine]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        registry = scene.registry(folder, stack)
        image = scene.pushed_image(registry.url, "bench/tiny", CROWD_LAYER_BYTES)
        found = apart.pulls(image, CROWD, CROWD)
    rate = f"{CROWD / found['wall_s']:.0f} pulls/s, {found['cpu_s']:.1f} CPU s in {found['wall_s']:.1f} s"
    failures = "; ".join(f"{count} × {text}" for text, count in found["failures"])
    what = "concurrency 1,000 in one process, small image"
    memory = found["most_memory_bytes"] / 1e6
    return [
        ScoreLine(
            what=f"{what}: failed pulls", values=(float(found["failed"]),), goal=Goal(bound=0), ours=rate, note=failures
        ),
        ScoreLine(what=f"{what}: peak memory", values=(memory,), unit="MB", goal=Goal(bound=500)),
    ]


def _memory() -> ScoreLine:
    """Peak memory of a process that pulls 10 GB in one layer, minus that of a process that pulls 100 MB in one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        url = stack.enter_context(serve(folder))
        small, large = (apart.pulls(published(folder, url, [pieces]), 1, 1) for pieces in (SMALL_PIECES, LARGE_PIECES))
    for found, pieces in ((small, SMALL_PIECES), (large, LARGE_PIECES)):
        if found["failed"] or found["bytes"] < pieces * PIECE_BYTES:
            raise RuntimeError(f"wire: {found}")
    grown = max(0.0, (large["most_memory_bytes"] - small["most_memory_bytes"]) / 1e6)
    return ScoreLine(
        what="growth of memory from a layer of 100 MB to one of 10 GB",
        values=(grown,),
        unit="MB",
        goal=Goal(bound=50),
        ours=f"{large['most_memory_bytes'] / 1e6:.0f} MB, 10 GB in {large['wall_s']:.1f} s",
    )


def _hashing(rounds: int) -> list[ScoreLine]:
    """What the engine does to a received layer, in two threads of this process, on one core and on two."""
    chunk = os.urandom(BUFFER_BYTES)
    digest = hashlib.sha256()
    for _ in range(HASHED_CHUNKS):
        digest.update(chunk)
    layer = Descriptor(
        media_type=OCI_LAYER_GZIP, digest=f"sha256:{digest.hexdigest()}", size_bytes=HASHED_CHUNKS * BUFFER_BYTES
    )

    def verify(_: int) -> None:
        body = BlobBody(layer)
        for _ in range(HASHED_CHUNKS):
            body.update(chunk)
        body.finish()

    def on(cores: int) -> None:
        with ThreadPoolExecutor(HASHED_THREADS, initializer=_keep_to, initargs=(cores,)) as pool:
            list(pool.map(verify, range(HASHED_THREADS)))

    taken = measure({"one": lambda: on(1), "two": lambda: on(2)}, rounds=rounds)
    one, two = (statistics.median(taken[name].wall_s) for name in ("one", "two"))
    size = HASHED_THREADS * layer.size_bytes / 1e6
    return [
        ScoreLine(
            what=f"{size:.0f} MB verified in two threads: rate with two cores compared with one",
            values=ratios(taken["one"].wall_s, taken["two"].wall_s),
            ours=f"{two:.2f} s",
            theirs=f"one core {one:.2f} s",
            note="the engine's own hash and checks without a network; inside the interpreter's lock it would be at most 1",
        )
    ]


def _keep_to(cores: int) -> None:
    """Keep the calling thread to the last `cores` cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def _cores(rounds: int) -> list[ScoreLine]:
    """The same pull by a process that may use one core, and by one that may use two; the server may use both."""
    what = "800 MB in 8 layers from a static server: rate with two cores compared with one"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        url = stack.enter_context(serve(folder))
        image = published(folder, url, [CORES_PIECES] * CORES_LAYERS)
        used: dict[int, list[float]] = {1: [], 2: []}

        def with_cores(cores: int) -> float:
            found = apart.pulls(image, 1, 1, cores=cores)
            if found["failed"]:
                raise RuntimeError(f"wire: {found}")
            used[cores].append(found["cpu_s"] / found["wall_s"])
            return float(found["wall_s"])

        taken = measure({"one": lambda: with_cores(1), "two": lambda: with_cores(2)}, rounds=rounds)
    one, two = (statistics.median(taken[name].wall_s) for name in ("one", "two"))
    return [
        ScoreLine(
            what=what,
            values=ratios(taken["one"].wall_s, taken["two"].wall_s),
            ours=f"{two:.2f} s, {statistics.median(used[2]):.2f} cores in use",
            theirs=f"one core {one:.2f} s, {statistics.median(used[1]):.2f} in use",
            note=cores_note(statistics.median(used[2])),
        )
    ]


def cores_note(in_use: float) -> str:
    """What it means that a process that may use two cores used `in_use` of them."""
    if in_use > 1:
        return "more than one core is in use; inside the interpreter's lock it would be at most one. The server uses part of the two"
    return (
        "the server and other work left at most one core, so this sitting does not show that hashing and receiving leave the "
        "interpreter's lock. Measure again on an idle machine"
    )
