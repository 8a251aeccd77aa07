"""Forty nodes on four Dask workers pull one image through a real pull-through; the registry's own log is the judge."""

import datetime
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pullbench.store.dataset import ResultStore
from tests.integration.conftest import need
from tests.integration.ports import free_port
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry, start_registry
from tests.integration.shell import Shell

pytestmark = [pytest.mark.integration, pytest.mark.real]

ROOT = Path(__file__).parents[2]
NODES, WORKERS = 40, 4
_STARTED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Dask cluster as a team would have it: a scheduler and four workers, processes of their own."""
    folder = tmp_path_factory.mktemp("dask")
    address, file = f"tcp://127.0.0.1:{free_port()}", folder / "log"
    environment = Shell(folder, {"PYTHONPATH": str(ROOT)}).environment
    with file.open("wb") as log:

        def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
            return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)

        processes = [
            start("dask_scheduler", "--host", address, "--no-dashboard"),
            start("dask_worker", address, "--nworkers", str(WORKERS), "--nthreads", "1", "--no-dashboard"),
        ]
        until = time.monotonic() + _STARTED_WITHIN_S
        while file.read_text().count("Registered to:") < WORKERS:
            assert time.monotonic() < until and all(one.poll() is None for one in processes), file.read_text()[-2000:]
            time.sleep(0.2)
        yield address
        for process in reversed(processes):
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """It has metrics, and logs each request."""
    need("docker-registry")
    registry = start_registry(tmp_path_factory.mktemp("upstream"), changes=REQUESTS_LOGGED, counters=True)
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def mirror(upstream: RealRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    registry = start_registry(tmp_path_factory.mktemp("mirror"), changes={"proxy": {"remoteurl": upstream.url}})
    yield registry
    registry.stop()


def spec_of(upstream: RealRegistry, mirror: RealRegistry, image: str) -> dict[str, object]:
    up = {"name": "up", "url": upstream.url, "credentials": "anonymous", "counters": upstream.counters}
    cold = {"push": "pullbench/cold"}
    cache = {"name": "cache", "kind": "mirror", "url": mirror.url, "upstream": "up", "credentials": "anonymous"}
    return {
        "name": "fleet",
        "registries": [up],
        "proxies": [cache | {"cold": cold}],
        "images": [image],
        "matrix": {
            "proxies": ["direct", "cache"],
            "platforms": ["linux/amd64"],
            "proxy_cache": ["any", "cold", "warm"],
        },
        "repetitions": 1,
        "warmup": 0,
        "slo": {"mean_pull_s": None, "p99_api_s": None},  # how fast this machine is, is no matter of the test
    }


def blob_bytes_since(registry: RealRegistry, since: datetime.datetime) -> int:
    """What a registry's log says that it sent of blobs."""
    served = (entry for entry in registry.served() if entry.at >= since)
    return sum(entry.sent_bytes for entry in served if "/blobs/sha256:" in entry.path and entry.method == "GET")


def test_forty_nodes_pull_at_once_and_origin_bytes_are_those_of_the_registrys_log(
    scheduler: str, upstream: RealRegistry, mirror: RealRegistry, shell: Shell
) -> None:
    [image] = shell.push_images(upstream.url, "--count", "1", "--size", "2MB", "--layers", "4", "--preset", "realistic")
    (shell.folder / "fleet.yaml").write_text(yaml.safe_dump(spec_of(upstream, mirror, image)))
    log = shell.folder / "fleet-log.json"
    options = ("--scheduler", scheduler, "--nodes", str(NODES), "--skip-preflight", "--json", "--log-json", str(log))
    done = shell.run("fleet", "fleet.yaml", *options, PYTHONPATH=str(ROOT))
    assert done.code == 0, done.err

    store = ResultStore(str(shell.folder / "results"))
    [run] = store.runs()
    assert run.kind == "fleet"
    pulls, trials = store.frame("pulls", run.run_id), store.frame("trials", run.run_id)
    assert len(trials) == 4 and set(trials["nodes"]) == {NODES}
    assert len(pulls) == 4 * NODES and pulls["ok"].all()
    assert set(pulls.groupby("trial")["node"].nunique()) == {NODES}
    assert pulls["node"].str.partition("/")[0].nunique() == WORKERS
    assert (pulls.groupby("trial")["intended_at"].nunique() == 1).all(), "one common start"

    by_cell = trials.set_index(["proxy", "proxy_cache"])
    direct, cold, warm = by_cell.loc["direct", "any"], by_cell.loc["cache", "cold"], by_cell.loc["cache", "warm"]
    assert direct["origin_bytes"] == direct["bytes"], "each node has it from the registry itself"
    assert warm["origin_bytes"] == 0
    assert cold["origin_bytes"] >= cold["bytes"] / NODES
    # The mirror has the image by the time that it is warmed, in this seed's order: set-up fetches nothing more.
    logged = blob_bytes_since(upstream, trials["started_at"].min().to_pydatetime())
    assert int(trials["origin_bytes"].sum()) == logged
    assert (cold["proxy_cache_found"], warm["proxy_cache_found"]) == ("cold", "warm")

    [told_direct] = [row for row in done.document["fleet"] if row["proxy"] == "direct"]
    assert 0 < told_direct["first_s"] <= told_direct["half_s"] <= told_direct["last_s"]
    assert told_direct["origin_share"] == 1
    page = Path(done.document["report"]).read_text()
    assert "Nodes with the image over time" in page
    logged_actions = [json.loads(line)["event"]["action"] for line in log.read_text().splitlines()]
    assert logged_actions == ["run-started", *["trial-measured"] * 4, "run-ended"]
