"""The truth of a calibration: each line's, the counts of the servers, and the values of a plain-socket client.

It is stored in the run's environment after the last trial, so no measuring code knows it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

KEY = "calibration"
"""The key in a run's environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One server of known truth, by its name in the spec. None: the line does not have that quantity."""

    name: str
    round_trip_s: float | None = None
    """Of the link to it."""
    rate_bytes_per_s: float | None = None
    """Of that link, towards the client, over all its connections."""
    jitter_s: float | None = None
    """An answer is late by up to so much, uniformly distributed."""
    service_s: float | None = None
    """From a request to the start of its answer."""
    fault: str | None = None
    """The kind of fault in a share of its layers."""
    fault_rate: float | None = None
    handshake_s: float | None = None
    """How long a connection waits before TLS continues."""
    hit_rate: float | None = None
    """Of a mirror: the share of layer requests that it answers from its store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A server's own counts between the first and the last trial."""

    layers: int
    """Requested layers."""
    layer_bytes: int
    layer_hits: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceMeasurement:
    """A line measured by a plain-socket client, before and after the run; None for what the line does not have."""

    wait_s: float | None = None
    """The median."""
    spread_s: float | None = None
    """The interquartile range of the waits."""
    rate_bytes_per_s: float | None = None
    handshake_s: float | None = None
    """The median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The whole truth, by the lines' names."""

    seed: int
    load: float
    """The machine's load average over the minute before the start: other load there."""
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
