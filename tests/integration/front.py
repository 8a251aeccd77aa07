"""A server before a registry that passes everything on, but for the faults that a test wants."""

import json
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the front answers in the registry's place; the media type is that of JSON or of a page."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def refusal(status: int, code: str, message: str) -> Answer:
    """An error as registries word it (OCI distribution specification, "Error Codes")."""
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    return Answer(status=status, body=body, headers=(("Retry-After", "0"),))


Named = Literal["stall", "corrupt", "truncate", "reset", "close", "cut", "deny", "lose", "throttle", "overload"]
Fault = Named | Answer
"""stall: half of the body, then nothing until the client goes; corrupt: a byte is changed; truncate and reset: half of
the body, then an end in order, or by RST; close and cut: the same ends without an answer. The others are refusals of a registry:
403, 404, 429 and 503."""
_REFUSALS = {
    "deny": refusal(403, "DENIED", "requested access to the resource is denied"),
    "lose": refusal(404, "BLOB_UNKNOWN", "blob unknown to registry"),
    "throttle": refusal(429, "TOOMANYREQUESTS", "slow down"),
    "overload": refusal(503, "UNAVAILABLE", "service unavailable"),
}
_RST = struct.pack("ii", 1, 0)  # SO_LINGER for no time at all: what was not sent is dropped (socket(7))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what the tests are about."""


class Front:
    """Listens on loopback while its `with` block lasts; `fault` says by method and path what goes wrong."""

    def __init__(self, upstream: str, fault: Callable[[str, str], Fault | None]) -> None:
        self.reached = threading.Event()
        """A fault began."""
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler(upstream, fault))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(
        self, upstream: str, fault: Callable[[str, str], Fault | None]
    ) -> type[socketserver.BaseRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            default_request_version = "HTTP/1.1"  # so that TLS gets an answer that Go reads as plain HTTP

            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self._serve()

            def do_GET(self) -> None:
                self._serve()

            def _serve(self) -> None:
                wrong = fault(self.command, self.path)
                if isinstance(wrong, str):
                    wrong = _REFUSALS.get(wrong, wrong)
                if isinstance(wrong, Answer):
                    self._answer(wrong)
                    return
                if wrong in ("close", "cut"):
                    self._hang_up(wrong == "cut")
                    return
                kept = [(name, value) for name, value in self.headers.items() if name.lower() in ("accept", "range")]
                answer = httpx.request(self.command, upstream + self.path, headers=kept, trust_env=False)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                if self.command != "GET":
                    return
                body = answer.content
                if wrong == "stall":
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    self._wait_for_the_client_to_go()
                elif wrong == "corrupt":
                    self.wfile.write(bytes([body[0] ^ 1]) + body[1:])
                elif wrong in ("truncate", "reset"):
                    self.wfile.write(body[: len(body) // 2])
                    self._hang_up(wrong == "reset")
                else:
                    self.wfile.write(body)

            def _answer(self, answer: Answer) -> None:
                body = answer.body.encode()
                self.send_response(answer.status)
                kind = "application/json" if answer.body.startswith("{") else "text/html"
                for name, value in (({"Content-Type": kind} if body else {}) | dict(answer.headers)).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def _hang_up(self, by_reset: bool) -> None:
                self.close_connection = True
                if by_reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
                    self.connection.close()

            def _wait_for_the_client_to_go(self) -> None:
                front.reached.set()
                self.connection.settimeout(0.05)
                self.close_connection = True
                while not front._closing.is_set():
                    try:
                        if not self.connection.recv(1):
                            break
                    except TimeoutError:
                        continue
                    except OSError:
                        break

        return Handler
