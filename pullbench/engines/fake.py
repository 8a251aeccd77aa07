"""An engine that follows a script and pulls nothing, and a virtual clock for it."""

import itertools
import math
import threading
from datetime import UTC, datetime, timedelta

from pullbench.engines.base import Clock, PullOutcome, PullRequest, TrialSetup
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.facts import EngineFacts
from pullbench.model.record import Transfer, TransferKind
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

_DEFAULT_S = 0.001
_SLICE_S = 0.05  # how often a sleeping pull checks for cancellation


class ScriptedClock:
    """Virtual time that moves only when a thread sleeps, by exactly that much.

    Thread-safe, but sleeps of several threads add up: durations are exact with one worker.
    """

    def __init__(self, origin_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._origin_at = origin_at
        self._elapsed_s = 0.0
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed_s

    def now(self) -> datetime:
        return self._origin_at + timedelta(seconds=self.monotonic())

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"time does not go back: sleep({seconds})")
        with self._lock:
            self._elapsed_s += seconds


class FakeEngine:
    """Each pull takes the next entry of the script, cyclically: its duration in seconds, or an error code.

    With an empty script every pull succeeds after 1 ms; errors take 1 ms too. A pull longer than its `timeout_s` ends as
    `timeout`. Raises UsageError for an entry that is neither.
    """

    kind = "fake"

    def __init__(self, entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> None:
        del keychain  # a fake needs no login
        self.name = entry.name
        self._clock = clock
        steps = [_step(entry, index) for index in range(len(entry.script))]
        self._steps = itertools.cycle(steps or [_DEFAULT_S])
        self._lock = threading.Lock()
        self._cancelled = False

    def facts(self) -> EngineFacts:
        return EngineFacts(name=self.name, kind=self.kind, version="scripted")

    def open_trial(self, setup: TrialSetup) -> None:
        """Nothing to prepare: the script continues after the last trial."""

    def pull(self, request: PullRequest) -> PullOutcome:
        """Perform the script's next step on the clock."""
        with self._lock:
            step = next(self._steps)
        started_at, started = self._clock.now(), self._clock.monotonic()
        planned_s = step if isinstance(step, float) else _DEFAULT_S
        self._sleep(min(planned_s, request.timeout_s))
        code = step if isinstance(step, ErrorCode) else None
        if planned_s > request.timeout_s:
            code = ErrorCode.TIMEOUT
        if self._cancelled:
            code = ErrorCode.CANCELLED
        spent_s = self._clock.monotonic() - started
        if code is not None:
            return _failed(request, code, started_at, spent_s)
        return _succeeded(request, started_at, planned_s)

    def _sleep(self, seconds: float) -> None:
        end = self._clock.monotonic() + seconds
        while not self._cancelled and (left := end - self._clock.monotonic()) > 0:
            self._clock.sleep(min(left, _SLICE_S))

    def close_trial(self) -> None:
        """Nothing to clean up."""

    def cancel(self) -> None:
        """Stop sleeping pulls soon; all later pulls are `cancelled` too."""
        self._cancelled = True

    def close(self) -> None:
        """Nothing to close."""


def _step(entry: EngineEntry, index: int) -> float | ErrorCode:
    """One entry of the script; `--set` and YAML quotes may turn numbers into text."""
    given = entry.script[index]
    try:
        return ErrorCode(str(given))
    except ValueError:
        pass
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageError(f"engines.{entry.name}.script[{index}]: '{given}' must be seconds or an error code")
    return seconds


def _succeeded(request: PullRequest, started_at: datetime, spent_s: float) -> PullOutcome:
    """All blobs of the manifest in sequence; each takes a share of the time by its size."""
    manifest = request.expected.manifest
    transfers, done_bytes = [], 0
    for blob in manifest.blobs:
        share = blob.size_bytes / manifest.size_bytes if manifest.size_bytes else 0.0
        before_s = spent_s * (done_bytes / manifest.size_bytes if manifest.size_bytes else 0.0)
        kind: TransferKind = "config" if blob.digest == manifest.config.digest else "layer"
        at = started_at + timedelta(seconds=before_s)
        transfers.append(_transfer(request, kind, blob.digest, blob.size_bytes, at, spent_s * share, 200))
        done_bytes += blob.size_bytes
    return PullOutcome(
        ok=True,
        bytes=manifest.size_bytes,
        layers=len(manifest.layers),
        auth_s=0.0,
        resolve_s=0.0,
        download_s=spent_s,
        served_by="fake",
        transfers=tuple(transfers),
    )


def _failed(request: PullRequest, code: ErrorCode, started_at: datetime, spent_s: float) -> PullOutcome:
    row = _transfer(request, "manifest", request.expected.digest, 0, started_at, spent_s, None, code)
    return PullOutcome(ok=False, error_code=code, error=f"scripted: {code}", bytes=0, transfers=(row,))


def _transfer(
    request: PullRequest,
    kind: TransferKind,
    digest: str,
    size_bytes: int,
    started_at: datetime,
    total_s: float,
    status: int | None,
    code: ErrorCode | None = None,
) -> Transfer:
    return Transfer(
        pull=request.pull,
        attempt=1,
        kind=kind,
        digest=digest,
        bytes=size_bytes,
        status=status,
        started_at=started_at,
        transfer_s=total_s if code is None else None,
        total_s=total_s,
        served_by="fake" if code is None else None,
        error_code=code,
    )
