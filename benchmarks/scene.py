"""What a sitting measures: a docker-registry with images that pullbench pushed, and the wire engine as its client."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.engines.base import PullRequest, SystemClock, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.engines.wire.engine import WireEngine
from pullbench.lab.images import images_at
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import Manifest, parse_manifest
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.model.workload import ImageShape, LayerShape, Workload
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from pullbench.registry.push import push_workload
from tests.integration.real_registry import RealRegistry, start_registry

PLATFORM = "linux/amd64"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image and the registry that it can be pulled from."""

    url: str
    reference: str
    """REPOSITORY@DIGEST."""
    found: PlatformImage

    @property
    def repository(self) -> str:
        return self.reference.partition("@")[0]

    @property
    def name(self) -> str:
        """Its name for other clients."""
        return f"{self.url.partition('://')[2]}/{self.reference}"

    @property
    def size_bytes(self) -> int:
        return self.found.manifest.size_bytes

    @property
    def layer_urls(self) -> list[str]:
        return [f"{self.url}/v2/{self.repository}/blobs/{layer.digest}" for layer in self.found.manifest.layers]


def registry(folder: Path, stack: ExitStack) -> RealRegistry:
    """A docker-registry as its Debian package configures it, with blob descriptors cached in memory; it ends with the stack."""
    storage = {
        "cache": {"blobdescriptor": "inmemory"},
        "filesystem": {"rootdirectory": str(folder / "data")},
        "delete": {"enabled": True},
    }
    started = start_registry(folder, changes={"storage": storage})
    stack.callback(started.stop)
    return started


def pushed_image(url: str, repository: str, layer_bytes: Sequence[int]) -> Image:
    """Push an image of incompressible layers with the code of `pullbench images push`."""
    layers = tuple(LayerShape(key=(number,), size_bytes=size) for number, size in enumerate(layer_bytes))
    shape = ImageShape(name=repository, layers=layers)
    workload = Workload(preset="benchmark", seed=int.from_bytes(os.urandom(4)), platforms=(PLATFORM,), images=(shape,))
    images = images_at(workload, [Reference.parse(f"{repository}:1")])
    route = Route(registry="bench", url=url)
    with RegistryClient(route, Keychain(environ={}), read_timeout_s=300, actions="pull,push") as client:
        push_workload(client, images)
    document = images[0].build().tagged
    manifest = parse_manifest(document.content)
    assert isinstance(manifest, Manifest)
    found = PlatformImage(digest=document.descriptor.digest, manifest=manifest)
    return Image(url=url, reference=f"{repository}@{found.digest}", found=found)


def requests(image: Image, pulls: int) -> tuple[PullRequest, ...]:
    """`pulls` pulls of an image, as in a trial."""
    return tuple(
        PullRequest(
            pull=number,
            image=image.repository,
            reference=Reference(repository=image.repository, digest=image.found.digest),
            is_index=False,
            expected=image.found,
            platform=PLATFORM,
            route=Route(registry="bench", url=image.url),
            auth="persisted",
            timeout_s=300,
            retries=0,
        )
        for number in range(pulls)
    )


def wire(layer_concurrency: int, **options: Any) -> WireEngine:
    """A wire engine; `options` are other keys of its entry in a spec."""
    engine = make_engine(
        EngineEntry(name="wire", kind="wire", layer_concurrency=layer_concurrency, **options),
        keychain=Keychain(environ={}),
        clock=SystemClock(),
    )
    assert isinstance(engine, WireEngine)
    return engine


def trial_setup(requests: tuple[PullRequest, ...], concurrency: int) -> TrialSetup:
    return TrialSetup(
        trial=0,
        concurrency=concurrency,
        cache="cold",
        cache_reset="own",
        requests=requests,
        before_pulls=lambda _names: None,
    )


def as_json(image: Image) -> str:
    """For another process; `from_json` reads it."""
    manifest = image.found.manifest
    entries = [[blob.media_type, blob.digest, blob.size_bytes] for blob in (manifest.config, *manifest.layers)]
    return json.dumps({"url": image.url, "reference": image.reference, "blobs": entries})


def from_json(text: str) -> Image:
    """An image that `as_json` wrote."""
    read = json.loads(text)
    config, *layers = (
        {"mediaType": media_type, "digest": digest, "size": size} for media_type, digest, size in read["blobs"]
    )
    manifest = parse_manifest(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode())
    assert isinstance(manifest, Manifest)
    found = PlatformImage(digest=read["reference"].partition("@")[2], manifest=manifest)
    return Image(url=read["url"], reference=read["reference"], found=found)
