"""Images of random layers, and trials of the wire engine that pull them from a real registry."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.debian_images import DebianBlob, DebianImage
from pullbench.engines.base import PullOutcome, PullRequest, SystemClock, TrialSetup
from pullbench.engines.wire.engine import WireEngine
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, parse_manifest
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry

SIZES = (6_000_000, 100_000, 32, 1_500_000)


def made_image(sizes: Sequence[int] = SIZES) -> DebianImage:
    """Random bytes for layers: a registry does not look into them."""
    config = DebianBlob.of(OCI_CONFIG, b'{"architecture":"amd64","os":"linux"}')
    layers = [DebianBlob.of(OCI_LAYER_GZIP, os.urandom(size)) for size in sizes]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    manifest = DebianBlob.of(OCI_MANIFEST, json.dumps(document).encode())
    return DebianImage(platform=Platform.parse("linux/amd64"), manifest=manifest, blobs=(config, *layers))


@contextmanager
def trial(
    registry: RealRegistry,
    repository: str,
    image: DebianImage,
    *,
    password: str = PASSWORD,
    concurrency: int = 1,
    route: dict[str, Any] | None = None,
    **engine: Any,
) -> Iterator[Callable[[], PullOutcome]]:
    """An open trial; calling what it yields pulls the image once."""
    manifest = parse_manifest(image.manifest.content)
    assert isinstance(manifest, Manifest)
    request = PullRequest(
        pull=0,
        image=repository,
        reference=Reference(repository=repository, digest=image.manifest.digest),
        is_index=False,
        expected=PlatformImage(digest=image.manifest.digest, manifest=manifest),
        platform="linux/amd64",
        route=Route(
            **{
                "registry": "real",
                "url": registry.url,
                "ca_file": str(registry.ca_file) if registry.ca_file else None,
                "credentials": "env:REAL" if registry.username else "anonymous",
                **(route or {}),
            }
        ),
        auth="persisted",
        timeout_s=60,
        retries=0,
    )
    wire = WireEngine(
        EngineEntry.model_validate({"name": "wire", "kind": "wire", **engine}),
        keychain=Keychain(environ={"REAL_USERNAME": USERNAME, "REAL_PASSWORD": password}),
        clock=SystemClock(),
    )
    try:
        wire.open_trial(
            TrialSetup(
                trial=0,
                concurrency=concurrency,
                cache="cold",
                cache_reset="own",
                requests=(request,) * concurrency,
                before_pulls=lambda names: None,
            )
        )
        yield lambda: wire.pull(request)
    finally:
        wire.close()
