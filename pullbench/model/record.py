"""What is stored: one record a run, a trial, a pull and a transfer. The field names are the Parquet columns.

What an engine cannot see is None, never zero. Durations are seconds, sizes bytes, instants UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pullbench.errors import ErrorCode

RunStatus = Literal["running", "complete", "incomplete", "failed"]
"""`failed`: preflight stopped it before any load. `incomplete`: `--resume` goes on."""
RunKind = Literal["benchmark", "stress", "calibration", "fleet"]
ProxyCacheFound = Literal["cold", "warm", "mixed"]
TransferKind = Literal["token", "manifest", "config", "layer"]
Phase = Literal["up", "hold", "down"]
"""Of a stress test: the load is raised, held, lowered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One HTTP exchange, or one layer of a pull where the engine does not show exchanges; one an attempt."""

    pull: int
    attempt: int
    kind: TransferKind
    digest: str | None
    bytes: int | None
    status: int | None
    started_at: datetime
    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    wait_s: float | None = None
    """Request sent to first byte."""
    transfer_s: float | None = None
    """First byte to last."""
    total_s: float | None = None
    extract_s: float | None = None
    reused: bool | None = None
    http_version: str | None = None
    remote_ip: str | None = None
    served_by: str | None = None
    error_code: ErrorCode | None = None
    note: str | None = None
    """What is special about it: which bytes of a layer it brought, or that a range was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One image pulled once, with all its attempts. It succeeded, or it has an error code."""

    pull: int
    image: str
    digest: str
    intended_at: datetime
    started_at: datetime
    queued_s: float
    duration_s: float
    ok: bool
    error_code: ErrorCode | None
    error: str | None
    attempts: int
    bytes: int | None
    layers: int | None
    layers_cached: int | None
    layers_shared: int | None
    auth_s: float | None
    resolve_s: float | None
    download_s: float | None
    extract_s: float | None
    served_by: str | None
    node: str | None = None
    """Of a fleet: who pulled it, as `10.0.0.7:40123/2`, the third node that this Dask worker plays."""

    def __post_init__(self) -> None:
        if self.ok == (self.error_code is not None):
            raise ValueError("a pull succeeded or has an error code, and never both")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One cell in one block: what it took as a whole."""

    started_at: datetime
    wall_s: float
    setup_s: float
    pulls: int
    succeeded: int
    bytes: int | None
    throughput_bytes_per_s: float | None
    cpu_s: float
    client_busy: float | None
    """Share of the client's own ceiling in the busier half of the trial; 1.0 is the ceiling."""
    load_mode: str
    offered_rate: float | None
    proxy_cache_found: ProxyCacheFound | None = None
    """What the mirror's store showed itself to be, whatever the cell's `proxy_cache` says; None where nothing shows it."""
    proxy_cache_proof: str | None = None
    """What showed it: `upstream bytes`, `headers` or `probe`."""
    step: int | None = None
    """Of a stress test: which step, from 0; None for its warm-up and for other runs."""
    phase: Phase | None = None
    nodes: int | None = None
    """Of a fleet: how many nodes pulled at once."""
    origin_bytes: int | None = None
    """Of a fleet: blob bytes that the registry itself served meanwhile, by its `counters`; `bytes` is what the nodes got."""
    client_limit: str | None = None
    """What was nearest to the ceiling: `bytes`, `cores` or `lag`."""
    run_delay_share: float | None = None
    """Of the time in which this process's threads were ready to run, the share that they waited for a core."""
    sched_lag_s: float | None = None
    """The longest that a thread which slept beside the pulls woke late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What one trial leaves: its own record, its pulls and their transfers."""

    record: TrialRecord
    pulls: tuple[Pull, ...]
    transfers: tuple[Transfer, ...]
    setup_bytes: int = 0
    """Moved before the clock, to make caches what the cell says; for the budget, and not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One plan executed at one vantage."""

    run_id: str
    vantage: str
    name: str
    kind: RunKind = "benchmark"
    labels: Mapping[str, str] = field(default_factory=dict)
    started_at: datetime
    finished_at: datetime | None = None
    status: RunStatus = "running"
    seed: int
    spec: str
    """JSON, secrets and header values redacted."""
    spec_hash: str
    facts: str
    """JSON of `Facts`: the digests that were pulled, and the engines' versions."""
    environment: str
    """JSON: versions, kernel, CPU, memory, congestion control, docker, NIC."""
    trials_planned: int
    planned_out: str = "[]"
    """JSON: the cells that could not be, each with its reason."""
    stopped: str | None = None
    """Why it is not complete, for people; None while it runs, where it is complete, and where it was killed."""
