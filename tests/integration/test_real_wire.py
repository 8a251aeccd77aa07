"""The wire engine with a real docker-registry: plain, over TLS with HTTP/2, and with a password."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.debian_images import Blob, BuiltImage
from pullbench.engines.base import PullOutcome, PullRequest, TrialSetup
from pullbench.engines.clock import SystemClock
from pullbench.engines.wire import WireEngine
from pullbench.errors import ErrorCode
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Manifest, parse_manifest
from pullbench.model.platform import Platform
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real]

SIZES = (6_000_000, 100_000, 32, 1_500_000)


def made_image() -> BuiltImage:
    """Random bytes for layers: a registry does not look into them."""
    config = Blob.of(OCI_CONFIG, b'{"architecture":"amd64","os":"linux"}')
    layers = [Blob.of(OCI_LAYER_GZIP, os.urandom(size)) for size in SIZES]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    manifest = Blob.of(OCI_MANIFEST, json.dumps(document).encode())
    return BuiltImage(platform=Platform.parse("linux/amd64"), manifest=manifest, blobs=(config, *layers))


@contextmanager
def trial(
    registry: RealRegistry, repository: str, image: BuiltImage, *, password: str = PASSWORD, **engine: Any
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
            registry="real",
            url=registry.url,
            ca_file=str(registry.ca_file) if registry.ca_file else None,
            credentials="env:REAL" if registry.username else "anonymous",
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
                concurrency=1,
                cache="cold",
                cache_reset="own",
                requests=(request,),
                before_pulls=lambda names: None,
            )
        )
        yield lambda: wire.pull(request)
    finally:
        wire.close()


@pytest.mark.parametrize(
    ("tls", "offered", "spoken"), [(False, "1.1", "1.1"), (False, "2", "1.1"), (True, "1.1", "1.1"), (True, "2", "2")]
)
def test_every_byte_comes_over_every_version(
    docker_registry: StartRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    tls: bool,
    offered: str,
    spoken: str,
) -> None:
    registry, repository, image = docker_registry(tls=tls), fresh(), made_image()
    push_image(registry, repository, "1", image)
    with trial(registry, repository, image, http_version=offered) as pull:
        first, second = pull(), pull()
    for outcome in (first, second):
        assert outcome.ok, outcome.error
        assert outcome.bytes == sum(SIZES) + len(image.blobs[0].content)
        assert (outcome.layers, outcome.layers_cached, outcome.attempts) == (len(SIZES), None, 1)
        assert {row.http_version for row in outcome.transfers} == {spoken}
        for row in outcome.transfers:
            parts = (row.dns_s, row.connect_s, row.tls_s, row.wait_s, row.transfer_s)
            assert None not in parts and sum(part or 0 for part in parts) <= (row.total_s or 0)
    assert bool(first.transfers[0].tls_s) == tls
    assert all(row.reused for row in second.transfers)


def test_the_right_password_pulls_and_a_wrong_one_is_unauthorized(
    docker_registry: StartRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    registry, repository, image = docker_registry(htpasswd=True), fresh(), made_image()
    push_image(registry, repository, "1", image)
    with trial(registry, repository, image) as pull:
        outcome = pull()
        assert outcome.ok and (outcome.auth_s or 0) > 0, outcome.error
        assert pull().auth_s == 0.0
    with trial(registry, repository, image, password="wrong") as pull:
        assert pull().error_code is ErrorCode.UNAUTHORIZED


def test_what_is_not_there_is_not_found_in_the_registrys_own_words(
    plain_registry: RealRegistry, fresh: Callable[[], str]
) -> None:
    with trial(plain_registry, fresh(), made_image()) as pull:
        outcome = pull()
    assert outcome.error_code is ErrorCode.NOT_FOUND
    assert "404 MANIFEST_UNKNOWN: manifest unknown" in (outcome.error or "")
