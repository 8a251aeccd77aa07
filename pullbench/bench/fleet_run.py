"""A run whose trials a fleet pulls: `concurrency` is the number of nodes, and each pulls the image once.

A pull's `queued_s` counts from the common start, so a node finishes `queued_s + duration_s` after it. This gives the times
of the first node, of half of the nodes and of the last. `origin_bytes` is what the registry itself served meanwhile.
"""

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from pullbench.bench.active_run import ActiveRun
from pullbench.bench.fleet import Fleet, Member, NodeJob, Together, node_jobs
from pullbench.bench.proxy_cache import Ready
from pullbench.bench.specfile import LoadedSpec
from pullbench.bench.trial import Done, trial_result
from pullbench.bench.workbench import Workbench
from pullbench.engines.base import PullRequest
from pullbench.errors import RegistryError, UsageError
from pullbench.model.capability import CAPABILITIES
from pullbench.model.facts import Facts
from pullbench.model.plan import Plan, Trial
from pullbench.model.record import TrialResult
from pullbench.model.spec import Load, RegistryEntry, Spec
from pullbench.registry.products.distribution import blobs_under_way, served_blob_bytes

_SETTLE_S, _SETTLES, _STILL = 0.1, 100, 3
"""A counter grows when a blob has been served completely, and a mirror may still be fetching: wait for three equal readings."""
_CLOSED = Load()
_PATIENCE_S = 120.0
"""The time limit to get ready, and in addition to a pull's own limit."""


class FleetWorkbench(Workbench):
    """A workbench whose pulls are made by a fleet's nodes."""

    def __init__(self, loaded: LoadedSpec, *, fleet: Fleet, **options: Any) -> None:
        super().__init__(loaded, **{**options, "kind": "fleet"})
        self.fleet = fleet

    @cached_property
    def members(self) -> list[Member]:
        """The fleet's members, looked up once."""
        return self.fleet.members()

    def plan(self, facts: Facts) -> Plan:
        """Like any plan, but one image makes a mirror cold for a trial, not one per pull."""
        made = super().plan(facts)
        nodes = self.spec.matrix.concurrency[0]
        pushed = None if made.pushed_bytes is None else made.pushed_bytes // nodes
        return dataclasses.replace(made, pushed_bytes=pushed)


class FleetRun(ActiveRun):
    """A run whose trials a fleet pulls; otherwise like any run."""

    bench: FleetWorkbench

    def _more_environment(self) -> dict[str, Any]:
        nodes = {
            member.address: {
                "host": member.machine.host,
                "cores": member.machine.cores,
                "clock_offset_s": round(member.offset_s, 6),
                "clock_known_to_s": round(member.known_to_s, 6),
            }
            for member in self.bench.members
        }
        return super()._more_environment() | {"fleet": nodes}

    def _measure_ceilings(self) -> None:
        """Nothing to measure: this process pulls nothing."""

    def _prepare(self, trial: Trial, requests: tuple[PullRequest, ...]) -> Ready:
        """Prepare the mirror once: all nodes pull one image."""
        one = dataclasses.replace(trial, images=trial.images[:1])
        ready = super()._prepare(one, requests[:1])
        each = tuple(dataclasses.replace(ready.requests[0], pull=number) for number in range(trial.cell.concurrency))
        return dataclasses.replace(ready, requests=each)

    def _measure(self, trial: Trial, ready: Ready, brought: list[str]) -> TrialResult:  # noqa: ARG002
        cell, clock = trial.cell, self.bench.clock
        every = NodeJob(
            trial=trial.number,
            nodes=(),
            requests=ready.requests,
            engine=self.spec.engine(cell.engine),
            cache=cell.cache,
            cache_reset=self.spec.cache_reset,
        )
        jobs = node_jobs(self.bench.members, cell.concurrency, every)
        registry = next(entry for entry in self.spec.registries if entry.name == cell.registry)
        setup_from_s, before = clock.monotonic(), _served(registry)
        together = self.bench.fleet.play(jobs, patience_s=_PATIENCE_S + self.spec.timeout_s)
        result = gathered(together, setup_s=0.0)
        origin = None if before is None else self._origin(registry, before)
        spent_s = clock.monotonic() - setup_from_s - result.record.wall_s
        record = dataclasses.replace(
            result.record, nodes=cell.concurrency, origin_bytes=origin, setup_s=max(0.0, spent_s)
        )
        return dataclasses.replace(result, record=record)

    def _origin(self, registry: RegistryEntry, before: int) -> int | None:
        """The bytes that the registry has served since `before`, once it serves nothing more."""
        readings: list[int] = []
        for _ in range(_SETTLES):
            now = _served(registry)
            if now is None:
                return None
            readings = [*readings, now][-_STILL:]
            if len(readings) == _STILL and len(set(readings)) == 1 and not _busy(registry):
                break
            self.bench.clock.sleep(_SETTLE_S)
        return readings[-1] - before


def refuse_stores(spec: Spec) -> None:
    """Raise UsageError for an engine whose store outlives the pull."""
    for name in spec.matrix.engines:
        if CAPABILITIES[spec.engine(name).kind].has_store:
            raise UsageError(
                f"matrix.engines: '{name}' keeps what it pulls, and a fleet's nodes cannot record them first: "
                "use wire or skopeo for a fleet"
            )


def gathered(together: Together, *, setup_s: float) -> TrialResult:
    """All nodes' pulls as one trial; times are on this process's clock, as the common start."""
    start_at = datetime.fromtimestamp(together.started_s, UTC)
    done = []
    for entry in (entry for played in together.played for entry in played.pulls):
        late = timedelta(seconds=entry.pull.queued_s)
        shift = start_at + late - entry.pull.started_at
        done.append(
            Done(
                pull=dataclasses.replace(entry.pull, intended_at=start_at, started_at=start_at + late),
                transfers=tuple(dataclasses.replace(one, started_at=one.started_at + shift) for one in entry.transfers),
                started_s=entry.pull.queued_s,
            )
        )
    cpu_s = sum(played.cpu_s for played in together.played)
    result = trial_result(done, setup_s=setup_s, cpu_s=cpu_s, load=_CLOSED)
    busy = _busiest(together, result.record.wall_s)
    return dataclasses.replace(result, record=dataclasses.replace(result.record, client_busy=busy))


def _busiest(together: Together, wall_s: float) -> float | None:
    """The share of its cores that the busiest machine used; several members may share one."""
    used: dict[str, float] = {}
    cores: dict[str, int] = {}
    for played in together.played:
        used[played.machine.host] = used.get(played.machine.host, 0.0) + played.cpu_s
        cores[played.machine.host] = played.machine.cores
    return max((used[host] / (cores[host] * wall_s) for host in used), default=None) if wall_s > 0 else None


def _served(registry: RegistryEntry) -> int | None:
    if registry.counters is None:
        return None
    try:
        return served_blob_bytes(registry.counters, registry.ca_file)
    except RegistryError:
        return None  # unknown; the report says so


def _busy(registry: RegistryEntry) -> bool:
    try:
        return registry.counters is not None and bool(blobs_under_way(registry.counters, registry.ca_file))
    except RegistryError:
        return False
