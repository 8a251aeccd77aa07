"""How many files this process may hold open: each connection is one, and what is refused one would blame the registry.

libcurl says of a socket that the system denied it what it says of a connection that was refused, without the reason; so
what a trial may need is looked at before it.
"""

import resource

from pullbench.errors import IncompleteError

_OF_THE_REST = 128
"""Files beside the connections: results, logs, threads' pipes, what is open already."""
_EACH = 4
"""Asked for each connection, where there are so many to be had: kept ones to other hosts, files of layers."""


def allow_connections(connections: int, *, engine: str) -> None:
    """Raise this process's own limit as far as so many connections want it, for good.

    Raises IncompleteError where the system's limit on it is below what they need.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _number(hard)
    needed = connections + _OF_THE_REST
    if most < needed:
        raise IncompleteError(
            f"engine '{engine}': {connections:,} connections at once (concurrency × layer_concurrency) need {needed:,} open files, "
            f"and this process may have {most:,}; raise its limit (ulimit -Hn), or lower one of the two"
        )
    wanted = min(most, _EACH * connections + _OF_THE_REST)
    if _number(soft) < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _number(limit: int) -> int:
    return 2**31 if limit == resource.RLIM_INFINITY else limit
