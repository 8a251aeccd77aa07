"""How long a person waits: from the start of `pullbench run` with one pull to the verdict on the terminal, and to the page."""

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import yaml

from benchmarks import scene
from benchmarks.scorecard import Goal, ScoreLine

VERDICT = Goal(bound=3.0)
PAGE = Goal(bound=8.0)
_END_OF_A_RUN = ("run ", "TIME", "BEST", "SLO")
"""What the lines with the outcome start with."""
_WHAT = "`pullbench run` of one pull over loopback, from its start to "


def lines(rounds: int) -> list[ScoreLine]:
    """One run a round after one that compiles the bytecode; needs docker-registry."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        registry = scene.registry(folder / "registry", stack)
        image = scene.pushed_image(registry.url, "bench/small", [1_000_000])
        spec = one_pull_spec(image, folder)
        taken = [_one_run(spec, folder) for _ in range(rounds + 1)][1:]
    verdicts, pages = zip(*taken, strict=True)
    return [
        ScoreLine(what=f"{_WHAT}the verdict on the terminal", values=verdicts, unit="s", goal=VERDICT),
        ScoreLine(what=f"{_WHAT}the HTML page", values=pages, unit="s", goal=PAGE),
    ]


def one_pull_spec(image: scene.Image, folder: Path, layer_concurrency: int = 4) -> Path:
    """The spec file of a run that pulls an image once."""
    spec = {
        "name": "one-pull",
        "registries": [{"name": "local", "url": image.url, "credentials": "anonymous"}],
        "engines": [{"name": "wire", "kind": "wire", "layer_concurrency": layer_concurrency}],
        "images": [image.reference],
        "matrix": {"platforms": [scene.PLATFORM]},
        "repetitions": 1,
        "warmup": 0,
    }
    path = folder / "one-pull.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def _one_run(spec: Path, folder: Path) -> tuple[float, float]:
    """Seconds to the first line of the outcome, and to the end of the command, when the page exists."""
    command = [sys.executable, "-m", "pullbench", "run", str(spec)]
    began, verdict_s = time.perf_counter(), None
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        last = ""
        for last in process.stdout:
            if verdict_s is None and last.startswith(_END_OF_A_RUN):
                verdict_s = time.perf_counter() - began
    page_s = time.perf_counter() - began
    if process.returncode not in (0, 1) or verdict_s is None or not last.startswith("report"):
        raise RuntimeError(f"pullbench run: exit code {process.returncode}, last line: {last!r}")
    return verdict_s, page_s
