"""Runs one trial: one configuration in one repetition, timed from the first start to the last end."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pullbench.bench.ceiling import Ceiling
from pullbench.bench.load import Loop, intended_starts
from pullbench.bench.sampler import Watched, cpu_s_of_process
from pullbench.engines.base import BaseImage, Clock, Engine, PullOutcome, PullRequest, TrialSetup
from pullbench.errors import ErrorCode, classify, with_doubt
from pullbench.model.capability import CAPABILITIES
from pullbench.model.facts import Facts
from pullbench.model.plan import Cell, Trial, expected_image
from pullbench.model.record import Pull, Transfer, TrialRecord, TrialResult
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import Load, Spec
from pullbench.stats.busy import waited_share

_CLOSED = Load()


def pull_requests(trial: Trial, spec: Spec, facts: Facts, route: Route) -> tuple[PullRequest, ...]:
    """The pulls of a trial, each pinned to its tag's digest at the time of the facts."""
    cell = trial.cell
    requests = []
    bases = tuple(_base(facts, cell, image) for image in trial.bases)
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
                bases=bases,
            )
        )
    return tuple(requests)


def _base(facts: Facts, cell: Cell, image: str) -> BaseImage:
    expected = expected_image(facts, cell, image)
    digest = facts.images[cell.registry, image].digest or expected.digest
    return BaseImage(reference=Reference.parse(image).pinned(digest), expected=expected)


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
    load: Load = _CLOSED,
    seed: int = 1,
) -> TrialResult:
    """Prepare the engine, pull with the configuration's concurrency, clean up; only the pulls are timed.

    With a `ceiling` the client is watched meanwhile, and the record contains how near it came to its limits. An interruption
    cancels the running pulls and is raised again: a trial is stored completely or not at all.
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
    loop = Loop(
        requests,
        trial.cell.concurrency,
        lambda request, late_s: pull_once(request, late_s, engine, clock),
        clock=clock,
        starts=intended_starts(load, len(requests), f"{seed}:{trial.number}"),
    )
    setup_from, cpu_from = clock.monotonic(), 0.0
    sampler = ceiling.sampler() if ceiling else None
    watched: Watched | None = None

    def start() -> None:
        nonlocal cpu_from
        if sampler is not None:
            sampler.begin()
        cpu_from = cpu_s_of_process()

    try:
        engine.open_trial(setup)
        setup_s = clock.monotonic() - setup_from
        pulled = loop.run(start=start, cancel=engine.cancel)
        cpu_s = max(0.0, cpu_s_of_process() - cpu_from)
        watched = sampler.end() if sampler is not None else None
        done = [verified(each) for each in pulled]
    finally:
        if sampler is not None and watched is None:
            sampler.end()
        engine.close_trial()
    result = trial_result(done, setup_s=setup_s, cpu_s=cpu_s, load=load)
    return result if ceiling is None or watched is None else _with_busy(result, ceiling, watched)


def stored_bytes(cell: Cell, requests: Sequence[PullRequest], brought: Collection[str]) -> int:
    """The bytes that the engine pulled into its own store before the clock, for a warm trial.

    `brought` are the names and image IDs that a store which outlives the trial did not have before it.
    """
    if cell.cache != "warm":
        return 0
    keeps = CAPABILITIES[cell.engine_kind].keeps_store
    pulled = [
        request.expected.manifest
        for request in requests
        if not keeps or not {request.expected.manifest.config.digest, request.expected.digest}.isdisjoint(brought)
    ]
    return sum(manifest.size_bytes for manifest in pulled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A pull that has ended, with its times on the monotonic clock, before verification."""

    request: PullRequest
    outcome: PullOutcome
    late_s: float
    started_at: datetime
    started_s: float
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The record of a pull, with its times on the monotonic clock, without the verification after the pull."""

    pull: Pull
    transfers: tuple[Transfer, ...]
    started_s: float

    @property
    def ended_s(self) -> float:
        return self.started_s + self.pull.duration_s


def pull_once(request: PullRequest, late_s: float, engine: Engine, clock: Clock) -> Pulled:
    """One timed pull; `late_s` is its delay after the intended start."""
    started_at, started = clock.now(), clock.monotonic()
    try:
        outcome = engine.pull(request)
    except Exception as error:  # noqa: BLE001  (a pull is a record, whatever an engine does)
        outcome = _broken(error)
    ended = clock.monotonic()
    return Pulled(
        request=request,
        outcome=outcome,
        late_s=late_s,
        started_at=started_at,
        started_s=started,
        duration_s=ended - started if outcome.duration_s is None else outcome.duration_s,
    )


def verified(pulled: Pulled) -> Done:
    """Its record after the engine has verified the result; its times stay."""
    try:
        outcome = pulled.outcome.verified()
    except Exception as error:  # noqa: BLE001  (as of the pull itself)
        outcome = _broken(error)
    return Done(pull=_record(pulled, outcome), transfers=outcome.transfers, started_s=pulled.started_s)


def _broken(error: Exception) -> PullOutcome:
    text = f"{type(error).__name__}: {error}"
    return PullOutcome(ok=False, error_code=classify(text), error=text)


def _record(pulled: Pulled, outcome: PullOutcome) -> Pull:
    return Pull(
        pull=pulled.request.pull,
        image=pulled.request.image,
        digest=pulled.request.reference.digest or "",
        intended_at=pulled.started_at - timedelta(seconds=pulled.late_s),
        started_at=pulled.started_at,
        queued_s=pulled.late_s,
        duration_s=pulled.duration_s,
        ok=outcome.ok,
        error_code=None if outcome.ok else outcome.error_code or ErrorCode.UNKNOWN,
        error=None if outcome.error is None else with_doubt(outcome.error),
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


def _with_busy(result: TrialResult, ceiling: Ceiling, watched: Watched) -> TrialResult:
    busy = ceiling.busy(watched, result.record.throughput_bytes_per_s)
    record = dataclasses.replace(
        result.record,
        client_busy=None if busy is None else busy.share,
        client_limit=None if busy is None else busy.limit,
        run_delay_share=None if ceiling.whole_machine else waited_share(watched.windows),
        sched_lag_s=watched.longest_lag_s,
    )
    return dataclasses.replace(result, record=record)


def trial_result(done: list[Done], *, setup_s: float, cpu_s: float, load: Load) -> TrialResult:
    """The result of a trial's ended pulls; their `started_s` are on one clock."""
    ordered = sorted(done, key=lambda each: each.pull.pull)
    pulls = tuple(each.pull for each in ordered)
    wall_s = max(each.ended_s for each in done) - min(each.started_s for each in done)
    sizes = [pull.bytes for pull in pulls if pull.bytes is not None]
    is_known = bool(sizes) and not any(pull.ok and pull.bytes is None for pull in pulls)
    received = sum(sizes) if is_known else None
    throughput = received / wall_s if received is not None and wall_s > 0 else None
    record = TrialRecord(
        started_at=min(pull.started_at for pull in pulls),
        wall_s=wall_s,
        setup_s=setup_s,
        pulls=len(pulls),
        succeeded=sum(pull.ok for pull in pulls),
        bytes=received,
        throughput_bytes_per_s=throughput,
        cpu_s=cpu_s,
        client_busy=None,
        load_mode=load.mode,
        offered_rate=load.rate,
    )
    return TrialResult(record=record, pulls=pulls, transfers=tuple(t for each in ordered for t in each.transfers))
