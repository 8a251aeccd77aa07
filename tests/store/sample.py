"""Records to store, with every column told apart."""

from datetime import UTC, datetime, timedelta

from pullbench.errors import ErrorCode
from pullbench.model.plan import Cell, Trial
from pullbench.model.record import Pull, RunRecord, Transfer, TrialRecord, TrialResult

RUN_ID = "20261123T161500Z-3fa2"
START = datetime(2026, 11, 23, 16, 15, 0, 123456, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64

CELL = Cell(
    engine="wire-serial",
    engine_kind="wire",
    registry="eu",
    region="eu-west",
    proxy="direct",
    platform="linux/amd64",
    concurrency=4,
    cache="cold",
    proxy_cache="any",
    auth="persisted",
)


def run(run_id: str = RUN_ID, **changes: object) -> RunRecord:
    fields: dict[str, object] = {
        "run_id": run_id,
        "vantage": "office",
        "name": "sweep",
        "labels": {"commit": "3f4ff3c", "who": "Zoë"},
        "started_at": START,
        "seed": 7,
        "spec": '{"name": "sweep"}',
        "spec_hash": "ab" * 32,
        "facts": "{}",
        "environment": "{}",
        "trials_planned": 12,
    }
    return RunRecord(**{**fields, **changes})  # type: ignore[arg-type]


def trial(number: int) -> Trial:
    return Trial(number=number, block=number // 4, warmup=number < 4, cell=CELL, images=("app:1", "app:2"))


def pull(number: int, *, ok: bool = True, duration_s: float = 1.25) -> Pull:
    return Pull(
        pull=number,
        image="app:1",
        digest=DIGEST,
        intended_at=START,
        started_at=START + timedelta(microseconds=number),
        queued_s=0.0,
        duration_s=duration_s,
        ok=ok,
        error_code=None if ok else ErrorCode.RESET,
        error=None if ok else "connection reset by peer",
        attempts=1,
        bytes=5_000_000_000 + number,
        layers=3,
        layers_cached=None,
        layers_shared=None,
        auth_s=0.125,
        resolve_s=0.25,
        download_s=0.5,
        extract_s=None,
        served_by=None,
    )


def transfer(pull_number: int) -> Transfer:
    return Transfer(
        pull=pull_number, attempt=1, kind="layer", digest=DIGEST, bytes=17, status=200, started_at=START, reused=True
    )


def result(number: int, *, pulls: int = 2, transfers: int = 3) -> TrialResult:
    record = TrialRecord(
        started_at=START + timedelta(seconds=number),
        wall_s=2.5 + number,
        setup_s=0.5,
        pulls=pulls,
        succeeded=pulls - 1,
        bytes=10_000_000_000,
        throughput_bytes_per_s=4e9,
        cpu_s=0.75,
        client_busy=None,
        load_mode="closed",
        offered_rate=None,
    )
    return TrialResult(
        record=record,
        pulls=tuple(pull(index, ok=index != 0, duration_s=number + index / 8) for index in range(pulls)),
        transfers=tuple(transfer(index % pulls) for index in range(transfers)),
    )
