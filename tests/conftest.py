"""Properties are tried on the same examples each time, and never against the clock of a busy machine or its disk."""

import os

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


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether what was synced is on the disk no unit test can see; those that count syncs put their own in its place."""
    if request.node.get_closest_marker("integration") is None:
        monkeypatch.setattr(os, "fsync", lambda handle: None)
