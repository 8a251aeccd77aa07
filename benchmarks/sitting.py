"""Contestants measured in turn, round after round, so that whatever else the machine does hits all of them alike."""

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Contestant = Callable[[], None]
"""Does the whole work once, and raises where it could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Medians over the rounds of one contestant."""

    wall_s: float
    cpu_s: float
    """Of this process and its children; a server that was started for the sitting is not among them."""


def measure(contestants: Mapping[str, Contestant], *, rounds: int) -> dict[str, Result]:
    """Each contestant once a round, after one round that does not count."""
    walls: dict[str, list[float]] = {name: [] for name in contestants}
    cpus: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            wall_s, cpu_s = time.perf_counter(), _cpu_s()
            contestant()
            if number > 0:
                walls[name].append(time.perf_counter() - wall_s)
                cpus[name].append(_cpu_s() - cpu_s)
    return {
        name: Result(wall_s=statistics.median(walls[name]), cpu_s=statistics.median(cpus[name])) for name in contestants
    }


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_table(title: str, results: Mapping[str, Result], *, reference: str, units: float, unit: str) -> None:
    """One line a contestant: medians, CPU seconds a unit, and the ratio of its wall time to the reference's."""
    print(f"\n{title}")
    width = max(map(len, results))
    print(f"  {'':{width}}  {'wall s':>8}  {'CPU s/' + unit:>12}  {'wall ratio':>10}")
    for name, result in results.items():
        ratio = result.wall_s / results[reference].wall_s
        print(f"  {name:{width}}  {result.wall_s:8.3f}  {result.cpu_s / units:12.4f}  {ratio:10.2f}")
