"""Mirrors of the embedded lab: made warm in set-up, shown by headers or by the upstream's counters, and never timed."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from pullbench.bench.active_run import ActiveRun
from pullbench.bench.specfile import LoadedSpec
from pullbench.bench.trial import pull_requests
from pullbench.bench.workbench import Workbench
from pullbench.errors import IncompleteError
from pullbench.lab.registry import Registry
from pullbench.model.cache_evidence import Sighting
from pullbench.model.plan import plan, routes
from pullbench.model.record import TrialResult
from pullbench.model.route import Route
from pullbench.model.spec import Spec, read_spec
from pullbench.registry.products.distribution import served_blob_bytes
from pullbench.store.dataset import ResultStore

pytestmark = pytest.mark.usefixtures("no_waiting")


def make_spec(origin: Registry, mirror: Registry, state: str, **changes: Any) -> Spec:
    registry = {"name": "up", "url": origin.url, "credentials": "anonymous", **changes.pop("registry", {})}
    proxy = {"name": "cache", "kind": "mirror", "url": mirror.url, "upstream": "up", "credentials": "anonymous"}
    return read_spec(
        {
            "name": "a",
            "registries": [registry],
            "proxies": [proxy | changes.pop("proxy", {})],
            "images": ["lab/app-1:1.0", "lab/app-2:1.0"],
            "matrix": {"proxies": ["cache"], "platforms": ["linux/amd64"], "proxy_cache": [state]},
            "repetitions": 2,
            "warmup": 0,
            **changes,
        }
    )


def run(spec: Spec, folder: Path) -> list[TrialResult]:
    loaded = LoadedSpec(spec=spec, hash=spec.hash(), source=folder / "spec.yaml")
    with Workbench(loaded, environ={"PATH": "/usr/bin:/bin"}) as bench:
        active = ActiveRun.begin(bench, ResultStore(str(folder / "r")), bench.gather())
        return [active.run_trial(trial) for trial in active.plan.trials]


def found(results: list[TrialResult]) -> list[tuple[str | None, str | None]]:
    return [(result.record.proxy_cache_found, result.record.proxy_cache_proof) for result in results]


def test_any_says_what_the_mirror_turned_out_to_be(origin: Registry, mirror: Registry, tmp_path: Path) -> None:
    spec = make_spec(origin, mirror, "any")
    assert found(run(spec, tmp_path)) == [("cold", "headers"), ("warm", "headers")]


def test_warm_is_made_before_the_first_trial_and_costs_its_set_up(
    origin: Registry, mirror: Registry, tmp_path: Path
) -> None:
    results = run(make_spec(origin, mirror, "warm"), tmp_path)
    assert found(results) == [("warm", "headers")] * 2
    pulled = sum(result.record.bytes or 0 for result in results)
    served = mirror.counters.as_dict()["bytes"]
    assert served >= 2 * pulled, "each image once more in set-up than in the trial"
    assert all(result.record.setup_s > result.record.wall_s / 10 for result in results)


def test_the_upstreams_counters_come_before_the_mirrors_word(
    origin: Registry, mirror: Registry, tmp_path: Path
) -> None:
    spec = make_spec(origin, mirror, "any", registry={"counters": f"{origin.url}/lab/counters"})
    results = run(spec, tmp_path)
    assert found(results) == [("cold", "upstream bytes"), ("warm", "upstream bytes")]
    assert [result.setup_bytes for result in results] == [0, 0]


def test_counters_of_an_upstream_that_others_use_too_show_nothing(
    origin: Registry, mirror: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = itertools.count(step=100_000)

    def busy(url: str, ca_file: str | None) -> int:
        return served_blob_bytes(url, ca_file) + next(others)

    monkeypatch.setattr("pullbench.bench.proxy_cache.served_blob_bytes", busy)
    spec = make_spec(origin, mirror, "warm", registry={"counters": f"{origin.url}/lab/counters"})
    assert found(run(spec, tmp_path)) == [("warm", "headers")] * 2


def test_counters_that_are_none_show_nothing_and_stop_nothing(
    origin: Registry, mirror: Registry, tmp_path: Path
) -> None:
    spec = make_spec(origin, mirror, "warm", registry={"counters": f"{origin.url}/v2/"})
    assert found(run(spec, tmp_path)) == [("warm", "headers")] * 2


def test_a_reset_that_resets_nothing_shows(origin: Registry, mirror: Registry, tmp_path: Path) -> None:
    spec = make_spec(origin, mirror, "cold", proxy={"cold": {"reset": ["true"]}})
    assert found(run(spec, tmp_path)) == [("cold", "headers"), ("warm", "headers")]


def test_a_reset_that_fails_ends_the_run_before_the_trial(origin: Registry, mirror: Registry, tmp_path: Path) -> None:
    spec = make_spec(origin, mirror, "cold", proxy={"cold": {"reset": ["false"]}})
    with pytest.raises(IncompleteError, match=r"cold\.reset \(false\): .* 1"):
        run(spec, tmp_path)
    assert "blob_get" not in mirror.counters.as_dict()["requests"]


def test_an_upstream_that_takes_no_push_is_told_as_one(origin: Registry, mirror: Registry, tmp_path: Path) -> None:
    spec = make_spec(origin, mirror, "cold", proxy={"cold": {"push": "pullbench/cold"}})
    with pytest.raises(IncompleteError, match=r"trial 0 .*405"):
        run(spec, tmp_path)


def test_a_mirror_that_cannot_be_warmed_is_named_with_the_image(
    origin: Registry, mirror: Registry, tmp_path: Path
) -> None:
    spec = make_spec(origin, mirror, "warm", proxy={"prefix": "nowhere"}, retries=0)
    good = make_spec(origin, mirror, "warm")
    loaded = LoadedSpec(spec=good, hash=good.hash(), source=tmp_path / "spec.yaml")
    with Workbench(loaded, environ={}) as bench:
        facts = bench.gather()
    broken = LoadedSpec(spec=spec, hash=spec.hash(), source=tmp_path / "spec.yaml")
    with Workbench(broken, environ={}) as bench:
        active = ActiveRun.begin(bench, ResultStore(str(tmp_path / "r")), facts)
        with pytest.raises(IncompleteError, match=r"'cache' .*lab/app-1:1\.0: \[not_found\]"):
            active.run_trial(active.plan.trials[0])


def test_what_warms_a_mirror_counts_as_set_up(origin: Registry, mirror: Registry, tmp_path: Path) -> None:
    spec = make_spec(origin, mirror, "warm", registry={"counters": f"{origin.url}/lab/counters"})
    first, second = run(spec, tmp_path)
    once = first.record.bytes or 0
    assert (first.setup_bytes, second.setup_bytes) == (2 * once, once), "the first pass is made again, for it fetched"


class RecordingProbe:
    """A probe that remembers what it was to ask."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def endpoint(self, _route: Route) -> tuple[Sighting, ...]:
        self.asked.append("endpoint")
        return ()

    def layers(self, _route: Route, _requests: object) -> tuple[Sighting, ...]:
        self.asked.append("layers")
        return ()


@pytest.mark.parametrize(("state", "before"), [("any", "endpoint"), ("warm", "layers")])
def test_layers_are_asked_for_before_a_trial_only_where_the_mirror_has_them(
    origin: Registry, mirror: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, before: str
) -> None:
    spec, probe = make_spec(origin, mirror, state), RecordingProbe()
    loaded = LoadedSpec(spec=spec, hash=spec.hash(), source=tmp_path / "spec.yaml")
    with Workbench(loaded, environ={}) as bench:
        facts = bench.gather()
        active = ActiveRun.begin(bench, ResultStore(str(tmp_path / "r")), facts)
        (trial, *_) = plan(spec, facts).trials
        hidden = dataclasses.replace(trial, cell=dataclasses.replace(trial.cell, engine_kind="skopeo"))
        requests = pull_requests(trial, spec, facts, routes(spec)["up", "cache"])
        monkeypatch.setattr(active._proxy_cache, "_probe", probe)
        active._proxy_cache.prepare("20260101T000000Z-0000", hidden, requests, facts)
    assert probe.asked == [before], "some caches fetch the whole for a HEAD"
