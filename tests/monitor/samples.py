"""Snapshots to export, with every number told apart."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pullbench.model.finding import Finding, Status
from pullbench.model.record import RunRecord
from pullbench.monitor.metrics import EngineSlo, Group, Snapshot

STARTED_AT = datetime(2026, 11, 23, 16, 15, tzinfo=UTC)
FINISHED_AT = STARTED_AT + timedelta(minutes=7)
CERTIFICATE_ENDS_AT = datetime(2026, 12, 20, tzinfo=UTC)
IMAGE = "library/nginx:1.27"
DIGEST = "sha256:" + "a" * 64
EU = Group("wire", "eu", "eu-west", "direct")
US = Group("wire", "us", "us-east", "cache")

SLOS = (
    EngineSlo(name="success_rate", engine="wire", target=0.999, measured=0.75, low=0.5, verdict="missed"),
    EngineSlo(name="mean_pull_s", engine="wire", target=3.0, measured=1.5, low=1.2, verdict="met"),
    EngineSlo(name="p99_api_s", engine="wire", target=2.0, measured=None, low=2.25, verdict="missed"),
    EngineSlo(name="p95_pull_s", engine="docker", target=8.0, measured=9.5, low=8.5, verdict="missed"),
    EngineSlo(name="consecutive_failures", engine="wire", target=None, measured=2, low=None, verdict=None),
)


def run(**changes: Any) -> RunRecord:
    fields: dict[str, Any] = {
        "run_id": "20261123T161500Z-3fa2",
        "vantage": "office",
        "name": "weekly",
        "started_at": STARTED_AT,
        "finished_at": FINISHED_AT,
        "status": "complete",
        "seed": 1,
        "spec": json.dumps({"name": "weekly", "images": [f"{IMAGE}@{DIGEST}"]}),
        "spec_hash": "0" * 64,
        "facts": "{}",
        "environment": "{}",
        "trials_planned": 6,
    }
    return RunRecord(**{**fields, **changes})


def cell(group: Group, concurrency: int, *, pulls: int = 8, succeeded: int = 6, retried: int = 1) -> dict[str, Any]:
    counted = {"pulls": pulls, "succeeded": succeeded, "retried": retried, "bytes": 1_000 * pulls}
    return {**group._asdict(), "concurrency": concurrency, **counted}


def tls_finding(target: str, *ends_at: datetime) -> Finding:
    chain = [{"subject": "CN=registry", "ends_at": each.isoformat()} for each in ends_at]
    evidence = json.dumps({"handshake": {"path": chain, "chain": []}})
    return Finding(check="tls", target=target, status=Status.PASS, observed="TLS 1.3", evidence=evidence)


def snapshot(**changes: Any) -> Snapshot:
    fields: dict[str, Any] = {
        "run": run(),
        "completed_at": FINISHED_AT,
        "verdict": "missed",
        "trials_finished": 5,
        "cells": [cell(EU, 1), cell(EU, 4, pulls=16, succeeded=16, retried=2), cell(US, 1)],
        "latencies_s": {EU: [0.02, 0.025, 0.4, 400.0], US: [2.0]},
        "slos": SLOS,
        "errors": {"reset": 2, "timeout": 1},
        "findings": (
            tls_finding("eu", CERTIFICATE_ENDS_AT, CERTIFICATE_ENDS_AT + timedelta(days=900)),
            Finding(
                check="image",
                target=f"eu {IMAGE}@{DIGEST} linux/amd64",
                status=Status.FAIL,
                observed=f"{IMAGE} is gone",
                remedy="push it",
            ),
        ),
    }
    return Snapshot(**{**fields, **changes})
