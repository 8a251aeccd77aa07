"""Layers in parts from a real docker-registry, and from the same behind an nginx that serves no ranges."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.debian_images import DebianImage
from tests.integration.conftest import PushImage, need
from tests.integration.ports import free_port
from tests.integration.real_registry import RealRegistry
from tests.integration.wire_trial import made_image, trial

pytestmark = [pytest.mark.integration, pytest.mark.real]

_START_S = 60.0
_CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass {upstream}; proxy_set_header Range ""; max_ranges 0; proxy_buffering off; }}
  }}
}}
"""


@pytest.fixture
def without_ranges(plain_registry: RealRegistry, tmp_path: Path) -> Iterator[str]:
    """The address of an nginx before the registry that drops the Range header, as some reverse proxies do."""
    port, nginx = free_port(), need("nginx")
    config = tmp_path / "nginx.conf"
    config.write_text(_CONFIG.format(folder=tmp_path, port=port, upstream=plain_registry.url))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([nginx, "-p", str(tmp_path), "-c", str(config)], stdout=log, stderr=log)
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + _START_S
    try:
        while True:
            try:
                httpx.get(f"{url}/v2/", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"nginx does not answer: {(tmp_path / 'log').read_text()[-500:]}") from None
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def large(plain_registry: RealRegistry, push_image: PushImage) -> DebianImage:
    """An image with a layer of 256 MiB, as `large/image` in the registry."""
    image = made_image((256 * 2**20, 1000))
    push_image(plain_registry, "large/image", "1", image)
    return image


@pytest.mark.parametrize("sink", ["discard", "disk"])
def test_a_layer_of_256_mib_comes_in_parts_and_its_digest_is_verified(
    plain_registry: RealRegistry, large: DebianImage, sink: str
) -> None:
    with trial(plain_registry, "large/image", large, chunk_bytes="32MiB", layer_concurrency=4, sink=sink) as pull:
        outcome = pull()
    assert outcome.ok, outcome.error
    parts = [row for row in outcome.transfers if row.digest == large.blobs[1].digest]
    assert [(row.status, row.bytes) for row in parts] == [(206, 32 * 2**20)] * 8
    assert {row.note for row in parts} == {
        f"bytes {first}-{first + 32 * 2**20 - 1}/{256 * 2**20}" for first in range(0, 256 * 2**20, 32 * 2**20)
    }
    assert outcome.bytes == sum(len(blob.content) for blob in large.blobs)


def test_behind_a_server_without_ranges_the_layer_comes_whole_and_the_row_says_so(
    plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str], without_ranges: str
) -> None:
    repository, image = fresh(), made_image((8_000_000,))
    push_image(plain_registry, repository, "1", image)
    with trial(plain_registry, repository, image, route={"url": without_ranges}, chunk_bytes="1MiB") as pull:
        outcome = pull()
    assert outcome.ok, outcome.error
    (row,) = [row for row in outcome.transfers if row.kind == "layer"]
    assert (row.status, row.bytes, row.note, row.error_code) == (200, 8_000_000, "range refused", None)
