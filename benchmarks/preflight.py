"""How long a whole preflight takes: 3 real registries with 10 images each on loopback, as `pullbench preflight` in a shell.

The goal is less than 3 s, including the start of the interpreter and the imports.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.debian_images import DebianBlob, DebianImage, push
from pullbench.bench.specfile import as_yaml
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform
from tests.integration.real_registry import RealRegistry, start_registry

GOAL_S = 3.0
REGISTRIES = ("eu", "us", "ap")
IMAGES = 10


def run(rounds: int) -> None:
    """Print the median, the slowest round, and the share of the start, measured with a preflight that stops at a wrong `--only`."""
    with tempfile.TemporaryDirectory(prefix="pullbench-preflight-") as name, ExitStack() as closing:
        folder = Path(name)
        registries = {}
        for registry in REGISTRIES:
            registries[registry] = start_registry(folder / registry)
            closing.callback(registries[registry].stop)
        images = [_push(number, list(registries.values())) for number in range(IMAGES)]
        entries = [{"name": key, "url": each.url, "credentials": "anonymous"} for key, each in registries.items()]
        matrix = {"platforms": ["linux/amd64"]}
        spec = {"name": "preflight", "registries": entries, "images": images, "matrix": matrix}
        (folder / "spec.yaml").write_text(as_yaml(spec))
        _timed(folder)  # the first start after an installation reads from the disk
        whole = [_timed(folder) for _ in range(rounds)]
        start = [_timed(folder, "--only", "nothing") for _ in range(rounds)]
    median_s = statistics.median(whole)
    verdict = "met" if median_s < GOAL_S else "missed"
    print(f"preflight of {len(REGISTRIES)} registries × {IMAGES} images, {rounds} rounds:")
    print(f"  median {median_s:.2f} s, slowest {max(whole):.2f} s (goal under {GOAL_S:.0f} s: {verdict})")
    print(f"  of which start and imports {statistics.median(start):.2f} s")


def _push(number: int, registries: list[RealRegistry]) -> str:
    layer = DebianBlob.of(OCI_LAYER_GZIP, f"layer {number}".encode())
    config = DebianBlob.of(OCI_CONFIG, json.dumps({"os": "linux", "architecture": "amd64", "n": number}).encode())
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
    content = {**document, "config": config.descriptor(), "layers": [layer.descriptor()]}
    manifest = DebianBlob.of(OCI_MANIFEST, json.dumps(content).encode())
    image = DebianImage(platform=Platform.parse("linux/amd64"), manifest=manifest, blobs=(config, layer))
    for registry in registries:
        with registry.client() as client:
            push(client, f"team/app-{number}", "1.0", image)
    return f"team/app-{number}:1.0"


def _timed(folder: Path, *arguments: str) -> float:
    command = [sys.executable, "-m", "pullbench", "preflight", str(folder / "spec.yaml"), "--json", *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - started
    if done.returncode != (2 if arguments else 0):
        raise RuntimeError(f"preflight ended with {done.returncode}: {done.stderr or done.stdout}")
    return took_s


if __name__ == "__main__":
    run(5)
