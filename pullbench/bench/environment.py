"""Records the environment of a measurement, to compare it before runs are compared, and the offset to registries' clocks."""

import email.utils
import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from pullbench import __version__
from pullbench.engines.base import Clock, usable_cores
from pullbench.errors import PullbenchError
from pullbench.model.clock_offset import ClockOffset, ClockReading, clock_offset
from pullbench.model.facts import EngineFacts
from pullbench.model.plan import route_of
from pullbench.model.route import Route
from pullbench.model.spec import Spec
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain

_PACKAGES = ("httpx", "pycurl", "docker", "prefect", "pyarrow", "numpy")


def fingerprint(
    engines: list[EngineFacts], ceilings: Mapping[str, float], more: Mapping[str, Any] | None = None
) -> str:
    """The environment as one JSON document: versions, kernel, CPU, memory, congestion control, NICs, engines; and `more`.

    `ceilings` are this client's bytes/s by sink; the lowest one counts for the client. `load_before` is the load average of the
    last minute: how many processes wanted a core before the run, those of this one included.
    """
    document: dict[str, Any] = {
        "pullbench": __version__,
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "hostname": platform.node(),
        "os": _os_name(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "load_before": round(psutil.getloadavg()[0], 2),
        "memory_bytes": psutil.virtual_memory().total,
        "congestion_control": _read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "nics": {name: stats.speed for name, stats in sorted(psutil.net_if_stats().items()) if stats.isup},
        "engines": {engine.name: engine.version for engine in engines},
        "image_stores": {engine.name: engine.image_store for engine in engines if engine.image_store},
        "max_concurrent_downloads": {
            engine.name: engine.max_concurrent_downloads for engine in engines if engine.image_store
        },
        "client_ceiling_bytes_per_s": min(ceilings.values(), default=None),
        "client_ceiling_by_sink_bytes_per_s": dict(ceilings),
    }
    return json.dumps(document | dict(more or {}), sort_keys=True)


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _cpu_model() -> str:
    lines = (_read("/proc/cpuinfo") or "").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


_READINGS = 12
_APART_S = 0.09
"""Twelve requests this far apart sample every tenth of a second once."""
_ENOUGH_S = 0.05


def clock_offsets(spec: Spec, keychain: Keychain, clock: Clock) -> dict[str, dict[str, float]]:
    """By registry, `offset_s` of this clock and `known_to_s`; registries without a Date header are left out.

    Takes about a second per registry, and a dozen GET /v2/ without a login.
    """
    found: dict[str, dict[str, float]] = {}
    for entry in spec.registries:
        if spec.matrix.registries is None or entry.name in spec.matrix.registries:
            offset = _offset(route_of(entry, None), keychain, clock)
            if offset is not None:
                found[entry.name] = {
                    "offset_s": round(offset.offset_s, 4),
                    "known_to_s": round(offset.known_to_s, 4),
                }
    return found


def _offset(route: Route, keychain: Keychain, clock: Clock) -> ClockOffset | None:
    readings: list[ClockReading] = []
    try:
        with RegistryClient(route, keychain, connect_timeout_s=5.0, read_timeout_s=5.0) as client:
            for _ in range(_READINGS):
                reading = _reading(client, clock)
                if reading is None:
                    return None
                readings.append(reading)
                found = clock_offset(readings)
                if found is not None and found.known_to_s <= _ENOUGH_S:
                    break
                clock.sleep(_APART_S)
    except PullbenchError:
        pass  # keep the readings so far
    return clock_offset(readings)


def _reading(client: RegistryClient, clock: Clock) -> ClockReading | None:
    """None if the answer has no Date, or came from a cache (RFC 9111, section 5.1)."""
    asked_s = clock.now().timestamp()
    headers = client.ping(authenticate=False).headers
    answered_s = clock.now().timestamp()
    date = _date(headers.get("date", ""))
    if date is None or headers.get("age", "0").strip() not in ("", "0"):
        return None
    return ClockReading(asked_s=asked_s, answered_s=answered_s, date_s=date.timestamp())


def _date(text: str) -> datetime | None:
    try:
        read = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
