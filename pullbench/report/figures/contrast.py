"""Comparisons as factors: how many times faster or slower one value of a factor is than another, with intervals."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import INK, MUTED, PAPER, Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html
from pullbench.report.stored import records

MOST_ROWS = 24
LONGEST_LABEL = 52


def contrast(table: pd.DataFrame) -> Html:
    """A dot and an interval for each comparison on a log axis; left of 1× takes less time. Nothing without any."""
    rows = table[table["ratio"].notna()].head(MOST_ROWS)
    if rows.empty:
        return Html()
    names = [_name(row) for row in records(rows)]
    sure = rows[rows["verdict"].isin(["faster", "slower"])]
    factors = list(dict.fromkeys(rows["factor"]))
    bounded = rows["low"].notna()
    caption = (
        "Left of 1× the first named takes less time than the second. Mark: geometric mean over blocks"
        f"{'; line: its 95% interval' if bounded.any() else ''}. For concurrency the time is that of the whole trial, "
        f"for all else that of a pull. {_proven(len(sure), len(rows))}"
    )
    if not bounded.all():
        caption += " A hollow mark has no interval, for its blocks are too few: it is no more than a hint."
    told = "; ".join(f"{name} {numbers.ratio(value)}" for name, value in zip(names, rows["ratio"], strict=True))
    return drawn(
        "contrast",
        "Time of one setting as a multiple of another's",
        f"Dots with intervals: {told}.",
        caption,
        lambda sheet: _draw(sheet, rows, names, factors),
        legend=legend([(factor.replace("_", " "), index) for index, factor in enumerate(factors)]),
    )


def _proven(sure: int, rows: int) -> str:
    if rows == 1:
        return f"This comparison proves {'a' if sure else 'no'} difference."
    if sure == 0:
        return f"None of the {rows} comparisons proves a difference."
    some = f"All {rows}" if sure == rows else f"{sure} of the {rows}"
    return f"{some} comparisons {'proves' if sure == 1 else 'prove'} a difference."


def _name(row: dict[str, object]) -> str:
    within = f"  ({row['within']})" if row["within"] else ""
    at_once = " at once" if row["factor"] == "concurrency" else ""
    return f"{row['candidate']}{at_once} against {row['baseline']}{within}"[:LONGEST_LABEL]


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str], factors: list[str]) -> Figure:
    figure = sheet.figure(0.55 + (0.42 if sheet.narrow else 0.25) * len(rows))
    ax = figure.subplots()
    ends = rows[["ratio", "low", "high"]]
    low, high = min(0.8, float(ends.min().min()) * 0.9), max(1.25, float(ends.max().max()) * 1.1)
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(factors.index(row["factor"]))
        bounded = row["low"] == row["low"]
        if bounded:
            ax.plot([row["low"], row["high"]], [place, place], color=colour, alpha=0.55, linewidth=2.6)
        face = colour if bounded else PAPER
        ax.plot([row["ratio"]], [place], color=colour, marker=marker, markerfacecolor=face, linestyle="none")
        if sheet.narrow:
            ax.text(low * 1.02, place - 0.34, names[place], color=INK, va="center", fontsize=sheet.font_pt - 1)
    ax.axvline(1.0, color=MUTED, linewidth=0.9)
    ax.set_yticks([] if sheet.narrow else range(len(rows)), [] if sheet.narrow else names, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.75 if sheet.narrow else -0.6)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    axes.doublings(ax.xaxis, low, high)
    bare(ax, grid_axis="x")
    ax.set_xlabel("takes this many times as long (log scale)")
    return figure
