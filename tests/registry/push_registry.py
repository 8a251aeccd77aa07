"""A registry of a few lines that takes pushes, for httpx: hashes what it gets, keeps manifests, and can be made to fail."""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from pullbench.model.route import Route
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.registry.fake_registry import ENVIRON, URL, digest_of

STATE = "_state=kX-_1%3D%3D"
"""As CNCF distribution 2.8 ends its locations; it drops an upload whose state does not come back to the letter."""
Handler = Callable[[httpx.Request], httpx.Response | None]


def refusal(status: int, code: str = "", message: str = "", **more: Any) -> httpx.Response:
    errors = [{"code": code, "message": message, **more}] if code else []
    return httpx.Response(status, json={"errors": errors}, headers={"Content-Type": "application/json"})


@dataclass(eq=False)
class PushRegistry(httpx.BaseTransport):
    """`fault` may answer in the registry's place; `location` is what an upload's Location is made of."""

    location: str = "{url}/v2/{repository}/blobs/uploads/{upload}?" + STATE
    mounts: bool = True
    fault: Handler = lambda _request: None
    blobs: dict[str, set[str]] = field(default_factory=dict)
    manifests: dict[tuple[str, str], bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    largest_piece_bytes: int = 0
    _uploads: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, credentials: str = "anonymous", url: str = URL) -> RegistryClient:
        route = Route(registry="eu", url=url, credentials=credentials)
        return RegistryClient(route, Keychain(environ=ENVIRON), transport=self, actions="pull,push")

    def sent(self, *methods: str) -> list[str]:
        """What was asked with these methods, by default those that change something: `PUT /v2/…`."""
        return [line for line in self.asked if line.partition(" ")[0] in (methods or ("POST", "PUT", "PATCH"))]

    def put(self, repository: str, tag: str, document: object) -> None:
        """An image that somebody else pushed."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.manifests[repository, tag] = self.manifests[repository, digest_of(content)] = content

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
            self.requests.append(request)
        failed = self.fault(request)
        if failed is not None:
            return failed
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(.+)", request.url.path)
        assert found is not None
        repository, kind, rest = found.groups()
        if kind == "manifests":
            return self._manifest(request, repository, rest)
        if rest.startswith("uploads/"):
            return self._upload(request, repository)
        there = rest in self.blobs.get(repository, ())
        return httpx.Response(200 if there else 404)

    def _manifest(self, request: httpx.Request, repository: str, name: str) -> httpx.Response:
        if request.method == "PUT":
            content = request.read()
            with self._lock:
                for key in (name, digest_of(content)):
                    self.manifests[repository, key] = content
            return httpx.Response(201, headers={"Docker-Content-Digest": digest_of(content)})
        stored = self.manifests.get((repository, name))
        if stored is None:
            return refusal(404, "MANIFEST_UNKNOWN")
        if request.method == "DELETE":  # by digest, and its tags with it
            for key in [key for key, content in self.manifests.items() if content == stored]:
                del self.manifests[key]
            return httpx.Response(202)
        headers = {"Docker-Content-Digest": digest_of(stored), "Content-Length": str(len(stored))}
        return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else stored)

    def _upload(self, request: httpx.Request, repository: str) -> httpx.Response:
        query = dict(request.url.params)
        if request.method == "DELETE":
            return httpx.Response(204)
        if request.method == "POST":
            if self.mounts and query.get("mount") in self.blobs.get(query.get("from", ""), ()):
                self._keep(repository, query["mount"])
                return httpx.Response(201)
            with self._lock:
                self._uploads += 1
                location = self.location.format(url=URL, repository=repository, upload=self._uploads)
            return httpx.Response(202, headers={"Location": location})
        return self._take(request, repository, query["digest"])

    def _take(self, request: httpx.Request, repository: str, digest: str) -> httpx.Response:
        raw_query = request.url.query.decode()
        if STATE in self.location and not raw_query.startswith(f"{STATE}&digest="):
            return refusal(400, "BLOB_UPLOAD_INVALID", "the state is not what was given")
        received, size = hashlib.sha256(), 0
        for piece in cast("Iterator[bytes]", request.stream):
            received.update(piece)
            size += len(piece)
            self.largest_piece_bytes = max(self.largest_piece_bytes, len(piece))
        if digest != f"sha256:{received.hexdigest()}" or str(size) != request.headers["Content-Length"]:
            return refusal(400, "DIGEST_INVALID")
        self._keep(repository, digest)
        return httpx.Response(201, headers={"Docker-Content-Digest": digest})

    def _keep(self, repository: str, digest: str) -> None:
        with self._lock:
            self.blobs.setdefault(repository, set()).add(digest)
