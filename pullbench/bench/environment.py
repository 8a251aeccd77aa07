"""What the measurement was made on: kept with the run, compared before runs are compared."""

import hashlib
import json
import os
import platform
import socket
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from pullbench import __version__
from pullbench.model.facts import EngineFacts

_PACKAGES = ("httpx", "pycurl", "docker", "prefect", "pyarrow", "numpy")


def fingerprint(
    engines: list[EngineFacts], client_ceiling_bytes_per_s: float | None, more: Mapping[str, Any] | None = None
) -> str:
    """The environment as one JSON document: versions, kernel, CPU, memory, congestion control, NICs, engines; and `more`."""
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
        "client_ceiling_bytes_per_s": client_ceiling_bytes_per_s,
    }
    return json.dumps(document | dict(more or {}), sort_keys=True)


def usable_cores() -> int:
    """Cores that this process may use, not those that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def client_ceiling(size_bytes: int = 48 * 2**20, streams: int = 4) -> float:
    """Bytes a second that this process can receive over loopback and hash, in `streams` threads.

    The sender shares the machine, so this is a floor of the ceiling: a trial that comes near it is suspect.
    """
    chunk = bytes(1 << 20)
    listener = socket.create_server(("127.0.0.1", 0), backlog=streams)
    share = size_bytes // streams

    def send() -> None:
        connection, _ = listener.accept()
        with connection:
            for _ in range(share // len(chunk)):
                connection.sendall(chunk)

    def receive() -> int:
        digest, buffer, total = hashlib.sha256(), bytearray(1 << 19), 0
        with socket.create_connection(listener.getsockname()) as connection:
            while count := connection.recv_into(buffer):
                digest.update(memoryview(buffer)[:count])
                total += count
        return total

    senders = [threading.Thread(target=send, daemon=True) for _ in range(streams)]
    for sender in senders:
        sender.start()
    started = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        received = sum(pool.map(lambda _: receive(), range(streams)))
    elapsed = time.perf_counter() - started
    for sender in senders:
        sender.join()
    listener.close()
    return received / elapsed


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
