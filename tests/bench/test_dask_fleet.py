"""A Dask cluster as a fleet, with a scripted client: who is told what, and what is said of a worker that fails or is gone."""

import dataclasses
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pullbench import __version__
from pullbench.bench import dask_fleet
from pullbench.bench.dask_fleet import DaskFleet
from pullbench.bench.fleet import NodeJob, Played, machine, play
from pullbench.errors import IncompleteError, UsageError
from tests.bench.test_fleet import HERE, fleet_spec, job_of

ONE, TWO = "tcp://10.0.0.1:4000", "tcp://10.0.0.2:4000"


class Future:
    """What a worker's job came to."""

    def __init__(self, given: Any) -> None:
        self.given = given

    @property
    def status(self) -> str:
        return "error" if isinstance(self.given, Exception) else "finished" if self.given else "pending"

    def done(self) -> bool:
        return self.status != "pending"

    def exception(self) -> Any:
        return self.given

    def result(self) -> Any:
        return self.given


class Client:
    """A cluster of two workers whose clocks are an hour ahead; `given` is what each worker's job comes to."""

    def __init__(self, given: dict[str, Any] | None = None, *, version: str = __version__) -> None:
        self.given = given or {}
        self.machines = {address: dataclasses.replace(HERE, version=version) for address in (ONE, TWO)}
        self.there = {ONE: 1, TWO: 1}
        self.cancelled = 0

    def run(self, work: Callable[[], Any], workers: list[str] | None = None) -> dict[str, Any]:
        if work is machine:
            return dict(self.machines)
        assert workers is not None
        return {address: time.time() + 3600 for address in workers}

    def nthreads(self) -> dict[str, int]:
        return self.there

    def submit(self, work: Any, job: NodeJob, *_: Any, workers: list[str], **options: Any) -> Future:
        assert options == {"allow_other_workers": False, "pure": False, "retries": 0}, (
            "never anywhere else, never twice"
        )
        return Future(self.given.get(workers[0]))

    def cancel(self, futures: list[Future]) -> None:
        self.cancelled = len(futures)

    def as_current(self) -> "Client":
        return self

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None: ...


class Dask:
    """What members share: who is ready, the start that they are told, and whether they shall stop."""

    def __init__(self, ready: list[str]) -> None:
        self.ready = iter(ready)
        self.told: dict[str, float] = {}
        self.stopped = False

    def module(self) -> Any:
        def get(timeout: float) -> str:
            try:
                return next(self.ready)
            except StopIteration:
                raise TimeoutError from None

        def stop() -> None:
            self.stopped = True

        nothing = {"delete": lambda: None, "close": lambda: None}
        return SimpleNamespace(
            Queue=lambda *_, **__: SimpleNamespace(get=get, **nothing),
            Variable=lambda *_, **__: SimpleNamespace(set=self.told.update, **nothing),
            Event=lambda *_, **__: SimpleNamespace(set=stop),
            wait=lambda *_, **__: None,
        )


@pytest.fixture
def dask(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], Dask]:
    def make(ready: list[str]) -> Dask:
        made = Dask(ready)
        monkeypatch.setattr(dask_fleet, "_distributed", made.module)
        return made

    return make


def played() -> Played:
    return play(job_of(fleet_spec(1)), start=time.time, watch=lambda _: None, environ={})


JOBS = {address: job_of(fleet_spec(1)) for address in (ONE, TWO)}


def test_every_member_is_told_the_same_instant_on_its_own_clock(dask: Callable[[list[str]], Dask]) -> None:
    shared, client = dask([TWO, ONE]), Client({ONE: played(), TWO: played()})
    fleet = DaskFleet(client)
    members = fleet.members()
    assert [member.address for member in members] == [ONE, TWO]
    assert all(abs(member.offset_s - 3600) <= member.known_to_s + 0.001 for member in members)
    together = fleet.play(JOBS, patience_s=5)
    assert len(together.played) == 2
    for member in members:
        assert shared.told[member.address] == pytest.approx(together.started_s + member.offset_s)
    assert shared.stopped, "what follows the stop at the workers ends with the trial"


def test_workers_without_this_pullbench_are_told_before_anything_is_pulled() -> None:
    with pytest.raises(UsageError, match=rf"0\.0\.9.*{__version__}"):
        DaskFleet(Client(version="0.0.9")).members()
    broken = Client()
    broken.run = lambda *_, **__: (_ for _ in ()).throw(ModuleNotFoundError("pullbench"))  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="every worker"):
        DaskFleet(broken).members()
    empty = Client()
    empty.machines = {}
    with pytest.raises(UsageError, match="has no worker"):
        DaskFleet(empty).members()


def test_a_worker_that_fails_is_named_and_all_are_stopped(dask: Callable[[list[str]], Dask]) -> None:
    shared, client = dask([ONE]), Client({TWO: OSError("disk")})
    with pytest.raises(IncompleteError, match=rf"Dask worker {TWO}: OSError: disk"):
        DaskFleet(client).play(JOBS, patience_s=5)
    assert shared.stopped and client.cancelled == 2
    assert shared.told == {}, "the others were told no start"


def test_a_worker_that_is_lost_while_it_pulls_is_named(dask: Callable[[list[str]], Dask]) -> None:
    dask([ONE, TWO])
    client = Client({ONE: played()})
    client.there = {ONE: 1}
    with pytest.raises(IncompleteError, match=rf"Dask worker {TWO} was lost"):
        DaskFleet(client).play(JOBS, patience_s=5)


def test_a_worker_that_never_gets_ready_is_named(dask: Callable[[list[str]], Dask]) -> None:
    dask([ONE])
    with pytest.raises(IncompleteError, match=rf"not ready within 0 s: {TWO}"):
        DaskFleet(Client()).play(JOBS, patience_s=0.0)


def test_results_that_never_come_are_not_waited_for_without_end(dask: Callable[[list[str]], Dask]) -> None:
    dask([ONE, TWO])
    with pytest.raises(IncompleteError, match=rf"no results within 0 s .*{TWO}"):
        DaskFleet(Client({ONE: played()})).play(JOBS, patience_s=0.0)


def test_clocks_are_compared_anew_when_what_was_known_is_old(
    dask: Callable[[list[str]], Dask], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client({ONE: played(), TWO: played()})
    fleet = DaskFleet(client)
    fleet.members()
    monkeypatch.setattr(client, "run", lambda *_, **__: pytest.fail("it is known already"))
    dask([ONE, TWO])
    fleet.play(JOBS, patience_s=5)
    monkeypatch.undo()
    later = Client({ONE: played(), TWO: played()})
    monkeypatch.setattr(fleet, "_client", later)
    monkeypatch.setattr(fleet, "_compared_s", time.monotonic() - 61)
    monkeypatch.setattr(later, "run", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("asked again")))
    with pytest.raises(UsageError, match="asked again"):
        fleet.play(JOBS, patience_s=5)
