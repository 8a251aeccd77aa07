"""A registry of a few lines for httpx: answers by path, keeps what it was asked."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx

from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, own_media_type
from pullbench.model.route import Route
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain

URL = "https://registry.example.com"
SECRET = "s3cr3t-pa55"
ENVIRON = {"CI_USERNAME": "ann", "CI_PASSWORD": SECRET}

Handler = Callable[[httpx.Request], httpx.Response]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def config_blob(os: str = "linux", architecture: str = "amd64") -> bytes:
    return json.dumps({"os": os, "architecture": architecture}).encode()


def manifest_of(config: bytes, layer: bytes = b"layer") -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, OCI_CONFIG),
        "layers": [descriptor(layer, OCI_LAYER_GZIP)],
    }
    return json.dumps(document).encode()


def index_of(**manifests: bytes) -> bytes:
    """An index of linux images by architecture."""
    entries = [
        descriptor(content, OCI_MANIFEST, platform={"os": "linux", "architecture": architecture})
        for architecture, content in manifests.items()
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


class FakeRegistry:
    """`documents` by path after /v2/; manifests can be put under a tag, and are found by digest too."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.documents: dict[str, bytes] = {"": b"{}"}
        self.handler: Handler = self.serve

    def put_manifest(self, repository: str, tag: str, content: bytes) -> str:
        for name in (tag, digest_of(content)):
            self.documents[f"{repository}/manifests/{name}"] = content
        return digest_of(content)

    def put_blob(self, repository: str, content: bytes) -> str:
        self.documents[f"{repository}/blobs/{digest_of(content)}"] = content
        return digest_of(content)

    def serve(self, request: httpx.Request) -> httpx.Response:
        content = self.documents.get(request.url.path.removeprefix("/v2/"))
        if content is None:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
        headers = {"Content-Type": "application/json"}
        if "/manifests/" in request.url.path:
            headers = {
                "Content-Type": own_media_type(content) or OCI_MANIFEST,
                "Docker-Content-Digest": digest_of(content),
                "Content-Length": str(len(content)),
            }
        return httpx.Response(200, headers=headers, content=b"" if request.method == "HEAD" else content)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.handler(request)

    def client(self, credentials: str = "anonymous", **options: Any) -> RegistryClient:
        route = Route(registry="eu", url=options.pop("url", URL), credentials=credentials, **options.pop("route", {}))
        keychain = options.pop("keychain", Keychain(environ=ENVIRON))
        return RegistryClient(route, keychain, transport=httpx.MockTransport(self), **options)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url}" for request in self.requests]

    @property
    def authorizations(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request in self.requests]


def with_basic(registry: FakeRegistry, header: str) -> Handler:
    """The registry behind Basic authentication."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers.get("Authorization") != header:
            return httpx.Response(
                401,
                headers={"WWW-Authenticate": 'Basic realm="Registry"'},
                json={"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
            )
        return registry.serve(request)

    return handle


class TokenService:
    """The registry behind a token service at auth.example.com; only the token given last is good."""

    realm = "https://auth.example.com/token"

    def __init__(self, registry: FakeRegistry, expires_in: object = 300) -> None:
        self.registry = registry
        self.given = 0
        self.expires_in = expires_in
        self.error = ""
        self.refuse_all = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            self.given += 1
            return httpx.Response(200, json={"token": f"token-{self.given}", "expires_in": self.expires_in})
        if self.refuse_all or request.headers.get("Authorization") != f"Bearer token-{self.given}" or not self.given:
            challenge = f'Bearer realm="{self.realm}",service="registry"{self.error}'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return self.registry.serve(request)
