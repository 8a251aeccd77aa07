"""An active run with its record, facts and plan. It performs the single steps; `app.run` defines their order."""

import contextlib
import dataclasses
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self

from pullbench.bench.ceiling import Ceilings, measure_ceilings
from pullbench.bench.cleaning import clean, drop
from pullbench.bench.cold_push import left_lines
from pullbench.bench.environment import clock_offsets, fingerprint
from pullbench.bench.proxy_cache import ProxyCache, Ready
from pullbench.bench.specfile import LoadedSpec
from pullbench.bench.trial import pull_requests, run_trial, stored_bytes
from pullbench.bench.workbench import Workbench
from pullbench.daemon.docker import DockerDaemon
from pullbench.engines.base import PullRequest
from pullbench.errors import IncompleteError, PullbenchError, RegistryError, UsageError
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding
from pullbench.model.plan import Plan, Trial, routes, unknown_image
from pullbench.model.record import RunKind, RunRecord, RunStatus, TrialResult
from pullbench.model.spec import Spec
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import not_chosen
from pullbench.registry.auth import Credentials
from pullbench.registry.redaction import redacted
from pullbench.store.dataset import ResultStore, new_run_id
from pullbench.store.ledger import Ledger, PushedImages


class ActiveRun:
    """A run from its first record to its last; created by `begin` or `resume`.

    `record` is the stored run, `finished` the numbers of the trials that were stored before it was resumed.
    """

    def __init__(
        self,
        bench: Workbench,
        store: ResultStore,
        record: RunRecord,
        facts: Facts,
        plan: Plan,
        *,
        finished: frozenset[int] = frozenset(),
    ) -> None:
        self.bench = bench
        self.spec = bench.spec
        self.store = store
        self.record = record
        self.facts = facts
        self.plan = plan
        self.finished = finished
        self.only: frozenset[str] = frozenset()
        self.skip: frozenset[str] = frozenset()
        self._ledger = Ledger(store)
        self._pushed = PushedImages(store)
        self._proxy_cache = ProxyCache(
            bench.spec, keychain=bench.keychain, clock=bench.clock, environ=bench.environ, pushed=self._pushed
        )
        self._routes = routes(bench.spec)
        self._ceilings = Ceilings()
        self._store_ids = {name: entry.store_id for name, entry in facts.engines.items() if entry.store_id is not None}
        self._brought: dict[str, frozenset[str]] = {}

    @classmethod
    def begin(cls, bench: Workbench, store: ResultStore, facts: Facts) -> Self:
        """Plan, and store the run as `running` before any measurement. Raises UsageError if nothing can be measured."""
        plan = bench.plan(facts)
        started_at = datetime.now(UTC)
        record = RunRecord(
            run_id=new_run_id(started_at, secrets.token_bytes(2)),
            vantage=bench.vantage,
            name=bench.spec.name,
            kind=bench.kind,
            labels=bench.spec.labels,
            started_at=started_at,
            seed=bench.spec.seed,
            spec=json.dumps(bench.spec.redacted(), sort_keys=True),
            spec_hash=bench.loaded.hash,
            facts=facts.to_json(),
            environment="{}",
            trials_planned=len(plan.trials),
            planned_out=json.dumps([{"cell": e.cell.as_dict(), "reason": e.reason} for e in plan.planned_out]),
        )
        active = cls(bench, store, record, facts, plan)
        active._measure_ceilings()
        environment = fingerprint(list(facts.engines.values()), active._ceilings.by_sink, active._more_environment())
        active.record = dataclasses.replace(record, environment=environment)
        store.write_run(active.record)
        return active

    @classmethod
    def resume(cls, bench: Workbench, store: ResultStore, run_id: str) -> Self:
        """Load a stored run to continue, by its run_id or `latest`; writes nothing, and contacts only its engines.

        Raises UsageError if the spec, the vantage or the kind differs from the run's, an engine is missing or has another store,
        or nothing was measured because the run did not know its images.
        """
        record = _latest_unfinished(store, bench.loaded, bench.kind) if run_id == "latest" else store.run(run_id)
        _check_same_run(record, bench)
        facts = Facts.from_json(record.facts)
        plan = bench.plan(facts)
        if (missing := unknown_image(plan, facts)) is not None:
            raise UsageError(f"--resume {record.run_id}: the run could not read {missing}; start a new run")
        active = cls(bench, store, record, facts, plan, finished=store.finished_trials(record.run_id))
        if not active.nothing_left:
            active._check_engines_are_back()
        return active

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def nothing_left(self) -> bool:
        """Whether a resumed run has no trial left. A stress test has an unknown number of trials until it is complete."""
        if self.bench.kind == "stress":
            return self.record.status == "complete"
        return len(self.finished) == len(self.plan.trials)

    def reopen(self) -> None:
        """Set a resumed run's status to running."""
        self._measure_ceilings()
        self.record = dataclasses.replace(self.record, status="running", finished_at=None, stopped=None)
        self.store.write_run(self.record)

    def preflight(self) -> list[Finding]:
        """Run the checks for the plan's routes, and store the findings with the run; `only` and `skip` choose them.

        A check that was not chosen is stored as skipped.
        """
        used = {cell.engine for cell in self.plan.cells}
        findings = self.bench.preflight(self.facts, self.plan, engines=used, only=self.only, skip=self.skip)
        findings += not_chosen(CHECKS, only=self.only, skip=self.skip)
        self.store.write_checks(self.run_id, self.record.vantage, findings, datetime.now(UTC))
        return findings

    def unknown_image(self) -> str | None:
        """An image of the plan that no registry has, and why; None if all are known."""
        return unknown_image(self.plan, self.facts)

    def stored_trials(self) -> frozenset[int]:
        """The numbers of the trials stored so far."""
        return self.store.finished_trials(self.run_id)

    def run_trial(self, trial: Trial) -> TrialResult:
        """Measure one trial and store it; raises IncompleteError if its engine cannot be prepared."""
        cell = trial.cell
        requests = pull_requests(trial, self.spec, self.facts, self._routes[cell.registry, cell.proxy])
        brought: list[str] = []
        ready: Ready | None = None
        try:
            ready = self._prepare(trial, requests)
            result = self._measure(trial, ready, brought)
            result = self._proxy_cache.conclude(trial, ready, result)
            stored = stored_bytes(cell, ready.requests, brought)
            result = _with_step(trial, dataclasses.replace(result, setup_bytes=result.setup_bytes + stored))
        except RegistryError as error:
            raise IncompleteError(f"trial {trial.number} ({cell}): {error}") from error
        except OSError as error:  # from directories that engines create for a trial; a pull's own error fails the pull
            raise IncompleteError(f"trial {trial.number} ({cell}): {_os_error(error)}") from error
        finally:
            if ready is not None:
                self._proxy_cache.tidy(self.run_id, trial, ready)
                if ready.batch is not None and cell.engine_kind == "docker":  # no other trial pulls these images
                    drop(self.spec.engine(cell.engine).host, brought)
        result = without_secrets(result, self.bench.keychain.known())
        self.store.write_trial(self.run_id, self.record.vantage, trial, result)
        return result

    def finish(
        self, status: RunStatus, stopped: str | None = None, *, environment: Mapping[str, Any] | None = None
    ) -> None:
        """Store the run's end, and why it stopped early; a complete run is compacted to one part per table.

        `environment` is added to the run's environment.
        """
        finished = dataclasses.replace(self.record, status=status, finished_at=datetime.now(UTC), stopped=stopped)
        if environment:
            merged = json.loads(finished.environment) | dict(environment)
            finished = dataclasses.replace(finished, environment=json.dumps(merged))
        if status == "complete" and self.bench.kind == "stress":
            finished = dataclasses.replace(finished, trials_planned=len(self.stored_trials()))
        if status == "complete":
            self.store.compact(self.run_id)
            self._leave_daemons_as_found()
        self.record = finished
        self.store.write_run(finished)

    def left_upstream(self) -> list[str]:
        """Synthetic images that the run pushed and could not delete, one sentence per repository."""
        return left_lines(self._pushed.left(self.run_id))

    def _prepare(self, trial: Trial, requests: tuple[PullRequest, ...]) -> Ready:
        """Prepare the mirror's store as the configuration requires, and the images to pull."""
        return self._proxy_cache.prepare(self.run_id, trial, requests, self.facts)

    def _measure(self, trial: Trial, ready: Ready, brought: list[str]) -> TrialResult:
        """The pulls of a trial; `brought` receives the names of the images that they add to the engine's store."""
        cell = trial.cell
        store_id = self._store_ids.get(cell.engine)

        def before_pulls(names: Sequence[str]) -> None:
            if store_id is None:
                raise IncompleteError(f"engine '{cell.engine}' stores images, but its store has no ID for the record")
            self._ledger.record(self.run_id, trial.number, store_id, names)
            brought.extend(names)
            self._brought[store_id] = self._brought_into(store_id) | frozenset(names)

        return run_trial(
            trial,
            ready.requests,
            self.bench.engines[cell.engine],
            clock=self.bench.clock,
            cache_reset=self.spec.cache_reset,
            brought=self._brought_into(store_id),
            before_pulls=before_pulls,
            ceiling=self._ceilings.by_engine.get(cell.engine),
            load=trial.load or self.spec.load,
            seed=self.spec.seed,
        )

    def _leave_daemons_as_found(self) -> None:
        """Best effort: images that cannot be removed now stay in the ledger, for `pullbench clean`."""
        for engine in self.bench.engines.values():
            if engine.kind == "docker" and engine.name in self._store_ids:
                daemon = DockerDaemon(self.spec.engine(engine.name).host)
                with contextlib.suppress(PullbenchError):
                    clean(self._ledger, daemon, self.run_id)
                daemon.close()

    def _more_environment(self) -> dict[str, Any]:
        """The run's environment other than the machine."""
        if not self.bench.compare_clocks:
            return {}
        return {"clock_offset": clock_offsets(self.spec, self.bench.keychain, self.bench.clock)}

    def _measure_ceilings(self) -> None:
        """Measure the ceilings of engines that are known to work on this machine; other machines' load is not visible."""
        elsewhere = {name for name, engine in self.facts.engines.items() if not engine.is_local}
        self._ceilings = measure_ceilings(
            [self.spec.engine(name) for name in self.bench.engines if name not in elsewhere]
        )

    def _check_engines_are_back(self) -> None:
        for name in sorted({cell.engine for cell in self.plan.cells}):
            engine = self.bench.engines[name].facts()
            if engine.unavailable is not None:
                raise UsageError(f"--resume {self.run_id}: engine '{name}' is not available: {engine.unavailable}")
            if engine.store_id != self.facts.engines[name].store_id:
                raise UsageError(
                    f"--resume {self.run_id}: engine '{name}' has another store than at the start of the run; "
                    "use the first daemon, or start a new run"
                )

    def _brought_into(self, store_id: str | None) -> frozenset[str]:
        """The images that runs pulled into a store; the ledger is read once, because only this run adds to its part."""
        if store_id is None:
            return frozenset()
        if store_id not in self._brought:
            self._brought[store_id] = self._ledger.brought(store_id)
        return self._brought[store_id]


def without_secrets(result: TrialResult, known: Collection[Credentials]) -> TrialResult:
    """A trial's result for storage: our secrets are removed from registries' messages and server headers (`served_by`).

    The same object if it contains none.
    """

    @cache
    def cleaned(text: str | None) -> str | None:
        return None if text is None else redacted(text, known)

    texts = [text for pull in result.pulls for text in (pull.error, pull.served_by)]
    texts += [row.served_by for row in result.transfers]
    if all(cleaned(text) == text for text in texts):
        return result
    pulls = (
        dataclasses.replace(pull, error=cleaned(pull.error), served_by=cleaned(pull.served_by)) for pull in result.pulls
    )
    transfers = (dataclasses.replace(row, served_by=cleaned(row.served_by)) for row in result.transfers)
    return dataclasses.replace(result, pulls=tuple(pulls), transfers=tuple(transfers))


def _os_error(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; fix that (engines write to TMPDIR), then continue with --resume"


def _with_step(trial: Trial, result: TrialResult) -> TrialResult:
    """The result with its trial's step of a stress test."""
    if trial.stage is None:
        return result
    record = dataclasses.replace(result.record, step=trial.stage.index, phase=trial.stage.phase)
    return dataclasses.replace(result, record=record)


def _latest_unfinished(store: ResultStore, loaded: LoadedSpec, kind: RunKind) -> RunRecord:
    """The newest incomplete run of a spec; UsageError if there is none."""
    for run in store.runs():
        if run.status != "complete" and (run.spec_hash, run.kind) == (loaded.hash, kind):
            return run
    raise UsageError(f"--resume latest: no unfinished run of {loaded.source} is stored; `pullbench runs` lists them")


def _check_same_run(run: RunRecord, bench: Workbench) -> None:
    """Raise UsageError if the run has another spec, vantage or kind."""
    if run.kind == "calibration":
        raise UsageError(
            f"--resume {run.run_id}: a calibration cannot be resumed; start another: `pullbench calibrate`"
        )
    if run.kind != bench.kind:
        command = "run" if run.kind == "benchmark" else run.kind
        raise UsageError(f"--resume {run.run_id}: it is a {run.kind} run: continue it with `pullbench {command}`")
    if run.spec_hash != bench.loaded.hash:
        raise UsageError(
            f"--resume {run.run_id}: the run has another spec than {bench.loaded.source} "
            f"({differing(run, bench.loaded.spec)}); "
            "use the spec and the --set values of its start, or start a new run"
        )
    if run.vantage != bench.vantage:
        raise UsageError(f"--resume {run.run_id}: it was measured at vantage '{run.vantage}', not '{bench.vantage}'")


def differing(run: RunRecord, spec: Spec) -> str:
    """The key paths of a spec that differ from those of a run's spec, for display."""
    keys = [key for key in _unequal(json.loads(run.spec), spec.redacted()) if key.partition(".")[0] != "budget"]
    return f"differs in: {', '.join(keys)}" if keys else "differs in a secret's value or a file's path"


def _unequal(then: Mapping[str, Any], now: Mapping[str, Any], place: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in now.items():
        before = then.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            keys += _unequal(before, value, f"{place}{key}.")
        elif before != value:
            keys.append(f"{place}{key}")
    return keys
