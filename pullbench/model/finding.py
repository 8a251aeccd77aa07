"""The result of one preflight check for one target."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, cast

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic reads docstrings of this one alone before Python 3.12

from pullbench.errors import ErrorCode


class Status(StrEnum):
    """`fail`: the check found a problem. `error`: the check could not run. `skip`: the check does not apply."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


TROUBLES = (Status.FAIL, Status.ERROR, Status.WARN)
"""Statuses that need a remedy, worst first."""
_ORDER = (*TROUBLES, Status.PASS, Status.SKIP)


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
    """The probe's evidence as one JSON document; None if the check looked at nothing."""
    code: ErrorCode | None = None
    """The error code behind the finding; None if there is none, such as for a disk that is nearly full."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The parameters of the code's remedy by name, such as host, endpoint, address, repository, image and platform;
    empty without a code."""
    kind: str | None = None
    """The problem of a finding without a code, such as `tls-expires-soon`: its anchor in docs/checks.md. None if it passed."""

    def __post_init__(self) -> None:
        if self.status in TROUBLES and not self.remedy:
            raise ValueError(f"{self.check}: a finding with status {self.status} needs a remedy")

    @property
    def topic(self) -> str | None:
        """What `pullbench errors` and the docs explain about it: its code or kind, else its check; None if it passed."""
        return (self.code or self.kind or self.check) if self.status in TROUBLES else None


def worst(findings: Iterable[Finding]) -> Status:
    """The overall status: the first of fail, error, warn, pass, skip that occurs; skip without findings."""
    seen = {finding.status for finding in findings}
    return next((status for status in _ORDER if status in seen), Status.SKIP)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings sorted fail, error, warn, pass, skip; the order within a status stays."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingGroup:
    """The findings of one route with its images and platforms, or of one local target."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        return worst(self.findings)

    def rest(self, target: str) -> str:
        """The part of a target's name after the group's name: an image and a platform, or nothing."""
        return target.removeprefix(self.name).strip()


def group_findings(findings: Iterable[Finding]) -> list[FindingGroup]:
    """Findings in groups, ordered by each group's first finding.

    `eu library/nginx:1.27 linux/amd64` belongs to group `eu` if a finding is about `eu` itself, else to the image's group
    if a finding is about the image. `eu via cache` is a separate group.
    """
    found = list(findings)
    targets = {finding.target for finding in found}
    groups: dict[str, list[Finding]] = {}
    for finding in found:
        groups.setdefault(_group_of(finding.target, targets), []).append(finding)
    return [FindingGroup(name=name, findings=tuple(members)) for name, members in groups.items()]


def _group_of(target: str, targets: set[str]) -> str:
    words = target.split(" ")
    for end in range(1, len(words)):
        whole = " ".join(words[:end])
        if whole in targets and any(mark in words[end] for mark in ":@/"):  # a reference or a platform comes next
            return whole
    return target


@with_config(ConfigDict(use_attribute_docstrings=True))
class FindingDocument(TypedDict):
    """The result of one check for one target."""

    check: str
    """The check's stable id, such as `tls`; docs/checks.md describes each."""
    target: str
    """`eu`, `eu via cache`, `eu library/nginx:1.27 linux/amd64`, or a local target such as a daemon or a file."""
    status: Status
    """`error`: the check could not run. `skip`: the check does not apply, or a check that it needs has failed."""
    observed: str
    """A failure with an error code starts with the code in brackets, such as `[connect_refused]`."""
    expected: str
    remedy: str
    """What to do; never empty for warn, fail and error."""
    duration_s: float
    """Seconds that the check took for this target; 0 if it was skipped."""
    evidence: Any
    """The check's evidence; each check has its own shape. Null if the check looked at nothing."""
    code: ErrorCode | None
    """The error code; null for findings without an error, such as a certificate that expires soon."""
    parameters: dict[str, str]
    """Known parameters of the error by name: registry, proxy, url, host, endpoint, address, repository, image, platform,
    status (HTTP), answered_by (registry, token_service, redirect, proxy, in_front, box_between, daemon), answered_at, content_type,
    problem and message (code and message of the answer's body), daemon, path. Empty without a code."""
    kind: str | None
    """The problem of a finding without an error code, such as `tls-expires-soon`: its anchor in docs/checks.md. Null with a code,
    and for passed and skipped checks."""


@with_config(ConfigDict(use_attribute_docstrings=True))
class FindingsDocument(TypedDict):
    """Findings as JSON."""

    status: Status
    """The worst status: the first of fail, error, warn, pass, skip that a finding has."""
    findings: list[FindingDocument]


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """The FindingsDocument that `preflight --json` prints: the worst status and every finding."""
    document: FindingsDocument = {"status": worst(findings), "findings": [_document(finding) for finding in findings]}
    return cast(dict[str, Any], document)


def _document(finding: Finding) -> FindingDocument:
    evidence = json.loads(finding.evidence) if finding.evidence else None
    return cast(FindingDocument, asdict(finding) | {"evidence": evidence})


def finding_of_document(document: Mapping[str, Any]) -> Finding:
    """Read one finding of a document. Documents of older versions have no code, no parameters and no kind."""
    evidence, code = document.get("evidence"), document.get("code")
    given = {
        "status": Status(document["status"]),
        "evidence": None if evidence is None else json.dumps(evidence, ensure_ascii=False),
        "code": None if code is None else ErrorCode(code),
    }
    return Finding(**{**document, **given})
