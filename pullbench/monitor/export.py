"""Exports metrics: to a file for node_exporter, to Prometheus as an exporter, or to a Pushgateway."""

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pullbench.errors import IncompleteError, MissingExtraError, UsageError
from pullbench.registry.auth import Credentials
from pullbench.registry.trust import shared_tls_context
from pullbench.store.files import put_on_disk

try:
    from prometheus_client import CollectorRegistry, generate_latest, push_to_gateway, start_http_server
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError("metrics", "metrics") from error

JOB = "pullbench"
PUSH_TIMEOUT_S = 30.0
_SUFFIX = ".prom"


class Collected(Collector):
    """Families that are computed in advance, so that a scrape does not wait for a disk."""

    def __init__(self, families: Iterable[Family] = ()) -> None:
        self._families = list(families)

    def put(self, families: Iterable[Family]) -> None:
        """Replace the families of the next scrapes."""
        self._families = list(families)

    def collect(self) -> list[Family]:
        return self._families


def text(families: Iterable[Family]) -> bytes:
    """Prometheus's text format, version 0.0.4."""
    return generate_latest(_registry(Collected(families)))


def textfile(path: Path) -> Path:
    """The path for node_exporter's textfile collector; UsageError if it cannot read it, or the directory does not exist."""
    if path.suffix != _SUFFIX:
        raise UsageError(f"{path}: node_exporter reads only files that end in {_SUFFIX}: name it {path.name}{_SUFFIX}")
    if not path.parent.is_dir():
        raise UsageError(
            f"{path.parent}: no such directory; use the directory in node_exporter's --collector.textfile.directory"
        )
    return path


def write_textfile(path: Path, families: Iterable[Family]) -> None:
    """Replace such a file completely; raises IncompleteError if it cannot be written."""
    try:
        put_on_disk(path, text(families))
    except OSError as error:
        raise IncompleteError(f"{path}: {error.strerror}; an existing file is unchanged") from error


def listen_address(given: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:9464`, `[::1]:9464` or `:9464` (all addresses); port 0 is any free port."""
    try:
        parts = urlsplit(f"//{given}")
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.path or parts.query or "@" in parts.netloc:
        raise UsageError(f"--listen: '{given}' is not an address with a port, such as 127.0.0.1:9464")
    return parts.hostname or "0.0.0.0", port


class Exporter:
    """Answers scrapes from memory; its own thread calls `read` to look for new runs."""

    def __init__(self, read: Callable[[], Sequence[Family]], *, every_s: float) -> None:
        """`read` returns the families and never raises; it is called immediately, then every `every_s` seconds."""
        self._read = read
        self._every_s = every_s
        self._ended = threading.Event()
        self._collected = Collected()

    def start(self, host: str, port: int) -> str:
        """Start serving and return the URL to scrape. Raises UsageError if the address is not available."""
        self._collected.put(self._read())
        try:
            self._server, self._answering = start_http_server(port, host, _registry(self._collected))
        except OSError as error:
            raise UsageError(f"--listen: {host}:{port}: {error.strerror}; use another address with --listen") from error
        self._looking = threading.Thread(target=self._look, name="results", daemon=True)
        self._looking.start()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self._server.server_port}/metrics"

    def stop(self) -> None:
        """Stop serving; does not wait for a reading in progress."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._answering.join()

    def _look(self) -> None:
        while not self._ended.wait(self._every_s):
            self._collected.put(self._read())


def push(
    url: str,
    grouping: dict[str, str],
    families: Iterable[Family],
    *,
    login: Credentials | None = None,
    ca_file: str | None = None,
) -> None:
    """Replace one group of a Pushgateway; raises IncompleteError if it does not accept it."""
    verify = shared_tls_context(ca_file)

    def sender(
        url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        def send() -> None:
            auth = None if login is None else httpx.BasicAuth(login.username, login.password)
            with httpx.Client(verify=verify, timeout=timeout, trust_env=False) as client:
                _check(client.request(method, url, headers=headers, content=data, auth=auth))

        return send

    try:
        push_to_gateway(url, JOB, _registry(Collected(families)), grouping, timeout=PUSH_TIMEOUT_S, handler=sender)
    except httpx.HTTPError as error:
        what = str(error) or type(error).__name__
        raise IncompleteError(f"PUT {url}: {what}; the results are stored: push again when it answers") from error


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        reason = " ".join(response.text.split())[:200]
        raise IncompleteError(
            f"PUT {response.url}: {response.status_code} {response.reason_phrase}{': ' if reason else ''}{reason}; "
            "is this a Pushgateway, and may this user push?"
        )


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry
