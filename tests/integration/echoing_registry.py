"""A registry that says back whatever it is sent, in every place that a registry has for words, and a storage service behind it."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from benchmarks.debian_images import DebianImage

SIGNATURE = "planted-signature-7f3a"
STEERING = "\x1b[31m\x1b]52;c;ZXZpbA==\x07\u202e"


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True


class EchoingRegistry:
    """Serves one image at `app` to whoever logs in by Basic; its layer is at a storage service, which refuses.

    Listens on loopback while its `with` block lasts. `asked` has the Authorization of
    every request, `stored` the headers of those to the storage service.
    """

    def __init__(self, image: DebianImage, username: str, password: str) -> None:
        self.asked: list[str] = []
        self.stored: list[dict[str, str]] = []
        self._image = image
        self._login = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._password = password
        self._servers = [_Quiet(("127.0.0.1", 0), self._handler(answer)) for answer in (self._registry, self._storage)]
        self.url, self._store = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _handler(self, answer: Any) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, headers, body = answer(self.path, dict(self.headers.items()))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None: ...

        return Handler

    def _registry(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        sent = headers.get("Authorization", "")
        self.asked.append(sent)
        if sent != self._login:
            return 401, {"WWW-Authenticate": f'Basic realm="you sent {sent}"'}, self._echo("UNAUTHORIZED", sent)
        manifest = self._image.manifest
        if path == "/v2/":
            return 200, {"Server": f"echo {sent}"}, b"{}"
        if path in (f"/v2/app/manifests/{name}" for name in ("1.0", manifest.digest)):
            found = {"Content-Type": manifest.media_type, "Docker-Content-Digest": manifest.digest}
            return 200, {**found, "Via": f"1.1 {sent}", "X-Cache": f"HIT {self._password}"}, manifest.content
        config = self._image.blobs[0]
        if path == f"/v2/app/blobs/{config.digest}":
            return 200, {}, config.content
        if "/blobs/" in path:
            query = f"X-Amz-Credential=AKIA&X-Amz-Signature={SIGNATURE}&sig={SIGNATURE}"
            return 307, {"Location": f"{self._store}/bucket{path}?{query}"}, b""
        return 403, {}, self._echo("DENIED", sent)

    def _storage(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.stored.append(headers)
        page = f"<Error><Code>AccessDenied</Code><Message>{path} {headers}</Message></Error>"
        return 403, {"Content-Type": "application/xml"}, page.encode()

    def _echo(self, code: str, sent: str) -> bytes:
        password = base64.b64decode(sent.partition(" ")[2]).decode().partition(":")[2]
        said = f"{STEERING}you sent {sent}: {password} [red]<script>alert(1)</script>"
        return json.dumps({"errors": [{"code": code, "message": said, "detail": said}]}).encode()
