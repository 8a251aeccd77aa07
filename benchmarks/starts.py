"""The time before anything is measured: a large plan, and the help of the command line."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.scorecard import Goal, ScoreLine
from pullbench.bench.facts import offline_facts
from pullbench.model.plan import plan
from pullbench.model.spec import read_spec

ROOT = Path(__file__).parents[1]
TRIALS = 100_000
_LEVELS, _REGISTRIES, _PLATFORMS, _BLOCKS = 10, 10, 2, 500


def lines(rounds: int) -> list[ScoreLine]:
    """One plan a round, of a spec that was read before; one `pullbench --help` a round, as a shell starts it."""
    return [
        ScoreLine(
            what=f"a plan of {TRIALS:,} trials",
            values=tuple(_plan_s() for _ in range(rounds)),
            unit="s",
            goal=Goal(bound=2.0),
        ),
        ScoreLine(
            what="`pullbench --help`, including the start of the interpreter",
            values=tuple(_help_s() for _ in range(rounds + 1))[1:],
            unit="s",
            goal=Goal(bound=0.25),
        ),
    ]


def _plan_s() -> float:
    spec = read_spec(
        {
            "name": "many",
            "registries": [{"name": f"r{n}", "url": f"https://r{n}.example.com"} for n in range(_REGISTRIES)],
            "images": [f"team/app-{n}:1" for n in range(8)],
            "matrix": {
                "platforms": ["linux/amd64", "linux/arm64"],
                "concurrency": list(range(1, _LEVELS + 1)),
            },
            "repetitions": _BLOCKS,
            "warmup": 0,
        }
    )
    facts, began = offline_facts(), time.perf_counter()
    made = plan(spec, facts)
    took_s = time.perf_counter() - began
    assert len(made.trials) == TRIALS, len(made.trials)
    return took_s


def _help_s() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pullbench", "--help"], check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - began
