"""A report of pullbench about itself: a real run with the sitting's large image and every engine that is installed."""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import clients, scene
from benchmarks.large_layers import LANES, LAYER_BYTES, LAYERS
from pullbench.bench.specfile import as_yaml

ROOT = Path(__file__).parents[1]
ENGINES = ("skopeo", "docker")
BLOCKS = 5


def run() -> tuple[str, str]:
    """The run's ID and its report. Results and reports are where `pullbench run` writes them. Raises RuntimeError."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        registry = scene.registry(folder / "registry", stack)
        image = scene.pushed_image(registry.url, "bench/large", [LAYER_BYTES] * LAYERS)
        spec = folder / "pullbench-itself.yaml"
        spec.write_text(as_yaml(_spec(registry.url, image)), encoding="utf-8")
        command = [sys.executable, "-m", "pullbench", "run", str(spec), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode not in (0, 1):  # 1: an SLO was missed, and the report says which
        raise RuntimeError(f"pullbench run ended with {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    return found["run_id"], found["report"]


def _spec(url: str, image: scene.Image) -> dict[str, object]:
    here = [kind for kind in ENGINES if clients.missing(kind) is None]
    return {
        "name": "pullbench-itself",
        "registries": [{"name": "local", "url": url, "region": "loopback", "credentials": "anonymous"}],
        "engines": [{"name": "wire", "kind": "wire", "layer_concurrency": LANES}],
        "images": [image.reference],
        "matrix": {"engines": ["wire", *here], "platforms": [scene.PLATFORM], "concurrency": [1]},
        "repetitions": BLOCKS,
        "warmup": 1,
        "pulls_per_trial": 1,
        "slo": {"mean_pull_s": 60},  # the times are shown; only failures are judged
    }
