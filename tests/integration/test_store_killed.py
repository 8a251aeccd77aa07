"""A process that is killed (SIGKILL) while it stores trials leaves the finished ones whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from pullbench.store.dataset import ResultStore
from tests.store.sample import RUN_ID

pytestmark = pytest.mark.integration

WRITER = """
import sys
from pullbench.store.dataset import ResultStore
from tests.store import sample

store = ResultStore(sys.argv[1])
store.write_run(sample.run())
for number in range(int(sys.argv[2]), 100_000):
    store.write_trial(sample.RUN_ID, "office", sample.trial(number), sample.result(number, pulls=50))
    print(number, flush=True)
    if number % 7 == 6:
        store.compact(sample.RUN_ID)
"""


def killed_after(lines: int, results: Path, first: int) -> int:
    """Let a process store trials, kill it some time after so many are stored; the last that it named."""
    command = [sys.executable, "-c", WRITER, str(results), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.kill()
        named = process.stdout.read().split()
    return int(named[-1]) if named else first + lines - 1


def test_what_a_killed_process_stored_is_whole_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    store, first = ResultStore(str(tmp_path)), 0
    for lines in (3, 7, 13):
        named = killed_after(lines, tmp_path, first)
        finished = store.finished_trials(RUN_ID)
        assert finished == set(range(len(finished)))
        assert named in finished
        assert store.table("trials", RUN_ID).column("trial").to_pylist() == sorted(finished)
        assert store.table("pulls", RUN_ID).num_rows == 50 * len(finished)
        assert store.table("transfers", RUN_ID).num_rows == 3 * len(finished)
        assert store.run(RUN_ID).status == "running"
        first = len(finished)
    store.compact(RUN_ID)
    assert store.table("pulls", RUN_ID).num_rows == 50 * first
