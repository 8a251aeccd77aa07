"""The report's section about preflight: what was wrong and what to do; what was well, place by place; all of it, folded."""

import json
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pullbench.model.finding import TROUBLES, Finding, FindingGroup, Status, group_findings, worst_first
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.render.html import (
    Column,
    Html,
    Row,
    clipped,
    join,
    marked,
    paragraph,
    short_digests,
    table,
    tag,
)
from pullbench.report.run.sections import pill
from pullbench.store.schema import finding_from_row

_ORDER = (*TROUBLES, Status.PASS, Status.SKIP)
_REMEDY_SHOWN = 1_000
"""Longer than any of ours: half a command is none."""
_EVIDENCE_SHOWN = 4_000
_ALIKE_SHOWN = 3


def preflight(checks: pd.DataFrame) -> Html:
    """The section, from the rows of the table `checks`."""
    if checks.empty:
        return paragraph("Preflight was skipped, or stored nothing.", kind="note")
    findings = [finding_from_row(row) for row in records(checks)]
    places = group_findings(findings)
    return join([_troubles(places), _places(places, _tally(findings)), _everything(findings)])


def _troubles(places: Sequence[FindingGroup]) -> Html:
    """Each failure, error and warning, the worst first, with what to do and what the check saw."""
    found = [finding for place in places for finding in place.findings if finding.status in TROUBLES]
    if not found:
        return Html()
    columns = [
        Column(title="Status"),
        Column(title="Check"),
        Column(title="Target"),
        Column(title="Observed", prose=True),
        Column(title="What to do", prose=True),
    ]
    rows = [_trouble(finding) for finding in worst_first(found)]
    return table(columns, rows, caption=f"To be mended: {_tally(found)}")


def _trouble(finding: Finding) -> Row:
    observed = clipped(short_digests(_observed(finding)))
    contents = [
        pill(finding.status.value),
        tag("code", finding.check),
        finding.target,
        join([observed, _evidence(finding)]),
        marked(finding.remedy, _REMEDY_SHOWN),
    ]
    return Row(contents=contents, kind="failed" if finding.status is Status.FAIL else None)


def _observed(finding: Finding) -> str:
    return f"{finding.observed} (expected: {finding.expected})" if finding.expected else finding.observed


def _evidence(finding: Finding) -> Html:
    """What the probe saw, folded; secrets were taken out before it was stored."""
    if not finding.evidence:
        return Html()
    text = json.dumps(json.loads(finding.evidence), indent=1, ensure_ascii=False)
    lines = text[:_EVIDENCE_SHOWN].splitlines() + (["…"] if len(text) > _EVIDENCE_SHOWN else [])
    return tag(
        "details",
        tag("summary", "What the check saw"),
        tag("pre", join((tag("span", line) for line in lines), "\n"), tabindex="0"),
    )


def _places(places: Sequence[FindingGroup], tally: str) -> Html:
    """A row a place, with its checks by status; places that fare alike share one."""
    alike: dict[tuple[Status, tuple[str, ...]], list[str]] = {}
    for place in places:
        said = (_checks(place, *TROUBLES), _checks(place, Status.PASS), _checks(place, Status.SKIP))
        alike.setdefault((place.status, said), []).append(place.name)
    columns = [
        Column(title="Status"),
        Column(title="Of"),
        Column(title="To be mended", prose=True),
        Column(title="Passed", prose=True),
        Column(title="Did not apply, or not run", prose=True),
    ]
    rows = []
    for (status, checks), names in alike.items():
        shown = names if len(names) <= _ALIKE_SHOWN else [f"{len(names)} targets, such as {names[0]}"]
        rows += [Row(contents=[pill(status.value), name, *checks]) for name in shown]
    if not any(checks[0] for _, checks in alike):
        columns.pop(2)
        rows = [Row(contents=[*row.contents[:2], *row.contents[3:]]) for row in rows]
    return table(columns, rows, caption=tally)


def _checks(place: FindingGroup, *statuses: Status) -> str:
    counts = Counter(finding.check for finding in place.findings if finding.status in statuses)
    return ", ".join(check if number == 1 else f"{check} ×{number}" for check, number in counts.items())


def _everything(findings: Sequence[Finding]) -> Html:
    columns = [
        Column(title="Status"),
        Column(title="Check"),
        Column(title="Target"),
        Column(title="Observed", prose=True),
        Column(title="Took", number=True),
    ]
    rows = [
        Row(
            contents=[
                pill(finding.status.value),
                tag("code", finding.check),
                finding.target,
                short_digests(finding.observed),
                numbers.seconds(finding.duration_s) if finding.duration_s else "",
            ]
        )
        for finding in findings
    ]
    made = table(columns, rows, caption=numbers.count(len(findings), "finding"))
    return tag("details", tag("summary", "Every finding"), made)


def _tally(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.status for finding in findings)
    told = ", ".join(f"{counts[status]} {status.value}" for status in _ORDER if counts[status])
    return f"{numbers.count(len(findings), 'finding')}: {told}"
