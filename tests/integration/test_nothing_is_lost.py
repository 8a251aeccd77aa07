"""What finished stays stored and readable, whatever happens to the run, its disk or its folder; and the rest is resumed."""

import multiprocessing
import multiprocessing.process
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.debian_images import small_image
from pullbench.errors import IncompleteError
from pullbench.lab.embedded import EmbeddedLab
from pullbench.model.platform import Platform
from pullbench.store.dataset import ResultStore
from tests.integration.conftest import PushImage
from tests.integration.plain_run import TRIALS, Between, run, spec_file
from tests.integration.real_dockerd import own_dockerd
from tests.integration.real_registry import RealRegistry
from tests.integration.shell import Shell
from tests.integration.test_resume import alone, servers_of

pytestmark = [pytest.mark.integration]

TABLES = ("trials", "pulls", "transfers")

Rows = dict[str, dict[int, list[Any]]]


def rows(store: ResultStore, run_id: str) -> Rows:
    """Every table's rows by trial."""
    found: Rows = {}
    for table in TABLES:
        by_trial = found.setdefault(table, {})
        for row in store.table(table, run_id).to_pylist():
            by_trial.setdefault(row["trial"], []).append(row)
    return found


def holds(after: Rows, before: Rows) -> bool:
    return all(after[table].get(trial) == kept for table in TABLES for trial, kept in before[table].items())


def is_whole(store: ResultStore, run_id: str, trials: int = TRIALS) -> bool:
    """Every trial once, with its pulls, and the run complete."""
    found = rows(store, run_id)
    return (
        store.run(run_id).status == "complete"
        and sorted(found["trials"]) == list(range(trials))
        and all(len(kept) == 1 for kept in found["trials"].values())
        and all(len(found["pulls"][trial]) == kept[0]["pulls"] for trial, kept in found["trials"].items())
    )


def parts(store: ResultStore) -> int:
    """Files of trials that are there, whoever is writing."""
    return sum(1 for _ in Path(store.url).glob("trials/*/trial-*.parquet"))


def kill_after(process: multiprocessing.process.BaseProcess, store: ResultStore, trials: int, later_s: float) -> bool:
    """Kill it a moment after it has stored some more trials; False where it came to its end before."""
    until, target = time.monotonic() + 120, parts(store) + trials
    while process.is_alive() and parts(store) < target:
        assert time.monotonic() < until
        time.sleep(0.002)
    time.sleep(later_s)
    killed = process.is_alive()
    process.kill()
    process.join()
    assert killed or process.exitcode == 0, "it failed by itself"
    return killed


def test_a_run_that_is_killed_again_and_again_keeps_every_finished_trial_and_is_completed(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.integration.plain_run"])
    spec, store = spec_file(tmp_path), ResultStore(str(tmp_path / "results"))
    chance, kills, run_id = random.Random(7), 0, None
    kept: Rows = {table: {} for table in TABLES}
    while True:
        process = processes.Process(target=run, args=(spec, store.url, run_id))
        process.start()
        if not kill_after(process, store, chance.randint(1, 4), chance.uniform(0.0, 0.02)):
            break
        kills += 1
        (stored,) = store.runs()
        run_id, finished = stored.run_id, store.finished_trials(stored.run_id)
        now = rows(store, run_id)
        assert holds(now, kept), "what was stored before this kill is as it was"
        kept = {table: {t: r for t, r in now[table].items() if t in finished} for table in TABLES}
    assert kills >= 8
    assert run_id is not None
    assert holds(rows(store, run_id), kept)
    assert is_whole(store, run_id)
    left = [path.name for path in Path(store.url).rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert left == [], "no half-written file"


def test_two_runs_at_once_on_one_results_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    specs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        specs.append(spec_file(tmp_path / name, name=name))
    results = str(tmp_path / "results")
    both = [processes.Process(target=run, args=(spec, results, None)) for spec in specs]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    store = ResultStore(results)
    assert sorted(found.name for found in store.runs()) == ["one", "two"]
    assert all(is_whole(store, found.run_id) for found in store.runs())


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
    )
    if made.returncode != 0:
        if os.environ.get("PULLBENCH_REQUIRE_REAL") == "1":
            raise AssertionError(made.stderr)
        pytest.skip(f"no file system can be made here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.mark.real
def test_a_disk_that_fills_in_the_middle_ends_the_run_and_loses_no_finished_trial(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "400k") as disk:
        spec, store = spec_file(tmp_path), ResultStore(str(disk))
        with pytest.raises(IncompleteError, match=r"No space left on device.*free space"):
            run(spec, store.url, None)
        (stored,) = store.runs()
        before = rows(store, stored.run_id)
        assert 0 < len(store.finished_trials(stored.run_id)) < TRIALS
        remount(disk, "size=20m")
        run(spec, store.url, stored.run_id)
        assert holds(rows(store, stored.run_id), before)
        assert is_whole(store, stored.run_id)


@pytest.mark.real
def test_a_disk_that_turns_read_only_ends_the_run_and_it_goes_on_when_it_is_writable_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "20m") as disk:
        spec, store = spec_file(tmp_path), ResultStore(str(disk))
        with pytest.raises(IncompleteError, match="Read-only file system"):
            run(spec, store.url, None, Between(5, lambda: remount(disk, "ro")))
        (stored,) = store.runs()
        before = rows(store, stored.run_id)
        assert len(store.finished_trials(stored.run_id)) == 5
        remount(disk, "rw")
        run(spec, store.url, stored.run_id)
        assert holds(rows(store, stored.run_id), before)
        assert is_whole(store, stored.run_id)


def test_a_folder_that_is_removed_in_mid_run_is_told_and_what_it_held_is_measured_again(tmp_path: Path) -> None:
    spec, store = spec_file(tmp_path), ResultStore(str(tmp_path / "results"))
    with pytest.raises(IncompleteError, match=r"5 of 40 stored trials.*--resume"):
        run(spec, store.url, None, Between(5, lambda: shutil.rmtree(store.url)))
    (stored,) = store.runs()
    assert stored.status == "incomplete"
    before = rows(store, stored.run_id)
    assert len(store.finished_trials(stored.run_id)) == TRIALS - 5
    run(spec, store.url, stored.run_id)
    assert holds(rows(store, stored.run_id), before)
    assert is_whole(store, stored.run_id)


@pytest.mark.real
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the SDK leaks a socket that cannot connect
def test_a_docker_daemon_that_ends_in_mid_run_ends_the_run_and_it_goes_on_when_it_is_back(
    tmp_path: Path, plain_registry: RealRegistry, push_image: PushImage
) -> None:
    name = f"lost/{os.urandom(4).hex()}"
    push_image(plain_registry, name, "1", small_image(Platform.parse("linux/amd64"), name))
    with own_dockerd() as daemon:
        spec = spec_file(
            tmp_path,
            registries=[{"name": "eu", "url": plain_registry.url, "credentials": "anonymous"}],
            images=[f"{name}:1"],
            engines=[{"name": "own", "kind": "docker", "host": daemon.host}],
            matrix={"engines": ["own"], "platforms": ["linux/amd64"]},
            repetitions=6,
        )
        store = ResultStore(str(tmp_path / "results"))
        with pytest.raises(IncompleteError, match=r"daemon"):
            run(spec, store.url, None, Between(2, daemon.end), ask=True)
        (stored,) = store.runs()
        before = rows(store, stored.run_id)
        assert stored.status == "incomplete"
        assert len(store.finished_trials(stored.run_id)) == 2
        daemon.start()
        run(spec, store.url, stored.run_id)
        after = rows(store, stored.run_id)
        assert holds(after, before)
        assert is_whole(store, stored.run_id, trials=6)
        assert all(row["ok"] for kept in after["pulls"].values() for row in kept)


def test_a_reader_that_goes_away_after_a_line_takes_nothing_from_a_run(shell: Shell, lab: EmbeddedLab) -> None:
    """As `pullbench run spec.yaml 2>&1 | head -1`."""
    data = {**lab.spec(True), "repetitions": 2, "warmup": 0}
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(data))
    process = subprocess.Popen(
        shell.command("run", "spec.yaml", "--no-report"),
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(240) in (0, 1)
    store = ResultStore(str(shell.folder / "results"))
    (stored,) = store.runs()
    assert is_whole(store, stored.run_id, trials=stored.trials_planned)


def test_a_prefect_server_that_is_gone_in_mid_run_takes_nothing_from_it(shell: Shell, lab: EmbeddedLab) -> None:
    data = {**lab.spec(True), "repetitions": 6, "warmup": 0}
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(data))
    process = subprocess.Popen(
        shell.command("run", "spec.yaml", "--no-report", "--prefect"),
        cwd=shell.folder,
        env={**alone(shell, shell.folder / "prefect"), "PREFECT_CLIENT_MAX_RETRIES": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 180
    while len(list(shell.folder.glob("results/trials/*/trial-*.parquet"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    (server,) = servers_of(shell.folder / "prefect")
    os.kill(server, signal.SIGKILL)
    out, err = process.communicate(timeout=240)
    assert process.returncode in (0, 1), err
    assert "Prefect's server is gone" in " ".join(err.split())
    assert "Traceback" not in err and "EventsWorker" not in err
    store = ResultStore(str(shell.folder / "results"))
    (stored,) = store.runs()
    assert is_whole(store, stored.run_id, trials=stored.trials_planned)
    assert stored.run_id in out
