"""A spec, facts and requests for tests, without a registry."""

import hashlib
from pathlib import Path
from typing import Any

from pullbench.bench.specfile import LoadedSpec
from pullbench.model.facts import EngineFacts, Facts, ImageFacts, PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Manifest
from pullbench.model.spec import Spec, read_spec

PLATFORM = "linux/amd64"


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def platform_image(name: str, layers: int = 2, layer_bytes: int = 1000) -> PlatformImage:
    blobs = tuple(
        Descriptor(media_type=OCI_LAYER_GZIP, digest=digest(f"{name}/{index}"), size_bytes=layer_bytes)
        for index in range(layers)
    )
    config = Descriptor(media_type=OCI_CONFIG, digest=digest(f"{name}/config"), size_bytes=10)
    return PlatformImage(
        digest=digest(f"{name}/manifest"), manifest=Manifest(media_type=OCI_MANIFEST, config=config, layers=blobs)
    )


def spec_data(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": "sample",
        "registries": [{"name": "eu", "url": "http://127.0.0.1:1", "region": "eu", "credentials": "anonymous"}],
        "images": ["app/one:1", "app/two:1"],
        "engines": [{"name": "scripted", "kind": "fake", "script": [0.001]}],
        "matrix": {"engines": ["scripted"], "platforms": [PLATFORM], "concurrency": [1, 2]},
        "repetitions": 2,
        "warmup": 1,
    }
    return {**data, **changes}


def make_spec(**changes: Any) -> Spec:
    return read_spec(spec_data(**changes))


def loaded(spec: Spec) -> LoadedSpec:
    return LoadedSpec(spec=spec, hash=spec.hash(), source=Path("sample.yaml"))


def facts_for(spec: Spec) -> Facts:
    platforms = spec.matrix.platforms or [PLATFORM]
    images = {
        (registry.name, image): ImageFacts(
            registry=registry.name,
            image=image,
            digest=digest(f"{image}/index"),
            is_index=True,
            platforms={platform: platform_image(f"{image}/{platform}") for platform in platforms},
        )
        for registry in spec.registries
        for image in spec.images
    }
    engines = {name: EngineFacts(name=name, kind=spec.engine(name).kind) for name in spec.matrix.engines}
    return Facts(host_platform=PLATFORM, engines=engines, images=images)
