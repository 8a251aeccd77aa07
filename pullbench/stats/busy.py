"""How near a client is to its own ceiling while it measures; 1.0 is the ceiling, and the highest value.

A ceiling is measured with its own source on the same machine, so a trial may exceed it: then it counts as 1.0.

A trial is divided into windows, and the busier half counts: a client that is limited half of the time is client-limited.
Three things can be the limit, and the nearest is reported:

- `bytes`: the received bytes, compared with what this client can receive and verify;
- `cores`: the cores that it may use. Use by others counts as far as this process waited for the cores. So a neighbour on an
  idle core is no limit, and one that takes the core away is;
- `lag`: how often a thread that was ready had to wait. A process that runs one thread at a time is limited long before the
  cores of a large machine are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Limit = Literal["bytes", "cores", "lag"]

MIN_WAKES = 10
"""Under these, one late wake would count too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of a trial. Seconds of CPU time are summed over the cores; None is what this system does not report."""

    lasted_s: float
    cpu_s: float
    """Of this process and of its children that ended."""
    waited_s: float | None
    """Time in which this process's threads were ready and had no core, summed over the threads."""
    used_s: float | None
    """Of these cores, by any process."""
    wakes: int
    """How often a thread slept until a set time, and how often it woke late."""
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """The share of the ceiling, and what is nearest to it."""

    share: float
    limit: Limit


def client_busy(windows: Sequence[Window], *, cores: float, bytes_share: float | None = None) -> Busy | None:
    """For a client that pulls in this process. `bytes_share` is of the whole trial; None where nothing is known."""
    shares: dict[Limit, float] = {}
    if bytes_share is not None:
        shares["bytes"] = bytes_share
    if any(window.lasted_s > 0 for window in windows):
        shares["cores"] = busier_half(
            (w.lasted_s, _taken_s(w) / (w.lasted_s * cores)) for w in windows if w.lasted_s > 0
        )
    if sum(window.wakes for window in windows) >= MIN_WAKES:
        shares["lag"] = busier_half((w.lasted_s, w.late / w.wakes) for w in windows if w.wakes)
    return _nearest(shares)


def machine_busy(windows: Sequence[Window], *, cores: float) -> Busy | None:
    """For a client whose work other processes do: the share of the machine's cores in use, by any process."""
    known = [(w.lasted_s, w.used_s / (w.lasted_s * cores)) for w in windows if w.used_s is not None and w.lasted_s > 0]
    return _nearest({"cores": busier_half(known)}) if known else None


def waited_share(windows: Sequence[Window]) -> float | None:
    """The share of time that this process's ready threads waited for a core."""
    known = [(w.waited_s, w.cpu_s) for w in windows if w.waited_s is not None]
    waited_s, cpu_s = sum(waited for waited, _ in known), sum(cpu for _, cpu in known)
    return waited_s / (waited_s + cpu_s) if waited_s + cpu_s > 0 else None


def busier_half(parts: Iterable[tuple[float, float]]) -> float:
    """The mean over the busier half of the time; `parts` are (seconds, share), seconds above zero."""
    ordered = sorted(parts, key=lambda part: part[1], reverse=True)
    half_s = left_s = sum(lasted_s for lasted_s, _ in ordered) / 2
    total = 0.0
    for lasted_s, share in ordered:
        taken_s = min(lasted_s, left_s)
        total, left_s = total + taken_s * share, left_s - taken_s
    return total / half_s


def _taken_s(window: Window) -> float:
    """CPU time that this process used, or others used while it waited."""
    if window.waited_s is None or window.used_s is None:
        return window.cpu_s
    return window.cpu_s + min(window.waited_s, max(0.0, window.used_s - window.cpu_s))


def _nearest(shares: dict[Limit, float]) -> Busy | None:
    if not shares:
        return None
    limit = max(shares, key=lambda name: shares[name])
    return Busy(share=min(1.0, shares[limit]), limit=limit)
