"""A client without a free core is not a registry at its capacity: a stress test stops there and names the client."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.lab.contents import Contents
from pullbench.lab.images import make_images
from pullbench.lab.registry import Registry
from pullbench.report.stress.verdict import CLIENT_IS_THE_LIMIT
from tests.app.test_run import Calls

pytestmark = [pytest.mark.integration]

SERVICE_S = 0.05
"""Of each request, however many come: a registry that a client of one core cannot fill."""
STEPS = [1, 32, 64, 128]
WITHIN_S = 120


def take(core: int) -> None:
    """Use a core for good."""
    os.sched_setaffinity(0, {core})
    while True:
        pass


def stress(spec: Path, core: int, told: Path) -> None:
    """A stress test by a client that may use one core; what it says goes to a file."""
    os.sched_setaffinity(0, {core})
    calls = Calls()
    prepared = Prepared(RunRequest(spec=spec, results=str(spec.parent / "results"), report=False, kind="stress"))
    with prepared.bench:
        outcome = conduct(prepared, calls, calls)
        trials = prepared.store.table("trials", outcome.run_id).to_pylist()
    kept = {"document": outcome.document, "exit_code": outcome.exit_code, "notes": calls.notes, "trials": trials}
    told.write_text(json.dumps(kept, default=str))


@pytest.fixture
def url_and_image(tmp_path: Path) -> Iterator[tuple[str, str]]:
    images = make_images(
        tmp_path / "images", seed=1, count=1, total_bytes=3_000_000, platforms=("linux/amd64",), max_layers=2
    )
    with Registry(Contents(images), slots=1000, service_s=SERVICE_S) as registry:
        yield registry.url, images[0].name


def measured(folder: Path, url: str, image: str) -> dict[str, Any]:
    """The result of a stress test on one core, which another process uses too."""
    spec, told, core = folder / "spec.yaml", folder / "told.json", min(os.sched_getaffinity(0))
    data = {
        "name": "client",
        "registries": [{"name": "wide", "url": url, "credentials": "anonymous"}],
        "engines": [{"name": "serial", "kind": "wire", "layer_concurrency": 1}],
        "images": [image],
        "matrix": {"engines": ["serial"], "platforms": ["linux/amd64"]},
        "stress": {"steps": STEPS, "pulls_per_worker": 2, "hold": 0, "down": []},
        "warmup": 0,
        "slo": {"success_rate": 0.9, "mean_pull_s": 60, "p99_api_s": None, "consecutive_failures": 50},
    }
    spec.write_text(yaml.safe_dump(data))
    spawn = multiprocessing.get_context("spawn")
    other: BaseProcess = spawn.Process(target=take, args=(core,), daemon=True)
    client: BaseProcess = spawn.Process(target=stress, args=(spec, core, told))
    try:
        other.start()
        client.start()
        client.join(WITHIN_S)
        assert client.exitcode == 0
    finally:
        for process in (client, other):
            if process.is_alive():
                process.kill()
                process.join()
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def test_guard_client_busy_a_client_whose_core_another_takes_ends_the_stress_test_and_is_named(
    tmp_path: Path, url_and_image: tuple[str, str]
) -> None:
    found = measured(tmp_path, *url_and_image)
    said, test = found["document"]["headline"], found["document"]["stress"]
    assert test["end"] == "client"
    assert found["exit_code"] == 0
    assert said["title"] == CLIENT_IS_THE_LIMIT
    assert (test["client_limited_at"], test["client_limit"]) == (test["steps"][-1]["load"], "cores")
    assert [step["load"] for step in test["steps"]] < STEPS, "no higher load was put on the registry"
    first, last = test["steps"][0], test["steps"][-1]
    assert first["client_busy"] < 0.8 <= last["client_busy"]
    assert any("client-limited" in note for note in found["notes"]), "the progress shows it immediately"
    assert any(trial["run_delay_share"] > 0.2 for trial in found["trials"]), "it waited for its core"
