"""What an engine is: the client that pulls, and the clock and the cores that it has.

A trial calls `open_trial` (untimed: resets, sessions, folders), then `pull` from up to `concurrency` threads at once
(timed, by the trial), then `close_trial` (untimed). `pull` never raises for what a registry or a client does: a failed
pull is an outcome. `cancel` may come from a signal while pulls are under way: they end soon, as `cancelled`.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pullbench.errors import ErrorCode
from pullbench.model.capability import AuthMode, CacheState
from pullbench.model.facts import EngineFacts, PlatformImage
from pullbench.model.record import Transfer
from pullbench.model.reference import Reference
from pullbench.model.route import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """What a staged pull brings before its image: pinned, with what its manifest promised."""

    reference: Reference
    expected: PlatformImage


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """One image to pull: pinned to a digest, with what its manifest promised when the plan was made."""

    pull: int
    image: str
    """As in the spec."""
    reference: Reference
    """Pinned to the digest that the tag had: the index's where there is one."""
    is_index: bool
    expected: PlatformImage
    platform: str
    route: Route
    auth: AuthMode
    timeout_s: float
    """For all attempts together."""
    retries: int
    bases: tuple[BaseImage, ...] = ()
    """To be pulled first, inside the clock; for the engine that has `base_images`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetup:
    """What a trial will ask of an engine."""

    trial: int
    concurrency: int
    cache: CacheState
    cache_reset: str
    """`own`: only what a run brought is removed; `remove`: any image under test."""
    requests: tuple[PullRequest, ...]
    before_pulls: Callable[[Sequence[str]], None]
    """To be called with the names that the trial may bring into a store, before the first of them is pulled."""
    brought: frozenset[str] = frozenset()
    """What `before_pulls` was told in this run or an earlier one: image IDs, and names that a run made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOutcome:
    """What one pull gave; the trial adds the times around it."""

    ok: bool
    error_code: ErrorCode | None = None
    error: str | None = None
    attempts: int = 1
    bytes: int | None = None
    layers: int | None = None
    layers_cached: int | None = None
    layers_shared: int | None = None
    auth_s: float | None = None
    resolve_s: float | None = None
    download_s: float | None = None
    extract_s: float | None = None
    served_by: str | None = None
    transfers: tuple[Transfer, ...] = ()
    duration_s: float | None = None
    """Start to end by the engine's own clock, where checks follow the pull; the trial then takes it for its own."""
    verify: "Callable[[], PullOutcome] | None" = field(default=None, repr=False, compare=False)
    """What is still to be looked at, and costs others' pulls if it is now: called before the trial closes, when no pull is
    under way, for the outcome that counts. Its times are this one's."""

    def verified(self) -> "PullOutcome":
        return self if self.verify is None else self.verify()


class Engine(Protocol):
    """A client that pulls. One object serves a run; `name` is the spec's, `kind` a key of CAPABILITIES."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    def facts(self) -> EngineFacts:
        """Whether it can be used here, its version, and what its store holds; never raises for an absent client."""
        ...

    def open_trial(self, setup: TrialSetup) -> None: ...
    def pull(self, request: PullRequest) -> PullOutcome: ...
    def close_trial(self) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...


class Clock(Protocol):
    """Seconds that never go back, and the instant that belongs to them."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The monotonic clock, tied once to UTC, so that instants and durations of a run agree with each other."""

    def __init__(self) -> None:
        self._origin = time.monotonic()
        self._origin_at = datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return self._origin_at + timedelta(seconds=time.monotonic() - self._origin)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def usable_cores() -> int:
    """Cores that this process may use, not those that the machine has."""
    return len(own_cores() or ()) or os.cpu_count() or 1


def own_cores() -> frozenset[int] | None:
    """The numbers of those cores; None where the system does not tell, as macOS does not."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
