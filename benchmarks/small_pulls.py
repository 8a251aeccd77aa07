"""100 pulls of a 10 MB image at concurrency 4 from a docker-registry: the wire engine compared with a Go program."""

import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks import clients, scene
from benchmarks.scorecard import Goal, ScoreLine, ratios
from benchmarks.sitting import measure
from pullbench.bench.load import Loop
from pullbench.engines.base import PullOutcome, PullRequest, SystemClock

PULLS, WORKERS, LAYER_BYTES = 100, 4, 10**7
GOAL = Goal(bound=1.5, at_least=True)
_WHAT = "100 pulls of a 10 MB image, concurrency 4: rate compared with a Go client's"


def lines(rounds: int) -> list[ScoreLine]:
    """Manifest, config and layer of each pull one after the other over a kept connection, as in the Go client."""
    if (reason := clients.missing("go")) is not None:
        return [ScoreLine(what=_WHAT, values=(), goal=GOAL, note=f"{reason}: not measured (Debian: golang-go)")]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pullbench-bench-")))
        binary = clients.built_go_client(folder)
        registry = scene.registry(folder / "registry", stack)
        image = scene.pushed_image(registry.url, "bench/small", [LAYER_BYTES])
        go = clients.go_client(binary, image, PULLS, WORKERS)
        taken = measure({"go": go, "wire": _wire(image, stack)}, rounds=rounds)
        used = psutil.Process(registry.process.pid).cpu_times()
        served_s = (used.user + used.system) / (2 * (rounds + 1))
    ours, theirs = (statistics.median(taken[name].wall_s) for name in ("wire", "go"))
    ours_cpu, theirs_cpu = (statistics.median(taken[name].cpu_s) for name in ("wire", "go"))
    return [
        ScoreLine(
            what=_WHAT,
            values=ratios(taken["go"].wall_s, taken["wire"].wall_s),
            goal=GOAL,
            ours=f"{PULLS / ours:.0f} pulls/s, {ours_cpu:.2f} CPU s",
            theirs=f"Go {PULLS / theirs:.0f} pulls/s, {theirs_cpu:.2f} CPU s",
            note=bound(ours_cpu, theirs_cpu, served_s),
        )
    ]


def bound(ours_cpu_s: float, theirs_cpu_s: float, served_s: float) -> str:
    """How the registry's share of the cores bounds the ratio; all arguments are CPU seconds for the same pulls."""
    return (
        f"the registry uses {served_s:.1f} CPU s of the same cores for {PULLS} pulls of either client. If both clients fill the cores, "
        f"the ratio is {(theirs_cpu_s + served_s) / (ours_cpu_s + served_s):.2f}; with a client that costs nothing it would be "
        f"{(theirs_cpu_s + served_s) / served_s:.1f}"
    )


def _wire(image: scene.Image, stack: ExitStack) -> Callable[[], float]:
    engine = scene.wire(layer_concurrency=1)
    stack.callback(engine.close)
    wanted = scene.requests(image, PULLS)
    engine.open_trial(scene.trial_setup(wanted, WORKERS))
    clock = SystemClock()

    def pull(request: PullRequest, _late_s: float) -> PullOutcome:
        return engine.pull(request)

    def pulls() -> float:
        began_s = 0.0

        def start() -> None:
            nonlocal began_s
            began_s = clock.monotonic()

        outcomes = Loop(wanted, WORKERS, pull, clock=clock).run(start=start, cancel=engine.cancel)
        took_s = clock.monotonic() - began_s
        failed = [outcome.error for outcome in outcomes if not outcome.ok]
        if failed:
            raise RuntimeError(f"wire: {failed[0]}")
        return took_s

    return pulls
