"""The deployments of prefect.yaml, run by a worker from a checkout that is not the one that deployed them."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pullbench.lab.embedded import EmbeddedLab
from pullbench.store.dataset import ResultStore
from tasks.artifacts import artifact_key
from tests.integration.served import ROOT, copy_checkout
from tests.integration.shell import PrefectServer
from tests.report import synthetic
from tests.report.synthetic import STARTED_AT, Recipe

pytestmark = [pytest.mark.integration]


@pytest.fixture
def checkout(tmp_path: Path, lab: EmbeddedLab) -> Path:
    """A copy of the project elsewhere, with a small spec over the lab."""
    copy = copy_checkout(tmp_path / "checkout")
    spec = lab.spec(True)
    spec["repetitions"], spec["warmup"] = 1, 0
    (copy / "specs" / "lab.yaml").write_text(yaml.safe_dump(spec))
    return copy


def api(server: PrefectServer, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the server; while its database is busy, which it says with a 503, ask again."""
    method = "GET" if body is None else "POST"
    for _ in range(120):
        answer = httpx.request(method, f"{server.api}{path}", json=body, trust_env=False, timeout=60)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(0.5)
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
    worse, published = stored_flows(prefect_server, checkout)
    worker = prefect_server.start_prefect("worker", "start", "--pool", "local")
    try:
        states = ended(prefect_server, [benchmark, check, wrong, worse, published])
    finally:
        worker.terminate()
        worker.wait(60)
    assert states[benchmark]["type"] == "COMPLETED", states[benchmark]
    assert states[check]["type"] == "COMPLETED", states[check]
    assert states[wrong]["type"] == "FAILED"
    assert states[wrong]["message"].startswith("specs/lab.yaml: matrix.engines[0]: ")

    store = ResultStore(str(checkout / "results"))
    run = store.runs()[0]
    assert run.status == "complete"
    assert {row["concurrency"] for row in store.table("pulls", run.run_id).to_pylist()} == {2}
    assert list(checkout.glob("reports/*/index.html"))
    assert {artifact_key(run.name), artifact_key(run.name, "progress")} <= artifacts(prefect_server, benchmark)
    assert run.run_id in states[benchmark]["message"]
    tasks = api(prefect_server, "/task_runs/filter", {"flow_runs": {"id": {"any_": [benchmark]}}})
    names = [entry["name"] for entry in tasks]
    assert any(name.startswith("trial 0 · ") and "wire" in name for name in names), names

    assert states[worse]["type"] == "FAILED"
    assert "20261123T161500Z-3fa2" in states[worse]["message"]
    assert (checkout / "pages" / "compare-20261123T161500Z-3fa2-slow" / "comparison.json").is_file()
    assert {"concurrency-sweep-verdicts", "concurrency-sweep-comparison"} == artifacts(prefect_server, worse)
    assert states[published]["type"] == "COMPLETED", states[published]
    assert "slow" in (checkout / "site" / "index.html").read_text()
    assert {"pullbench-runs", "pullbench-reports"} == artifacts(prefect_server, published)


def stored_flows(server: PrefectServer, checkout: Path) -> tuple[str, str]:
    """Start a comparison of two made-up runs of which the second is slower, and the site of both."""
    base = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), failure_rate=0.0)
    synthetic.make(checkout / "stored", base)
    later = STARTED_AT + timedelta(days=1)
    synthetic.make(checkout / "stored", replace(base, run_id="slow", slower=1.5, seed=8, started_at=later))
    worse = start(server, "compare-runs/compare-runs", {"results": "stored", "reports": "pages"})
    site = {"results": "stored", "reports": "site", "render": False}
    return worse, start(server, "publish-reports/publish-reports", site)


def artifacts(server: PrefectServer, run: str) -> set[str]:
    return {entry["key"] for entry in api(server, "/artifacts/filter", {}) if entry["flow_run_id"] == run}


def ended(server: PrefectServer, runs: list[str]) -> dict[str, dict[str, Any]]:
    """The final states of runs."""
    states: dict[str, dict[str, Any]] = {}
    for _ in range(900):
        states = {run: api(server, f"/flow_runs/{run}")["state"] for run in runs}
        if all(state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") for state in states.values()):
            return states
        time.sleep(0.5)
    raise AssertionError(f"the runs did not end: {states}")
