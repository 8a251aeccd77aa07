"""One pull of 512 MB in 8 incompressible layers from a docker-registry: the wire engine compared with curl, crane, skopeo, docker."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil

from benchmarks import clients, scene
from benchmarks.first_answer import one_pull_spec
from benchmarks.scorecard import Goal, ScoreLine, ratios
from benchmarks.sitting import Contestant, Rounds, measure
from pullbench.engines.base import usable_cores

LAYERS, LAYER_BYTES, LANES = 8, 64 * 10**6, 4
_GB = LAYERS * LAYER_BYTES / 1e9
_WHAT = "512 MB in 8 layers, wall time compared with "
_GOALS = {
    "curl": ("four `curl | openssl dgst -sha256`", Goal(bound=0.9), ""),
    "crane": ("`crane pull --format oci`", Goal(bound=0.75), "crane also writes to disk"),
    "skopeo": (
        "`skopeo copy` to a directory",
        Goal(bound=0.2),
        "skopeo also writes to disk, one layer after the other",
    ),
    "docker": ("`docker pull`", None, "docker also writes, unpacks, and hashes what it unpacked"),
}


def lines(rounds: int) -> list[ScoreLine]:
    """Needs docker-registry, curl and openssl. A client that is not installed has a line that says so."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        registry = scene.registry(folder / "registry", stack)
        image = scene.pushed_image(registry.url, "bench/large", [LAYER_BYTES] * LAYERS)
        contestants: dict[str, Contestant] = {
            "wire": _wire(image, stack),
            "command line": _command_line(image, folder),
        }
        others: dict[str, Contestant] = {
            "curl": clients.curl_and_openssl(image),
            "crane": clients.crane(image, folder),
            "skopeo": clients.skopeo(image, folder),
            "docker": clients.docker(image),
        }
        absent = {name: reason for name in others if (reason := clients.missing(name)) is not None}
        contestants |= {name: others[name] for name in others if name not in absent}
        taken = measure(contestants, rounds=rounds)
        served = psutil.Process(registry.process.pid).cpu_times()
        served_s = (served.user + served.system) / (len(contestants) * (rounds + 1))
    return [
        *(_compared(name, taken, absent.get(name), served_s) for name in others),
        _compared_as_command(taken, absent.get("curl")),
        _cpu(taken),
    ]


def _wire(image: scene.Image, stack: ExitStack) -> Callable[[], float]:
    """One pull as a trial does it: threads and credentials exist before the clock starts."""
    engine = scene.wire(LANES)
    stack.callback(engine.close)
    (request,) = wanted = scene.requests(image, 1)
    engine.open_trial(scene.trial_setup(wanted, 1))

    def pull() -> float:
        outcome = engine.pull(request)
        if not outcome.ok or outcome.duration_s is None:
            raise RuntimeError(f"wire: {outcome.error}")
        return outcome.duration_s

    return pull


def _command_line(image: scene.Image, folder: Path) -> Callable[[], float]:
    """The same pull as `pullbench run` makes it; the time is that of the stored pull, not of the command."""
    spec = one_pull_spec(image, folder, LANES)
    command = [sys.executable, "-m", "pullbench", "run", str(spec), "--skip-preflight", "--no-report", "--json"]

    def pull() -> float:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return float(json.loads(done.stdout)["cells"][0]["median_s"])

    return pull


def _compared_as_command(taken: dict[str, Rounds], absent: str | None) -> ScoreLine:
    title, goal = "four `curl | openssl dgst -sha256`, as the command line runs it", Goal(bound=0.8)
    if absent is not None:
        return ScoreLine(what=_WHAT + title, values=(), goal=goal, note=f"{absent}: not measured")
    ours, curl = taken["command line"], taken["curl"]
    return ScoreLine(
        what=_WHAT + title,
        values=ratios(ours.wall_s, curl.wall_s),
        goal=goal,
        ours=f"{median(ours.wall_s):.2f} s",
        theirs=f"curl {median(curl.wall_s):.2f} s",
    )


def _compared(name: str, taken: dict[str, Rounds], absent: str | None, served_s: float) -> ScoreLine:
    title, goal, note = _GOALS[name]
    if absent is not None:
        return ScoreLine(what=_WHAT + title, values=(), goal=goal, note=f"{absent}: not measured")
    wire, other = taken["wire"], taken[name]
    values = ratios(wire.wall_s, other.wall_s)
    if goal is not None and not goal.is_met_by(median(values)):
        note = "; ".join(part for part in (note, why_missed(median(wire.cpu_s), served_s, usable_cores())) if part)
    return ScoreLine(
        what=_WHAT + title,
        values=values,
        goal=goal,
        ours=f"{median(wire.wall_s):.2f} s",
        theirs=f"{name} {median(other.wall_s):.2f} s",
        note=note,
    )


def why_missed(pulled_s: float, served_s: float, cores: int) -> str:
    """The lower bound of a pull whose client and registry share the cores; both in CPU seconds a pull."""
    both_s = pulled_s + served_s
    return (
        f"missed: wire and the registry use {pulled_s:.2f} + {served_s:.2f} CPU s a pull, "
        f"so the {cores} cores that both share need at least {both_s / cores:.2f} s"
    )


def _cpu(taken: dict[str, Rounds]) -> ScoreLine:
    values = tuple(cpu_s / _GB for cpu_s in taken["wire"].cpu_s)
    others = ", ".join(
        f"{name} {median(taken[name].cpu_s) / _GB:.2f}"
        for name in taken
        if name not in ("wire", "command line", "docker")
    )
    return ScoreLine(
        what="the same, CPU seconds for each GB received and verified",
        values=values,
        unit="CPU s/GB",
        goal=Goal(bound=1.4),
        theirs=f"{others} CPU s/GB",
    )
