"""Two runs as one picture: each common setting's ratio with its interval, the worst on top."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import INK, MUTED, PAPER, Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html
from pullbench.report.stored import records
from pullbench.report.tables import label, varying
from pullbench.stats.compare import MARGIN

MOST_ROWS = 30
_GROUPS = (("slower", 5), ("faster", 2), ("not proven, or no difference", 0))


def ratios(cells: pd.DataFrame) -> Html:
    """A dot and an interval for each setting on a log axis, by falling ratio; right of 1× the candidate is slower."""
    known = cells[cells["ratio"].notna()].sort_values("ratio", ascending=False, kind="stable")
    if known.empty:
        return Html()
    # Where there are too many, those in the middle say least.
    ends = MOST_ROWS // 2
    shown = known if len(known) <= MOST_ROWS else pd.concat([known.head(ends), known.tail(ends)])
    factors = varying(cells) or ["engine"]
    names = [label(row, factors) for row in records(shown)]
    slower, faster = (int((known["verdict"] == verdict).sum()) for verdict in ("slower", "faster"))
    caption = (
        f"Right of 1× the candidate takes longer. Mark: ratio of the medians; line: its 95% interval; band: the "
        f"{MARGIN:.0%} within which a difference does not count. {slower} proven slower and {faster} faster of "
        f"{numbers.count(len(known), 'setting')}."
    )
    if len(shown) < len(known):
        caption += f" The {ends} highest and the {ends} lowest are drawn; the table has all."
    told = "; ".join(f"{name} {numbers.ratio(value)}" for name, value in zip(names, shown["ratio"], strict=True))
    return drawn(
        "ratios",
        "Candidate's time as a multiple of the baseline's",
        f"Dots with intervals: {told}.",
        caption,
        lambda sheet: _draw(sheet, shown, names),
        legend=legend(list(_GROUPS)),
    )


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str]) -> Figure:
    figure = sheet.figure(0.6 + (0.42 if sheet.narrow else 0.25) * len(rows))
    ax = figure.subplots()
    ends = rows[["ratio", "low", "high"]]
    low, high = min(0.8, float(ends.min().min()) * 0.95), max(1.25, float(ends.max().max()) * 1.05)
    ax.axvspan(1 / (1 + MARGIN), 1 + MARGIN, color=MUTED, alpha=0.12, linewidth=0)
    for place, row in enumerate(records(rows)):
        colour, marker = series_style({"slower": 5, "faster": 2}.get(str(row["verdict"]), 0))
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
    ax.set_xlabel("candidate by baseline (log scale)")
    return figure
