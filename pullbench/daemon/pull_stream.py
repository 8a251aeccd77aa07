"""One pull by a Docker daemon as a stream of events, which another thread can stop at any time.

dockerd has no time limit for pulls, and a stalled blob stays silent forever. dockerd cancels a pull when its client
disconnects, so `stop` closes the sending half of the connection: dockerd sees the end, cancels the pull and closes the
other half. The end of the stream proves that dockerd has cancelled it. (The idle connection of a stalled blob may stay
until its registry closes it; nothing more is read from it.) dockerd cannot be interrupted while it waits for a registry's
first answer (15 s in 20.10); after a while the whole connection is shut down.
"""

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import docker.errors
import requests.adapters
import requests.exceptions
import urllib3.exceptions
from docker.api.client import APIClient
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

STREAM_ERRORS = (
    docker.errors.DockerException,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # a line that is not JSON
)
"""The exceptions that the SDK lets through while a stream is opened and read."""

Opened = Callable[[http.client.HTTPConnection], None]


class PullStream:
    """The events of one pull: iterate once, in one thread; any other thread may call `stop`.

    `client` serves only this pull, and is closed with it. Raises the result of `translate` for the SDK's exceptions.
    """

    def __init__(
        self,
        client: APIClient,
        reference: str,
        *,
        platform: str,
        auth_config: dict[str, str],
        translate: Callable[[Exception], Exception],
        patience_s: float = 2.0,
    ) -> None:
        self._client = client
        self._reference = reference
        self._platform = platform
        self._auth_config = auth_config
        self._translate = translate
        self.patience_s = patience_s
        self._lock = threading.RLock()  # a signal handler may call stop in the thread that is opening
        self._connection: http.client.HTTPConnection | None = None
        self._hang_up: threading.Timer | None = None
        self._stopped = False
        self._ended = False
        self.abandoned = False
        """Whether it was stopped, and dockerd had not cancelled it in time: it may still be pulling."""
        mount_announcing_adapter(client, self._opened)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            yield from self._client.pull(
                self._reference,
                stream=True,
                decode=True,
                platform=self._platform,
                auth_config=self._auth_config,
            )
        except STREAM_ERRORS as error:
            if not self._stopped:
                raise self._translate(error) from error
        finally:
            self._ended = True

    def stop(self) -> None:
        """Make dockerd cancel the pull; the iteration ends soon. Does nothing after the end."""
        with self._lock:
            if self._stopped or self._ended:
                return
            self._stopped = True
            if self._connection is not None:
                self._half_close()

    def close(self) -> None:
        """Close the connection, in any state."""
        with self._lock:
            self._ended = True
            if self._hang_up is not None:
                self._hang_up.cancel()
            if self._connection is not None:
                self._connection.close()
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._connection = connection
            if self._stopped:
                raise ConnectionAbortedError("stopped before the start")

    def _half_close(self) -> None:
        self._shut_down(socket.SHUT_WR)
        self._hang_up = threading.Timer(self.patience_s, self._abandon)
        self._hang_up.daemon = True
        self._hang_up.start()

    def _abandon(self) -> None:
        with self._lock:
            if not self._ended:
                self.abandoned = True
                self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):  # the other side closed it first
                # Not SSLSocket's own shutdown: that drops its keys, and the other thread would read cipher text.
                socket.socket.shutdown(sock, how)


class DirectClient(APIClient):
    """The SDK's client without the environment's proxies: a proxy would delay the events that measure the pulls."""

    @property
    def trust_env(self) -> bool:
        return False

    @trust_env.setter
    def trust_env(self, value: bool) -> None:
        """Ignored: the base class turns it on before the first request."""


def mount_announcing_adapter(client: APIClient, opened: Opened) -> None:
    """Make `client` call `opened` with each new connection, before anything is sent on it."""
    adapter = client.get_adapter(client.base_url)
    if isinstance(adapter, UnixHTTPAdapter):
        client.mount("http+docker://", _UnixAdapter(f"http+unix://{adapter.socket_path}", opened))
    else:
        for scheme in ("http://", "https://"):
            client.mount(scheme, _TcpAdapter(opened))


class _UnixAdapter(UnixHTTPAdapter):
    def __init__(self, socket_url: str, opened: Opened) -> None:
        self._opened = opened
        super().__init__(socket_url, pool_connections=1, max_pool_size=1)

    def get_connection(self, url: Any, proxies: Any = None) -> UnixHTTPConnectionPool:  # noqa: ARG002
        pool = _UnixPool(url, self.socket_path, timeout=self.timeout, maxsize=1)
        pool.opened = self._opened
        self.pools[url] = pool
        return pool


class _UnixPool(UnixHTTPConnectionPool):
    opened: Opened

    def _new_conn(self) -> Any:
        return _announcing(UnixHTTPConnection, self.opened)(self.base_url, self.socket_path, self.timeout)


class _TcpAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type(
                f"_Announcing{pool.__name__}", (pool,), {"ConnectionCls": _announcing(pool.ConnectionCls, self._opened)}
            )
            for scheme, pool in self.poolmanager.pool_classes_by_scheme.items()
        }


def _announcing(base: Any, opened: Opened) -> Any:
    """A connection class that calls `opened` with itself after it has connected."""

    class Announcing(base):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            opened(self)

    return Announcing
