"""An embedded lab for trials: an origin with two small images, and a mirror of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.images import make_images
from pullbench.lab.registry import Registry


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab counts what it serves at once, and how fast this client is matters to no mirror."""
    monkeypatch.setattr("pullbench.bench.ceiling._SIZES", {"discard": 1 << 16})
    monkeypatch.setattr("pullbench.bench.proxy_cache._SETTLE_S", 0.0)
    monkeypatch.setattr("pullbench.bench.proxy_cache._SETTLES", 2)
    monkeypatch.setattr("pullbench.bench.proxy_cache._QUIET_S", 0.0)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabImage, ...]:
    folder = tmp_path_factory.mktemp("images")
    return make_images(folder, seed=1, count=2, total_bytes=60_000, max_layers=3, platforms=["linux/amd64"])


@pytest.fixture
def origin(images: tuple[LabImage, ...]) -> Iterator[Registry]:
    with Registry(Contents(images)) as running:
        yield running


@pytest.fixture
def mirror(origin: Registry, tmp_path: Path) -> Iterator[Registry]:
    with Registry(upstream=origin.url, cache_folder=tmp_path / "cache") as running:
        yield running
