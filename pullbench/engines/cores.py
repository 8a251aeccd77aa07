"""The cores of this process: so many threads can receive and hash at once."""

import os


def usable_cores() -> int:
    """Cores that this process may use, not those that the machine has."""
    return len(own_cores() or ()) or os.cpu_count() or 1


def own_cores() -> frozenset[int] | None:
    """The numbers of those cores; None where the system does not tell, as macOS does not."""
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
