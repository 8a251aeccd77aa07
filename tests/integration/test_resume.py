"""A run that was killed or stopped: finished trials stay as they are, and the rest is run, nothing twice."""

import contextlib
import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
import yaml

from pullbench.lab.embedded import EmbeddedLab
from pullbench.store.dataset import ResultStore
from tests.integration.shell import QUIET, Shell

pytestmark = [pytest.mark.integration]

TRIALS_BEFORE = 3


@pytest.fixture
def spec(lab: EmbeddedLab, shell: Shell) -> dict[str, Any]:
    """A plan of some seconds over the lab."""
    data = lab.spec(True)
    data["repetitions"], data["warmup"] = 3, 0
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(data))
    return data


def stop_in_the_middle(shell: Shell, number: signal.Signals) -> tuple[int, str]:
    """Start a run, and signal it once some trials are stored; its exit code and what it said."""
    process = shell.start("run", "spec.yaml", "--no-report")
    until = time.monotonic() + 120
    while len(list(shell.folder.glob("results/trials/*/trial-*.parquet"))) < TRIALS_BEFORE:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_is_resumed_with_nothing_lost_and_nothing_twice(
    shell: Shell, spec: dict[str, Any], number: signal.Signals
) -> None:
    code, err = stop_in_the_middle(shell, number)
    store = ResultStore(str(shell.folder / "results"))
    run = store.runs()[0]
    done = store.finished_trials(run.run_id)
    before = {table: store.table(table, run.run_id).to_pylist() for table in ("trials", "pulls", "transfers")}
    if number is not signal.SIGKILL:
        assert code == 3, err
        assert f"--resume {run.run_id}" in err.splitlines()[-1]
        assert "Traceback" not in err
        assert run.status == "incomplete"
    assert TRIALS_BEFORE <= len(done) < run.trials_planned

    resumed = shell.run("run", "spec.yaml", "--resume", run.run_id, "--json")
    assert resumed.code in (0, 1), resumed.err
    document = resumed.document
    assert document["status"] == "complete"
    assert (shell.folder / document["report"]).is_file()
    for table in ("trials", "pulls", "transfers"):
        after = store.table(table, run.run_id).to_pylist()
        assert [row for row in after if row["trial"] in done] == before[table]
    trials = [
        row[0]
        for row in duckdb.sql(f"select trial from '{shell.folder}/results/trials/{run.run_id}/*.parquet'").fetchall()
    ]
    assert sorted(trials) == list(range(run.trials_planned))


def test_a_resume_with_another_spec_is_exit_2_and_measures_nothing(shell: Shell, spec: dict[str, Any]) -> None:
    stop_in_the_middle(shell, signal.SIGKILL)
    store = ResultStore(str(shell.folder / "results"))
    run_id = store.runs()[0].run_id
    done = store.finished_trials(run_id)
    refused = shell.run("run", "spec.yaml", "--resume", run_id, "--set", "seed=99")
    assert refused.code == 2
    assert "another spec" in refused.err
    assert store.finished_trials(run_id) == done


def test_resuming_a_run_that_is_not_stored_is_exit_2(shell: Shell, spec: dict[str, Any]) -> None:
    refused = shell.run("run", "spec.yaml", "--resume", "20260101T000000Z-ffff")
    assert refused.code == 2
    assert "20260101T000000Z-ffff" in refused.err


def alone(shell: Shell, home: Path) -> dict[str, str]:
    """An environment in which a command has to start a Prefect server of its own."""
    environment = {key: value for key, value in shell.environment.items() if not key.startswith("PREFECT_")}
    return {**environment, **QUIET, "PREFECT_HOME": str(home)}


def servers_of(home: Path) -> list[int]:
    """Prefect's own temporary servers that still run on a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_server = "prefect.server.api.server:create_app" in process.cmdline()
            if is_server and process.environ().get("PREFECT_HOME") == str(home):
                found.append(process.pid)
    return found


@pytest.mark.parametrize("options", [[], ["--prefect"]], ids=["direct", "prefect"])
def test_ctrl_c_in_a_terminal_leaves_a_resumable_run_and_no_server(
    shell: Shell, spec: dict[str, Any], options: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.getbasetemp() / "prefect-alone"
    master, slave = pty.openpty()
    process = subprocess.Popen(
        shell.command("run", "spec.yaml", "--no-report", *options),
        cwd=shell.folder,
        env=alone(shell, home),
        stdout=subprocess.DEVNULL,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    until = time.monotonic() + 180
    while len(list(shell.folder.glob("results/trials/*/trial-*.parquet"))) < TRIALS_BEFORE:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    assert bool(servers_of(home)) is bool(options), "Prefect's own server runs where it is asked for"
    os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C goes to the whole group
    assert process.wait(60) == 3
    said = b""
    with contextlib.suppress(OSError):  # a terminal that nobody holds any more ends so on Linux
        while chunk := os.read(master, 65536):
            said += chunk
    os.close(master)
    assert b"interrupted; what was measured is stored, go on with `--resume" in said
    until = time.monotonic() + 30
    while servers_of(home):
        assert time.monotonic() < until, "the temporary server outlived its command"
        time.sleep(0.2)
