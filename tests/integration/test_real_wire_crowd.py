"""A thousand pulls at once in one process, from a real docker-registry."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import scene
from tests.integration.real_registry import RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real]

PULLS = 1000
MOST_BYTES = 500_000_000


def test_a_thousand_pulls_at_once_fail_nothing_and_stay_under_500_mb_also_with_few_open_files_allowed(
    plain_registry: RealRegistry,
) -> None:
    image = scene.pushed_image(plain_registry.url, "crowd/small", [10_000])
    apart = [sys.executable, "-m", "benchmarks.apart", str(PULLS), str(PULLS), "--patience", "120"]
    command = ["bash", "-c", 'ulimit -Sn 512; exec "$@"', "bash", *apart]
    done = subprocess.run(
        command, input=scene.as_json(image), capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == [] and found["pulls"] == PULLS
    assert found["bytes"] == PULLS * image.size_bytes
    assert found["most_memory_bytes"] < MOST_BYTES
