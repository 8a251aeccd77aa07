"""Findings as JUnit XML, for the JUnit and xUnit plugins of Jenkins and for GitLab's test reports."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from pullbench.model.finding import Finding, FindingGroup, Status, group_findings

# Characters that XML 1.0 forbids (section 2.2), and control characters; a registry may send either.
_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENTS = {Status.FAIL: "failure", Status.ERROR: "error", Status.SKIP: "skipped"}


def junit_xml(findings: Sequence[Finding], *, name: str, checked_at: datetime) -> bytes:
    """One test case per finding, one test suite per group; `name` is the name of the whole file, such as the spec's.

    `fail` becomes a failure, `error` an error, `skip` skipped. JUnit has no warnings: a warning's case passes, its text is
    in `system-out`, and the suite's property `warnings` counts them. Case names are unique in the file, because GitLab
    keeps only the first case of a name. GitLab shows an element's text and not its `message`; Jenkins shows both.
    """
    groups = group_findings(findings)
    head = {"name": _text(name), "time": _seconds(findings), **_counts(findings, skipped=False)}
    root = ET.Element("testsuites", head)
    names: Counter[str] = Counter()
    for group in groups:
        head = {"name": _text(group.name), "timestamp": checked_at.strftime("%Y-%m-%dT%H:%M:%S")}
        head |= {"time": _seconds(group.findings), **_counts(group.findings)}
        suite = ET.SubElement(root, "testsuite", head)
        warnings = sum(finding.status is Status.WARN for finding in group.findings)
        ET.SubElement(ET.SubElement(suite, "properties"), "property", name="warnings", value=str(warnings))
        for finding in group.findings:
            title = f"{finding.check} {finding.target}"
            names[title] += 1
            _add_case(suite, finding, group, title if names[title] == 1 else f"{title} ({names[title]})")
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + bytes(ET.tostring(root, encoding="utf-8")) + b"\n"


def _add_case(suite: ET.Element, finding: Finding, group: FindingGroup, title: str) -> None:
    # Jenkins treats the part before the last dot of a class name as its package.
    package = "preflight." + group.name.replace(".", "_")
    case = ET.SubElement(
        suite, "testcase", name=_text(title), classname=_text(package), time=f"{finding.duration_s:.3f}"
    )
    if finding.status in _ELEMENTS:
        kind = finding.code or finding.check
        element = ET.SubElement(case, _ELEMENTS[finding.status], message=_text(finding.observed), type=_text(kind))
        if finding.status is not Status.SKIP:
            element.text = _lines(finding)
    else:
        ET.SubElement(case, "system-out").text = _lines(finding)


def _lines(finding: Finding) -> str:
    lines = {
        "warning" if finding.status is Status.WARN else "observed": finding.observed,
        "expected": finding.expected,
        "what to do": finding.remedy,
        "usual causes": f"pullbench errors {finding.topic}" if finding.topic else "",
    }
    return _text("\n".join(f"{title}: {line}" for title, line in lines.items() if line))


def _counts(findings: Sequence[Finding], *, skipped: bool = True) -> dict[str, str]:
    counted = Counter(finding.status for finding in findings)
    counts = {"tests": len(findings), "failures": counted[Status.FAIL], "errors": counted[Status.ERROR]}
    if skipped:
        counts["skipped"] = counted[Status.SKIP]
    return {key: str(count) for key, count in counts.items()}


def _seconds(findings: Sequence[Finding]) -> str:
    return f"{sum(finding.duration_s for finding in findings):.3f}"


def _text(text: str) -> str:
    return _NOT_TEXT.sub("\ufffd", text)
