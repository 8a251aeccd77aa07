"""Client-limited configurations, in words. What the limit means depends on the engine.

wire measures registry and network alone: at the client's own ceiling it shows less than the registry can do. What docker and
the like do with an image is part of their pull: a busy machine is a true result, of that machine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pullbench.model.capability import CAPABILITIES
from pullbench.report.core import numbers

LIMITED_FROM = 0.8
"""From this share of the client's own ceiling on, a configuration may measure the client rather than the registry."""
LIMIT_KINDS = ("client_busy", "machine_busy")
_LARGER = "The registry may be faster than measured; repeat from a larger machine."
_LOWER = "The registry may be faster than measured; lower the concurrency or repeat from a larger machine."
_OF_THE_MACHINE = "This is the speed of such a machine; a larger one pulls faster."
_ON_AN_IDLE_ONE = "Other processes made these times longer. Repeat on an idle node."
_FASTER_ON_AN_IDLE_ONE = "The registry may be faster than measured; repeat on an idle node."
_OTHER_LOAD_FROM = 0.5
"""From this load a core before a run on, other processes had a part in what the machine did."""
_USED = {
    "bytes": "{} of the bytes/s that it can receive",
    "cores": "CPU {} busy",
    "lag": "threads waited {} of the time",
}
_SHORT = {"bytes": "receiving", "cores": "CPU", "lag": "threads"}
_LIMITS = {
    "bytes": "the bytes that it can receive and verify",
    "cores": "its CPU cores",
    "lag": "threads that wait for each other",
}


def is_limited(row: Mapping[str, Any]) -> bool:
    """Of a row with `client_busy`; an unknown share is not a limit."""
    share = row["client_busy"]
    return share is not None and bool(share >= LIMITED_FROM)


def limit_kind(row: Mapping[str, Any]) -> str:
    """Which of LIMIT_KINDS it is."""
    return "client_busy" if CAPABILITIES[row["engine_kind"]].in_process else "machine_busy"


def limit_remedy(rows: Sequence[Mapping[str, Any]], environment: Mapping[str, Any] | None = None) -> str:
    """What to do about client-limited configurations of one kind; a concurrency of 1 cannot be lowered.

    `environment` is the run's: a machine that other processes used is no measure of such machines.
    """
    shared = bool(other_load(environment or {}))
    if limit_kind(rows[0]) == "machine_busy":
        return _ON_AN_IDLE_ONE if shared else _OF_THE_MACHINE
    if shared:
        return _FASTER_ON_AN_IDLE_ONE
    return _LOWER if min(row["concurrency"] for row in rows) > 1 else _LARGER


def limit_says(
    row: Mapping[str, Any], environment: Mapping[str, Any] | None = None, where: str = "", to: str = ""
) -> str:
    """`This machine was the bottleneck (CPU 93% busy)`; `where` and `to` are of several configurations."""
    share, limit = f"{to}{row['client_busy']:.0%}", str(row.get("client_limit"))
    used = _USED.get(limit, "{} of its capacity used").format(share)
    kind = limit_kind(row)
    who = "This machine" if kind == "client_busy" else f"The machine that runs {row['engine_kind']}"
    load = other_load(environment or {})
    also = f", also with other processes: {load}" if load else ""
    return f"{who} was the bottleneck{where} ({used}{also})"


def may_be_more(engine_kind: str, environment: Mapping[str, Any]) -> str:
    """What a rate at this machine's limit leaves open: `a faster node may pull more`."""
    if other_load(environment):
        return "an idle node may pull more"
    return "the registry may handle more" if CAPABILITIES[engine_kind].in_process else "a faster node may pull more"


def limit_short(row: Mapping[str, Any]) -> str:
    """`CPU 93%`: which limit it was, and how near the worst trial came to it."""
    return f"{_SHORT.get(str(row.get('client_limit')), '')} {row['client_busy']:.0%}".strip()


def other_load(environment: Mapping[str, Any]) -> str:
    """`load 12.2 on 2 cores before the run`; empty where the machine was idle, or it is not known."""
    load, cores = environment.get("load_before"), environment.get("cores")
    if not load or not cores or load < _OTHER_LOAD_FROM * cores:
        return ""
    return f"load {numbers.significant(load)} on {numbers.count(cores, 'core')} before the run"


def limit_notices(rows: Sequence[Mapping[str, Any]], environment: Mapping[str, Any] | None = None) -> list[str]:
    """Two sentences on the client-limited configurations, for each kind of limit; nothing where there is none."""
    notices = []
    for kind in LIMIT_KINDS:
        same = [row for row in rows if limit_kind(row) == kind]
        found = sorted(filter(is_limited, same), key=lambda row: row["client_busy"], reverse=True)
        if found:
            where = _where(len(found), same, rows)
            said = limit_says(found[0], environment, where, "up to " if len(found) > 1 else "")
            notices.append(f"{said}. {limit_remedy(found, environment)}")
    return notices


def _where(found: int, same: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """` in 2 of 3 wire configurations`; nothing where it is the only one, or each one of its engine."""
    engine = f"{same[0]['engine_kind']} " if len(same) < len(rows) else ""
    if len(rows) == 1 or len(same) == 1:
        return f" with {engine.strip()}" if engine and limit_kind(same[0]) == "client_busy" else ""
    each = "both" if len(same) == 2 else f"all {len(same)}"
    return (
        f" in {each} {engine}configurations"
        if found == len(same)
        else f" in {found} of {len(same)} {engine}configurations"
    )


def of_its_ceiling(row: Mapping[str, Any]) -> str:
    """`at 93% of its capacity (its CPU cores)`, of a row with `client_busy` and `client_limit`."""
    what = _LIMITS.get(str(row.get("client_limit")), "")
    return f"at {numbers.percent(row['client_busy'])} of its capacity{f' ({what})' if what else ''}"
