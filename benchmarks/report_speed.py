"""How long reports take, how much memory, and how large they are: one run of 10 thousand to a million pulls, and 200 runs.

The runs are synthetic: a small run whose pulls and exchanges are repeated with noise of their own, compacted like a
finished run. Goals: a million pulls in 30 s, 2 GB and 5 MB of HTML; 200 runs in a trend and a site in 30 s each.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pullbench.store import schema
from pullbench.store.dataset import ResultStore
from pullbench.store.schema import TableName
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe

PULLS = (10_000, 100_000, 1_000_000)
RUNS = 200
GOAL_S, GOAL_BYTES, GOAL_HTML_BYTES = 30.0, 2_000_000_000, 5_000_000
_RECIPE = Recipe(blocks=10, pulls=8)
_RUN_RECIPE = Recipe()
_DURATIONS = ("duration_s", "auth_s", "resolve_s", "download_s", "extract_s", "wait_s", "transfer_s", "total_s")
_SAMPLED_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCost:
    """The cost of one command, including its children."""

    wall_s: float
    cpu_s: float
    """CPU time of all its processes: on a machine with other work, the wall time that one free core would give."""
    memory_bytes: int
    """Peak memory of all its processes together; shared pages count for each of them."""


def run(rounds: int) -> None:
    """Print a line for each size and command. Every command runs once; `rounds` is ignored."""
    del rounds
    print("\nreports: wall time, CPU time, peak memory of all processes together, size of the HTML")
    with tempfile.TemporaryDirectory() as folder:
        for pulls in PULLS:
            results, reports = f"{folder}/{pulls}", Path(folder, f"{pulls}-reports")
            write_large_run(results, pulls)
            cost = timed(["report", RUN_ID, "--results", results, "--reports", str(reports)])
            _print(f"report of {pulls:,} pulls", cost, reports / RUN_ID / "index.html")
        results, reports = f"{folder}/runs", Path(folder, "runs-reports")
        write_runs(results, RUNS)
        name = _RUN_RECIPE.name
        _print(f"trend of {RUNS} runs", timed(["trend", name, "--results", results, "--reports", str(reports)]), None)
        site = ["publish", "--no-render", "--results", results, "--reports", str(reports)]
        _print(f"site of {RUNS} runs", timed(site), reports / "index.html")
        _print(f"site of {RUNS} runs, built again", timed(site), reports / "index.html")


def _print(what: str, cost: ReportCost, page: Path | None) -> None:
    size = page.stat().st_size if page is not None else 0
    met = cost.wall_s < GOAL_S and cost.memory_bytes < GOAL_BYTES and size < GOAL_HTML_BYTES
    html = f"{size / 1e6:6.2f} MB" if page is not None else " " * 9
    verdict = "met" if met else "missed"
    print(
        f"  {what:36}  {cost.wall_s:6.1f} s  {cost.cpu_s:6.1f} s  {cost.memory_bytes / 1e6:7,.0f} MB  {html}  goal {verdict}",
        flush=True,
    )


def timed(arguments: Sequence[str]) -> ReportCost:
    """Run a `pullbench` command and watch it. Raises RuntimeError if it fails."""
    began, before_s = time.perf_counter(), _cpu_s()
    with subprocess.Popen(
        [sys.executable, "-m", "pullbench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watched, most = psutil.Process(process.pid), 0
        while process.poll() is None:
            most = max(most, _memory_bytes(watched))
            time.sleep(_SAMPLED_S)
        wall_s = time.perf_counter() - began
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"pullbench {' '.join(arguments)}: exit code {process.returncode}: {said}")
    return ReportCost(wall_s=wall_s, cpu_s=_cpu_s() - before_s, memory_bytes=most)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory_bytes(process: psutil.Process) -> int:
    held = 0
    try:
        for one in (process, *process.children(recursive=True)):
            held += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return held


def write_large_run(results: str, pulls: int) -> None:
    """Store a run of at least `pulls` pulls: a synthetic run whose pulls are repeated as often as needed."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = synthetic.make(folder, _RECIPE), ResultStore(results)
        trials = small.table("trials", RUN_ID)
        times = -(-pulls // pc.sum(trials["pulls"]).as_py())
        random = np.random.default_rng(0)
        for name in ("pulls", "transfers"):
            _put(large, name, RUN_ID, _repeated(small.table(name, RUN_ID), trials, times, random))
        for column in ("wall_s", "pulls", "succeeded", "bytes"):
            trials = _with(trials, column, pc.multiply(trials[column], times))
        _put(large, "trials", RUN_ID, trials)
        large.write_run(small.run(RUN_ID))
        large.write_checks(RUN_ID, "office", synthetic.CHECKS, _RECIPE.started_at)


def _repeated(table: pa.Table, trials: pa.Table, times: int, random: np.random.Generator) -> pa.Table:
    """The rows `times` times. Each copy starts one wall time of its trial later, and its durations differ a little."""
    walls = dict(zip(trials["trial"].to_pylist(), trials["wall_s"].to_pylist(), strict=True))
    wall_us = np.array([1e6 * walls[trial] for trial in table["trial"].to_pylist()]).astype("int64")
    copies = []
    for number in range(times):
        copy = _with(table, "pull", pc.add(table["pull"], _RECIPE.pulls * number))
        later = pa.array(number * wall_us, pa.duration("us"))
        for column in ("started_at", "intended_at"):
            if column in table.column_names:
                copy = _with(copy, column, pc.add(copy[column], later))
        copies.append(_noisy(copy, random))
    return pa.concat_tables(copies).sort_by([("trial", "ascending"), ("pull", "ascending")])


def _noisy(table: pa.Table, random: np.random.Generator) -> pa.Table:
    factor = pa.array(np.exp(random.normal(0, 0.02, len(table))))
    for column in set(_DURATIONS) & set(table.column_names):
        table = _with(table, column, pc.multiply(table[column], factor))
    return table


def write_runs(results: str, runs: int) -> None:
    """Store `runs` runs of one name, a week apart, each with a level of its own. The second half is slower."""
    with tempfile.TemporaryDirectory() as folder:
        small, store = synthetic.make(folder, _RUN_RECIPE), ResultStore(results)
        random, first = np.random.default_rng(1), small.run(RUN_ID)
        names: tuple[TableName, ...] = ("pulls", "transfers", "trials")
        tables = {name: small.table(name, RUN_ID) for name in names}
        for number in range(runs):
            run_id, later = f"run-{number:04d}", timedelta(weeks=number)
            level = float(np.exp(random.normal(0, 0.02))) * (1.2 if number >= runs // 2 else 1.0)
            for name, table in tables.items():
                made = _with(table, "run_id", pa.array([run_id] * len(table)))
                made = _with(made, "started_at", pc.add(made["started_at"], pa.scalar(later)))
                for column in {*_DURATIONS, "wall_s"} & set(made.column_names):
                    made = _with(made, column, pc.multiply(made[column], level))
                _put(store, name, run_id, made)
            finished_at = None if first.finished_at is None else first.finished_at + later
            run = replace(first, run_id=run_id, started_at=first.started_at + later, finished_at=finished_at)
            store.write_checks(run_id, "office", synthetic.CHECKS, run.started_at)
            store.write_run(run)


def _with(table: pa.Table, column: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    kind = table.schema.field(column).type
    return table.set_column(table.column_names.index(column), column, values.cast(kind))


def _put(store: ResultStore, name: TableName, run_id: str, table: pa.Table) -> None:
    trials = pc.unique(table["trial"]).to_pylist()
    sink = pa.BufferOutputStream()
    pq.write_table(schema.stamped(table, trials), sink, compression="zstd")
    store.files.put(f"{name}/{run_id}/compacted.parquet", sink.getvalue().to_pybytes())
