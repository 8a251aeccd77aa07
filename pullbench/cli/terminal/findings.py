"""What preflight found, for a terminal: what is wrong stands last, in full, right above the summary."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

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
_NARROWEST = 8
_ALIKE_SHOWN = 3
_IN_FULL = 2
"""Troubles of one kind in one group that are told in full; of the others, where they are."""


def findings_view(findings: Sequence[Finding], *, everything: bool = False) -> Group:
    """A line for each group where all is well; then each that has trouble, with its troubles and what to do.

    `everything` shows each finding in full, in the order in which they are given. Nothing is told by colour alone, and
    any width will do: long texts are folded under their own beginning.
    """
    groups = group_findings(findings)
    if everything:
        return Group(*(part for group in groups for part in _in_full(group)))
    well = [group for group in groups if not _troubles(group)]
    unwell = [group for group in groups if _troubles(group)]
    return Group(*_well(well), *(part for group in unwell for part in _unwell(group)))


def _well(groups: Sequence[FindingGroup]) -> Iterator[RenderableType]:
    """One line a group; many that fare alike, such as an image each, share one."""
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
            yield _line(finding.status, _told(finding, group), indent=2)
            yield _remedy(finding)
        if others := [group.rest(finding.target) or group.name for finding in alike[_IN_FULL:]]:
            text = Text.assemble(Text(f"{alike[0].check}, too:", style="bold"), "  ", literal(", ".join(others)))
            yield _line(alike[0].status, text, indent=2)
    for status in (Status.PASS, Status.SKIP):
        if checks := _checks(group, status):
            yield _line(status, literal(checks), indent=2)


def _in_full(group: FindingGroup) -> Iterator[RenderableType]:
    yield literal(group.name, style="bold")
    for finding in group.findings:
        yield _line(finding.status, _told(finding, group, in_full=True), indent=2)
        if finding.remedy:
            yield _remedy(finding)
    yield Text()


def _troubles(group: FindingGroup) -> list[Finding]:
    return worst_first(finding for finding in group.findings if finding.status in TROUBLES)


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings by what went wrong: a tag that ten images lack, a platform that none has."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.status, finding.check, finding.code or ""), []).append(finding)
    return list(alike.values())


def _told(finding: Finding, group: FindingGroup, *, in_full: bool = False) -> Text:
    """A code says what would be right by itself."""
    about = " ".join(part for part in (finding.check, group.rest(finding.target)) if part)
    told = Text.assemble(literal(about, style="bold"), "  ", literal(finding.observed))
    if finding.expected and finding.status in TROUBLES and (in_full or finding.code is None):
        told.append_text(literal(f"  (expected: {finding.expected})", style="dim"))
    return told


def _remedy(finding: Finding) -> RenderableType:
    return _Hanging(before=Text("→".rjust(_STATUS_WIDTH)), text=literal(finding.remedy), indent=2)


def _checks(group: FindingGroup, *statuses: Status) -> str:
    """The checks of each status, with how many targets where there are several: `dns, image ×10; skip: tls`."""
    parts = []
    for status in statuses:
        counts = Counter(finding.check for finding in group.findings if finding.status is status)
        named = ", ".join(check if number == 1 else f"{check} ×{number}" for check, number in counts.items())
        if named:
            parts.append(named if status is statuses[0] else f"{status.value}: {named}")
    return "; ".join(parts)


def _line(status: Status, text: Text, *, indent: int = 0) -> RenderableType:
    before = Text(status.value.ljust(_STATUS_WIDTH), style=STATUS_STYLES[status])
    return _Hanging(before=before, text=text, indent=indent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hanging:
    """A text after a mark, folded under its own beginning; printed with `soft_wrap`, not folded at all.

    No line is filled up with blanks, as a table's would be.
    """

    before: Text
    text: Text
    indent: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        margin = self.indent + self.before.cell_len + 1
        width = len(self.text) + 1 if options.no_wrap else max(options.max_width - margin, _NARROWEST)
        folded = self.text.wrap(console, width, overflow="fold")
        for number, line in enumerate(folded or [Text()]):
            line.rstrip()
            start = Text.assemble(" " * self.indent, self.before, " ") if number == 0 else Text(" " * margin)
            yield start.append_text(line)
