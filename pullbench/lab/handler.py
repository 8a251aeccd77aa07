"""One connection to a lab registry: reads requests and answers them (OCI distribution spec 1.1, "Pulling")."""

import contextlib
import http.server
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TextIO
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from pullbench.lab.auth import AccessControl
from pullbench.lab.contents import Contents, Counters, StoredBlob, StoredManifest, page
from pullbench.lab.uploads import Uploads
from pullbench.lab.upstream import Elsewhere, Fetch, PullThrough, UpstreamError
from pullbench.model.manifest import OCI_INDEX
from pullbench.model.reference import is_digest

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Unsatisfiable(Exception):  # noqa: N818  (the term of RFC 9110)
    """The range has no byte: 416."""


def requested_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """(first, one past the last) of a single range; None to send the whole.

    Several ranges, other units and invalid ranges are ignored, as section 14.2 allows. Raises Unsatisfiable.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        first, end = int(found[1]), min(size_bytes, int(found[2]) + 1 if found[2] else size_bytes)
        if found[2] and int(found[2]) < first:
            return None
    if first >= end:
        raise Unsatisfiable
    return first, end


CONTENT_PATH = re.compile(r"/v2/(?P<name>.+)/(?:(?P<kind>manifests|blobs|referrers)/(?P<reference>[^/]+)|tags/list)")
_JSON = "application/json"
_VIA = "1.1 pullbench-lab"


class RegistryState:
    """The shared state of a registry's connections. With `slots`, at most that many requests are served concurrently."""

    def __init__(
        self,
        contents: Contents,
        counters: Counters,
        access: AccessControl,
        *,
        pull_through: PullThrough | None = None,
        uploads: Uploads | None = None,
        slots: int | None = None,
        service_s: float = 0.0,
        access_log: TextIO | None = None,
    ) -> None:
        self.contents = contents
        self.counters = counters
        self.access = access
        self.pull_through = pull_through
        self.uploads = uploads
        """None for a registry that accepts no pushes."""
        self.closing = threading.Event()
        """Set when the registry ends, so that a waiting connection ends immediately."""
        self._slots = threading.BoundedSemaphore(slots) if slots is not None else contextlib.nullcontext()
        self._service_s = service_s
        self._log_lock = threading.Lock()
        self._access_log = access_log

    def serve_time(self) -> None:
        """Wait for a free slot and for the service time; returns immediately if neither is set."""
        with self._slots:
            if self._service_s > 0:
                time.sleep(self._service_s)

    def log(self, line: str) -> None:
        """Write to the access log, if there is one."""
        if self._access_log is not None:
            with self._log_lock:
                self._access_log.write(line + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD; any other method gets UNSUPPORTED and ends the connection (`PushHandler` has more)."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"
    """A TLS handshake gets an HTTP answer too: that is how clients written in Go recognize a server without TLS."""
    disable_nagle_algorithm = True
    timeout = 75.0
    # Head and body of a small answer are sent in one segment.
    wbufsize = 1 << 16

    def __init__(self, *connection: Any, registry: RegistryState) -> None:
        self.registry = registry
        self._sent: tuple[int, int] = (0, 0)
        self._counted = True
        super().__init__(*connection)  # serves the connection to its end

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.rfile.close()

    def do_GET(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            # No request here has a useful body; an unread body would be parsed as the next request.
            self.close_connection = True
        self._exchange(self._answer)

    do_HEAD = do_GET  # noqa: N815

    def _exchange(self, answer: Callable[[], None]) -> None:
        """Answer one request; count and log it."""
        started = time.monotonic()
        self._sent = (0, 0)
        self._of_layer = False
        try:
            answer()
        finally:
            status, size = self._sent
            if self._of_layer and status in (200, 206):
                self.registry.counters.add("layer_bytes", size)
            elapsed_s = time.monotonic() - started
            self.registry.log(f"{self.client_address[0]} {self.command} {self.path} {status} {size} {elapsed_s:.6f}")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Errors of the base class (a malformed request, another method) as OCI errors."""
        self.close_connection = True
        status = 405 if code == 501 else code
        headers = {"Allow": ", ".join(self._allowed())} if status == 405 else {}
        self._refuse(status, "UNSUPPORTED", explain or message or "", headers)

    def _allowed(self) -> tuple[str, ...]:
        """The methods for the requested path."""
        return ("GET", "HEAD")

    def version_string(self) -> str:
        return "pullbench-lab"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing to stderr; `access_log` has its own lines."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        found = CONTENT_PATH.fullmatch(parts.path)
        counters = self.registry.counters
        self._counted = parts.path != "/lab/counters"
        if not self._counted:
            self._reply(200, json.dumps(counters.as_dict()).encode(), _JSON)
        elif parts.path == "/token":
            counters.request("token")
            self._token(query)
        elif parts.path in ("/v2", "/v2/"):
            counters.request("ping")
            if self._may_pass(""):
                self._reply(200, b"{}", _JSON)
        elif parts.path == "/v2/_catalog":
            counters.request("catalog")
            if self._may_pass("registry:catalog:*"):
                self._names("repositories", self.registry.contents.repositories(), {}, query)
        elif found is None:
            self._elsewhere(parts.path)
        else:
            counters.request(self._kind_of(found["kind"]))
            if self._is_layer(found["kind"], found["reference"]):
                counters.add("layers")
            if self._may_pass(f"repository:{found['name']}:pull"):
                self._content(found["name"], found["kind"], found["reference"], query)

    def _kind_of(self, kind: str | None) -> str:
        """The name in the counters: `blob_get`, `manifest_put`, `referrers`, `tags`."""
        if kind in ("manifests", "blobs"):
            return f"{kind[:-1]}_{self.command.lower()}"
        return kind or "tags"

    def _elsewhere(self, _path: str) -> None:
        """Answer for a path that is none of the content's."""
        self.registry.counters.request("other")
        self._refuse(404, "NOT_FOUND", "no such path")

    def _content(self, name: str, kind: str | None, reference: str, query: Mapping[str, list[str]]) -> None:
        try:
            if kind is not None and not is_digest(reference) and (kind != "manifests" or ":" in reference):
                self._refuse(400, "DIGEST_INVALID", f"'{reference}' is not a digest")
            elif kind == "manifests":
                self._manifest(name, reference)
            elif kind == "blobs":
                self._blob(name, reference)
            elif kind == "referrers":
                self._referrers(name, reference, query)
            else:
                self._tags(name, query)
        except UpstreamError as error:
            if self._sent[0]:
                # The head is sent: only closing the connection still shows that the body is incomplete.
                self.close_connection = True
                return
            code = "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN"
            self._refuse(error.status, code if error.status == 404 else "UNKNOWN", f"upstream: {error}")

    def _may_pass(self, scope: str) -> bool:
        self.registry.serve_time()
        host = self.headers.get("Host", "")
        refusal = self.registry.access.refuse(self.headers.get("Authorization", ""), scope=scope, host=host)
        if refusal is None:
            return True
        headers = {"WWW-Authenticate": refusal.challenge} if refusal.challenge else {}
        self._refuse(401 if refusal.challenge else 403, refusal.code, refusal.message, headers)
        return False

    def _token(self, query: Mapping[str, list[str]]) -> None:
        document = self.registry.access.token(self.headers.get("Authorization", ""), query)
        if document is None:
            self._refuse(401, "UNAUTHORIZED", "incorrect username or password")
            return
        self.registry.counters.add("tokens")
        self._reply(200, json.dumps(document).encode(), _JSON, {"Cache-Control": "no-store"})

    def _manifest(self, name: str, reference: str) -> None:
        manifest: StoredManifest | None
        if self.registry.pull_through is not None:
            manifest, hit = self.registry.pull_through.manifest(name, reference)
            headers = self._cache_headers(manifest.stored_at if hit else None)
        else:
            manifest, headers = self.registry.contents.manifest(name, reference), {}
        if manifest is None:
            known = self.registry.contents.tags(name) is not None
            self._refuse(404, "MANIFEST_UNKNOWN" if known else "NAME_UNKNOWN", f"{name}:{reference} is not here")
            return
        headers |= _digest_headers(manifest.digest)
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self._reply(304, b"", manifest.media_type, headers)
        else:
            self._reply(200, manifest.content, manifest.media_type, headers)

    def _blob(self, name: str, digest: str) -> None:
        blob: StoredBlob | Fetch | Elsewhere | None
        headers: dict[str, str] = {}
        self._of_layer = self._is_layer("blobs", digest)
        if self.registry.pull_through is not None:
            find = self.registry.pull_through.look if self.command == "HEAD" else self.registry.pull_through.blob
            blob = find(name, digest)
            headers = self._cache_headers(blob.stored_at if isinstance(blob, StoredBlob) else None)
            if self._of_layer and isinstance(blob, StoredBlob):
                self.registry.counters.add("layer_hits")
        else:
            blob = self.registry.contents.blob(name, digest)
        if blob is None:
            self._refuse(404, "BLOB_UNKNOWN", f"{digest} is not in {name}")
            return
        size = blob.size_bytes
        headers |= {**_digest_headers(digest), "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if_range = self.headers.get("If-Range", headers["ETag"])
        try:
            wanted = requested_range(self.headers.get("Range") if if_range == headers["ETag"] else None, size)
        except Unsatisfiable:
            headers = {"Content-Range": f"bytes */{size}"}
            self._refuse(416, "RANGE_INVALID", f"the blob has {size} bytes", headers)
            return
        start, end = wanted or (0, size)
        if wanted is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._head(206 if wanted is not None else 200, end - start, headers)
        if not isinstance(blob, Elsewhere) and self.command == "GET":
            self.wfile.flush()
            self._send_blob(blob, start, end)

    def _is_layer(self, kind: str | None, digest: str) -> bool:
        """Whether it is a GET of a layer."""
        return kind == "blobs" and self.command == "GET" and self.registry.contents.is_layer(digest)

    def _send_blob(self, blob: StoredBlob | Fetch, start: int, end: int) -> None:
        with blob.path.open("rb") if isinstance(blob, StoredBlob) else blob.open() as file:
            while start < end:
                available = end if isinstance(blob, StoredBlob) else min(end, blob.wait_beyond(start))
                self._send_file(file, start, available)
                start = available

    def _send_file(self, file: BinaryIO, start: int, end: int) -> None:
        """Bytes are counted before they are sent, so that a client that has read all finds them counted; unsent bytes are subtracted."""
        counters = self.registry.counters
        counters.add("bytes", end - start)
        file.seek(start)
        try:
            self.connection.sendfile(file, start, end - start)
        except OSError:
            counters.add("bytes", file.tell() - end)
            raise
        self._sent = (self._sent[0], self._sent[1] + end - start)

    def _tags(self, name: str, query: Mapping[str, list[str]]) -> None:
        if self.registry.pull_through is not None:
            self._pass_on(self.registry.pull_through)
            return
        tags = self.registry.contents.tags(name)
        if tags is None:
            self._refuse(404, "NAME_UNKNOWN", f"{name} is not here")
        else:
            self._names("tags", tags, {"name": name}, query)

    def _referrers(self, name: str, digest: str, query: Mapping[str, list[str]]) -> None:
        """An index, empty for a digest that nothing refers to (distribution spec, "Listing Referrers")."""
        if self.registry.pull_through is not None:
            self._pass_on(self.registry.pull_through)
            return
        found, kinds = self.registry.contents.referrers(name, digest), query.get("artifactType")
        if kinds is not None:
            found = [entry for entry in found if entry.get("artifactType") in kinds]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        filtered = {"OCI-Filters-Applied": "artifactType"} if kinds is not None else {}
        self._reply(200, json.dumps(document).encode(), OCI_INDEX, filtered)

    def _pass_on(self, upstream: PullThrough) -> None:
        """Pass on the upstream's answer, which no cache keeps."""
        answer = upstream.ask("GET", self.path)
        link = {"Link": answer.headers["link"]} if "link" in answer.headers else {}
        self._reply(answer.status, answer.body, answer.headers.get("content-type", _JSON), {"Via": _VIA, **link})

    def _names(self, key: str, names: list[str], more: Mapping[str, str], query: Mapping[str, list[str]]) -> None:
        given, last = query.get("n", [""])[0], query.get("last", [None])[0]
        if (given and not given.isascii()) or (given and not given.isdigit()):
            self._refuse(400, "PAGINATION_NUMBER_INVALID", f"n is '{given}'")
            return
        shown, goes_on = page(names, limit=int(given) if given else None, last=last)
        headers = {}
        if goes_on:
            path = quote(urlsplit(self.path).path)
            headers["Link"] = f'<{path}?{urlencode({"n": given, "last": shown[-1]})}>; rel="next"'
        self._reply(200, json.dumps({**more, key: shown}).encode(), _JSON, headers)

    def _cache_headers(self, stored_at: float | None) -> dict[str, str]:
        """`stored_at` is None for content that the cache did not have."""
        self.registry.counters.add("misses" if stored_at is None else "hits")
        if stored_at is None:
            return {"X-Cache": "MISS", "Via": _VIA}
        return {"X-Cache": "HIT", "Via": _VIA, "Age": str(int(time.monotonic() - stored_at))}

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()
        self._reply(status, body, _JSON, headers or {})

    def _reply(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, None if status == 304 else len(body), {**(headers or {}), "Content-Type": content_type})
        if self.command != "HEAD" and body:
            if self._counted:
                self.registry.counters.add("bytes", len(body))
            self._sent = (status, len(body))
            self.wfile.write(body)

    def _head(self, status: int, size_bytes: int | None, headers: Mapping[str, str]) -> None:
        self._sent = (status, 0)
        if self._counted:
            self.registry.counters.status(status)
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in headers.items():
            self.send_header(name, value)
        if size_bytes is not None:
            self.send_header("Content-Length", str(size_bytes))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _digest_headers(digest: str) -> dict[str, str]:
    return {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
