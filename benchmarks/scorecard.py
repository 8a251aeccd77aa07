"""The result of a sitting, a line a question: pure arithmetic from rounds to medians, spreads and verdicts, and their tables."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["met", "missed", "no goal", "not measured"]
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a median is compared with; a median on the bound meets it."""

    bound: float
    at_least: bool = False

    def is_met_by(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLine:
    """One question of a sitting. It has one value a round: a ratio of two contestants in that round, or a measure of one."""

    what: str
    values: tuple[float, ...]
    """Empty if it was not measured; `note` then says why."""
    unit: str = ""
    """Unit of the values; a ratio has none."""
    goal: Goal | None = None
    ours: str = ""
    """The median of pullbench with its unit, for people."""
    theirs: str = ""
    """The median of the other contestant with its unit, for people."""
    note: str = ""
    """What a contestant does in addition, why a goal was missed, or why nothing was measured."""

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The lowest and the highest round."""
        return (min(self.values), max(self.values)) if self.values else None

    @property
    def verdict(self) -> Verdict:
        if self.median is None:
            return "not measured"
        if self.goal is None:
            return "no goal"
        return "met" if self.goal.is_met_by(self.median) else "missed"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Paired by round: what slows a whole round cancels out. Raises ValueError for different lengths."""
    return tuple(our / their for our, their in zip(ours, theirs, strict=True))


def measured(line: ScoreLine) -> str:
    """The median with its spread, as tables show it."""
    if line.median is None or line.spread is None:
        return "–"
    low, high = (_number(value) for value in line.spread)
    middle = f"{_number(line.median)}{line.unit and f' {line.unit}'}"
    return middle if len(line.values) == 1 else f"{middle} ({low}–{high})"


def wanted(line: ScoreLine) -> str:
    """The goal in words; empty for none."""
    if line.goal is None:
        return ""
    return f"{'≥' if line.goal.at_least else '≤'} {_number(line.goal.bound)}{line.unit and f' {line.unit}'}"


def as_text(lines: Sequence[ScoreLine]) -> str:
    """A table for a terminal, with the note of each line below it."""
    cells = [(line.what, measured(line), wanted(line), line.verdict) for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    printed = []
    for line, row in zip(lines, cells, strict=True):
        printed.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        compared = " against ".join(part for part in (line.ours, line.theirs) if part)
        printed += [f"    {text}" for text in (compared, line.note) if text]
    return "\n".join(printed)


def as_markdown(lines: Sequence[ScoreLine], caption: str) -> str:
    """The table of docs/benchmarks.md: *measured* is the median of the rounds, with the lowest and the highest."""
    rows = ["| what | measured | goal | | pullbench | compared with |", "|---|---:|---:|---|---:|---:|"]
    notes = []
    for line in lines:
        mark = ""
        if line.note:
            notes.append(line.note)
            mark = f" [{len(notes)}]"
        verdict = f"**{line.verdict}**" if line.verdict == "missed" else line.verdict
        cells = (line.what + mark, measured(line), wanted(line), verdict, line.ours, line.theirs)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    listed = [f"[{number}] {note}" for number, note in enumerate(notes, start=1)]
    return "\n\n".join(part for part in (caption, "\n".join(rows), "  \n".join(listed)) if part)


def put_between_markers(document: str, table: str) -> str:
    """The document with the table between BEGIN and END, in place of the old one. Raises ValueError if the markers are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _number(value: float) -> str:
    """Three significant digits."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
