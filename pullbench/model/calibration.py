"""What a calibration knows and its run does not: the truth of each line, what the servers counted, and what plain sockets saw.

It goes into the run's environment once nothing is measured any more, so nothing that measures has met it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

KEY = "calibration"
"""Of a run's environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One server of known truth, by the name that the spec has for it; what is None is not there to be measured."""

    name: str
    round_trip_s: float | None = None
    """Of the link before it."""
    rate_bytes_per_s: float | None = None
    """Of that link, towards the client, for all its connections together."""
    jitter_s: float | None = None
    """An answer comes later by up to so much, evenly spread."""
    service_s: float | None = None
    """From a request to the begin of its answer."""
    fault: str | None = None
    """The kind of fault that a share of its layers has."""
    fault_rate: float | None = None
    handshake_s: float | None = None
    """How long it leaves a connection waiting before it goes on with TLS."""
    hit_rate: float | None = None
    """Of a mirror: the share of the requests for a layer that find it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a server counted between the first trial and the last, by itself."""

    layers: int
    """Layers asked for."""
    layer_bytes: int
    layer_hits: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMeasurement:
    """What a client of plain sockets saw of a line, before and after the run; None where there was nothing to see."""

    wait_s: float | None = None
    """The median."""
    spread_s: float | None = None
    """The interquartile range of the waits."""
    rate_bytes_per_s: float | None = None
    handshake_s: float | None = None
    """The median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """All of it, by the lines' names."""

    seed: int
    load: float
    """The machine's load average over the minute before it began: what else ran there."""
    lines: tuple[Line, ...]
    counted: Mapping[str, Counted]
    references: Mapping[str, ReferenceMeasurement]

    def as_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`."""
        return cls(
            seed=data["seed"],
            load=data["load"],
            lines=tuple(Line(**entry) for entry in data["lines"]),
            counted={name: Counted(**entry) for name, entry in data["counted"].items()},
            references={name: ReferenceMeasurement(**entry) for name, entry in data["references"].items()},
        )
