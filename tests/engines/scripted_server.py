"""A small HTTP/1.1 server on loopback that does just what a test scripts, and an image to serve from it."""

import contextlib
import hashlib
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, parse_manifest


@dataclass
class Incoming:
    """One request, and the means to answer it well or badly."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: socket.socket
    number: int
    """Which connection it came by."""
    stopping: threading.Event
    closed: bool = False

    def send(
        self,
        status: int,
        body: bytes = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        length: int | None = None,
    ) -> None:
        """An answer; `length` may lie about the body's."""
        lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body) if length is None else length}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def hang_up(self) -> None:
        """Close in order, whatever was promised."""
        self.closed = True

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed = True

    def stall(self) -> None:
        """Send nothing more until the server is stopped."""
        self.stopping.wait(60)
        self.closed = True


Handler = Callable[[Incoming], None]


class ScriptedServer:
    """Handlers by path; a list of handlers answers in turn, and its last one for ever."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.seen: list[Incoming] = []
        self.stopping = threading.Event()
        self._accepted: list[socket.socket] = []
        self._handlers: dict[str, list[Handler]] = {}
        self._lock = threading.Lock()
        outer = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request, self.client_address)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            request_queue_size = 64

            def get_request(self) -> tuple[socket.socket, int]:
                connection, _ = super().get_request()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if context is not None:  # the handshake comes with the first read, in the connection's own thread
                    connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                outer._accepted.append(connection)
                return connection, len(outer._accepted)

            def shutdown_request(self, request: object) -> None:
                self.close_request(request)  # type: ignore[arg-type]  # a FIN before it would hide a reset

        self._server = Server(("127.0.0.1", 0), Connection)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://{self.host}"

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._accepted)

    def on(self, path: str, *handlers: Handler) -> None:
        self._handlers[path] = list(handlers)

    def paths(self) -> list[str]:
        return [incoming.path for incoming in self.seen]

    def close(self) -> None:
        """End it and wait for the threads of its connections."""
        self.stopping.set()
        with contextlib.suppress(OSError):  # closed before, by a test
            self._server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._server.shutdown()
        for connection in self._accepted:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            while not self.stopping.is_set():
                try:
                    line = stream.readline().split()
                    if len(line) < 2:
                        return
                    headers: dict[str, str] = {}
                    while (raw := stream.readline()) not in (b"\r\n", b""):
                        name, _, value = raw.decode("latin-1").partition(":")
                        known = headers.get(name.strip().lower())  # twice the same name is a list (RFC 9110, 5.3)
                        headers[name.strip().lower()] = f"{known}, {value.strip()}" if known else value.strip()
                    body = stream.read(int(headers.get("content-length", "0")))
                    method, path = line[0].decode(), line[1].decode()
                    incoming = Incoming(method, path, headers, body, connection, number, self.stopping)
                    self._answer(incoming)
                except OSError:
                    return
                if incoming.closed:
                    return

    def _answer(self, incoming: Incoming) -> None:
        with self._lock:
            self.seen.append(incoming)
            handlers = self._handlers.get(incoming.path.partition("?")[0]) or self._handlers.get(incoming.path)
            handler = None
            if handlers:
                handler = handlers.pop(0) if len(handlers) > 1 else handlers[0]
        if handler is None:
            document = {"errors": [{"code": "NOT_FOUND", "message": f"nothing scripted at {incoming.path}"}]}
            incoming.send(404, json.dumps(document).encode())
        else:
            handler(incoming)


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def answer(status: int, body: bytes = b"", **options: object) -> Handler:
    """A handler that always says the same."""
    return lambda incoming: incoming.send(status, body, **options)  # type: ignore[arg-type]


@dataclass
class Image:
    """An image of an index with one manifest, made of given layers."""

    layers: tuple[bytes, ...]
    config: bytes = b'{"architecture":"amd64","os":"linux"}'
    repository: str = "team/app"
    manifest: bytes = field(init=False)
    index: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": descriptor(OCI_CONFIG, self.config),
                "layers": [descriptor(OCI_LAYER_GZIP, layer) for layer in self.layers],
            }
        ).encode()
        platform = {"os": "linux", "architecture": "amd64"}
        self.index = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [{**descriptor(OCI_MANIFEST, self.manifest), "platform": platform}],
            }
        ).encode()

    @property
    def expected(self) -> PlatformImage:
        manifest = parse_manifest(self.manifest)
        assert isinstance(manifest, Manifest)
        return PlatformImage(digest=digest_of(self.manifest), manifest=manifest)

    def manifest_path(self, content: bytes) -> str:
        return f"/v2/{self.repository}/manifests/{digest_of(content)}"

    def blob_path(self, content: bytes) -> str:
        return f"/v2/{self.repository}/blobs/{digest_of(content)}"

    def serve(self, server: ScriptedServer) -> None:
        for content, media_type in ((self.manifest, OCI_MANIFEST), (self.index, OCI_INDEX)):
            server.on(self.manifest_path(content), answer(200, content, headers=[("Content-Type", media_type)]))
        for blob in (self.config, *self.layers):
            server.on(self.blob_path(blob), answer(200, blob))


def descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
