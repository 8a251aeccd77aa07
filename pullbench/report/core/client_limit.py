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


def limit_remedy(rows: Sequence[Mapping[str, Any]]) -> str:
    """What to do about client-limited configurations of one kind; a concurrency of 1 cannot be lowered."""
    if limit_kind(rows[0]) == "machine_busy":
        return _OF_THE_MACHINE
    return _LOWER if min(row["concurrency"] for row in rows) > 1 else _LARGER


def limit_says(row: Mapping[str, Any]) -> str:
    """`This machine was the bottleneck (93% of its capacity used)`."""
    used = f"{row['client_busy']:.0%} of its capacity used"
    who = "This machine" if limit_kind(row) == "client_busy" else f"The machine that runs {row['engine_kind']}"
    return f"{who} was the bottleneck ({used})"


def limit_notices(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Two sentences on the client-limited configurations, for each kind of limit; nothing where there is none."""
    notices = []
    for kind in LIMIT_KINDS:
        same = [row for row in rows if limit_kind(row) == kind]
        found = sorted(filter(is_limited, same), key=lambda row: row["client_busy"], reverse=True)
        if found:
            engine = f"{found[0]['engine_kind']} " if len(same) < len(rows) else ""
            where = (
                "" if len(rows) == 1 else f" in {len(found)} of {numbers.count(len(same), f'{engine}configuration')}"
            )
            said = limit_says(found[0]).replace(" (", f"{where} (" + ("up to " if len(found) > 1 else ""))
            notices.append(f"{said}. {limit_remedy(found)}")
    return notices


def of_its_ceiling(row: Mapping[str, Any]) -> str:
    """`at 93% of its capacity (its CPU cores)`, of a row with `client_busy` and `client_limit`."""
    what = _LIMITS.get(str(row.get("client_limit")), "")
    return f"at {numbers.percent(row['client_busy'])} of its capacity{f' ({what})' if what else ''}"
