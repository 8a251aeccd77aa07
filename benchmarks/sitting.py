"""Measures contestants in turn, round after round, so that other work of the machine affects all of them.

Every round has another order: work that one leaves behind, such as writes to disk, affects each of the others.
"""

import random
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Contestant = Callable[[], "float | None"]
"""Does the whole work once, and raises if it cannot. It may return the seconds that count; None means all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """The times of one contestant, a value a round."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    """Of this process and its children; not of a server that was started for the sitting."""


def measure(contestants: Mapping[str, Contestant], *, rounds: int) -> dict[str, Rounds]:
    """Each contestant once a round, after one round that does not count."""
    walls: dict[str, list[float]] = {name: [] for name in contestants}
    cpus: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name in random.Random(number).sample(list(contestants), len(contestants)):
            contestant = contestants[name]
            began_s, cpu_s = time.perf_counter(), cpu_s_so_far()
            counted_s = contestant()
            if number > 0:
                walls[name].append(time.perf_counter() - began_s if counted_s is None else counted_s)
                cpus[name].append(cpu_s_so_far() - cpu_s)
    return {name: Rounds(wall_s=tuple(walls[name]), cpu_s=tuple(cpus[name])) for name in contestants}


def cpu_s_so_far() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
