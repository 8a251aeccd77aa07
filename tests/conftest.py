"""What holds for every test, and what keeps thousands of them quick.

Properties are tried on the same examples each time, and never against the clock of a busy machine or its disk.
"""

import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "pullbench",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pullbench")

# A test decides whether it has a terminal and colours, not the terminal of the person who runs it.
os.environ["TERM"] = "xterm-256color"
for _name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with `tests/golden/NAME`: these few pages hold the wording, so that no other test needs to.

    `make golden` writes them anew; read the diff before you commit it.
    """

    def check(name: str, text: str) -> None:
        page = GOLDEN / name
        if os.environ.get("PULLBENCH_GOLDEN") == "write":
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
        assert text == page.read_text(encoding="utf-8"), f"{page} differs; `make golden` writes it anew"

    return check


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting loads thousands of tests and every library, all of which stay: there is no garbage to look for in them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether what was synced is on the disk no unit test can see; those that count syncs put their own in its place."""
    if request.node.get_closest_marker("integration") is None:
        monkeypatch.setattr(os, "fsync", lambda handle: None)
