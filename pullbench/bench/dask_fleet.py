"""A Dask cluster as a fleet: each worker is a member. Dask is an extra: `pip install 'pullbench[fleet]'`.

Nothing is sent over Dask while nodes pull: members report that they are ready, receive a start time slightly in the future,
and send their results when their last node has finished.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from pullbench import __version__
from pullbench.bench.fleet import Machine, Member, NodeJob, Played, Together, machine, play
from pullbench.errors import IncompleteError, MissingExtraError, UsageError

_ANSWERS_WITHIN_S = 20
_CLOCK_SAMPLES = 5
_AHEAD_S = 0.5
"""The time from the last member's ready message to the common start: enough to notify all."""
_LOOK_EVERY_S = 1.0
_OFFSETS_STAND_S = 60.0
"""A clock without a time server may drift by 50 ppm: 3 ms a minute."""


class DaskFleet:
    """The members are the workers of a `distributed.Client`'s cluster."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._offsets_s: dict[str, float] = {}
        self._compared_s = 0.0

    def members(self) -> list[Member]:
        """All workers by address, with their clock offsets; UsageError for a worker without this version of pullbench."""
        try:
            machines: dict[str, Machine] = self._client.run(machine)
        except Exception as error:
            raise UsageError(
                f"a Dask worker cannot run pullbench ({type(error).__name__}: {error}): install pullbench {__version__} on every worker"
            ) from error
        if not machines:
            raise UsageError("the Dask cluster has no worker: start one (`dask worker ADDRESS`)")
        other = {address: found.version for address, found in machines.items() if found.version != __version__}
        for address, version in other.items():
            raise UsageError(
                f"Dask worker {address} has pullbench {version}, but this is {__version__}: install the same version"
            )
        members = [self._member(address, machines[address]) for address in sorted(machines)]
        self._offsets_s = {member.address: member.offset_s for member in members}
        self._compared_s = time.monotonic()
        return members

    def play(self, jobs: Mapping[str, NodeJob], *, patience_s: float) -> Together:
        """As `Fleet.play`. An interruption cancels the running pulls."""
        if not self._offsets_s or time.monotonic() - self._compared_s > _OFFSETS_STAND_S:
            self.members()
        dask = _distributed()
        name = f"pullbench-{secrets.token_hex(6)}"
        ready = dask.Queue(f"{name}-ready", client=self._client)
        begin = dask.Variable(f"{name}-begin", client=self._client)
        stop = dask.Event(f"{name}-stop", client=self._client)
        futures = {
            address: self._client.submit(
                play_at_worker,
                job,
                name,
                patience_s,
                workers=[address],
                allow_other_workers=False,
                pure=False,
                retries=0,
            )
            for address, job in jobs.items()
        }
        try:
            self._wait_ready(ready, futures, patience_s)
            start_s = time.time() + _AHEAD_S
            begin.set({address: start_s + self._offsets_s[address] for address in jobs})
            played = self._results(futures, patience_s)
            return Together(started_s=start_s, played=tuple(played))
        finally:
            stop.set()
            self._client.cancel(list(futures.values()))
            with suppress(Exception):  # cleanup at a scheduler that may be closing
                begin.delete()
                ready.close()

    def _member(self, address: str, found: Machine) -> Member:
        """The offset of the sample with the shortest round trip (RFC 5905, section 8)."""
        best: tuple[float, float] | None = None
        for _ in range(_CLOCK_SAMPLES):
            asked_s = time.time()
            theirs_s = self._client.run(time.time, workers=[address])[address]
            answered_s = time.time()
            half_s = (answered_s - asked_s) / 2
            if best is None or half_s < best[1]:
                best = (theirs_s - (asked_s + answered_s) / 2, half_s)
        assert best is not None
        return Member(address=address, machine=found, offset_s=best[0], known_to_s=best[1])

    def _wait_ready(self, ready: Any, futures: Mapping[str, Any], patience_s: float) -> None:
        """Wait until every member is ready."""
        waiting, until_s = set(futures), time.monotonic() + patience_s
        while waiting:
            try:
                waiting.discard(ready.get(timeout=_LOOK_EVERY_S))
            except TimeoutError:
                self._check(futures, waiting)
                if time.monotonic() > until_s:
                    raise IncompleteError(
                        f"not ready within {patience_s:.0f} s: {_names(waiting)}; are their threads busy with other tasks?"
                    ) from None

    def _results(self, futures: Mapping[str, Any], patience_s: float) -> list[Played]:
        until_s = time.monotonic() + patience_s
        while waiting := {address for address, future in futures.items() if not future.done()}:
            self._check(futures, waiting)
            if time.monotonic() > until_s:
                raise IncompleteError(f"no results within {patience_s:.0f} s from {_names(waiting)}")
            self._pause(futures.values())
        self._check(futures, futures)
        return [future.result() for future in futures.values()]

    def _pause(self, futures: Iterable[Any]) -> None:
        with suppress(TimeoutError), self._client.as_current():
            _distributed().wait(list(futures), timeout=_LOOK_EVERY_S)

    def _check(self, futures: Mapping[str, Any], of: Iterable[str]) -> None:
        """Raise IncompleteError for a member that failed or was lost."""
        there = self._client.nthreads()
        for address in sorted(of):
            if futures[address].status == "error":
                error = futures[address].exception()
                raise IncompleteError(f"Dask worker {address}: {type(error).__name__}: {error}")
            if address not in there:
                raise IncompleteError(f"Dask worker {address} was lost; continue with the remaining workers")


def play_at_worker(job: NodeJob, name: str, patience_s: float) -> Played:
    """The task of a Dask worker: report that it is ready, wait for the start time, and pull."""
    dask = _distributed()
    client, address = dask.get_client(), str(dask.get_worker().address)
    ready = dask.Queue(f"{name}-ready", client=client)
    begin = dask.Variable(f"{name}-begin", client=client)
    stop = dask.Event(f"{name}-stop", client=client)
    over = threading.Event()

    def start() -> float:
        ready.put(address)
        return float(begin.get(timeout=patience_s)[address])

    def watch(cancel: Callable[[], None]) -> None:
        def follow() -> None:
            if stop.wait(timeout=2 * patience_s) and not over.is_set():
                cancel()

        threading.Thread(target=follow, name="fleet-stop", daemon=True).start()

    try:
        return play(job, start=start, watch=watch)
    finally:
        over.set()


@contextmanager
def joined(scheduler: str) -> Iterator[DaskFleet]:
    """The cluster of a Dask scheduler, such as tcp://10.0.0.1:8786, as a context.

    Raises UsageError if the extra is not installed, or nothing answers at the address.
    """
    try:
        dask = _distributed()
    except ImportError as error:
        raise MissingExtraError("fleet", "fleet") from error
    try:
        client = dask.Client(scheduler, timeout=_ANSWERS_WITHIN_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"scheduler: no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`"
        ) from error
    with client:
        yield DaskFleet(client)


def _distributed() -> Any:
    """Imported on first use: it is an extra, and untyped."""
    return import_module("distributed")


def _names(addresses: Iterable[str]) -> str:
    return ", ".join(sorted(addresses))
