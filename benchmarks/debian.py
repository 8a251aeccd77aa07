"""Debian images from a real docker-registry, pulled by a real dockerd and by wire at concurrency 1, 2, 4 and 8.

Needs docker-registry, debootstrap and a Docker daemon, all Debian packages, and root for debootstrap.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.debian_images import TEST_CACHE, DebianImages, push
from pullbench.bench.specfile import as_yaml
from tests.integration.real_registry import start_registry

IMAGES = 8


def run(rounds: int) -> None:
    """`rounds` repetitions after one of warm-up, through `pullbench run`; the report is in reports/."""
    images = DebianImages(TEST_CACHE)
    with tempfile.TemporaryDirectory(prefix="pullbench-debian-") as folder:
        registry = start_registry(Path(folder) / "registry")
        try:
            names = [f"debian/bookworm-{number}" for number in range(1, IMAGES + 1)]
            with registry.client() as client:
                for name in names:
                    push(client, name, "1.0", images.image(name))
            spec = Path(folder) / "debian.yaml"
            spec.write_text(as_yaml(_spec(registry.url, names, rounds)), encoding="utf-8")
            subprocess.run([sys.executable, "-m", "pullbench", "run", str(spec)], check=False)
        finally:
            registry.stop()


def _spec(url: str, names: list[str], rounds: int) -> dict[str, object]:
    return {
        "name": "debian",
        "registries": [{"name": "local", "url": url, "region": "loopback", "credentials": "anonymous"}],
        "images": [f"{name}:1.0" for name in names],
        "matrix": {"engines": ["wire", "docker"], "platforms": ["linux/amd64"], "concurrency": [1, 2, 4, 8]},
        "repetitions": rounds,
        "warmup": 1,
        "pulls_per_trial": IMAGES,
    }
