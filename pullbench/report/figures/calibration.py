"""How far off each quantity came out, in units of what its goal allows."""

from typing import Any

from matplotlib.figure import Figure

from pullbench.report.calibration import words
from pullbench.report.calibration.judgement import Calibration, plain_row_of
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, GOOD, INK, MUTED, PAPER, Sheet, bare, drawn
from pullbench.report.render.html import Html

_MOST = 3.0
"""Goals either side: what is further off stands at the edge."""
_COLOURS = {"met": GOOD, "missed": BAD, "not_shown": MUTED}
_MARKERS = {"met": "o", "missed": "s", "not_shown": "D"}


def calibrated(found: Calibration) -> Html:
    """A dot and an interval a row around the truth, the band between ±1 being the goal; counts and shares have none."""
    rows = [row for row in map(plain_row_of, found.rows) if row["allowed"] and row["error"] is not None]
    if not rows:
        return Html()
    caption = (
        "Mark: the error by what the goal allows; line: its 95% interval; band: the goal. Round mark: met, diamond: not proven, "
        "square: missed. Cross: what plain sockets saw of the same line, where they looked. What is further off than three times "
        "the goal stands at the edge; the table has the numbers."
    )
    told = "; ".join(f"{row['quantity']} of {row['line']} {words.error(row)}" for row in rows)
    return drawn(
        "calibration",
        "Error, in units of the goal",
        f"Dots with intervals: {told}.",
        caption,
        lambda sheet: _draw(sheet, rows),
    )


def _draw(sheet: Sheet, rows: list[dict[str, Any]]) -> Figure:
    figure = sheet.figure(0.7 + (0.42 if sheet.narrow else 0.25) * len(rows))
    ax = figure.subplots()
    ax.axvspan(-1, 1, color=GOOD, alpha=0.12, linewidth=0)
    ax.axvline(0.0, color=MUTED, linewidth=0.9)
    names = [f"{row['quantity']} · {row['line']}" for row in rows]
    for place, row in enumerate(rows):
        colour = _COLOURS[row["verdict"]]
        if row["low"] is not None and row["high"] is not None:
            ends = [_at(row, row[name]) for name in ("low", "high")]
            ax.plot(ends, [place, place], color=colour, alpha=0.55, linewidth=2.6)
        if row["reference"] is not None:
            ax.plot([_at(row, row["reference"])], [place], color=INK, marker="x", markersize=4, linestyle="none")
        edge = abs(_at(row, row["measured"])) >= _MOST
        face = PAPER if edge else colour
        marker = _MARKERS[row["verdict"]]
        ax.plot(
            [_at(row, row["measured"])], [place], color=colour, marker=marker, markerfacecolor=face, linestyle="none"
        )
        if sheet.narrow:
            ax.text(-_MOST, place - 0.36, names[place], color=INK, va="center", fontsize=sheet.font_pt - 1)
    ax.set_yticks([] if sheet.narrow else range(len(rows)), [] if sheet.narrow else names, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.8 if sheet.narrow else -0.6)
    ax.set_xlim(-_MOST * 1.04, _MOST * 1.04)
    axes.linear(ax.xaxis, lambda value: f"{value:+g}".replace("-", "−"))
    bare(ax, grid_axis="x")
    ax.set_xlabel("error by what the goal allows")
    return figure


def _at(row: dict[str, Any], value: float) -> float:
    off = float((value - row["truth"]) / row["allowed"])
    return max(-_MOST, min(_MOST, off))
