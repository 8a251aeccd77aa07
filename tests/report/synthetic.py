"""A seeded run as the store would give it back: the shape of a real one, and known truth in it.

`eu` is near, `us` far, `cache` a mirror of `us` that stands near; docker unpacks, wire does not. Some far pulls fail.
"""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import Cell, Trial
from pullbench.model.record import Pull, RunRecord, Transfer, TrialRecord, TrialResult
from pullbench.store import schema
from pullbench.store.dataset import ResultStore

RUN_ID = "20261123T161500Z-3fa2"
STARTED_AT = datetime(2026, 11, 23, 16, 15, tzinfo=UTC)
LAYERS_BYTES = (31_400_000, 11_200_000, 4_300_000, 620_000, 1_100)
CONFIG_BYTES = 7_400
BANDWIDTH = {("eu", "direct"): 110e6, ("us", "direct"): 32e6, ("us", "cache"): 96e6, ("eu", "cache"): 96e6}
DELAY_S = {("eu", "direct"): 0.004, ("us", "direct"): 0.080, ("us", "cache"): 0.005, ("eu", "cache"): 0.005}

CHECKS = (
    Finding(check="dns", target="eu", status=Status.PASS, observed="192.0.2.1 in 1 ms", duration_s=0.001),
    Finding(check="tcp", target="eu", status=Status.PASS, observed="connected in 4 ms", duration_s=0.004),
    Finding(check="tls", target="eu", status=Status.PASS, observed="TLS 1.3, 61 days left", duration_s=0.01),
    Finding(check="api", target="us", status=Status.PASS, observed="GET /v2/: 200 in 81 ms", duration_s=0.081),
    Finding(
        check="rate-limit",
        target="us",
        status=Status.WARN,
        observed="118 of 200 requests left, the plan needs 96",
        expected="twice what the plan needs",
        remedy="log in for a higher limit",
        duration_s=0.09,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to make; the defaults are the full demo-like run."""

    engines: Sequence[str] = ("wire", "docker")
    routes: Sequence[tuple[str, str]] = (("eu", "direct"), ("us", "direct"), ("us", "cache"))
    platforms: Sequence[str] = ("linux/amd64",)
    concurrency: Sequence[int] = (1, 2, 4, 8)
    blocks: int = 5
    warmup: int = 1
    pulls: int = 8
    noise: float = 0.04
    failure_rate: float = 0.03
    """Of pulls over the far direct route."""
    fail_everywhere: bool = False
    images: Sequence[str] = ("library/nginx:1.27", "library/python:3.13", "library/redis:7", "team/api:2026.11")
    error_text: str = (
        "GET https://us.registry.example.com/v2/library/nginx/blobs/sha256:9f1c…: read: connection reset by peer"
    )
    status: str = "complete"
    seed: int = 7
    run_id: str = RUN_ID
    started_at: datetime = STARTED_AT
    name: str = "concurrency-sweep"
    labels: dict[str, str] = field(default_factory=lambda: {"commit": "3f4ff3c"})
    slower: float = 1.0
    """Times of each pull, as a multiple of what they would be."""
    proxy_cache: Sequence[str] = ("any",)
    """States of the mirror's store; what is cold comes from far, and a little slower."""
    slo: dict[str, float] = field(
        default_factory=lambda: {"success_rate": 0.999, "mean_pull_s": 3.0, "p99_api_s": 2.0, "consecutive_failures": 3}
    )


class _Maker:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.random = random.Random(recipe.seed)
        self.now = recipe.started_at + timedelta(seconds=9)

    def trial(self, cell: Cell, *, warmup: bool) -> TrialResult:
        drift = self.random.gauss(0, self.recipe.noise) + (0.4 if warmup else 0.0) + math.log(self.recipe.slower)
        workers = [0.0] * cell.concurrency
        results, exchanges = [], []
        for pull in range(self.recipe.pulls):
            worker = min(range(cell.concurrency), key=workers.__getitem__)
            made, transfers = self.pull(cell, pull, workers[worker], drift)
            workers[worker] += made.duration_s
            results.append(made)
            exchanges += transfers
        wall_s = max(workers)
        received = sum(entry.bytes or 0 for entry in results)
        record = TrialRecord(
            started_at=self.now,
            wall_s=wall_s,
            setup_s=0.2,
            pulls=len(results),
            succeeded=sum(entry.ok for entry in results),
            bytes=received,
            throughput_bytes_per_s=received / wall_s if received else None,
            cpu_s=0.1 * wall_s,
            client_busy=min(0.99, received / wall_s / 1.0e9),
            load_mode="closed",
            offered_rate=None,
        )
        self.now += timedelta(seconds=wall_s + 0.4)
        return TrialResult(record=record, pulls=tuple(results), transfers=tuple(exchanges))

    def pull(self, cell: Cell, number: int, start_s: float, drift: float) -> tuple[Pull, list[Transfer]]:
        route = (cell.registry, cell.proxy)
        failed = self.recipe.fail_everywhere or (
            route == ("us", "direct") and self.random.random() < self.recipe.failure_rate
        )
        started_at = self.now + timedelta(seconds=start_s)
        transfers = self.transfers(cell, number, started_at, drift)
        ends = [(entry.started_at - started_at).total_seconds() + (entry.total_s or 0.0) for entry in transfers]
        download_s = max(ends)
        extract_s = sum(entry.extract_s or 0 for entry in transfers) if cell.engine_kind == "docker" else None
        duration_s = 0.6 * download_s if failed else download_s + (extract_s or 0)
        size = CONFIG_BYTES * (cell.engine_kind == "wire") + sum(LAYERS_BYTES)
        made = Pull(
            pull=number,
            image=self.recipe.images[number % len(self.recipe.images)],
            digest="sha256:" + f"{number % len(self.recipe.images):064x}",
            intended_at=started_at,
            started_at=started_at,
            queued_s=0.0,
            duration_s=duration_s,
            ok=not failed,
            error_code=ErrorCode.RESET if failed else None,
            error=self.recipe.error_text if failed else None,
            attempts=1,
            bytes=None if failed else size,
            layers=None if failed else len(LAYERS_BYTES),
            layers_cached=0 if cell.engine_kind == "docker" and not failed else None,
            layers_shared=0 if cell.engine_kind == "docker" and not failed else None,
            auth_s=DELAY_S[route] * 2,
            resolve_s=DELAY_S[route] * 2,
            download_s=None if failed else download_s,
            extract_s=None if failed else extract_s,
            served_by="192.0.2.10 Via: 1.1 cache" if cell.proxy == "cache" else "192.0.2.1",
        )
        return made, transfers

    def transfers(self, cell: Cell, pull: int, started_at: datetime, drift: float) -> list[Transfer]:
        route = (cell.registry, cell.proxy)
        if cell.proxy_cache == "cold":
            drift += math.log(1.2 * BANDWIDTH[route] / BANDWIDTH["us", "direct"])
        delay_s, rate = DELAY_S[route], BANDWIDTH[route] / (1 + 0.55 * (cell.concurrency - 1))
        rate *= 0.8 if cell.platform == "linux/arm64" else 1.0
        wire, at_s, made = cell.engine_kind == "wire", 0.0, []
        steps = [("layer", size) for size in LAYERS_BYTES]
        if wire:
            steps = [("token", 1_900), ("manifest", 2_300), ("config", CONFIG_BYTES), *steps]
        for index, (kind, size) in enumerate(steps):
            factor = 2.718281828 ** (drift + self.random.gauss(0, self.recipe.noise))
            transfer_s = size / rate * factor
            made.append(
                Transfer(
                    pull=pull,
                    attempt=1,
                    kind=kind,  # type: ignore[arg-type]
                    digest=None if kind == "token" else f"sha256:{kind}{index:04d}" + "ab" * 20,
                    bytes=size,
                    status=200 if wire else None,
                    started_at=started_at + timedelta(seconds=at_s),
                    dns_s=0.001 if wire and index == 0 else None,
                    connect_s=delay_s if wire and index == 0 else None,
                    tls_s=2 * delay_s if wire and index == 0 else None,
                    wait_s=delay_s * factor if wire else None,
                    transfer_s=transfer_s if wire else None,
                    total_s=transfer_s + delay_s,
                    extract_s=size / 180e6 if cell.engine_kind == "docker" else None,
                    reused=index > 0 if wire else None,
                    http_version="1.1" if wire else None,
                    remote_ip="192.0.2.1" if wire else None,
                )
            )
            at_s += (transfer_s + delay_s) * (1.0 if kind != "layer" else 0.45)
        return made


def make(folder: Path | str, recipe: Recipe | None = None) -> ResultStore:
    """A store with one made-up run, compacted as a finished run is; a folder that has some gets one more."""
    recipe = recipe or Recipe()
    done, finished_at = trials_of(recipe)
    store, run_id = ResultStore(str(folder)), recipe.run_id
    put_compacted(store, run_id, "office", done)
    store.write_checks(run_id, "office", CHECKS, recipe.started_at)
    store.write_run(_run(recipe, finished_at, len(done)))
    return store


def trials_of(recipe: Recipe) -> tuple[list[tuple[Trial, TrialResult]], datetime]:
    """The trials of a recipe's run in their order, and when the last one ended."""
    maker, done = _Maker(recipe), list[tuple[Trial, TrialResult]]()
    for block in range(recipe.warmup + recipe.blocks):
        order = _cells(recipe)
        maker.random.shuffle(order)
        for cell in order:
            warmup = block < recipe.warmup
            trial = Trial(number=len(done), block=block, warmup=warmup, cell=cell, images=tuple(recipe.images))
            done.append((trial, maker.trial(cell, warmup=warmup)))
    return done, maker.now


def tables_of(run_id: str, vantage: str, done: Sequence[tuple[Trial, TrialResult]]) -> dict[schema.TableName, pa.Table]:
    """The tables of these trials, each made at once."""
    rows: dict[schema.TableName, list[Any]] = {"pulls": [], "transfers": [], "trials": []}
    places: dict[schema.TableName, list[dict[str, Any]]] = {name: [] for name in rows}
    for trial, result in done:
        of_trial = {"pulls": result.pulls, "transfers": result.transfers, "trials": [result.record]}
        place = schema.coordinates(run_id, vantage, trial)
        for name in rows:
            rows[name] += of_trial[name]
            places[name] += [place] * len(of_trial[name])
    return {name: _table(name, rows[name], places[name]) for name in rows}


def _table(name: schema.TableName, rows: list[Any], places: list[dict[str, Any]]) -> pa.Table:
    """What `to_table` makes of rows that each have a place of their own."""
    if not rows:
        return schema.SCHEMAS[name].empty_table()
    made = schema.to_table(name, rows, places[0])
    for index, column in enumerate(made.schema):
        if column.name in places[0]:
            made = made.set_column(index, column, pa.array([place[column.name] for place in places], column.type))
    return made


def put_compacted(store: ResultStore, run_id: str, vantage: str, done: Sequence[tuple[Trial, TrialResult]]) -> None:
    """What `write_trial` of each and `compact` leave, at once: by way of a part a trial it takes several times as long."""
    numbers = [trial.number for trial, _ in done]
    for name, table in tables_of(run_id, vantage, done).items():
        store._put(name, run_id, "compacted.parquet", schema.conformed(schema.RELAXED[name], table), numbers)


def _cells(recipe: Recipe) -> list[Cell]:
    return [
        Cell(
            engine=engine,
            engine_kind=engine,
            registry=registry,
            region={"eu": "eu-west", "us": "us-east"}[registry],
            proxy=proxy,
            platform=platform,
            concurrency=concurrency,
            cache="cold",
            proxy_cache=proxy_cache,  # type: ignore[arg-type]
            auth="persisted",
        )
        for engine in recipe.engines
        for registry, proxy in recipe.routes
        for platform in recipe.platforms
        for concurrency in recipe.concurrency
        for proxy_cache in (recipe.proxy_cache if proxy == "cache" else ("any",))
    ]


def _run(recipe: Recipe, finished_at: datetime, trials: int) -> RunRecord:
    spec = {
        "name": recipe.name,
        "images": list(recipe.images),
        "registries": [
            {"name": "eu", "url": "https://eu.example.com", "region": "eu-west"},
            {"name": "us", "url": "https://us.example.com:5000", "region": "us-east"},
        ],
        "proxies": [{"name": "cache", "kind": "mirror", "upstream": "us", "url": "https://cache.example.com"}],
        "slo": recipe.slo,
        "repetitions": recipe.blocks,
        "warmup": recipe.warmup,
        "load": {"mode": "closed"},
        "pulls_per_trial": recipe.pulls,
        "timeout_s": 300.0,
        "retries": 0,
    }
    refused = {"engine": "docker", "engine_kind": "docker", "registry": "eu", "region": "eu-west", "proxy": "cache"}
    refused |= {"platform": "linux/amd64", "cache": "cold", "proxy_cache": "any", "auth": "persisted"}
    reason = "proxy 'cache' is a mirror of 'us', not of 'eu'"
    return RunRecord(
        run_id=recipe.run_id,
        vantage="office",
        name=recipe.name,
        labels=recipe.labels,
        started_at=recipe.started_at,
        finished_at=finished_at,
        status=recipe.status,  # type: ignore[arg-type]
        seed=1,
        spec=json.dumps(spec),
        spec_hash="0" * 64,
        facts='{"engines":[],"host_platform":"linux/amd64","images":[]}',
        environment=json.dumps(
            {
                "pullbench": "0.1.0",
                "python": "3.11.2",
                "kernel": "Linux 6.1.0",
                "cpu": "x86_64, 2 cores",
                "memory_bytes": 8_000_000_000,
                "congestion_control": "cubic",
                "docker": {"version": "20.10.24", "max_concurrent_downloads": 3},
            }
        ),
        trials_planned=trials,
        planned_out=json.dumps([{"cell": refused | {"concurrency": c}, "reason": reason} for c in recipe.concurrency]),
    )
