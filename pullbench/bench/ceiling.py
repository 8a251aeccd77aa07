"""Measures this client's limits before a run: its usable cores, and the bytes/s through its own receiving code."""

import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pullbench.bench.sampler import ProcReader, Sampler, Watched
from pullbench.engines.base import own_cores, usable_cores
from pullbench.model.capability import CAPABILITIES
from pullbench.model.spec import EngineEntry
from pullbench.stats.busy import Busy, client_busy, machine_busy

MIB = 2**20
_SIZES = {"discard": 24 * MIB, "disk": 8 * MIB}
"""Bytes of one measurement: about 50 ms. A disk is synced, as in a pull, so it gets fewer."""
_TIMES = 2
"""Other load on the machine only lowers a measurement, so the better one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The limits of one engine's client; `bytes_per_s` is None for an engine that does not use our receiving code.

    With `whole_machine` a daemon or a program does the work: then the whole machine counts, with all its cores.
    """

    cores: float
    bytes_per_s: float | None = None
    whole_machine: bool = False

    def sampler(self) -> Sampler:
        """A sampler for one trial."""
        return Sampler(ProcReader(None if self.whole_machine else own_cores()).read)

    def busy(self, watched: Watched, throughput_bytes_per_s: float | None) -> Busy | None:
        """How near a trial came to the ceiling."""
        if self.whole_machine:
            return machine_busy(watched.windows, cores=self.cores)
        share = None
        if self.bytes_per_s is not None and throughput_bytes_per_s is not None:
            share = throughput_bytes_per_s / self.bytes_per_s
        return client_busy(watched.windows, cores=self.cores, bytes_share=share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The ceilings of a run's engines and their sinks."""

    by_engine: Mapping[str, Ceiling] = field(default_factory=dict)
    by_sink: Mapping[str, float] = field(default_factory=dict)


def measure_ceilings(engines: Sequence[EngineEntry]) -> Ceilings:
    """The ceilings of engines that work on this machine."""
    by_sink = client_ceiling(sorted({entry.sink for entry in engines if entry.kind == "wire"}))
    by_engine = {}
    for entry in engines:
        own = CAPABILITIES[entry.kind].in_process
        by_engine[entry.name] = Ceiling(
            cores=core_limit(usable_cores()) if own else float(os.cpu_count() or 1),
            bytes_per_s=by_sink.get(entry.sink) if entry.kind == "wire" else None,
            whole_machine=not own,
        )
    return Ceilings(by_engine=by_engine, by_sink=by_sink)


def client_ceiling(
    sinks: Collection[str], *, sizes: Mapping[str, int] | None = None, times: int = _TIMES, streams: int | None = None
) -> dict[str, float]:
    """The bytes/s that the wire engine receives from a loopback source, verifies and writes to each sink.

    It uses the engine's own code: libcurl, the hash, the file and its fsync, in `streams` threads (default: 4, or the number
    of cores if larger). The source shares the machine, so the real ceiling may be higher: a trial near it is suspect. A sink
    that cannot be written to is left out; its pulls report the error.
    """
    sizes, streams = sizes or _SIZES, streams or max(4, usable_cores())
    found: dict[str, float] = {}
    for sink in sinks:
        rates = [rate for _ in range(times) if (rate := _rate(sink, sizes[sink] // streams, streams)) is not None]
        if rates:
            found[sink] = max(rates)
    return found


def core_limit(usable: int, *, mounted: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> float:
    """The cores that a container's quota leaves of the `usable` ones."""
    quotas = []
    for folder in _control_groups(mounted, proc):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota, period = (
                    (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip() for name in ("quota", "period")
                )
            if quota not in ("max", "-1"):
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return min([float(usable), *quotas])


def _control_groups(mounted: Path, proc: Path) -> Iterator[Path]:
    """The control groups of this process and those above, in both versions of cgroups."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mounted / "cpu" if controllers else mounted
        folder = root / path.lstrip("/")
        yield from [each for each in (folder, *folder.parents) if each.is_relative_to(root)]


def _rate(sink: str, share_bytes: int, streams: int) -> float | None:
    """One measurement of `streams` blobs of `share_bytes`; None if the sink cannot be written to."""
    from pullbench.engines.wire.body import BlobBody
    from pullbench.engines.wire.curl import Handle, HttpRequest  # libcurl is imported on first use
    from pullbench.model.manifest import OCI_LAYER_GZIP, Descriptor

    digest = f"sha256:{hashlib.sha256(bytes(share_bytes)).hexdigest()}"
    blob = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest, size_bytes=share_bytes)

    def receive(url: str, path: Path | None) -> None:
        handle, body = Handle(time.monotonic), BlobBody(blob, path)
        request = HttpRequest(
            url=url, ca_file="", http_version="1.1", connect_timeout_s=5.0, stall_timeout_s=10.0, timeout_s=20.0,
            stopped=lambda: False,
        )  # fmt: skip
        try:
            exchange = handle.exchange(request, body)
            if exchange.error_code is not None:
                raise OSError(exchange.error)
            body.finish()
        finally:
            body.close()
            handle.close()

    try:
        with tempfile.TemporaryDirectory(prefix="pullbench-ceiling-") as folder, _source(share_bytes, streams) as url:
            paths = [Path(folder) / str(number) if sink == "disk" else None for number in range(streams)]
            with ThreadPoolExecutor(streams) as pool:
                started_s = time.perf_counter()
                list(pool.map(partial(receive, url), paths))
                return share_bytes * streams / (time.perf_counter() - started_s)
    except OSError:
        return None


@contextmanager
def _source(size_bytes: int, connections: int) -> Iterator[str]:
    """The URL of a loopback server that answers `connections` requests with `size_bytes` zero bytes each."""
    chunk = memoryview(bytes(MIB))
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\nConnection: close\r\n\r\n".encode()

    def answer(listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                for start in range(0, size_bytes, MIB):
                    connection.sendall(chunk[: size_bytes - start])
        except OSError:
            return  # the other side has closed

    with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
        listener.settimeout(20.0)
        threads = [threading.Thread(target=answer, args=(listener,), daemon=True) for _ in range(connections)]
        for thread in threads:
            thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    for thread in threads:
        thread.join()
