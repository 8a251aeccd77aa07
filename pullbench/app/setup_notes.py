"""What a plan does to mirrors, their upstreams and stores before trials, for people: none of it is measured."""

from collections import Counter

from pullbench.model.plan import Plan, is_pushed
from pullbench.model.spec import Spec
from pullbench.model.text import format_bytes


def setup_lines(plan: Plan, spec: Spec) -> list[str]:
    """A sentence for each thing that a run does beside its pulls: pushes, resets, warming."""
    cold = Counter(trial.cell.proxy for trial in plan.trials if trial.cell.proxy_cache == "cold")
    warm = sum(trial.cell.proxy_cache == "warm" for trial in plan.trials)
    lines = []
    if any(is_pushed(trial, spec) for trial in plan.trials):
        places = {
            f"{entry.upstream}/{entry.cold.push}"
            for entry in spec.proxies
            if entry.name in cold and entry.cold and entry.cold.push
        }
        lines.append(
            f"set-up, not timed: {_size(plan.pushed_bytes)} of synthetic images, pushed to {', '.join(sorted(places))} "
            "and deleted again where the registry allows it"
        )
    for entry in spec.proxies:
        if entry.name in cold and entry.cold is not None and entry.cold.reset is not None:
            command = entry.cold.reset[0]
            lines.append(f"set-up, not timed: {command} is run before {cold[entry.name]} trials, to empty {entry.name}")
    if warm:
        lines.append(
            f"set-up, not timed: {_size(plan.warmed_bytes)} pulled through mirrors before {warm} trials, to warm them; "
            "as much again where they do not show at once that they have it"
        )
    if plan.stored_bytes != 0:
        stored = sum(trial.cell.cache == "warm" for trial in plan.trials)
        lines.append(
            f"set-up, not timed: {_size(plan.stored_bytes)} pulled into stores of engines before {stored} trials, to warm them"
        )
    if cold and spec.warmup:
        lines.append("cold mirrors have no warm-up")
    return lines


def _size(size_bytes: int | None) -> str:
    return "an unknown size" if size_bytes is None else format_bytes(size_bytes)
