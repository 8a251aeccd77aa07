"""What a sitting found, a line a question: pure arithmetic from rounds to medians, spreads and verdicts, and their tables."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["met", "missed", "no goal", "not measured"]
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a median is held against; the bound itself meets it."""

    bound: float
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLine:
    """One question of a sitting: a value a round, which is a ratio of two contestants in that round or a measure of one."""

    what: str
    values: tuple[float, ...]
    """Empty where it was not measured; `note` then says why."""
    unit: str = ""
    """Of the values; a ratio has none."""
    goal: Goal | None = None
    ours: str = ""
    """What pullbench took, for people: a median with its unit."""
    theirs: str = ""
    """What it is held against took."""
    note: str = ""
    """What else is to be known: what a contestant does more, why a goal was missed, why nothing was measured."""

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest round."""
        return (min(self.values), max(self.values)) if self.values else None

    @property
    def verdict(self) -> Verdict:
        if self.median is None:
            return "not measured"
        if self.goal is None:
            return "no goal"
        return "met" if self.goal.holds(self.median) else "missed"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Paired by round: what slows a whole round slows both alike, and falls out. Raises ValueError for other lengths."""
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
    """A table for a terminal, with each line's note under it."""
    cells = [(line.what, measured(line), wanted(line), line.verdict) for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    printed = []
    for line, row in zip(lines, cells, strict=True):
        printed.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        beside = " against ".join(part for part in (line.ours, line.theirs) if part)
        printed += [f"    {text}" for text in (beside, line.note) if text]
    return "\n".join(printed)


def as_markdown(lines: Sequence[ScoreLine], caption: str) -> str:
    """The README's table: measured is the median of the rounds, with the least and the greatest."""
    rows = ["| what | measured | goal | | pullbench | beside |", "|---|---:|---:|---|---:|---:|"]
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
    """The document with the table in place of what stood between BEGIN and END. Raises ValueError where they are not there."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
