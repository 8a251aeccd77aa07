"""A sitting, stored: the machine, and the lines as Parquet, one row a line.

Columns: `started_at`, `what`, `goal` (null for none), `at_least` (whether the goal is a lower bound), `unit` (empty for a ratio), `median`,
`low` and `high` (lowest and highest round; null if nothing was measured), `values` (a value a round), `verdict`, `ours`,
`theirs`, `note`. The columns of the machine are the same in every row: `cpu`, `cores`, `memory_bytes`, `kernel`, `python`, `pullbench`,
`versions` (JSON: curl, skopeo … and libcurl), `load_before` (the one-minute load average before the sitting).
"""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pycurl

from benchmarks import clients
from benchmarks.scorecard import ScoreLine
from pullbench import __version__
from pullbench.engines.base import usable_cores

ROOT = Path(__file__).parents[1]
SCHEMA = pa.schema(
    [
        pa.field("started_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("what", pa.string(), nullable=False),
        pa.field("goal", pa.float64()),
        pa.field("at_least", pa.bool_()),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("median", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("values", pa.list_(pa.float64()), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("verdict", "ours", "theirs", "note", "cpu")),
        pa.field("cores", pa.int64(), nullable=False),
        pa.field("memory_bytes", pa.int64(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("kernel", "python", "pullbench", "versions")),
        pa.field("load_before", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SittingMachine:
    """The machine of a sitting, and when the sitting began."""

    started_at: datetime
    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    pullbench: str
    versions: dict[str, str]
    load_before: float

    def caption(self) -> str:
        """Machine, date and versions in a sentence or two, for the top of a table."""
        load = f"load average {self.load_before:.1f} before the start"
        others = ", ".join(f"{name} {_short(version)}" for name, version in self.versions.items())
        return (
            f"Measured on {self.started_at:%d %B %Y} on {self.cores} cores of {self.cpu}, "
            f"{self.memory_bytes / 1e9:.0f} GB, Linux {self.kernel.partition('-')[0]}, Python {self.python}, pullbench {self.pullbench}; "
            f"{load}. Other versions: {others}.{self._of_other_work()}"
        )

    def _of_other_work(self) -> str:
        if self.load_before <= self.cores / 4:
            return ""
        return (
            " **The machine had other work.** This favours clients with many processes: each gets a share of the cores. Measure missed "
            "goals again on an idle machine."
        )


def this_machine() -> SittingMachine:
    """This machine now; call it before the sitting begins."""
    return SittingMachine(
        started_at=datetime.now(UTC),
        cpu=_cpu(),
        cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        kernel=platform.release(),
        python=platform.python_version(),
        pullbench=_version(),
        versions={**clients.versions(), "libcurl": str(pycurl.version_info()[1])},
        load_before=os.getloadavg()[0],
    )


def write(path: Path, lines: Sequence[ScoreLine], machine: SittingMachine) -> None:
    """One small file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([_row(line, machine) for line in lines], schema=SCHEMA)
    made = path.with_name(f".{path.name}.new")
    pq.write_table(table, made, compression="zstd")
    made.rename(path)


def _row(line: ScoreLine, machine: SittingMachine) -> dict[str, Any]:
    low, high = line.spread or (None, None)
    return {
        "started_at": machine.started_at,
        "what": line.what,
        "goal": line.goal and line.goal.bound,
        "at_least": line.goal and line.goal.at_least,
        "unit": line.unit,
        "median": line.median,
        "low": low,
        "high": high,
        "values": line.values,
        "verdict": line.verdict,
        "ours": line.ours,
        "theirs": line.theirs,
        "note": line.note,
        **{name: getattr(machine, name) for name in ("cpu", "cores", "memory_bytes", "kernel", "python", "pullbench")},
        "versions": json.dumps(machine.versions, sort_keys=True),
        "load_before": machine.load_before,
    }


def _short(version: str) -> str:
    """The first word that looks like a version, of what a program says about itself."""
    words = version.replace(",", " ").split()
    found = [word.removeprefix("go") for word in words if word.lstrip("vgo")[:1].isdigit()]
    return found[0].lstrip("v") if found else version


def _version() -> str:
    """With the commit, where this is a checkout."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return f"{__version__} ({described.stdout.strip()})" if described.returncode == 0 else __version__


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
