"""The stored records of runs, trials, pulls and transfers. The field names are the Parquet columns.

A value that an engine cannot see is None, never zero. Durations are seconds, sizes bytes, times UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pullbench.errors import ErrorCode

RunStatus = Literal["running", "complete", "incomplete", "failed"]
"""`failed`: preflight stopped it before any load. `incomplete`: continue it with `--resume`."""
RunKind = Literal["benchmark", "stress", "calibration", "fleet"]
ProxyCacheFound = Literal["cold", "warm", "mixed"]
TransferKind = Literal["token", "manifest", "config", "layer"]
Phase = Literal["up", "hold", "down"]
"""The phases of a stress test: the load is raised, kept, lowered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One HTTP exchange, or one layer of a pull if the engine does not report exchanges; one per attempt."""

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
    """From the sent request to the first byte."""
    transfer_s: float | None = None
    """From the first byte to the last."""
    total_s: float | None = None
    extract_s: float | None = None
    reused: bool | None = None
    http_version: str | None = None
    remote_ip: str | None = None
    served_by: str | None = None
    error_code: ErrorCode | None = None
    note: str | None = None
    """A remark: the part of a layer, or a refused range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """One pull of an image, with all its attempts. It succeeded, or it has an error code."""

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
    """For a fleet: the node, such as `10.0.0.7:40123/2`, the third node of this Dask worker."""

    def __post_init__(self) -> None:
        if self.ok == (self.error_code is not None):
            raise ValueError("a pull either succeeded or has an error code")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """The record of one configuration in one repetition."""

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
    """The observed state of the mirror's store, whatever the configuration requires; None if unknown."""
    proxy_cache_proof: str | None = None
    """The evidence for it: `upstream bytes`, `headers` or `probe`."""
    step: int | None = None
    """For a stress test: the step, from 0; None for its warm-up and for other runs."""
    phase: Phase | None = None
    nodes: int | None = None
    """For a fleet: the number of nodes that pulled concurrently."""
    origin_bytes: int | None = None
    """For a fleet: blob bytes that the registry itself served meanwhile, by its `counters`; `bytes` is what the nodes received."""
    client_limit: str | None = None
    """The limit that was nearest to the ceiling: `bytes`, `cores` or `lag`."""
    run_delay_share: float | None = None
    """The share of the time that this process's threads were ready to run but waited for a core."""
    sched_lag_s: float | None = None
    """The longest delay of a sleeping thread's wake-up during the pulls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The results of one trial: its record, its pulls and their transfers."""

    record: TrialRecord
    pulls: tuple[Pull, ...]
    transfers: tuple[Transfer, ...]
    setup_bytes: int = 0
    """Bytes transferred before the clock to prepare caches; for the budget, not stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One plan, executed at one vantage."""

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
    """JSON with secrets and header values redacted."""
    spec_hash: str
    facts: str
    """JSON of `Facts`: the pulled digests, and the engines' versions."""
    environment: str
    """JSON: versions, kernel, CPU, memory, congestion control, docker, NIC."""
    trials_planned: int
    planned_out: str = "[]"
    """JSON: the excluded configurations, each with its reason."""
    stopped: str | None = None
    """Why it is not complete, for display; None while it runs, if it is complete, and if it was killed."""
