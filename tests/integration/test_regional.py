"""Two vantages, two work pools, two workers: one report; and one vantage without a worker, which is named."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pullbench.lab.world import World
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import LABEL
from tests.integration.shell import PrefectServer, Shell

pytestmark = [pytest.mark.integration]

ROOT = Path(__file__).parents[2]
VANTAGES = ("test-east", "test-west")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Two vantages of one Prefect server, and the shell that asks them."""

    server: PrefectServer
    shell: Shell
    workers: dict[str, subprocess.Popen[bytes]]
    spec: Path

    def ask(self, *options: str) -> Any:
        names = [option for name in VANTAGES for option in ("--vantage", name)]
        return self.shell.run("regional", str(self.spec), *names, "--json", *options)


@pytest.fixture(scope="module")
def bench(prefect_server: PrefectServer, lab: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
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
    prefect_server.prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(folder / "vantages.yaml"), cwd=ROOT)
    workers = {name: prefect_server.start_prefect("worker", "start", "--pool", name) for name in VANTAGES}
    shell = Shell(folder, {**prefect_server.environment, "PYTHONPATH": str(ROOT)})
    yield Bench(server=prefect_server, shell=shell, workers=workers, spec=folder / "regions.yaml")
    for worker in workers.values():
        worker.terminate()
    for worker in workers.values():
        worker.wait(60)


def test_two_vantages_give_one_report_and_one_that_has_no_worker_is_named_while_the_other_stands(bench: Bench) -> None:
    results = str(bench.shell.folder / "results")
    both = bench.ask("--results", results)
    assert both.code == 0, both.err
    found = both.document
    assert found["status"] == "complete"
    assert {entry["vantage"]: entry["answer"] for entry in found["vantages"]} == dict.fromkeys(VANTAGES, "complete")
    assert {(row["vantage"], row["region"]) for row in found["cells"]} == {
        (name, region) for name in VANTAGES for region in ("eu-west", "us-east")
    }
    assert all(row["median_low_s"] < row["median_s"] < row["median_high_s"] for row in found["cells"])
    [apart] = found["clocks"]
    assert abs(apart["offset_s"]) <= apart["known_to_s"] < 1.1, "both stand on this machine"
    page = Path(found["report"]).read_text()
    store = ResultStore(results)
    for run in store.runs():
        assert run.labels[LABEL] == found["regional_id"]
        assert run.run_id in page and run.vantage in page

    gone = bench.workers["test-west"]
    gone.kill()
    gone.wait(60)
    one = bench.ask("--results", results, "--start-within", "0.4")
    assert one.code == 3, one.err
    found = one.document
    assert found["status"] == "incomplete"
    answers = {entry["vantage"]: entry for entry in found["vantages"]}
    assert answers["test-east"]["answer"] == "complete"
    assert answers["test-west"]["answer"] == "missing" and answers["test-west"]["run_id"] is None
    assert "nobody took the run within 0.4 minutes" in answers["test-west"]["reason"]
    assert {row["vantage"] for row in found["cells"]} == {"test-east"}
    page = Path(found["report"]).read_text()
    assert "Lacking: test-west" in page and answers["test-east"]["run_id"] in page
    states = flow_states(bench.server, "regional-benchmark")
    assert [state["name"] for state in states] == ["Completed", "Incomplete"]
    assert states[1]["type"] == "FAILED"
    assert "vantage 'test-west' is missing: nobody took the run" in states[1]["message"]
    assert [state["type"] for state in flow_states(bench.server, "pull-benchmark")].count("CANCELLED") == 1


def flow_states(server: PrefectServer, flow: str) -> list[dict[str, Any]]:
    """The states of a flow's runs, the oldest first."""
    body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
    answer = httpx.post(f"{server.api}/flow_runs/filter", json=body, trust_env=False, timeout=60)
    answer.raise_for_status()
    runs = sorted(answer.json(), key=lambda run: run["created"])
    return [run["state"] for run in runs]
