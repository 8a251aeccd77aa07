"""A stress test of a registry with a known capacity: the limit and the knee are found, it stops there, recovery is seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.lab.contents import Contents
from pullbench.lab.images import make_images
from pullbench.lab.registry import Registry
from pullbench.store.dataset import ResultStore
from tasks.artifacts import artifact_key
from tests.app.test_run import Calls
from tests.integration.shell import PrefectServer, Shell

pytestmark = [pytest.mark.integration]

SLOTS = 4
SERVICE_S = 0.02
STEPS = [1, 2, 4, 8, 16, 32]
NEAR = (SLOTS / 2, SLOTS, 2 * SLOTS)
"""Within one step of the capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A registry that serves SLOTS requests at once, each for SERVICE_S, and the image that it holds."""

    url: str
    image: str
    requests_a_pull: int


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[Bounded]:
    images = make_images(
        tmp_path / "images", seed=1, count=1, total_bytes=30_000, platforms=("linux/amd64",), max_layers=2
    )
    with Registry(Contents(images), slots=SLOTS, service_s=SERVICE_S) as registry:
        yield Bounded(
            url=registry.url,
            image=images[0].name,
            requests_a_pull=2 + len(images[0].blobs),  # index and manifest, then config and layers
        )


def spec_of(registry: Bounded, **changes: Any) -> dict[str, Any]:
    """One request after the other in a pull, so that SLOTS pulls at once fill the registry: the knee.

    With 2 × SLOTS a pull takes twice as long, with 4 × SLOTS four times; 3 times as long is the most that is asked.
    """
    alone_s = registry.requests_a_pull * SERVICE_S
    return {
        "name": "capacity",
        "registries": [{"name": "bounded", "url": registry.url, "credentials": "anonymous"}],
        "engines": [{"name": "serial", "kind": "wire", "layer_concurrency": 1}],
        "images": [registry.image],
        "matrix": {"engines": ["serial"], "platforms": ["linux/amd64"]},
        "stress": {"steps": STEPS, "pulls_per_worker": 2, "hold": 3, "down": [4, 1]},
        "timeout_s": 30,
        "slo": {"success_rate": 0.999, "mean_pull_s": 3 * alone_s, "p99_api_s": None},
        **changes,
    }


def test_a_known_capacity_is_found_within_one_step_and_recovery_is_seen(
    shell: Shell, prefect_server: PrefectServer, bounded: Bounded, tmp_path: Path
) -> None:
    (tmp_path / "capacity.yaml").write_text(yaml.safe_dump(spec_of(bounded)))
    for _ in range(
        2
    ):  # what else the machine does may slow one step and not the next: that is no knee, and is measured again
        done = shell.run("stress", "capacity.yaml", "--json")
        assert done.code == 0, done.err
        stress = done.document["stress"]
        if stress["knee"] in NEAR:
            break
    steps = stress["steps"]
    assert stress["end"] == "broke"
    assert stress["knee"] in NEAR
    assert stress["held"] in (SLOTS, 2 * SLOTS)
    assert stress["broke"] in (2 * SLOTS, 4 * SLOTS)
    assert max(step["load"] for step in steps) == stress["broke"], "it stops where it broke"
    assert [step["phase"] for step in steps if step["phase"] != "up"] == ["hold", "down", "down"]
    assert all(step["succeeded"] == step["pulls"] for step in steps)

    assert stress["recovery"]["held_at"] is not None
    assert stress["recovery"]["load"] == 1
    assert [step["verdict"] for step in steps][-1] == "held"

    run = next(run for run in ResultStore(str(tmp_path / "results")).runs() if run.run_id == done.document["run_id"])
    assert (run.kind, run.status) == ("stress", "complete")
    page = Path(done.document["report"]).read_text(encoding="utf-8")
    for words in (
        done.document["headline"]["title"],
        "Pulls/s and pull time by load",
        "The test over time",
        "Recovery",
    ):
        assert words in page, words
    answer = httpx.post(f"{prefect_server.api}/artifacts/filter", json={}, trust_env=False, timeout=60)
    keys = [entry["key"] for entry in answer.json() if run.run_id in str(entry["data"]) + str(entry["description"])]
    assert {artifact_key(run.name), artifact_key(run.name, "steps")} <= set(keys)


def test_a_rate_above_the_capacity_is_not_served_as_it_arrives(bounded: Bounded, tmp_path: Path) -> None:
    """Without Prefect, as a library would run it."""
    capacity = SLOTS / SERVICE_S / bounded.requests_a_pull
    offered = [round(capacity / 4, 1), round(capacity * 2, 1)]
    ramp = {"ramp": "rate", "steps": offered, "trial_s": 0.5, "hold": 0, "down": []}
    spec = tmp_path / "rate.yaml"
    arrivals = {"mode": "open", "rate": 1, "arrivals": "uniform"}
    spec.write_text(yaml.safe_dump(spec_of(bounded, stress=ramp, load=arrivals, warmup=0)))
    calls = Calls()
    prepared = Prepared(RunRequest(spec=spec, results=str(tmp_path / "results"), report=False, kind="stress"))
    with prepared.bench:
        outcome = conduct(prepared, calls, calls)
    slow, fast = outcome.document["stress"]["steps"]
    assert fast["load"] == offered[1]
    assert fast["rate"] < 1.2 * capacity, "no more comes through than the registry serves"
    assert fast["mean_s"] > slow["mean_s"], "what arrives faster than it is served waits"
    assert slow["succeeded"] == slow["pulls"] and fast["succeeded"] == fast["pulls"]
