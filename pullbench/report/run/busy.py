"""A client at its own limit, in words. What that says depends on the engine.

wire is there to show registry and network alone, so at its own ceiling it shows less than it should. What docker and the like
do with an image is part of their pull: their machine at its limit is a true result, of that machine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pullbench.model.capability import CAPABILITIES
from pullbench.report.core import numbers

BUSY_CLIENT = 0.8
"""From this share of the client's own ceiling on, a cell may tell more of the client than of the registry."""
REMEDIES = {
    "client_busy": "lower the concurrency or pull from a stronger machine: the registry may be faster than this",
    "machine_busy": "this is what such a machine can do with these images; what the registry can do, the engine wire "
    "or a stronger machine shows",
}
_LIMITS = {
    "bytes": "by the bytes that it can receive and verify",
    "cores": "by its cores",
    "lag": "by threads that had to wait for each other",
}


def is_busy(row: Mapping[str, Any]) -> bool:
    """Of a row with `client_busy`; what is not known is not busy."""
    share = row["client_busy"]
    return share is not None and bool(share >= BUSY_CLIENT)


def kind(row: Mapping[str, Any]) -> str:
    """Which of the two it is: a key of REMEDIES."""
    return "client_busy" if CAPABILITIES[row["engine_kind"]].in_process else "machine_busy"


def says(row: Mapping[str, Any]) -> str:
    """`the client itself was 93% busy`."""
    who = "the client itself" if kind(row) == "client_busy" else f"the machine that {row['engine_kind']} works on"
    return f"{who} was {row['client_busy']:.0%} busy"


def notice(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """One line on the cells whose client was at its limit, for a shell; None where none was."""
    found = sorted(filter(is_busy, rows), key=lambda row: row["client_busy"], reverse=True)
    if not found:
        return None
    where = "" if len(rows) == 1 else f" (in {len(found)} of {numbers.count(len(rows), 'cell')})"
    return f"{says(found[0])}{where}: {REMEDIES[kind(found[0])]}"


def by_what(limit: object) -> str:
    """What was nearest to the ceiling, `by its cores`; empty where that is not known."""
    return _LIMITS.get(str(limit), "")


def of_its_ceiling(row: Mapping[str, Any]) -> str:
    """`at 93% of its own ceiling (by its cores)`, of a row with `client_busy` and `client_limit`."""
    what = by_what(row.get("client_limit"))
    return f"at {numbers.percent(row['client_busy'])} of its own ceiling{f' ({what})' if what else ''}"
