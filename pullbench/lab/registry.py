"""A registry on a real socket (OCI distribution spec): files by sendfile, one thread per connection.

It replaces a remote service with known properties: it counts the bytes it sends, and its capacity can be set (`slots`,
`service_s`).
"""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from pullbench.lab.auth import AccessControl, AuthRules
from pullbench.lab.contents import Contents, Counters
from pullbench.lab.faults import Faults, FaultyHandler
from pullbench.lab.handler import RegistryState
from pullbench.lab.push_handler import PushHandler
from pullbench.lab.uploads import Uploads
from pullbench.lab.upstream import PullThrough

_CLOSING_S = 5.0
_LOOPBACK = "127.0.0.1"  # other machines must not reach the lab

_HandlerFactory = Callable[[Any, Any, socketserver.BaseServer], socketserver.BaseRequestHandler]


def listen() -> socket.socket:
    """A listening socket on a free loopback port, with a backlog for many concurrent clients."""
    return socket.create_server((_LOOPBACK, 0), backlog=1024)


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """The URL for clients."""
    host, port = listener.getsockname()
    return f"{scheme}://{host}:{port}"


class Registry:
    """A running registry; a context manager: it ends with its block.

    `upstream` (`http://HOST:PORT`) makes it a pull-through cache that stores blobs in `cache_folder`; a share of them is
    missing again on a later request (`forgets`, drawn by the `seed`). With `uploads_folder` it accepts pushes and stores them
    there, else it answers them with 405. With `slots`, at most that many requests are served
    concurrently, each for `service_s` seconds before its answer begins: the capacity is slots / service_s requests per second.
    `access_log` receives one line per exchange. `faults` are injected. `tls` is a certificate and its key (PEM) for TLS; each
    connection's own thread makes the handshake.
    """

    def __init__(
        self,
        contents: Contents | None = None,
        *,
        auth: AuthRules | None = None,
        upstream: str | None = None,
        cache_folder: Path | None = None,
        uploads_folder: Path | None = None,
        forgets: float = 0.0,
        seed: int = 1,
        access_log: Path | None = None,
        slots: int | None = None,
        service_s: float = 0.0,
        faults: Faults | None = None,
        tls: tuple[Path, Path] | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        if (upstream is None) != (cache_folder is None):
            raise ValueError("a pull-through cache needs both `upstream` and `cache_folder`")
        if upstream is not None and uploads_folder is not None:
            raise ValueError("a pull-through cache accepts no pushes")
        contents = contents or Contents()
        self.counters = Counters()
        pull_through: PullThrough | None = None
        if upstream is not None and cache_folder is not None:
            pull_through = PullThrough(
                upstream, folder=cache_folder, contents=contents, counters=self.counters, forgets=forgets, seed=seed
            )
        self._access_log: TextIO | None = None if access_log is None else access_log.open("a", buffering=1)
        self.state = RegistryState(
            contents,
            self.counters,
            AccessControl(auth),
            pull_through=pull_through,
            uploads=None if uploads_folder is None else Uploads(contents, uploads_folder),
            slots=slots,
            service_s=service_s,
            access_log=self._access_log,
        )
        handler: _HandlerFactory = partial(PushHandler, registry=self.state)
        if faults is not None:
            handler = partial(FaultyHandler, registry=self.state, faults=faults)
        self._scheme = "http" if tls is None else "https"
        self._server = _RegistryServer(
            listener or listen(), handler, self.counters, None if tls is None else _tls_context(*tls)
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return url_of(self._server.socket, self._scheme)

    def close(self) -> None:
        """Stop listening, close the open connections, and wait for their threads."""
        self.state.closing.set()
        with contextlib.suppress(OSError):
            # Wakes the accepting thread, which otherwise checks for the end only every 50 ms (not on every system).
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.cut_connections()
        if self._access_log is not None:
            self._access_log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _RegistryServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(
        self, listener: socket.socket, handler: _HandlerFactory, counters: Counters, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self._counters = counters
        self._tls = tls
        self._open: set[Any] = set()
        self._changed = threading.Condition()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The first read makes the handshake, in the connection's thread: here it would block all others.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        self._counters.add("connections")
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def cut_connections(self) -> None:
        with self._changed:
            for request in self._open:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=_CLOSING_S)


def _tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
