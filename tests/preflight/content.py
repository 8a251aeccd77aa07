"""Images, registries by host and a daemon of a few lines, for the checks of content."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from pullbench.model.facts import Facts
from pullbench.model.finding import Finding
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.route import Route
from pullbench.model.spec import Spec, read_spec
from pullbench.preflight.check import Check
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.preflight.contexts import NOW
from tests.registry.fake_registry import FakeRegistry, descriptor, digest_of


class Image:
    """One platform of an image: its manifest, its config and its layers."""

    def __init__(
        self, created: str | None = None, architecture: str = "amd64", layers: tuple[bytes, ...] = (b"layer",)
    ):
        document: dict[str, Any] = {"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": []}}
        if created is not None:
            document["created"] = created
        self.config = json.dumps(document).encode()
        self.layers = layers
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": descriptor(self.config, OCI_CONFIG),
                "layers": [descriptor(layer, OCI_LAYER_GZIP) for layer in layers],
            }
        ).encode()
        self.architecture = architecture

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def index_over(*images: Image) -> bytes:
    entries = [
        descriptor(image.manifest, OCI_MANIFEST, platform={"os": "linux", "architecture": image.architecture})
        for image in images
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def holding(repository: str = "app", tag: str = "1.0", *images: Image, index: bool = False) -> FakeRegistry:
    """A registry with one tag: an image, or an index over several."""
    registry = FakeRegistry()
    for image in images:
        registry.put_manifest(repository, tag, image.manifest)
        for blob in (image.config, *image.layers):
            registry.put_blob(repository, blob)
    if index:
        registry.put_manifest(repository, tag, index_over(*images))
    return registry


class FakeDaemon:
    """Holds images by name, as `docker image inspect` shows them."""

    def __init__(self, held: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.held = held or {}
        self.host = "unix:///nowhere/docker.sock"

    def find(self, reference: str) -> Mapping[str, Any] | None:
        return self.held.get(reference)

    def close(self) -> None:
        pass


def spec_over(*names: str, **changes: Any) -> Spec:
    """Registries `https://NAME.example` by name."""
    return read_spec(
        {
            "name": "content",
            "registries": [
                {"name": name, "url": f"https://{name}.example", "credentials": "anonymous"} for name in names
            ],
            "images": ["app:1.0"],
            "matrix": {"platforms": ["linux/amd64"]},
            **changes,
        }
    )


def context_of(
    registries: Mapping[str, FakeRegistry], spec: Spec, *, facts: Facts | None = None, **options: Any
) -> CheckContext:
    """A context where each host `NAME.example` is a registry of its own; what is not there refuses connections."""

    def answer(request: httpx.Request) -> httpx.Response:
        registry = registries.get(request.url.host.partition(".")[0])
        if registry is None:
            raise httpx.ConnectError("connection refused", request=request) from ConnectionRefusedError(111, "refused")
        return registry(request)

    def client(route: Route, keychain: Keychain, actions: str = "pull") -> RegistryClient:
        return RegistryClient(route, keychain, transport=httpx.MockTransport(answer), actions=actions)

    daemon = options.pop("daemon", FakeDaemon())
    known = facts or Facts(host_platform="linux/amd64", offline=True)
    return CheckContext(
        spec,
        known,
        Keychain(environ={}),
        client=client,
        daemon=lambda host: daemon,
        now=lambda: NOW,
        **options,
    )


def findings_of(check: Check[Any, Any], context: CheckContext) -> list[Finding]:
    """Of all targets of the check; those that it skips by itself are left out."""
    with context:
        targets = [target for target in check.targets(context) if check.skips(target) is None]
        return [finding for target in targets for finding in check.judge(check.probe(context, target), target)]
