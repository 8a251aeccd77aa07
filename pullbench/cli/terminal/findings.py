"""Preflight findings for a terminal: problems come last, in full, right above the summary."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from pullbench.cli.terminal.hanging_text import HangingText
from pullbench.cli.terminal.safe_text import literal
from pullbench.model.finding import TROUBLES, Finding, FindingGroup, Status, group_findings, worst_first

STATUS_STYLES = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "bold red",
    Status.ERROR: "bold magenta",
    Status.SKIP: "dim",
}
_STATUS_WIDTH = 5
_ALIKE_SHOWN = 3
_IN_FULL = 2
"""Problems of one kind in one group that are shown in full; for the others, only their targets."""


def findings_view(findings: Sequence[Finding], *, everything: bool = False) -> Group:
    """One line for each group without problems, then each group with problems, with its findings and remedies.

    `everything` shows each finding in full, in the given order. Color is never the only sign of a status. Long texts wrap with a
    hanging indent at any width. The last line has the command that explains the problems.
    """
    groups = group_findings(findings)
    if everything:
        return Group(*(part for group in groups for part in _in_full(group)), *_explained(findings))
    well = [group for group in groups if not _troubles(group)]
    unwell = [group for group in groups if _troubles(group)]
    return Group(*_well(well), *(part for group in unwell for part in _unwell(group)), *_explained(findings))


def _explained(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """One line with the command that explains every problem; nothing without problems."""
    topics = dict.fromkeys(finding.topic for finding in worst_first(findings) if finding.topic is not None)
    if topics:
        before = Text("Usual causes:")
        yield Text()
        yield HangingText(before=before, text=literal(f"pullbench errors {' '.join(topics)}", style="bold"), indent=0)


def _well(groups: Sequence[FindingGroup]) -> Iterator[RenderableType]:
    """One line per group; groups with the same result, such as many images, share a line."""
    alike: dict[tuple[Status, str], list[str]] = {}
    for group in groups:
        statuses = (Status.SKIP,) if group.status is Status.SKIP else (Status.PASS, Status.SKIP)
        alike.setdefault((group.status, _checks(group, *statuses)), []).append(group.name)
    for (status, checks), names in alike.items():
        if len(names) > _ALIKE_SHOWN:
            names = [f"{len(names)} targets, such as {names[0]}"]
        for name in names:
            yield _line(status, Text.assemble(literal(name), ": ", literal(checks)))


def _unwell(group: FindingGroup) -> Iterator[RenderableType]:
    yield Text()
    yield literal(group.name, style="bold")
    for alike in _alike(_troubles(group)):
        for finding in alike[:_IN_FULL]:
            yield _line(finding.status, _text(finding, group), indent=2)
            yield _remedy(finding)
        if others := [group.rest(finding.target) or group.name for finding in alike[_IN_FULL:]]:
            text = Text.assemble(Text(f"also {alike[0].check}:", style="bold"), "  ", literal(", ".join(others)))
            yield _line(alike[0].status, text, indent=2)
    for status in (Status.PASS, Status.SKIP):
        if checks := _checks(group, status):
            yield _line(status, literal(checks), indent=2)


def _in_full(group: FindingGroup) -> Iterator[RenderableType]:
    yield literal(group.name, style="bold")
    for finding in group.findings:
        yield _line(finding.status, _text(finding, group, in_full=True), indent=2)
        if finding.remedy:
            yield _remedy(finding)
    yield Text()


def _troubles(group: FindingGroup) -> list[Finding]:
    return worst_first(finding for finding in group.findings if finding.status in TROUBLES)


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings grouped by problem, such as a tag that ten images lack."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.status, finding.check, finding.code or ""), []).append(finding)
    return list(alike.values())


def _text(finding: Finding, group: FindingGroup, *, in_full: bool = False) -> Text:
    """The finding's text; the expected state is shown only if there is no error code, which implies it."""
    about = " ".join(part for part in (finding.check, group.rest(finding.target)) if part)
    text = Text.assemble(literal(about, style="bold"), "  ", literal(finding.observed))
    if finding.expected and finding.status in TROUBLES and (in_full or finding.code is None):
        text.append_text(literal(f"  (expected: {finding.expected})", style="dim"))
    return text


def _remedy(finding: Finding) -> RenderableType:
    return HangingText(before=Text("→".rjust(_STATUS_WIDTH)), text=literal(finding.remedy), indent=2)


def _checks(group: FindingGroup, *statuses: Status) -> str:
    """The checks of each status, with the number of targets if there are several: `dns, image (10); skip: tls`."""
    parts = []
    for status in statuses:
        counts = Counter(finding.check for finding in group.findings if finding.status is status)
        named = ", ".join(check if number == 1 else f"{check} ({number})" for check, number in counts.items())
        if named:
            parts.append(named if status is statuses[0] else f"{status.value}: {named}")
    return "; ".join(parts)


def _line(status: Status, text: Text, *, indent: int = 0) -> RenderableType:
    before = Text(status.value.ljust(_STATUS_WIDTH), style=STATUS_STYLES[status])
    return HangingText(before=before, text=text, indent=indent)
