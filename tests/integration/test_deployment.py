"""The deployments of prefect.yaml, run by a worker from a checkout that is not the one that deployed them."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pullbench.lab.world import World
from pullbench.store.dataset import ResultStore
from tests.integration.served import ROOT, copy_checkout
from tests.integration.shell import PrefectServer

pytestmark = [pytest.mark.integration]


@pytest.fixture
def checkout(tmp_path: Path, lab: World) -> Path:
    """A copy of the project elsewhere, with a small spec over the lab."""
    copy = copy_checkout(tmp_path / "checkout")
    spec = lab.spec(True)
    spec["repetitions"], spec["warmup"] = 1, 0
    (copy / "specs" / "lab.yaml").write_text(yaml.safe_dump(spec))
    return copy


def api(server: PrefectServer, path: str, body: dict[str, Any] | None = None) -> Any:
    answer = httpx.request(
        "GET" if body is None else "POST", f"{server.api}{path}", json=body, trust_env=False, timeout=60
    )
    answer.raise_for_status()
    return answer.json()


def start(server: PrefectServer, deployment: str, parameters: dict[str, Any]) -> str:
    found = api(server, f"/deployments/name/{deployment}")
    run = api(
        server, f"/deployments/{found['id']}/create_flow_run", {"parameters": {**found["parameters"], **parameters}}
    )
    return str(run["id"])


def test_deployed_flows_run_from_any_checkout_and_leave_their_artifacts(
    prefect_server: PrefectServer, checkout: Path
) -> None:
    prefect_server.prefect("variable", "set", "pullbench_checkout", str(checkout), "--overwrite")
    prefect_server.prefect("work-pool", "create", "local", "--type", "process")
    prefect_server.prefect("--no-prompt", "deploy", "--all", cwd=ROOT)
    benchmark = start(
        prefect_server,
        "pull-benchmark/pull-benchmark",
        {"spec": "specs/lab.yaml", "overrides": {"concurrency": [2], "registries": ["eu"], "proxies": ["direct"]}},
    )
    check = start(prefect_server, "preflight/preflight", {"spec": "specs/lab.yaml"})
    wrong = start(
        prefect_server, "pull-benchmark/pull-benchmark", {"spec": "specs/lab.yaml", "overrides": {"engines": ["crane"]}}
    )
    worker = prefect_server.start_prefect("worker", "start", "--pool", "local")
    try:
        states = ended(prefect_server, [benchmark, check, wrong])
    finally:
        worker.terminate()
        worker.wait(60)
    assert states[benchmark]["type"] == "COMPLETED", states[benchmark]
    assert states[check]["type"] == "COMPLETED", states[check]
    assert states[wrong]["type"] == "FAILED"
    assert states[wrong]["message"].startswith("specs/lab.yaml: matrix.engines[0]: 'crane' is not known")

    store = ResultStore(str(checkout / "results"))
    run = store.runs()[0]
    assert run.status == "complete"
    assert {row["concurrency"] for row in store.table("pulls", run.run_id).to_pylist()} == {2}
    assert list(checkout.glob("reports/*/index.html"))
    keys = {entry["key"] for entry in api(prefect_server, "/artifacts/filter", {}) if entry["flow_run_id"] == benchmark}
    assert {"trials", "preflight", "cells", "report"} <= keys
    tasks = api(prefect_server, "/task_runs/filter", {"flow_runs": {"id": {"any_": [benchmark]}}})
    names = [entry["name"] for entry in tasks]
    assert any(name.startswith("trial 0 · block 0 · wire · eu · direct") for name in names), names


def ended(server: PrefectServer, runs: list[str]) -> dict[str, dict[str, Any]]:
    """The final states of runs."""
    states: dict[str, dict[str, Any]] = {}
    for _ in range(360):
        states = {run: api(server, f"/flow_runs/{run}")["state"] for run in runs}
        if all(state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") for state in states.values()):
            return states
        time.sleep(0.5)
    raise AssertionError(f"the runs did not end: {states}")
