"""A store on a disk and one on an object store (fsspec's memory)."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pullbench.store.dataset import ResultStore


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResultStore]:
    if request.param == "disk":
        yield ResultStore(str(tmp_path / "results"))
        return
    yield ResultStore("memory://pullbench-results")
    memory = fsspec.filesystem("memory")
    if memory.exists("/pullbench-results"):
        memory.rm("/pullbench-results", recursive=True)


@pytest.fixture
def disk(tmp_path: Path) -> ResultStore:
    return ResultStore(str(tmp_path / "results"))
