"""HTTP/2 with a real docker-registry: one connection a pull under way, and every exchange a stream of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psutil
import pytest

from pullbench.engines.base import PullOutcome
from pullbench.model.manifest import OCI_MANIFEST
from tests.engines.scripted_server import ScriptedServer, answer
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.real_registry import RealRegistry
from tests.integration.wire_trial import made_image, trial

pytestmark = [pytest.mark.integration, pytest.mark.real]

LAYERS = 12
LARGE = (3_000_000,) * LAYERS


@pytest.fixture(scope="module")
def tls_registry(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(tls=True)


def connections(registry: RealRegistry) -> int:
    """As the registry's own process has them."""
    seen = psutil.Process(registry.process.pid).net_connections("tcp")
    return len([one for one in seen if one.status == psutil.CONN_ESTABLISHED])


def streams_at_once(outcome: PullOutcome) -> int:
    """How many layers were on their way at the same time, at most."""
    spans = [(row.started_at, row.started_at + timedelta(seconds=row.total_s or 0)) for row in outcome.transfers]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


@pytest.mark.parametrize(("version", "expected"), [("2", 1), ("1.1", 6)])
def test_http_2_has_one_connection_with_many_streams_and_http_1_1_one_for_each_layer_at_once(
    tls_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str], version: str, expected: int
) -> None:
    repository, image = fresh(), made_image(LARGE)
    push_image(tls_registry, repository, "1", image)
    before = connections(tls_registry)
    with trial(tls_registry, repository, image, http_version=version, layer_concurrency=6) as pull:
        first, second = pull(), pull()
        assert connections(tls_registry) - before == expected
    for outcome in (first, second):
        assert outcome.ok, outcome.error
        assert outcome.bytes == sum(len(blob.content) for blob in image.blobs)
        assert {row.http_version for row in outcome.transfers} == {version}
        assert streams_at_once(outcome) > 1
    assert sum(row.reused is False for row in first.transfers) == expected
    assert all(row.reused for row in second.transfers)


def test_each_of_the_pulls_at_once_has_a_connection_of_its_own_and_keeps_it(
    tls_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), made_image(LARGE)
    push_image(tls_registry, repository, "1", image)
    before = connections(tls_registry)
    with (
        trial(tls_registry, repository, image, http_version="2", layer_concurrency=4, concurrency=3) as pull,
        ThreadPoolExecutor(3) as pool,
    ):
        outcomes = [future.result() for future in [pool.submit(pull) for _ in range(9)]]
        assert connections(tls_registry) - before == 3
    assert [outcome.error for outcome in outcomes if not outcome.ok] == []
    assert sum(row.reused is False for outcome in outcomes for row in outcome.transfers) == 3


def test_parts_of_a_layer_are_streams_too(
    tls_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), made_image((8_000_000,))
    push_image(tls_registry, repository, "1", image)
    with trial(tls_registry, repository, image, http_version="2", chunk_bytes="1MiB") as pull:
        outcome = pull()
    assert outcome.ok, outcome.error
    assert [row.status for row in outcome.transfers if row.kind == "layer"] == [206] * 8
    assert sum(row.reused is False for row in outcome.transfers) == 1


def test_blobs_that_are_redirected_to_a_storage_share_one_connection_to_it_though_all_come_at_once(
    tls_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, image = fresh(), made_image(LARGE)
    push_image(tls_registry, repository, "1", image)
    front = ScriptedServer()
    try:
        manifest = answer(200, image.manifest.content, headers=[("Content-Type", OCI_MANIFEST)])
        front.on(f"/v2/{repository}/manifests/{image.manifest.digest}", manifest)
        for blob in image.blobs:
            path = f"/v2/{repository}/blobs/{blob.digest}"
            front.on(path, answer(307, headers=[("Location", tls_registry.url + path)]))
        before = connections(tls_registry)
        route = {"url": front.url}
        with trial(tls_registry, repository, image, route=route, http_version="2", layer_concurrency=8) as pull:
            outcome = pull()
            assert outcome.ok, outcome.error
            assert connections(tls_registry) - before == 1
    finally:
        front.close()
