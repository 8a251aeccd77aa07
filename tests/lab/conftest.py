import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pullbench.lab.contents import LabImage
from pullbench.lab.images import make_images


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """One exchange on a connection of its own; header names with _ for -."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def until(condition: Callable[[], bool]) -> bool:
    """Whether it came true within a minute; waits for what another thread does after an answer."""
    done = threading.Event()
    for _ in range(6000):
        if condition():
            return True
        done.wait(0.01)
    return False


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabImage, ...]]:
    folder: Path = tmp_path_factory.mktemp("images")
    yield make_images(folder, seed=1, count=3, total_bytes=600_000, max_layers=5)
