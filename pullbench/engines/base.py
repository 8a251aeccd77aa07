"""The interface of engines, the clients that pull, and the clock and cores they use.

A trial calls `open_trial` (not timed: resets, sessions, directories), then `pull` from up to `concurrency` threads (timed by
the trial), then `close_trial` (not timed). `pull` raises nothing for failures of a registry or a client: a failed pull is an
outcome. A signal handler may call `cancel` during pulls; they end soon, as `cancelled`.
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
    """An image that a staged pull downloads first: pinned to a digest, with its manifest."""

    reference: Reference
    expected: PlatformImage


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """One image to pull, pinned to a digest, with its manifest at planning time."""

    pull: int
    image: str
    """The name in the spec."""
    reference: Reference
    """Pinned to the tag's digest: the index's if there is one."""
    is_index: bool
    expected: PlatformImage
    platform: str
    route: Route
    auth: AuthMode
    timeout_s: float
    """The limit for all attempts together."""
    retries: int
    bases: tuple[BaseImage, ...] = ()
    """Images to pull first, inside the clock, for an engine with `base_images`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetup:
    """The requests and settings of a trial."""

    trial: int
    concurrency: int
    cache: CacheState
    cache_reset: str
    """`own`: remove only images that a run pulled; `remove`: remove any image under test."""
    requests: tuple[PullRequest, ...]
    before_pulls: Callable[[Sequence[str]], None]
    """Called with the names that the trial may add to a store, before the first pull."""
    brought: frozenset[str] = frozenset()
    """The names passed to `before_pulls` in this run or earlier ones: image IDs, and names that a run created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOutcome:
    """The result of one pull; the trial adds the times."""

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
    """From start to end by the engine's own clock, if checks follow the pull; the trial then uses it."""
    verify: "Callable[[], PullOutcome] | None" = field(default=None, repr=False, compare=False)
    """Checks after the pull that would slow down other pulls. Called before the trial closes, when no pull is running; its
    outcome replaces this one, with the same times."""

    def verified(self) -> "PullOutcome":
        return self if self.verify is None else self.verify()


class Engine(Protocol):
    """A client that pulls. One object serves a run; `name` is the spec's, `kind` is a key of CAPABILITIES."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    def facts(self) -> EngineFacts:
        """Whether the engine can be used here, its version, and its store's content; raises nothing for a missing client."""
        ...

    def open_trial(self, setup: TrialSetup) -> None: ...
    def pull(self, request: PullRequest) -> PullOutcome: ...
    def close_trial(self) -> None: ...
    def cancel(self) -> None: ...
    def close(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds, and the current UTC time."""

    def monotonic(self) -> float: ...
    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The monotonic clock, tied to UTC once, so that a run's times and durations are consistent."""

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
    """The number of cores that this process may use."""
    return len(own_cores() or ()) or os.cpu_count() or 1


def own_cores() -> frozenset[int] | None:
    """The numbers of these cores; None if the system does not report them, as on macOS."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
