"""A fleet: many nodes that pull one image at the same time.

A member is a process on some machine. It plays one node or several, each with its own engine, connections, login and
directories. All nodes start at one time, which each member reads on its own clock.
"""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pullbench import __version__
from pullbench.bench.load import Loop
from pullbench.bench.sampler import cpu_s_of_process
from pullbench.bench.trial import Pulled, pull_once, verified
from pullbench.engines.base import Clock, Engine, PullRequest, SystemClock, TrialSetup, usable_cores
from pullbench.engines.catalog import make_engine
from pullbench.model.capability import CacheState
from pullbench.model.record import Pull, Transfer
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

Player = tuple[Engine, PullRequest, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine of a member's process, as the member reports it."""

    host: str
    cores: int
    version: str
    """The version of pullbench."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One process of the fleet; the offset of its clock to this one, in seconds, is known to ± `known_to_s`."""

    address: str
    machine: Machine
    offset_s: float
    known_to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeJob:
    """One member's part of a trial: one request per node."""

    trial: int
    nodes: tuple[str, ...]
    requests: tuple[PullRequest, ...]
    engine: EngineEntry
    cache: CacheState
    cache_reset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePull:
    """The result of one node; `pull.queued_s` is the delay of its start after the common start."""

    pull: Pull
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The results of one member's nodes."""

    machine: Machine
    cpu_s: float
    pulls: tuple[NodePull, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """The results of a fleet: the common start in Unix seconds of this process's clock, and each member's part."""

    started_s: float
    played: tuple[Played, ...]


class Fleet(Protocol):
    """The members: a Dask cluster, or the threads of a test."""

    def members(self) -> list[Member]:
        """The members that answer, in a fixed order; UsageError if one has another version of pullbench."""
        ...

    def play(self, jobs: Mapping[str, NodeJob], *, patience_s: float) -> Together:
        """Have each member play its job, by address, from a common start.

        Raises IncompleteError, with the member's name, if one is lost or is not ready within `patience_s`.
        """
        ...


def machine() -> Machine:
    """This process's machine."""
    return Machine(host=platform.node(), cores=usable_cores(), version=__version__)


def node_jobs(members: Sequence[Member], nodes: int, job: NodeJob) -> dict[str, NodeJob]:
    """Distribute `nodes` over the members as evenly as possible; `job` has every node's request."""
    dealt: dict[str, NodeJob] = {}
    for place, member in enumerate(members[:nodes]):
        own = range(place, nodes, len(members))
        names = tuple(f"{member.address.partition('://')[2] or member.address}/{turn}" for turn in range(len(own)))
        dealt[member.address] = dataclasses.replace(
            job, nodes=names, requests=tuple(job.requests[number] for number in own)
        )
    return dealt


def play(
    job: NodeJob,
    *,
    start: Callable[[], float],
    watch: Callable[[Callable[[], None]], None],
    environ: Mapping[str, str] = os.environ,
) -> Played:
    """Play the nodes of a job in this process: prepare, wait for the start, pull concurrently, clean up.

    `start` is called when every node is ready, and returns the common start on this machine's clock in Unix seconds. `watch`
    receives a function that cancels all pulls. Only the pulls are timed.
    """
    clock = SystemClock()
    keychain = Keychain(environ=environ)
    engines = [make_engine(job.engine, keychain=keychain, clock=clock) for _ in job.nodes]
    players: list[Player] = list(zip(engines, job.requests, job.nodes, strict=True))
    due_s = cpu_from_s = 0.0

    def begin() -> None:
        nonlocal due_s, cpu_from_s
        at_s = start()
        cpu_from_s = cpu_s_of_process()
        due_s = clock.monotonic() + (at_s - time.time())

    def cancel() -> None:
        for engine in engines:
            engine.cancel()

    loop = Loop(players, len(players), lambda player, _: _node(player, due_s, clock), clock=clock)
    try:
        for engine, request, _ in players:
            engine.open_trial(_setup(job, request))
        watch(cancel)
        pulled = loop.run(start=begin, cancel=cancel)
        cpu_s = max(0.0, cpu_s_of_process() - cpu_from_s)
        pulls = tuple(_node_pull(each, node) for each, node in pulled)
    finally:
        for engine in engines:
            engine.close_trial()
            engine.close()
    return Played(machine=machine(), cpu_s=cpu_s, pulls=pulls)


def _node(player: Player, due_s: float, clock: Clock) -> tuple[Pulled, str]:
    engine, request, node = player
    while (left_s := due_s - clock.monotonic()) > 0:
        clock.sleep(left_s)
    return pull_once(request, max(0.0, clock.monotonic() - due_s), engine, clock), node


def _node_pull(pulled: Pulled, node: str) -> NodePull:
    done = verified(pulled)
    return NodePull(pull=dataclasses.replace(done.pull, node=node), transfers=done.transfers)


def _setup(job: NodeJob, request: PullRequest) -> TrialSetup:
    return TrialSetup(
        trial=job.trial,
        concurrency=1,
        cache=job.cache,
        cache_reset=job.cache_reset,
        requests=(request,),
        before_pulls=lambda _: None,
    )
