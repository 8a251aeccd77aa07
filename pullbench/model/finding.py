"""What a preflight check says of one target."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """`fail` is a judgement; `error` means that the check could not be run; `skip` that it does not apply."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


_ORDER = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one target: what was observed, what was expected, and what to do about it."""

    check: str
    target: str
    status: Status
    observed: str
    expected: str = ""
    remedy: str = ""
    duration_s: float = 0.0
    evidence: str | None = None
    """What the probe saw, as one JSON document; None where nothing was looked at."""

    def __post_init__(self) -> None:
        if self.status in (Status.FAIL, Status.ERROR, Status.WARN) and not self.remedy:
            raise ValueError(f"{self.check}: a finding of {self.status} needs a remedy")


def worst(findings: Iterable[Finding]) -> Status:
    """The verdict over findings: the first of fail, error, warn, pass, skip that occurs; skip where there are none."""
    seen = {finding.status for finding in findings}
    return next((status for status in _ORDER if status in seen), Status.SKIP)


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """What `preflight --json` prints: the worst status, and each finding's fields.

    A finding's `evidence` is what the check saw, an object of its own for each check; null where nothing was looked at.
    """
    return {"status": worst(findings).value, "findings": [_document(finding) for finding in findings]}


def _document(finding: Finding) -> dict[str, Any]:
    return asdict(finding) | {"evidence": json.loads(finding.evidence) if finding.evidence else None}
