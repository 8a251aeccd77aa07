"""A fleet without Dask: what nodes do, how they are dealt out, and what a trial of theirs is."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pullbench.bench import fleet_run
from pullbench.bench.fleet import Machine, Member, NodeJob, Played, Together, node_jobs, play
from pullbench.bench.fleet_run import FleetRun, FleetWorkbench, gathered, refuse_stores
from pullbench.bench.trial import pull_requests
from pullbench.engines.base import PullRequest
from pullbench.errors import UsageError
from pullbench.model.plan import plan, routes
from pullbench.model.spec import Spec
from pullbench.store.dataset import ResultStore
from tests.bench.samples import facts_for, loaded, make_spec

HERE = Machine(host="here", cores=2, version="0.1.0")
MEMBERS = [
    Member(address=f"tcp://10.0.0.{number}:4000", machine=HERE, offset_s=0.0, known_to_s=0.001) for number in (1, 2, 3)
]


def fleet_spec(nodes: int, **changes: Any) -> Spec:
    matrix = {"engines": ["scripted"], "platforms": ["linux/amd64"], "concurrency": [nodes]}
    given = {"images": ["app/one:1"], "pulls_per_trial": nodes, "matrix": matrix, "repetitions": 1, "warmup": 0}
    return make_spec(**{**given, **changes})


def requests_of(spec: Spec) -> tuple[PullRequest, ...]:
    facts = facts_for(spec)
    trial = plan(spec, facts).trials[0]
    return pull_requests(trial, spec, facts, routes(spec)[trial.cell.registry, trial.cell.proxy])


def job_of(spec: Spec) -> NodeJob:
    requests = requests_of(spec)
    nodes = tuple(f"a/{number}" for number in range(len(requests)))
    return NodeJob(
        trial=0, nodes=nodes, requests=requests, engine=spec.engine("scripted"), cache="cold", cache_reset="own"
    )


def at_once() -> float:
    return time.time()


class Threads:
    """A fleet of this process: each member a thread."""

    def __init__(self, members: list[Member] = MEMBERS) -> None:
        self.jobs: list[Mapping[str, NodeJob]] = []
        self._members = members

    def members(self) -> list[Member]:
        return self._members

    def play(self, jobs: Mapping[str, NodeJob], *, patience_s: float) -> Together:
        self.jobs.append(jobs)
        start_s, barrier = time.time(), threading.Barrier(len(jobs))

        def start() -> float:
            barrier.wait(30)
            return start_s

        with ThreadPoolExecutor(len(jobs)) as pool:
            played = list(pool.map(lambda job: play(job, start=start, watch=lambda _: None, environ={}), jobs.values()))
        return Together(started_s=start_s, played=tuple(played))


@contextmanager
def begun(tmp_path: Path, spec: Spec, fleet: Threads) -> Iterator[FleetRun]:
    with FleetWorkbench(loaded(spec), vantage="here", environ={}, fleet=fleet) as bench:
        yield FleetRun.begin(bench, ResultStore(str(tmp_path)), facts_for(spec))


def test_nodes_are_dealt_out_in_turn_and_each_has_a_name_of_its_own() -> None:
    jobs = node_jobs(MEMBERS, 7, job_of(fleet_spec(7)))
    assert [len(job.nodes) for job in jobs.values()] == [3, 2, 2]
    assert jobs["tcp://10.0.0.1:4000"].nodes == ("10.0.0.1:4000/0", "10.0.0.1:4000/1", "10.0.0.1:4000/2")
    assert [request.pull for request in jobs["tcp://10.0.0.2:4000"].requests] == [1, 4]
    assert sorted(request.pull for job in jobs.values() for request in job.requests) == list(range(7))


def test_members_that_are_more_than_the_nodes_stand_by() -> None:
    assert list(node_jobs(MEMBERS, 2, job_of(fleet_spec(2)))) == [member.address for member in MEMBERS[:2]]


def test_every_node_pulls_once_by_an_engine_of_its_own_from_the_common_start() -> None:
    told: list[str] = []

    def start() -> float:
        told.append("start")
        return time.time() + 0.05

    spec = fleet_spec(3, engines=[{"name": "scripted", "kind": "fake", "script": [0.001, "reset"]}])
    played = play(job_of(spec), start=start, watch=lambda _: told.append("ready"), environ={})
    assert told == ["ready", "start"]
    assert sorted(entry.pull.node or "" for entry in played.pulls) == ["a/0", "a/1", "a/2"]
    assert all(entry.pull.ok for entry in played.pulls), "a shared engine would be at its second line"
    assert all(0 <= entry.pull.queued_s < 5 for entry in played.pulls)


def test_a_node_that_begins_late_says_by_how_much() -> None:
    played = play(job_of(fleet_spec(2)), start=lambda: time.time() - 3.0, watch=lambda _: None, environ={})
    assert all(entry.pull.queued_s >= 3.0 for entry in played.pulls)


def test_a_failed_pull_is_a_record_of_its_node() -> None:
    spec = fleet_spec(2, engines=[{"name": "scripted", "kind": "fake", "script": ["reset"]}])
    played = play(job_of(spec), start=at_once, watch=lambda _: None, environ={})
    assert {(entry.pull.ok, entry.pull.error_code) for entry in played.pulls} == {(False, "reset")}


def test_what_stops_a_fleet_ends_the_pulls_under_way() -> None:
    spec = fleet_spec(2, engines=[{"name": "scripted", "kind": "fake", "script": [60.0]}])
    stops: list[Callable[[], None]] = []

    def start() -> float:
        threading.Timer(0.05, stops[0]).start()
        return time.time()

    played = play(job_of(spec), start=start, watch=stops.append, environ={})
    assert {entry.pull.error_code for entry in played.pulls} == {"cancelled"}


def test_a_start_that_is_never_told_ends_the_wait() -> None:
    def start() -> float:
        raise TimeoutError("nobody said when")

    with pytest.raises(TimeoutError, match="nobody said when"):
        play(job_of(fleet_spec(2)), start=start, watch=lambda _: None, environ={})


def test_a_trial_has_a_row_a_node_on_one_clock_and_says_how_many_they_were(tmp_path: Path) -> None:
    spec, fleet = fleet_spec(5), Threads()
    with begun(tmp_path, spec, fleet) as run:
        run.run_trial(run.plan.trials[0])
    store = ResultStore(str(tmp_path))
    pulls, [trial] = store.frame("pulls", run.run_id), store.table("trials", run.run_id).to_pylist()
    assert store.run(run.run_id).kind == "fleet"
    assert sorted(pulls["node"]) == [
        *(f"10.0.0.1:4000/{turn}" for turn in range(2)),
        *(f"10.0.0.2:4000/{turn}" for turn in range(2)),
        "10.0.0.3:4000/0",
    ]
    assert pulls["intended_at"].nunique() == 1
    assert (trial["nodes"], trial["pulls"], trial["succeeded"], trial["origin_bytes"]) == (5, 5, 5, None)
    members = json.loads(store.run(run.run_id).environment)["fleet"]
    assert members["tcp://10.0.0.1:4000"] == {
        "host": "here",
        "cores": 2,
        "clock_offset_s": 0.0,
        "clock_known_to_s": 0.001,
    }


def test_origin_bytes_are_what_the_registry_served_until_it_serves_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = {"name": "eu", "url": "http://127.0.0.1:1", "credentials": "anonymous"}
    spec = fleet_spec(2, registries=[registry | {"counters": "http://127.0.0.1:1/metrics"}])
    served = iter([1000, 1400, 1400, 1400, 1700, 1900, *[1900] * 50])
    busy = iter([1, 0, *[0] * 50])
    monkeypatch.setattr(fleet_run, "served_blob_bytes", lambda *_: next(served))
    monkeypatch.setattr(fleet_run, "blobs_under_way", lambda *_: next(busy))
    monkeypatch.setattr(fleet_run, "_SETTLE_S", 0.0)
    with begun(tmp_path, spec, Threads()) as run:
        result = run.run_trial(run.plan.trials[0])
    assert result.record.origin_bytes == 900, "three equal readings while it is busy are no end"


def test_a_mirror_is_prepared_for_one_image_which_every_node_then_pulls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, fleet = fleet_spec(4), Threads()
    with begun(tmp_path, spec, fleet) as run:
        prepared: list[int] = []
        prepare = run._proxy_cache.prepare

        def counting(run_id: str, trial: Any, requests: tuple[PullRequest, ...], facts: Any) -> Any:
            prepared.append(len(requests))
            assert trial.images == ("app/one:1",)
            twin = dataclasses.replace(requests[0], image="twin:1")
            return dataclasses.replace(prepare(run_id, trial, requests, facts), requests=(twin,))

        monkeypatch.setattr(run._proxy_cache, "prepare", counting)
        result = run.run_trial(run.plan.trials[0])
    assert prepared == [1]
    assert [(pull.pull, pull.image) for pull in result.pulls] == [(number, "twin:1") for number in range(4)]


def test_an_engine_with_a_store_is_no_engine_for_a_fleet() -> None:
    refuse_stores(fleet_spec(1))
    spec = fleet_spec(1, engines=[], matrix={"engines": ["docker"], "platforms": ["linux/amd64"]})
    with pytest.raises(UsageError, match=r"matrix\.engines: 'docker' .* wire or skopeo"):
        refuse_stores(spec)


def test_instants_of_a_member_whose_clock_is_off_come_out_on_this_ones() -> None:
    spec = fleet_spec(2)
    played = play(job_of(spec), start=at_once, watch=lambda _: None, environ={})
    ahead = []
    for number, entry in enumerate(sorted(played.pulls, key=lambda entry: entry.pull.pull)):
        years_ahead = entry.pull.started_at.replace(year=2030)
        pull = dataclasses.replace(entry.pull, started_at=years_ahead, queued_s=0.25 * number)
        ahead.append(dataclasses.replace(entry, pull=pull))
    together = Together(started_s=1_700_000_000.0, played=(Played(machine=HERE, cpu_s=0.5, pulls=tuple(ahead)),))
    result = gathered(together, setup_s=0.0)
    start_at = datetime.fromtimestamp(1_700_000_000.0, UTC)
    assert {pull.intended_at for pull in result.pulls} == {start_at}
    assert [(pull.started_at - start_at).total_seconds() for pull in result.pulls] == [0.0, 0.25]
    slowest = max(pull.queued_s + pull.duration_s for pull in result.pulls)
    assert result.record.wall_s == pytest.approx(slowest)


def test_machines_that_play_several_members_are_as_busy_as_all_of_them_together() -> None:
    first, second = (play(job_of(fleet_spec(1)), start=at_once, watch=lambda _: None, environ={}) for _ in range(2))
    here = [dataclasses.replace(entry, machine=HERE, cpu_s=0.6) for entry in (first, second)]
    slow = [dataclasses.replace(entry.pulls[0].pull, duration_s=1.0, queued_s=0.0) for entry in here]
    pulls = [(dataclasses.replace(here[0].pulls[0], pull=pull),) for pull in slow]
    together = Together(
        started_s=0.0, played=tuple(dataclasses.replace(e, pulls=p) for e, p in zip(here, pulls, strict=True))
    )
    record = gathered(together, setup_s=0.0).record
    assert record.cpu_s == pytest.approx(1.2)
    assert record.client_busy == pytest.approx(0.6), "1.2 s of CPU time in 1 s on two cores"
