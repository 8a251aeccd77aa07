"""Runs one trial: one cell in one block, measured from the first start to the last end."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pullbench.bench.load import closed_loop
from pullbench.engines.base import Engine, PullOutcome, PullRequest, TrialSetup
from pullbench.engines.clock import Clock
from pullbench.errors import ErrorCode, classify
from pullbench.model.capability import CAPABILITIES
from pullbench.model.facts import Facts
from pullbench.model.plan import Trial, expected_image
from pullbench.model.record import Pull, Transfer, TrialRecord, TrialResult
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What this client can do at most: bytes a second through loopback and hash, and the cores that it may use."""

    bytes_per_s: float
    cores: int

    def busy(self, *, throughput_bytes_per_s: float, cpu_s: float, wall_s: float) -> float:
        """The share of the ceiling that a trial used, by bytes or by CPU, whichever is nearer; 1.0 is the ceiling."""
        by_cpu = cpu_s / (wall_s * self.cores) if wall_s > 0 else 0.0
        return max(throughput_bytes_per_s / self.bytes_per_s, by_cpu)


def pull_requests(trial: Trial, spec: Spec, facts: Facts, route: Route) -> tuple[PullRequest, ...]:
    """The pulls of a trial, each pinned to the digest that its tag had when the facts were gathered."""
    cell = trial.cell
    requests = []
    for number, image in enumerate(trial.images):
        found = facts.images[cell.registry, image]
        expected = expected_image(facts, cell, image)
        requests.append(
            PullRequest(
                pull=number,
                image=image,
                reference=Reference.parse(image).pinned(found.digest or expected.digest),
                is_index=found.is_index,
                expected=expected,
                platform=cell.platform,
                route=route,
                auth=cell.auth,
                timeout_s=spec.timeout_s,
                retries=spec.retries,
            )
        )
    return tuple(requests)


def run_trial(
    trial: Trial,
    requests: tuple[PullRequest, ...],
    engine: Engine,
    *,
    clock: Clock,
    cache_reset: str,
    brought: frozenset[str],
    before_pulls: Callable[[Sequence[str]], None],
    ceiling: Ceiling | None,
) -> TrialResult:
    """Prepare the engine, pull with the cell's concurrency, tidy up; only the pulls are inside the clock.

    An interruption cancels the pulls under way and is raised again: a trial is stored whole or not at all.
    """
    setup = TrialSetup(
        trial=trial.number,
        concurrency=trial.cell.concurrency,
        cache=trial.cell.cache,
        cache_reset=cache_reset,
        brought=brought,
        requests=requests,
        before_pulls=before_pulls,
    )
    stopwatch = _Stopwatch(clock)
    setup_from = clock.monotonic()
    engine.open_trial(setup)
    try:
        setup_s = clock.monotonic() - setup_from
        outcomes = closed_loop(
            requests,
            trial.cell.concurrency,
            lambda request: _pull(request, engine, clock),
            start=stopwatch.start,
            cancel=engine.cancel,
        )
        stopwatch.stop()
    finally:
        engine.close_trial()
    return _result(trial, outcomes, stopwatch, setup_s, ceiling)


class _Stopwatch:
    """Wall and CPU time of the pulls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def start(self) -> None:
        self.started_at = self._clock.now()
        self._cpu = _cpu_s()
        self._from = self._clock.monotonic()

    def stop(self) -> None:
        self.wall_s = self._clock.monotonic() - self._from
        self.cpu_s = max(0.0, _cpu_s() - self._cpu)


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _pull(request: PullRequest, engine: Engine, clock: Clock) -> tuple[Pull, tuple[Transfer, ...]]:
    started_at, started = clock.now(), clock.monotonic()
    try:
        outcome = engine.pull(request)
    except Exception as error:  # noqa: BLE001  (a pull is a record, whatever an engine does)
        text = f"{type(error).__name__}: {error}"
        outcome = PullOutcome(ok=False, error_code=classify(text), error=text)
    ended = clock.monotonic()
    record = Pull(
        pull=request.pull,
        image=request.image,
        digest=request.reference.digest or "",
        intended_at=started_at,
        started_at=started_at,
        queued_s=0.0,
        duration_s=ended - started if outcome.duration_s is None else outcome.duration_s,
        ok=outcome.ok,
        error_code=None if outcome.ok else outcome.error_code or ErrorCode.UNKNOWN,
        error=outcome.error,
        attempts=outcome.attempts,
        bytes=outcome.bytes,
        layers=outcome.layers,
        layers_cached=outcome.layers_cached,
        layers_shared=outcome.layers_shared,
        auth_s=outcome.auth_s,
        resolve_s=outcome.resolve_s,
        download_s=outcome.download_s,
        extract_s=outcome.extract_s,
        served_by=outcome.served_by,
    )
    return record, outcome.transfers


def _result(
    trial: Trial,
    outcomes: list[tuple[Pull, tuple[Transfer, ...]]],
    stopwatch: _Stopwatch,
    setup_s: float,
    ceiling: Ceiling | None,
) -> TrialResult:
    ordered = sorted(outcomes, key=lambda outcome: outcome[0].pull)
    pulls = tuple(pull for pull, _ in ordered)
    sizes = [pull.bytes for pull in pulls if pull.bytes is not None]
    received = sum(sizes) if sizes else None
    throughput = received / stopwatch.wall_s if received is not None and stopwatch.wall_s > 0 else None
    busy = None
    if ceiling is not None and throughput is not None and not CAPABILITIES[trial.cell.engine_kind].has_store:
        busy = ceiling.busy(throughput_bytes_per_s=throughput, cpu_s=stopwatch.cpu_s, wall_s=stopwatch.wall_s)
    record = TrialRecord(
        started_at=stopwatch.started_at,
        wall_s=stopwatch.wall_s,
        setup_s=setup_s,
        pulls=len(pulls),
        succeeded=sum(pull.ok for pull in pulls),
        bytes=received,
        throughput_bytes_per_s=throughput,
        cpu_s=stopwatch.cpu_s,
        client_busy=busy,
        load_mode="closed",
        offered_rate=None,
    )
    return TrialResult(record=record, pulls=pulls, transfers=tuple(t for _, transfers in ordered for t in transfers))
