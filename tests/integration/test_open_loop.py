"""Open loop against a server of known capacity: latency from the intended start grows, in a closed loop it cannot."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pullbench.lab.contents import Contents
from pullbench.lab.images import make_images
from pullbench.lab.registry import Registry
from pullbench.model.record import TrialResult
from pullbench.model.spec import Load
from tests.integration.lab_trial import lab_facts, lab_result, lab_spec

pytestmark = [pytest.mark.integration]

SERVICE_S = 0.01
PULLS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """A registry that is served one request at a time, and the image that it holds."""

    url: str
    image: str


@pytest.fixture
def slow_registry(tmp_path: Path) -> Iterator[Slow]:
    """One request at a time, each for SERVICE_S."""
    images = make_images(tmp_path, seed=1, count=1, total_bytes=50_000, platforms=("linux/amd64",), max_layers=2)
    with Registry(Contents(images), slots=1, service_s=SERVICE_S) as registry:
        yield Slow(url=registry.url, image=f"{images[0].repository}:{images[0].tag}")


def measure(registry: Slow, load: dict[str, object]) -> TrialResult:
    spec = lab_spec(registry.url, registry.image, matrix={"concurrency": [4]}, pulls_per_trial=PULLS, load=load)
    return lab_result(spec, lab_facts(spec))


def quarters(result: TrialResult) -> tuple[float, float]:
    """Median latency from the intended start of the first quarter of the pulls, and of the last."""
    latencies = [pull.queued_s + pull.duration_s for pull in sorted(result.pulls, key=lambda pull: pull.intended_at)]
    quarter = PULLS // 4
    return statistics.median(latencies[:quarter]), statistics.median(latencies[-quarter:])


def test_at_twice_the_capacity_latency_grows_in_an_open_loop_and_not_in_a_closed_one(slow_registry: Slow) -> None:
    closed = measure(slow_registry, {})
    assert all(pull.ok and pull.queued_s == 0.0 for pull in closed.pulls)
    capacity = PULLS / closed.record.wall_s
    first, last = quarters(closed)
    assert last < 2 * first, "a closed loop offers no more than is served"

    opened = measure(slow_registry, Load(mode="open", rate=2 * capacity, arrivals="uniform").model_dump())
    assert all(pull.ok for pull in opened.pulls)
    assert opened.record.load_mode == "open"
    assert opened.record.offered_rate == pytest.approx(2 * capacity)
    first, last = quarters(opened)
    assert last > 2 * first, "what arrives faster than it is served waits ever longer"
    assert max(pull.queued_s for pull in opened.pulls) > 0.25 * closed.record.wall_s, "and is known to start late"
    for pull in opened.pulls:
        assert (pull.started_at - pull.intended_at).total_seconds() == pytest.approx(pull.queued_s, abs=1e-3)
