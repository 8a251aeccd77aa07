"""The sitting: measures every goal of pullbench's own speed, keeps the values as Parquet, prints a table, ends with a report."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    clients,
    first_answer,
    large_layers,
    one_process,
    overhead,
    own_report,
    record,
    small_pulls,
    starts,
)
from benchmarks.scorecard import ScoreLine, as_markdown, as_text, put_between_markers

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PARTS: tuple[tuple[str, Callable[[int], list[ScoreLine]]], ...] = (
    ("starts", starts.lines),
    ("first answer", first_answer.lines),
    ("one process", one_process.lines),
    ("large layers", large_layers.lines),
    ("small pulls", small_pulls.lines),
    ("overhead", lambda rounds: overhead.lines(min(rounds, 3))),
)


def sit(rounds: int, parquet: Path | None, markdown: Path | None, *, page: bool, report: bool) -> None:
    """Measure, print, keep. `page` puts the table into docs/benchmarks.md, between its markers."""
    if (reason := clients.missing("docker-registry")) is not None:
        raise SystemExit(f"benchmarks: {reason}: install it (Debian: docker-registry); every image is pulled from it")
    machine = record.this_machine()
    print(machine.caption(), flush=True)
    lines: list[ScoreLine] = []
    for name, part in PARTS:
        gc.collect()
        began = time.perf_counter()
        found = part(rounds)
        print(f"\n{name} ({time.perf_counter() - began:.0f} s)\n{as_text(found)}", flush=True)
        lines += found
    path = parquet or ROOT / "results" / "benchmarks" / f"{machine.started_at:%Y%m%dT%H%M%SZ}.parquet"
    record.write(path, lines, machine)
    table = as_markdown(lines, machine.caption())
    if markdown is not None:
        markdown.write_text(f"{table}\n", encoding="utf-8")
    if page:
        PAGE.write_text(put_between_markers(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    print(f"\n{_tally(lines)}\nkept: {path}")
    if report:
        run_id, written = own_report.run()
        print(f"report of pullbench about itself: run {run_id}, report {written}")


def _tally(lines: list[ScoreLine]) -> str:
    counted = {
        verdict: [line for line in lines if line.verdict == verdict] for verdict in ("met", "missed", "not measured")
    }
    return ", ".join(f"{len(found)} {verdict}" for verdict, found in counted.items())
