"""Vantages with a work pool and a worker each: one report of two, and a third whose worker was killed, which is named."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pullbench.lab.embedded import EmbeddedLab
from pullbench.serving.vantages import FLOW
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import LABEL
from tests.integration.shell import PrefectServer, Shell

pytestmark = [pytest.mark.integration]

ROOT = Path(__file__).parents[2]
STAFFED, DESERTED = ("test-east", "test-west"), "test-south"
VANTAGES = (*STAFFED, DESERTED)
_WORKS_WITHIN_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Three vantages of one Prefect server, of which one has lost its worker, and the shell that asks them."""

    server: PrefectServer
    shell: Shell
    spec: Path

    def ask(self, *options: str) -> Any:
        names = [option for name in VANTAGES for option in ("--vantage", name)]
        return self.shell.run("regional", str(self.spec), *names, "--json", *options)


@pytest.fixture(scope="module")
def bench(prefect_server: PrefectServer, lab: EmbeddedLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("regional")
    spec = lab.spec(True)
    spec["repetitions"], spec["warmup"] = 3, 0
    spec["matrix"] |= {"proxies": ["direct"], "concurrency": [1], "engines": ["wire"]}
    (folder / "regions.yaml").write_text(yaml.safe_dump(spec))
    deployments = [
        {
            "name": name,
            "entrypoint": "flows/pull_benchmark.py:pull_benchmark",
            "tags": ["vantage"],
            "parameters": {"spec": "specs/first.yaml", "vantage": name},
            "work_pool": {"name": name},
        }
        for name in VANTAGES
    ]
    pull = [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    (folder / "vantages.yaml").write_text(yaml.safe_dump({"pull": pull, "deployments": deployments}))
    for name in VANTAGES:
        body = {"name": name, "type": "process"}
        httpx.post(f"{prefect_server.api}/work_pools/", json=body, trust_env=False, timeout=60).raise_for_status()
    workers = {name: prefect_server.start_prefect("worker", "start", "--pool", name) for name in VANTAGES}
    try:
        file = str(folder / "vantages.yaml")
        prefect_server.prefect("--no-prompt", "deploy", "--all", "--prefect-file", file, cwd=ROOT)
        for name in VANTAGES:
            wait_for_worker(prefect_server, name)
        workers[DESERTED].kill()
        workers[DESERTED].wait(60)
        shell = Shell(folder, {**prefect_server.environment, "PYTHONPATH": str(ROOT)})
        yield Bench(server=prefect_server, shell=shell, spec=folder / "regions.yaml")
    finally:
        for worker in workers.values():
            worker.terminate()
        for worker in workers.values():
            worker.wait(60)


def wait_for_worker(server: PrefectServer, pool: str) -> None:
    until = time.monotonic() + _WORKS_WITHIN_S
    url = f"{server.api}/work_pools/{pool}/workers/filter"
    while not httpx.post(url, json={}, trust_env=False, timeout=60).json():
        assert time.monotonic() < until, (server.home / "worker.log").read_text()[-2000:]
        time.sleep(0.3)


def test_two_vantages_give_one_report_and_a_third_whose_worker_was_killed_is_named(bench: Bench) -> None:
    results = str(bench.shell.folder / "results")
    done = bench.ask("--results", results, "--start-within", "0.5")
    assert done.code == 3, done.err
    found = done.document
    assert found["status"] == "incomplete"
    answers = {entry["vantage"]: entry for entry in found["vantages"]}
    assert {name: entry["answer"] for name, entry in answers.items()} == {
        **dict.fromkeys(STAFFED, "complete"),
        DESERTED: "missing",
    }, answers
    assert {(row["vantage"], row["region"]) for row in found["cells"]} == {
        (name, region) for name in STAFFED for region in ("eu-west", "us-east")
    }
    assert all(row["median_low_s"] < row["median_s"] < row["median_high_s"] for row in found["cells"])
    [apart] = found["clocks"]
    assert abs(apart["offset_s"]) <= apart["known_to_s"] < 3, "both stand on this machine"

    page = Path(found["report"]).read_text()
    runs = ResultStore(results).runs()
    assert {run.vantage for run in runs} == set(STAFFED)
    for run in runs:
        assert run.labels[LABEL] == found["regional_id"]
        assert run.run_id in page and run.vantage in page
    assert f"{len(STAFFED)} of " in page and DESERTED in page

    assert f"--pool {DESERTED}`" in answers[DESERTED]["reason"], "the command that starts a worker there"
    [state] = [entry for entry in flow_states(bench.server, "regional-benchmark") if DESERTED in entry["message"]]
    assert (state["type"], state["name"]) == ("FAILED", "Incomplete")
    assert f"vantage '{DESERTED}'" in state["message"]
    ends = [state["type"] for state in flow_states(bench.server, f"{FLOW}/{DESERTED}")]
    assert ends == ["CANCELLED"], "its run sends no load when a worker comes back"


def flow_states(server: PrefectServer, name: str) -> list[dict[str, Any]]:
    """The states of the runs of a flow, or of one deployment of it."""
    flow, _, deployment = name.partition("/")
    body: dict[str, Any] = {"flows": {"name": {"any_": [flow]}}}
    if deployment:
        body["deployments"] = {"name": {"any_": [deployment]}}
    answer = httpx.post(f"{server.api}/flow_runs/filter", json=body, trust_env=False, timeout=60)
    answer.raise_for_status()
    return [run["state"] for run in answer.json()]
