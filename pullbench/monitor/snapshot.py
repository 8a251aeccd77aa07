"""What monitoring is told of one benchmark at one vantage: numbers that the report reckoned, none of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pullbench.model.finding import Finding
from pullbench.model.record import Run


class Group(NamedTuple):
    """What tells the series of a run apart: names of the spec, so their number is bounded by it."""

    engine: str
    registry: str
    region: str
    proxy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One objective over the whole run; `target` and `verdict` are None where the spec does not ask for it.

    `measured` and `low`, the lower bound, are None where too little was measured to tell.
    """

    name: str
    target: float | None
    measured: float | None
    low: float | None
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The newest run that ended, of a benchmark at a vantage.

    `cells` are rows of `report.tables.cells`, `errors` pulls by error code, `latencies_s` those of the successful pulls.
    """

    run: Run
    completed_at: datetime | None
    """When the newest complete run ended, which may be an older one; None where none ever was."""
    verdict: str
    """The status of the report's headline, such as `met`."""
    trials_finished: int
    cells: Sequence[Mapping[str, Any]]
    latencies_s: Mapping[Group, Sequence[float]]
    objectives: Sequence[Objective]
    errors: Mapping[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
