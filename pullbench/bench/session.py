"""One run's world: its spec, store, engines, keychain and clock; what flows and commands drive."""

import contextlib
import dataclasses
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from pullbench.bench.ceiling import Ceilings, measure_ceilings
from pullbench.bench.cleaning import clean, drop
from pullbench.bench.clocks import clock_offsets
from pullbench.bench.cold_push import left_lines
from pullbench.bench.environment import fingerprint
from pullbench.bench.facts import gather_facts
from pullbench.bench.proxy_cache import ProxyCache, Ready
from pullbench.bench.resuming import Stored, check_goes_on, latest_unfinished
from pullbench.bench.specfile import LoadedSpec
from pullbench.bench.trial import pull_requests, run_trial, stored_bytes
from pullbench.bench.untold import without_secrets
from pullbench.daemon.docker import DockerDaemon
from pullbench.engines.base import Clock, Engine, PullRequest, SystemClock
from pullbench.engines.catalog import make_engine
from pullbench.errors import IncompleteError, PullbenchError, RegistryError, UsageError
from pullbench.model.capability import CAPABILITIES
from pullbench.model.facts import EngineFacts, Facts
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial, plan, routes, unknown_image
from pullbench.model.record import Run, RunKind, RunStatus, TrialResult
from pullbench.model.stress_plan import plan_stress
from pullbench.preflight.runner import preflight
from pullbench.registry.keychain import Keychain
from pullbench.store.dataset import ResultStore, new_run_id
from pullbench.store.ledger import Ledger, PushedImages


class Session:
    """Holds what a run needs and does its single steps; the order of steps and the policy are the flows'.

    `block` reads a Prefect Secret by name, for credentials of the kind `block:NAME`. `kind` decides how the spec is planned. With
    `compare_clocks` a run's environment has how far this clock is from the registries'.
    """

    def __init__(
        self,
        loaded: LoadedSpec,
        store: ResultStore,
        *,
        vantage: str,
        kind: RunKind = "benchmark",
        environ: Mapping[str, str],
        block: Callable[[str], str] | None = None,
        clock: Clock | None = None,
        compare_clocks: bool = False,
    ) -> None:
        self.loaded = loaded
        self.spec = loaded.spec
        self.store = store
        self.vantage = vantage
        self.kind = kind
        self.clock = clock or SystemClock()
        self.keychain = Keychain(environ=environ, block=block)
        self.engines: dict[str, Engine] = {
            name: make_engine(self.spec.engine(name), keychain=self.keychain, clock=self.clock)
            for name in self.spec.matrix.engines
            if "engine" not in CAPABILITIES[self.spec.engine(name).kind].cannot
        }
        self._ledger = Ledger(store)
        self._pushed = PushedImages(store)
        self._proxy_cache = ProxyCache(
            self.spec, keychain=self.keychain, clock=self.clock, environ=environ, pushed=self._pushed
        )
        self._routes = routes(self.spec)
        self._ceilings = Ceilings()
        self._compare_clocks = compare_clocks
        self._store_ids: dict[str, str] = {}
        self._brought: dict[str, frozenset[str]] = {}

    def gather(self) -> Facts:
        """Ask registries and engines; takes no load with it."""
        facts = gather_facts(self.spec, self.engines, keychain=self.keychain, brought=self._ledger.brought)
        self._remember_stores(facts.engines.values())
        return facts

    def plan(self, facts: Facts) -> Plan:
        """What the run will do; of a stress test, the most that it can come to. Raises UsageError where nothing is left."""
        return plan_stress(self.spec, facts) if self.kind == "stress" else plan(self.spec, facts)

    def begin(self, facts: Facts) -> tuple[Run, Plan]:
        """Plan, and store the run as `running` before anything is measured."""
        made = self.plan(facts)
        started_at = datetime.now(UTC)
        self._measure_ceilings(facts)
        run = Run(
            run_id=new_run_id(started_at, secrets.token_bytes(2)),
            vantage=self.vantage,
            name=self.spec.name,
            kind=self.kind,
            labels=self.spec.labels,
            started_at=started_at,
            seed=self.spec.seed,
            spec=json.dumps(self.spec.redacted(), sort_keys=True),
            spec_hash=self.loaded.hash,
            facts=facts.to_json(),
            environment=fingerprint(
                list(facts.engines.values()),
                self._ceilings.by_sink,
                self._more_environment(),
            ),
            trials_planned=len(made.trials),
            planned_out=json.dumps([{"cell": e.cell.as_dict(), "reason": e.reason} for e in made.planned_out]),
        )
        self.store.write_run(run)
        return run, made

    def stored(self, run_id: str) -> Stored:
        """A run to go on with; nothing is written and nothing contacted but the daemons of its engines.

        Raises UsageError where the spec, the vantage or the kind is another than the run's, an engine of it is gone or has another
        store, or nothing was measured because the run did not know its images.
        """
        run = latest_unfinished(self.store, self.loaded, self.kind) if run_id == "latest" else self.store.run(run_id)
        run_id = run.run_id
        check_goes_on(run, self.loaded, kind=self.kind, vantage=self.vantage)
        facts = Facts.from_json(run.facts)
        made = self.plan(facts)
        if (missing := unknown_image(made, facts)) is not None:
            raise UsageError(f"--resume {run_id}: it never knew {missing}; start a new run")
        finished = self.store.finished_trials(run_id)
        # How many trials a stress test has is known once it is complete.
        over = run.status == "complete" if self.kind == "stress" else len(finished) == len(made.trials)
        if not over:
            self._check_engines_are_back(run_id, made, facts)
        return Stored(run=run, facts=facts, plan=made, finished=finished, over=over)

    def reopen(self, stored: Stored) -> Run:
        """Mark a stored run as going on; one of which nothing is left to measure stays as it is."""
        if stored.over:
            return stored.run
        self._measure_ceilings(stored.facts)
        run = dataclasses.replace(stored.run, status="running", finished_at=None, stopped=None)
        self.store.write_run(run)
        return run

    def preflight(self, run_id: str, facts: Facts, made: Plan) -> list[Finding]:
        """Every check of the ways that the plan takes; the findings are stored with the run."""
        used = {cell.engine for cell in made.cells}
        findings = preflight(self.spec, facts, self.keychain, plan=made, engines=used)
        self.store.write_checks(run_id, self.vantage, findings, datetime.now(UTC))
        return findings

    def run_trial(self, run_id: str, trial: Trial, facts: Facts) -> TrialResult:
        """Measure one trial and store it; raises IncompleteError where its engine cannot be made ready."""
        cell = trial.cell
        requests = pull_requests(trial, self.spec, facts, self._routes[cell.registry, cell.proxy])
        brought: list[str] = []
        ready: Ready | None = None
        try:
            ready = self._prepare(run_id, trial, requests, facts)
            result = self._measure(run_id, trial, ready, brought)
            result = self._proxy_cache.conclude(trial, ready, result)
            stored = stored_bytes(cell, ready.requests, brought)
            result = _placed(trial, dataclasses.replace(result, setup_bytes=result.setup_bytes + stored))
        except RegistryError as error:
            raise IncompleteError(f"trial {trial.number} ({cell}): {error}") from error
        except OSError as error:  # of the folders that engines make for a trial: a pull's own is the pull's failure
            raise IncompleteError(f"trial {trial.number} ({cell}): {_told(error)}") from error
        finally:
            if ready is not None:
                self._proxy_cache.tidy(run_id, trial, ready)
                if ready.batch is not None and cell.engine_kind == "docker":  # no other trial will pull these images
                    drop(self.spec.engine(cell.engine).host, brought)
        result = without_secrets(result, self.keychain.known())
        self.store.write_trial(run_id, self.vantage, trial, result)
        return result

    def _prepare(self, run_id: str, trial: Trial, requests: tuple[PullRequest, ...], facts: Facts) -> Ready:
        """The mirror's store as the cell says, and what is to be pulled."""
        return self._proxy_cache.prepare(run_id, trial, requests, facts)

    def _measure(self, run_id: str, trial: Trial, ready: Ready, brought: list[str]) -> TrialResult:
        """The pulls of a trial; `brought` gets the names of what they bring into the engine's store."""
        cell = trial.cell
        store_id = self._store_ids.get(cell.engine)

        def before_pulls(names: Sequence[str]) -> None:
            if store_id is None:
                raise IncompleteError(
                    f"engine '{cell.engine}' keeps what it pulls, but its store has no ID to record it under"
                )
            self._ledger.record(run_id, trial.number, store_id, names)
            brought.extend(names)
            self._brought[store_id] = self._brought_into(store_id) | frozenset(names)

        return run_trial(
            trial,
            ready.requests,
            self.engines[cell.engine],
            clock=self.clock,
            cache_reset=self.spec.cache_reset,
            brought=self._brought_into(store_id),
            before_pulls=before_pulls,
            ceiling=self._ceilings.by_engine.get(cell.engine),
            load=trial.load or self.spec.load,
            seed=self.spec.seed,
        )

    def finish(self, run: Run, status: RunStatus, stopped: str | None = None) -> Run:
        """Store the run's end, and why it stopped early; a complete run is compacted to one part a table."""
        finished = dataclasses.replace(run, status=status, finished_at=datetime.now(UTC), stopped=stopped)
        if status == "complete" and self.kind == "stress":
            finished = dataclasses.replace(finished, trials_planned=len(self.store.finished_trials(run.run_id)))
        if status == "complete":
            self.store.compact(run.run_id)
            self._leave_daemons_as_found(run.run_id)
        self.store.write_run(finished)
        return finished

    def left_upstream(self, run_id: str) -> list[str]:
        """Synthetic images that a run pushed and could not take back, a sentence each repository."""
        return left_lines(self._pushed.left(run_id))

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _leave_daemons_as_found(self, run_id: str) -> None:
        """Best effort: what cannot be removed now stays in the ledger, for `pullbench clean`."""
        for engine in self.engines.values():
            if engine.kind == "docker" and engine.name in self._store_ids:
                daemon = DockerDaemon(self.spec.engine(engine.name).host)
                with contextlib.suppress(PullbenchError):
                    clean(self._ledger, daemon, run_id)
                daemon.close()

    def _more_environment(self) -> dict[str, Any]:
        """What the run's environment holds beside the machine."""
        if not self._compare_clocks:
            return {}
        return {"clock_offset": clock_offsets(self.spec, self.keychain, self.clock)}

    def _measure_ceilings(self, facts: Facts) -> None:
        """Of the engines whose work is shown to be done here: how busy another machine is cannot be seen."""
        elsewhere = {name for name, engine in facts.engines.items() if not engine.is_local}
        self._ceilings = measure_ceilings([self.spec.engine(name) for name in self.engines if name not in elsewhere])

    def _check_engines_are_back(self, run_id: str, made: Plan, facts: Facts) -> None:
        found = [self.engines[name].facts() for name in sorted({cell.engine for cell in made.cells})]
        for engine in found:
            if engine.unavailable is not None:
                raise UsageError(f"--resume {run_id}: engine '{engine.name}' is gone: {engine.unavailable}")
            if engine.store_id != facts.engines[engine.name].store_id:
                raise UsageError(
                    f"--resume {run_id}: engine '{engine.name}' has another store than the one that the run began with; "
                    "give the first daemon, or start a new run"
                )
        self._remember_stores(found)

    def _remember_stores(self, engines: Iterable[EngineFacts]) -> None:
        self._store_ids.update({engine.name: engine.store_id for engine in engines if engine.store_id is not None})

    def _brought_into(self, store_id: str | None) -> frozenset[str]:
        """What runs brought into a store; the ledger is read once, for only this session adds to this run's part."""
        if store_id is None:
            return frozenset()
        if store_id not in self._brought:
            self._brought[store_id] = self._ledger.brought(store_id)
        return self._brought[store_id]


def _told(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return (
        f"{where}{error.strerror or error}; mend that (TMPDIR says where engines put theirs), then go on with --resume"
    )


def _placed(trial: Trial, result: TrialResult) -> TrialResult:
    """The result with the step of a stress test that its trial belongs to."""
    if trial.stage is None:
        return result
    record = dataclasses.replace(result.record, step=trial.stage.index, phase=trial.stage.phase)
    return dataclasses.replace(result, record=record)
