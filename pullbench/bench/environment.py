"""What the measurement was made on: kept with the run, compared before runs are compared."""

import json
import platform
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from pullbench import __version__
from pullbench.engines.base import usable_cores
from pullbench.model.facts import EngineFacts

_PACKAGES = ("httpx", "pycurl", "docker", "prefect", "pyarrow", "numpy")


def fingerprint(
    engines: list[EngineFacts], ceilings: Mapping[str, float], more: Mapping[str, Any] | None = None
) -> str:
    """The environment as one JSON document: versions, kernel, CPU, memory, congestion control, NICs, engines; and `more`.

    `ceilings` are this client's bytes a second, by sink; the lowest of them stands for the client.
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
        "memory_bytes": psutil.virtual_memory().total,
        "congestion_control": _read("/proc/sys/net/ipv4/tcp_congestion_control"),
        "nics": {name: stats.speed for name, stats in sorted(psutil.net_if_stats().items()) if stats.isup},
        "engines": {engine.name: engine.version for engine in engines},
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
