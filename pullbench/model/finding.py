"""What a preflight check says of one target."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, cast

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict  # pydantic reads docstrings of this one alone before Python 3.12

from pullbench.errors import ErrorCode


class Status(StrEnum):
    """`fail` is a judgement; `error` means that the check could not be run; `skip` that it does not apply."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"


TROUBLES = (Status.FAIL, Status.ERROR, Status.WARN)
"""What asks for a remedy, the worst first."""
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
    """What the probe saw, as one JSON document; None where nothing was looked at."""
    code: ErrorCode | None = None
    """The error that made the check fail, warn or end; None where none did, such as a disk that is nearly full."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the code's remedy speaks of, by name: host, endpoint, address, repository, image, platform and the like; empty
    without a code."""

    def __post_init__(self) -> None:
        if self.status in TROUBLES and not self.remedy:
            raise ValueError(f"{self.check}: a finding of {self.status} needs a remedy")


def worst(findings: Iterable[Finding]) -> Status:
    """The verdict over findings: the first of fail, error, warn, pass, skip that occurs; skip where there are none."""
    seen = {finding.status for finding in findings}
    return next((status for status in _ORDER if status in seen), Status.SKIP)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Fail, error, warn, pass, skip; those of one status stay in order."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingGroup:
    """Findings that belong together: of a registry by one proxy with its images and platforms, or of a local target."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        return worst(self.findings)

    def rest(self, target: str) -> str:
        """What a target's name adds to the group's: an image and a platform, or nothing."""
        return target.removeprefix(self.name).strip()


def group_findings(findings: Iterable[Finding]) -> list[FindingGroup]:
    """Findings grouped, in the order in which each group is first met.

    `eu library/nginx:1.27 linux/amd64` belongs to `eu` where a finding is about `eu` itself, else to the image where one
    is about that; `eu via cache` is a group of its own.
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
    """What one check says of one target."""

    check: str
    """The check's stable id, such as `tls`; docs/checks.md describes each."""
    target: str
    """`eu`, `eu via cache`, `eu library/nginx:1.27 linux/amd64`, or what is no registry: a daemon, a file."""
    status: Status
    """`error` means that the check could not be run, `skip` that it does not apply or had nothing left to learn."""
    observed: str
    """Of a failure it starts with an error code in brackets where there is one, such as `[connect_refused]`."""
    expected: str
    remedy: str
    """What to do; never empty for warn, fail and error."""
    duration_s: float
    """Seconds that the check took for this target; 0 where it was skipped."""
    evidence: Any
    """What the check saw, of its own shape for each check; null where nothing was looked at."""
    code: ErrorCode | None
    """The error code; null where the finding comes from no error, such as a certificate that ends soon."""
    parameters: dict[str, str]
    """What the error is about, by name, as far as it is known: registry, proxy, url, host, endpoint, address, repository,
    image, platform, status (of HTTP), answered_by (registry, token_service, redirect, proxy), answered_at, daemon, path. Empty
    without a code."""


@with_config(ConfigDict(use_attribute_docstrings=True))
class FindingsDocument(TypedDict):
    """Findings as JSON."""

    status: Status
    """The first of fail, error, warn, pass, skip that any finding has."""
    findings: list[FindingDocument]


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """What `preflight --json` prints, a FindingsDocument: the worst status, and each finding's fields."""
    document: FindingsDocument = {"status": worst(findings), "findings": [_document(finding) for finding in findings]}
    return cast(dict[str, Any], document)


def _document(finding: Finding) -> FindingDocument:
    evidence = json.loads(finding.evidence) if finding.evidence else None
    return cast(FindingDocument, asdict(finding) | {"evidence": evidence})


def finding_of_document(document: Mapping[str, Any]) -> Finding:
    """The inverse for one finding; a document of an older pullbench has no code and no parameters."""
    evidence, code = document.get("evidence"), document.get("code")
    given = {
        "status": Status(document["status"]),
        "evidence": None if evidence is None else json.dumps(evidence, ensure_ascii=False),
        "code": None if code is None else ErrorCode(code),
    }
    return Finding(**{**document, **given})
