"""A calibration's tables, made by hand so that every answer is known."""

import dataclasses
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pullbench.errors import ErrorCode
from pullbench.model.calibration import KEY, Counted, Line, ReferenceMeasurement, Truth
from pullbench.model.plan import Cell, Trial
from pullbench.model.record import Pull, RunRecord, Transfer, TransferKind, TrialRecord, TrialResult
from pullbench.report.core.stored import StoredRun, read_run, rows_of
from pullbench.store.dataset import ResultStore

RUN_ID = "20261125T120000Z-ca1b"
START = datetime(2026, 11, 25, 12, tzinfo=UTC)
LAYER_BYTES = 1_000_000
BLOCKS = 3
LINES = (
    Line(name="line-1", round_trip_s=0.08, rate_bytes_per_s=40e6),
    Line(name="line-2", round_trip_s=0.01, rate_bytes_per_s=10e6),
    Line(name="line-3", service_s=0.03),
    Line(name="line-4", round_trip_s=0.03, jitter_s=0.02),
    Line(name="line-5", fault="server_error", fault_rate=0.2),
    Line(name="line-6", handshake_s=0.15),
    Line(name="line-7", hit_rate=0.75),
)
_NUMBERS = itertools.count(1)


def cell(line: Line, concurrency: int) -> Cell:
    return Cell(
        engine="wire-serial",
        engine_kind="wire",
        registry=line.name,
        region="lab",
        proxy="direct",
        platform="linux/amd64",
        concurrency=concurrency,
        cache="cold",
        proxy_cache="any",
        auth="persisted",
    )


def exchange(line: Line, kind: TransferKind, at_s: float, place: int, **more: Any) -> Transfer:
    """As the line is: what waits, waits for its truth; every fifth layer of the faulty one is refused; one in four is a miss."""
    share = (place % 5) / 4
    wait_s = (line.round_trip_s or line.service_s or 0.0005) + share * (line.jitter_s or 0.0)
    rate, is_layer = line.rate_bytes_per_s or 1e9, kind == "layer"
    refused = line.fault is not None and is_layer and place % 5 == 0
    size = 0 if refused else LAYER_BYTES if is_layer else 500
    return Transfer(
        **{
            "pull": 0,
            "attempt": 1,
            "kind": kind,
            "digest": None,
            "bytes": size,
            "status": 503 if refused else 200,
            "started_at": START + timedelta(seconds=at_s),
            "dns_s": 0.0,
            "connect_s": 0.0,
            "tls_s": line.handshake_s or 0.0 if place == 0 else 0.0,
            "wait_s": wait_s,
            "transfer_s": size / rate if is_layer else 0.0,
            "total_s": wait_s + size / rate,
            "reused": place > 0,
            "served_by": f"127.0.0.1:1 x-cache={'MISS' if place % 4 == 0 else 'HIT'}"
            if line.hit_rate
            else "127.0.0.1:1",
            "error_code": ErrorCode.SERVER_ERROR if refused else None,
        }
        | more
    )


def trial_of(line: Line, concurrency: int) -> tuple[Transfer, ...]:
    """Twenty exchanges of small answers, then as many layers; at a concurrency of 4, four of these share the rate."""
    rows = [exchange(line, kind, 0.0, place) for kind in ("manifest", "config") for place in range(10)]
    for place in range(20):
        one = exchange(line, "layer", place * 1.0, place)
        if concurrency > 1 and line.rate_bytes_per_s is not None:
            one = exchange(
                line,
                "layer",
                place // 4 * 1.0,
                place,
                transfer_s=4 * LAYER_BYTES / line.rate_bytes_per_s,
            )
        rows.append(one)
    return tuple(rows)


def pull(number: int, *, ok: bool) -> Pull:
    return Pull(
        **dict.fromkeys(
            ("auth_s", "resolve_s", "download_s", "extract_s", "layers_cached", "layers_shared", "served_by")
        ),
        pull=number,
        image="lab/calibration:1",
        digest="sha256:" + "0" * 64,
        intended_at=START,
        started_at=START,
        queued_s=0.0,
        duration_s=0.5,
        ok=ok,
        error_code=None if ok else ErrorCode.SERVER_ERROR,
        error=None if ok else "GET …: 503",
        attempts=1,
        bytes=0,
        layers=1,
    )


def truth_of(transfers: Mapping[str, list[Transfer]], lines: tuple[Line, ...] = LINES) -> Truth:
    """What the servers of these exchanges would have counted."""
    layers = {name: [row for row in rows if row.kind == "layer"] for name, rows in transfers.items()}
    counted = {
        name: Counted(
            layers=len(rows),
            layer_bytes=sum(row.bytes or 0 for row in rows),
            layer_hits=sum("HIT" in (row.served_by or "") for row in rows),
            faults=sum(row.error_code is not None for row in rows),
        )
        for name, rows in layers.items()
    }
    return Truth(
        seed=7, load=0.2, lines=lines, counted=counted, references={"line-1": ReferenceMeasurement(wait_s=0.0805)}
    )


def calibrated_run() -> StoredRun:
    """A run that measured LINES just as they are, and was told so."""
    store, number = ResultStore(f"memory://calibration-report-{next(_NUMBERS)}"), 0
    every: dict[str, list[Transfer]] = {line.name: [] for line in LINES}
    for block, line, concurrency in itertools.product(range(BLOCKS), LINES, (1, 4)):
        transfers = trial_of(line, concurrency)
        every[line.name] += transfers
        failures = sum(row.error_code is not None for row in transfers)
        pulls = tuple(pull(place, ok=place >= failures) for place in range(20))
        record = TrialRecord(
            started_at=START,
            wall_s=1.0,
            setup_s=0.0,
            pulls=len(pulls),
            succeeded=len(pulls) - failures,
            bytes=1,
            throughput_bytes_per_s=1.0,
            cpu_s=0.1,
            client_busy=0.1,
            load_mode="closed",
            offered_rate=None,
        )
        trial = Trial(number=number, block=block, warmup=False, cell=cell(line, concurrency), images=("a:1",) * 20)
        store.write_trial(RUN_ID, "local", trial, TrialResult(record=record, pulls=pulls, transfers=transfers))
        number += 1
    store.write_run(
        RunRecord(
            run_id=RUN_ID,
            vantage="local",
            name="calibration",
            kind="calibration",
            started_at=START,
            finished_at=START,
            status="complete",
            seed=1,
            spec=json.dumps({"name": "calibration", "slo": {}}),
            spec_hash="0" * 64,
            facts="{}",
            environment=json.dumps({"cores": 2, KEY: truth_of(every).as_dict()}),
            trials_planned=number,
        )
    )
    found = read_run(store, RUN_ID)
    return dataclasses.replace(found, read_transfers=rows_of(found.transfers))
