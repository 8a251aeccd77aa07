"""How many files this process may hold open: each connection is one, and what is refused one would blame the registry.

libcurl says of a socket that the system denied it what it says of a connection that was refused, without the reason; so
what a trial may need is looked at before it.
"""

import resource
from contextlib import suppress

from pullbench.errors import IncompleteError

_OF_THE_REST = 128
"""Files that are no exchange's: results, logs, what is open already."""
_EACH = 4
"""Asked for each connection, where there are so many to be had: for kept ones to other hosts."""


OF_A_HANDLE = 2
"""Files that libcurl opens for a handle that performs by itself, beside its connection: it wakes itself by them."""
OF_A_MULTIPLEXER = 5
"""Its selector, a pipe, and what libcurl wakes itself by."""


def files_beside(exchanges: int, *, multiplexers: int, to_disk: bool) -> int:
    """Files that so many exchanges at once hold open beside their connections; without multiplexers each has a handle."""
    drivers = OF_A_MULTIPLEXER * multiplexers if multiplexers else OF_A_HANDLE * exchanges
    return drivers + (exchanges if to_disk else 0)


def allow_connections(connections: int, *, engine: str, beside: int = 0) -> None:
    """Raise this process's own limit as far as so many connections want it, and what they need `beside`, for good.

    Raises IncompleteError where the system's limit on it is below what they need.
    """
    needed = connections + beside + _OF_THE_REST
    most = _raised(needed, wanted=needed + (_EACH - 1) * connections)
    if most < needed:
        raise IncompleteError(
            f"engine '{engine}': {connections:,} connections at once (concurrency × layer_concurrency) need {needed:,} open files, "
            f"and this process may have {most:,}; raise its limit (ulimit -Hn), or lower one of the two"
        )


def _raised(needed: int, *, wanted: int) -> int:
    """The limit after it was raised to what is wanted, else to what is needed, where the system allows either."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now, most = _number(soft), _number(hard)
    for limit in (min(wanted, most), needed):
        if now < limit <= most:
            with suppress(OSError, ValueError):  # macOS refuses more than its kernel has, whatever it said before
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return min(now, most)


def _number(limit: int) -> int:
    return 2**31 if limit == resource.RLIM_INFINITY else limit
