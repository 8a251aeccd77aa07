"""Dots with intervals, a row each (a forest plot): what the figures of ratios and of pull times are drawn with."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.report.core.stored import records
from pullbench.report.figures import axes
from pullbench.report.figures.style import INK, MUTED, PAPER, Sheet, bare, series_style

_AT_LEAST = (0.8, 1.25)


def ratio_rows(
    sheet: Sheet,
    rows: pd.DataFrame,
    names: Sequence[str],
    series: Sequence[int],
    *,
    label: str,
    margin: float | None = None,
) -> Figure:
    """`ratio` with `low` and `high` on a log axis around 1×; hollow where there is no interval. `margin` draws a band."""
    figure = sheet.figure(0.6 + (0.42 if sheet.narrow else 0.25) * len(rows))
    ax = figure.subplots()
    ends = rows[["ratio", "low", "high"]]
    low = min(_AT_LEAST[0], float(ends.min().min()) * 0.9)
    high = max(_AT_LEAST[1], float(ends.max().max()) * 1.1)
    if margin is not None:
        ax.axvspan(1 / (1 + margin), 1 + margin, color=MUTED, alpha=0.12, linewidth=0)
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(series[place])
        bounded = row["low"] == row["low"]
        if bounded:
            interval(ax, place, row["low"], row["high"], colour)
        face = colour if bounded else PAPER
        ax.plot([row["ratio"]], [place], color=colour, marker=marker, markerfacecolor=face, linestyle="none")
        if sheet.narrow:
            ax.text(low * 1.02, place - 0.34, names[place], color=INK, va="center", fontsize=sheet.font_pt - 1)
    ax.axvline(1.0, color=MUTED, linewidth=0.9)
    named_rows(ax, [] if sheet.narrow else names, len(rows), head=0.75 if sheet.narrow else 0.6)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    axes.doublings(ax.xaxis, low, high)
    bare(ax, grid_axis="x")
    ax.set_xlabel(f"{label} (log scale)")
    return figure


def interval(ax: Axes, place: int, low: float, high: float, colour: str) -> None:
    """The line of an interval, in its row."""
    ax.plot([low, high], [place, place], color=colour, alpha=0.55, linewidth=2.6)


def named_rows(ax: Axes, names: Sequence[str], count: int, *, head: float = 0.6) -> None:
    """Rows from the top down, named on the left; `head` is the room over the first."""
    ax.set_yticks(range(len(names)), list(names), color=INK)
    ax.set_ylim(count - 0.4, -head)


def time_axis(ax: Axes, sheet: Sheet, times: pd.DataFrame, label: str) -> None:
    """From zero, or on a log scale where the longest of `times` is over some six times the shortest."""
    low, high = float(times.min().min()) * 0.88, float(times.max().max()) * 1.12
    scaled = high / low > 6
    if scaled:
        ax.set_xscale("log")
        axes.logarithmic(ax.xaxis, low, high, axes.seconds_tick, most=3 if sheet.narrow else 9)
    else:
        axes.elapsed(ax.xaxis, high, most=4 if sheet.narrow else 8)
    ax.set_xlim(low if scaled else 0, high)
    bare(ax, grid_axis="x")
    ax.set_xlabel(label + (", log scale" if scaled else ""))
