"""A client at its own limit, in words. What that says depends on the engine.

wire is there to show registry and network alone, so at its own ceiling it shows less than it should. What docker and the like
do with an image is part of their pull: their machine at its limit is a true result, of that machine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pullbench.model.capability import CAPABILITIES
from pullbench.report.core import numbers

LIMITED_FROM = 0.8
"""From this share of the client's own ceiling on, a cell may tell more of the client than of the registry."""
LIMIT_REMEDIES = {
    "client_busy": "lower the concurrency or pull from a stronger machine: the registry may be faster than this",
    "machine_busy": "this is what such a machine can do with these images; what the registry can do, the engine wire "
    "or a stronger machine shows",
}
_LIMITS = {
    "bytes": "by the bytes that it can receive and verify",
    "cores": "by its cores",
    "lag": "by threads that had to wait for each other",
}


def is_limited(row: Mapping[str, Any]) -> bool:
    """Of a row with `client_busy`; what is not known is not busy."""
    share = row["client_busy"]
    return share is not None and bool(share >= LIMITED_FROM)


def limit_kind(row: Mapping[str, Any]) -> str:
    """Which of the two it is: a key of LIMIT_REMEDIES."""
    return "client_busy" if CAPABILITIES[row["engine_kind"]].in_process else "machine_busy"


def limit_says(row: Mapping[str, Any]) -> str:
    """`the client itself was 93% busy`."""
    who = "the client itself" if limit_kind(row) == "client_busy" else f"the machine that {row['engine_kind']} works on"
    return f"{who} was {row['client_busy']:.0%} busy"


def limit_notice(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """One line on the cells whose client was at its limit, for a shell; None where none was."""
    found = sorted(filter(is_limited, rows), key=lambda row: row["client_busy"], reverse=True)
    if not found:
        return None
    where = "" if len(rows) == 1 else f" (in {len(found)} of {numbers.count(len(rows), 'cell')})"
    return f"{limit_says(found[0])}{where}: {LIMIT_REMEDIES[limit_kind(found[0])]}"


def _by_what(limit: object) -> str:
    """What was nearest to the ceiling, `by its cores`; empty where that is not known."""
    return _LIMITS.get(str(limit), "")


def of_its_ceiling(row: Mapping[str, Any]) -> str:
    """`at 93% of its own ceiling (by its cores)`, of a row with `client_busy` and `client_limit`."""
    what = _by_what(row.get("client_limit"))
    return f"at {numbers.percent(row['client_busy'])} of its own ceiling{f' ({what})' if what else ''}"
