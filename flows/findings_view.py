"""What preflight found, for a terminal: what is wrong stands last, in full, right above the summary."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flows.plain import plain
from pullbench.model.finding import Finding, Place, Status, by_place

STATUS_STYLES = {
    Status.PASS: "green",
    Status.WARN: "yellow",
    Status.FAIL: "bold red",
    Status.ERROR: "bold magenta",
    Status.SKIP: "dim",
}
_TROUBLES = (Status.FAIL, Status.ERROR, Status.WARN)
_STATUS_WIDTH = 5
_ALIKE_SHOWN = 3


def findings_view(findings: Sequence[Finding], *, everything: bool = False) -> Group:
    """A line for each place where all is well; then each that has trouble, with every trouble and what to do.

    `everything` shows each finding in full, in the order in which they are given. Nothing is told by colour alone, and
    any width will do: long texts are folded under their own beginning.
    """
    places = by_place(findings)
    if everything:
        return Group(*(part for place in places for part in _in_full(place)))
    well = [place for place in places if not _troubles(place)]
    unwell = [place for place in places if _troubles(place)]
    return Group(*_well(well), *(part for place in unwell for part in _unwell(place)))


def _well(places: Sequence[Place]) -> Iterator[RenderableType]:
    """One line a place; many that fare alike, such as an image each, share one."""
    alike: dict[tuple[Status, str], list[str]] = {}
    for place in places:
        alike.setdefault((place.status, _checks(place, Status.PASS, Status.SKIP)), []).append(place.name)
    for (status, checks), names in alike.items():
        if len(names) > _ALIKE_SHOWN:
            names = [f"{len(names)} targets, such as {names[0]}"]
        for name in names:
            yield _line(status, Text.assemble(plain(name), ": ", plain(checks)))


def _unwell(place: Place) -> Iterator[RenderableType]:
    yield Text()
    yield plain(place.name, style="bold")
    for finding, others in _alike(_troubles(place)):
        yield _line(finding.status, _told(finding, place, others), indent=2)
        yield _remedy(finding)
    for status in (Status.PASS, Status.SKIP):
        if checks := _checks(place, status):
            yield _line(status, plain(checks), indent=2)


def _in_full(place: Place) -> Iterator[RenderableType]:
    yield plain(place.name, style="bold")
    for finding in place.findings:
        yield _line(finding.status, _told(finding, place), indent=2)
        if finding.remedy:
            yield _remedy(finding)
    yield Text()


def _troubles(place: Place) -> list[Finding]:
    found = [finding for finding in place.findings if finding.status in _TROUBLES]
    return sorted(found, key=lambda finding: _TROUBLES.index(finding.status))


def _alike(findings: Sequence[Finding]) -> list[tuple[Finding, int]]:
    """Findings that say the same of several targets, once: the first, and how many others there are."""
    counted: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        counted.setdefault((finding.status, finding.check, finding.observed, finding.remedy), []).append(finding)
    return [(group[0], len(group) - 1) for group in counted.values()]


def _told(finding: Finding, place: Place, others: int = 0) -> Text:
    more = f" and {others} more" if others else ""
    about = " ".join(part for part in (finding.check, place.rest(finding.target) + more) if part)
    told = Text.assemble(Text(about, style="bold"), "  ", plain(finding.observed))
    if finding.expected and finding.status in _TROUBLES:
        told.append_text(plain(f"  (expected: {finding.expected})", style="dim"))
    return told


def _remedy(finding: Finding) -> RenderableType:
    return Padding(_columns(Text("→", justify="right"), plain(finding.remedy)), (0, 0, 0, 2))


def _checks(place: Place, *statuses: Status) -> str:
    """The checks of each status, with how many targets where there are several: `dns, image ×10; skip: tls`."""
    parts = []
    for status in statuses:
        counts = Counter(finding.check for finding in place.findings if finding.status is status)
        named = ", ".join(check if number == 1 else f"{check} ×{number}" for check, number in counts.items())
        if named:
            parts.append(named if status is statuses[0] else f"{status.value}: {named}")
    return "; ".join(parts)


def _line(status: Status, text: Text, *, indent: int = 0) -> RenderableType:
    return Padding(_columns(Text(status.value, style=STATUS_STYLES[status]), text), (0, 0, 0, indent))


def _columns(mark: Text, text: Text) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=_STATUS_WIDTH, no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(mark, text)
    return row
