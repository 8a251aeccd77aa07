"""Pulls in a process of their own, so that its memory is that of the pulls: `python -m benchmarks.apart PULLS CONCURRENCY`.

Reads the image from stdin, as scene.as_json writes it. The pulls go through a trial, as in a run. Prints one JSON
document: pulls, failed, failures, bytes, wall_s, cpu_s, most_memory_bytes. `--cores N` limits the cores. `--patience S` is the
timeout for a connection and for a byte, for measurements in which a slow registry does not matter.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import scene
from pullbench.bench.trial import run_trial
from pullbench.engines.base import SystemClock
from pullbench.model.plan import Cell, Trial

ROOT = Path(__file__).parents[1]
LANES = 4


def pulls(image: scene.Image, count: int, concurrency: int, *, cores: int | None = None) -> dict[str, Any]:
    """Start that process and read its result."""
    command = [sys.executable, "-m", "benchmarks.apart", str(count), str(concurrency)]
    command += [] if cores is None else ["--cores", str(cores)]
    done = subprocess.run(command, input=scene.as_json(image), capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[2:])}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _measured(image: scene.Image, count: int, concurrency: int, patience_s: float | None) -> dict[str, Any]:
    cell = Cell(
        engine="wire",
        engine_kind="wire",
        registry="bench",
        region="loopback",
        proxy="direct",
        platform=scene.PLATFORM,
        concurrency=concurrency,
        cache="cold",
        proxy_cache="any",
        auth="persisted",
    )
    trial = Trial(number=0, block=0, warmup=False, cell=cell, images=(image.repository,) * count)
    patience = {} if patience_s is None else {"connect_timeout_s": patience_s, "stall_timeout_s": patience_s}
    engine = scene.wire(LANES, **patience)
    try:
        result = run_trial(
            trial,
            scene.requests(image, count),
            engine,
            clock=SystemClock(),
            cache_reset="own",
            brought=frozenset(),
            before_pulls=lambda _names: None,
            ceiling=None,
        )
    finally:
        engine.close()
    failures = Counter(f"{pull.error_code}: {pull.error}" for pull in result.pulls if not pull.ok)
    return {
        "pulls": result.record.pulls,
        "failures": failures.most_common(5),
        "failed": sum(failures.values()),
        "bytes": result.record.bytes,
        "wall_s": result.record.wall_s,
        "cpu_s": result.record.cpu_s,
        "most_memory_bytes": _most_memory_bytes(),
    }


def _most_memory_bytes() -> int:
    """Peak memory of this program alone: getrusage's ru_maxrss includes the memory of its parent at the fork."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (most,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(most) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.apart", description=__doc__)
    parser.add_argument("pulls", type=int)
    parser.add_argument("concurrency", type=int)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--patience", type=float, metavar="S")
    given = parser.parse_args()
    if given.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-given.cores :])
    print(json.dumps(_measured(scene.from_json(sys.stdin.read()), given.pulls, given.concurrency, given.patience)))


if __name__ == "__main__":
    main()
