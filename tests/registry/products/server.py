"""A server on loopback that answers as a product's API description says, and keeps who asked for what."""

import json
import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

Reply = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
"""Status, JSON document (or bytes as they are), and headers."""
Answer = Callable[[str, str | None], Reply | None]
"""From a path with its query and the user's name (None: nobody) to a reply; None is 404."""

PASSWORD = "wire-tapped-never"
OAUTH = "(OAuth)"
"""The user of a request with the password as an OAuth token."""


class ProductServer:
    """Serves one registry and its product; `seen` has a (path, user) for each request."""

    def __init__(self, answer: Answer, *, server: str = "nginx") -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.headers: list[Mapping[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one segment: in two, the second waits 40 ms for the first's ACK
            server_version, sys_version = server, ""

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                user = outer._user(self.headers.get("Authorization"))
                outer.seen.append((self.path, user))
                outer.headers.append(dict(self.headers.items()))
                status, document, *more = answer(self.path, user) or (404, {"errors": [{"code": "NOT_FOUND"}]})
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(more[0] if more else {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    @staticmethod
    def _user(authorization: str | None) -> str | None:
        if authorization is None:
            return None
        if authorization.startswith("Bearer "):
            assert authorization == f"Bearer {PASSWORD}"
            return OAUTH
        user, _, password = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        assert password == PASSWORD
        return user

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def path_of(target: str) -> str:
    """A request's path without its query."""
    return urlsplit(target).path
