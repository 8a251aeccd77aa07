"""A made-up stress test of a service with a known capacity: `slots` concurrent pulls, `base_s` each, a queue beyond."""

import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pandas as pd

from pullbench.errors import ErrorCode
from pullbench.model.plan import Cell, Trial
from pullbench.model.ramp import Stage, StepResult, StepVerdict, next_stage
from pullbench.model.record import Pull, RunRecord, TrialRecord, TrialResult
from pullbench.model.spec import Load, Stress
from pullbench.report.core.stored import StoredRun, read_run, rows_of
from pullbench.store.dataset import ResultStore, to_frame
from pullbench.store.schema import TableName
from tests.report.synthetic import RUN_ID, STARTED_AT, put_compacted, tables_of

_BYTES = 10_000_000
LONG = Stress(steps=[1, 2, 4, 8, 16, 32])
SHORT = Stress(steps=[1, 8, 16], hold=0, down=[1])
"""Too few loads for a law, whose fit takes longest."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is loaded, and how."""

    stress: Stress = SHORT
    slots: int = 4
    base_s: float = 0.1
    noise: float = 0.02
    mean_pull_s: float = 0.3
    success_rate: float | None = 0.999
    """The SLO; a step has too few pulls to show it."""
    fails: Callable[[Stage], ErrorCode | None] = lambda stage: None
    """Of every third pull of a step."""
    slower_after: float = 1.0
    """Times on the way down, as a multiple of what they were."""
    busy: Callable[[Stage], float] = lambda stage: 0.1
    end: str = "complete"
    stopped: str | None = None
    stop_after: int = 100
    """Steps."""
    only_warm_up: bool = False
    planned_out: list[dict[str, Any]] = field(default_factory=list)


class MadeUpStore:
    """One stress test, which goes as the state machine says by the truth about its service; read as from a store."""

    def __init__(self, service: Service) -> None:
        self._maker, self._trials = _Maker(service), list[tuple[Trial, TrialResult]]()
        warm = Stage(index=0, phase="up", load=service.stress.steps[0], trials=1)
        self._add(warm, warmup=True)
        done: list[StepResult] = []
        while not service.only_warm_up and len(done) < service.stop_after:
            move = next_stage(service.stress, list(service.stress.steps), done)
            if not isinstance(move, Stage):
                break
            for _ in range(move.trials):
                self._add(move)
            done.append(self._maker.truth(move))
        tables = tables_of(RUN_ID, "office", self._trials)
        self._frames = {name: to_frame(name, table) for name, table in tables.items()}

    def run(self, run_id: str) -> RunRecord:
        return self._maker.run(len(self._trials))

    def frame(
        self,
        table: TableName,
        run_id: str,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Collection[Any]] | None = None,
        categories: bool = False,
    ) -> pd.DataFrame:
        if table == "checks":
            return pd.DataFrame()
        return rows_of(self._frames[table].copy(deep=False))(columns=columns, where=where)

    def into(self, store: ResultStore) -> ResultStore:
        """The same run in a real store."""
        put_compacted(store, RUN_ID, "office", self._trials)
        store.write_run(self.run(RUN_ID))
        return store

    def _add(self, stage: Stage, *, warmup: bool = False) -> None:
        trial = self._maker.trial_of(stage, len(self._trials), warmup=warmup)
        self._trials.append((trial, self._maker.result(stage, warmup=warmup)))


def stored(service: Service) -> StoredRun:
    return read_run(MadeUpStore(service), RUN_ID)


class _Maker:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.random = random.Random(3)
        self.now = STARTED_AT

    def truth(self, stage: Stage) -> StepResult:
        code = self.service.fails(stage)
        missed = self.mean_s(stage) > self.service.mean_pull_s or code is not None
        return StepResult(
            index=stage.index,
            phase=stage.phase,
            load=stage.load,
            trials=stage.trials,
            verdict=StepVerdict.MISSED if missed else StepVerdict.HELD,
            rate_limited=code is ErrorCode.RATE_LIMITED,
            client_busy=self.service.busy(stage) > 0.8,
        )

    def mean_s(self, stage: Stage) -> float:
        """In a closed loop each pull waits for its share; offered faster than it is served, the queue grows all along."""
        service = self.service
        after = service.slower_after if stage.phase == "down" else 1.0
        if service.stress.ramp == "concurrency":
            return after * service.base_s * max(1.0, stage.load / service.slots)
        capacity = service.slots / service.base_s
        late_s = max(0.0, stage.load / capacity - 1) * service.stress.trial_s / 2
        return after * (service.base_s + late_s)

    def rate(self, stage: Stage) -> float:
        capacity = self.service.slots / self.service.base_s
        offered = stage.load / self.service.base_s if self.service.stress.ramp == "concurrency" else stage.load
        return min(capacity, offered)

    def trial_of(self, stage: Stage, number: int, *, warmup: bool = False) -> Trial:
        closed = self.service.stress.ramp == "concurrency"
        cell = Cell(
            engine="wire", engine_kind="wire", registry="eu", region="eu-west", proxy="direct", platform="linux/amd64",
            concurrency=int(stage.load) if closed else 64, cache="cold", proxy_cache="any", auth="persisted",
        )  # fmt: skip
        return Trial(number=number, block=number, warmup=warmup, cell=cell, images=("app:1",))

    def result(self, stage: Stage, *, warmup: bool = False) -> TrialResult:
        stress = self.service.stress
        closed = stress.ramp == "concurrency"
        count = round(stage.load * (stress.pulls_per_worker if closed else stress.trial_s))
        code = self.service.fails(stage)
        drift = self.random.gauss(1, self.service.noise)
        pulls = [self.pull(n, self.mean_s(stage) * drift, code if n % 3 == 0 else None) for n in range(count)]
        succeeded = sum(pull.ok for pull in pulls)
        wall_s = count / self.rate(stage) * drift
        record = TrialRecord(
            started_at=self.now,
            wall_s=wall_s,
            setup_s=0.1,
            pulls=count,
            succeeded=succeeded,
            bytes=succeeded * _BYTES,
            throughput_bytes_per_s=succeeded * _BYTES / wall_s,
            cpu_s=0.1,
            client_busy=self.service.busy(stage),
            client_limit="cores",
            load_mode="closed" if closed else "open",
            offered_rate=None if closed else stage.load,
            step=None if warmup else stage.index,
            phase=None if warmup else stage.phase,
        )
        self.now += timedelta(seconds=wall_s + 0.2)
        return TrialResult(record=record, pulls=tuple(pulls), transfers=())

    def pull(self, number: int, mean_s: float, code: ErrorCode | None) -> Pull:
        return Pull(
            pull=number, image="app:1", digest="sha256:" + "0" * 64, intended_at=self.now, started_at=self.now, queued_s=0.0,
            duration_s=mean_s * self.random.gauss(1, self.service.noise), ok=code is None, error_code=code,
            error=None if code is None else "scripted", attempts=1, bytes=_BYTES if code is None else 0, layers=1,
            layers_cached=None, layers_shared=None, auth_s=None, resolve_s=None, download_s=None, extract_s=None, served_by=None,
        )  # fmt: skip

    def run(self, trials: int) -> RunRecord:
        spec = {
            "name": "peak",
            "images": ["app:1"],
            "load": Load().model_dump(),
            "slo": {"mean_pull_s": self.service.mean_pull_s}
            | ({} if self.service.success_rate is None else {"success_rate": self.service.success_rate}),
            "stress": self.service.stress.model_dump(),
        }
        return RunRecord(
            run_id=RUN_ID, vantage="office", name="peak", kind="stress", started_at=STARTED_AT, finished_at=self.now,
            status=self.service.end, seed=1, spec=json.dumps(spec), spec_hash="0" * 64,  # type: ignore[arg-type]
            facts='{"engines":[],"host_platform":"linux/amd64","images":[]}', environment="{}", trials_planned=trials,
            planned_out=json.dumps(self.service.planned_out), stopped=self.service.stopped,
        )  # fmt: skip
