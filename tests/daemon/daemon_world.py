"""A Docker Engine API of the tests' own on a socket: answers by path, and pulls that do what the test says."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

VERSION = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}
Pull = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """One request of the SDK."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.got.append(self.path)
        path = urlsplit(self.path).path
        known = next((value for end, value in self.server.answers.items() if path.endswith(end)), None)
        self.answer(404 if known is None else 200, known or {"message": f"No such image: {path}"})

    def do_DELETE(self) -> None:
        self.server.deleted.append(self.path)
        self.answer(*self.server.deletion)

    def do_POST(self) -> None:
        self.server.asked.append(({k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}, self.headers))
        self.server.pull(self)

    def answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        """The head of a pull's answer."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def say(self, event: Mapping[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\r\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def end(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def wait_for_the_client_to_go(self) -> None:
        """As dockerd does: the client's half of the connection is read while the pull is at work."""
        self.connection.settimeout(20)
        assert self.connection.recv(1) == b""
        self.close_connection = True


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    answers: dict[str, Any]
    deletion: tuple[int, Any]
    pull: Pull
    asked: list[tuple[dict[str, str], Any]]
    deleted: list[str]
    got: list[str]

    def get_request(self) -> tuple[Any, Any]:
        connection, _ = super().get_request()
        return connection, ("client", 0)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are what the tests are about."""


class DaemonSocket:
    """Serves while its `with` block lasts; `host` is its address."""

    def __init__(
        self, folder: Path, pull: Pull = lambda handler: handler.answer(500, {"message": "not scripted"})
    ) -> None:
        path = folder / "docker.sock"
        self._server = _Server(str(path), Handler)
        self._server.answers = {"/version": VERSION}
        self._server.deletion = (200, [])
        self._server.pull = pull
        self._server.asked, self._server.deleted, self._server.got = [], [], []
        self.host = f"unix://{path}"

    @property
    def answers(self) -> dict[str, Any]:
        return self._server.answers

    @property
    def asked(self) -> list[tuple[dict[str, str], Any]]:
        """Query and headers of each pull."""
        return self._server.asked

    @property
    def got(self) -> list[str]:
        """The path and query of each GET."""
        return self._server.got

    @property
    def deleted(self) -> list[str]:
        return self._server.deleted

    def refuse_deletion(self, status: int, message: str) -> None:
        self._server.deletion = (status, {"message": message})

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.shutdown()
        self._server.server_close()
