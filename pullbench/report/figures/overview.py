"""All settings in one picture: each cell's median pull time with its interval, fastest first."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import INK, Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html
from pullbench.report.stored import records
from pullbench.report.tables import label, varying

MOST_ROWS = 30
LONGEST_LABEL = 44


def overview(table: pd.DataFrame) -> Html:
    """A dot and an interval a cell, fastest on top, coloured by engine; nothing for a single cell."""
    shown = table[table["median_s"].notna()].sort_values("median_s", kind="stable")
    if len(shown) < 2:
        return Html()
    factors = varying(table)
    rows = shown.head(MOST_ROWS)
    names = [label(row, factors)[:LONGEST_LABEL] for row in records(rows)]
    first, last = rows.iloc[0], rows.iloc[-1]
    failed = len(table) - len(shown)
    caption = (
        f"The fastest setting, {names[0]}, takes {numbers.seconds(first['median_s'])} a pull; the slowest shown, "
        f"{names[-1]}, {numbers.seconds(last['median_s'])}, {numbers.ratio(last['median_s'] / first['median_s'])} as long. "
        "Dot: median over blocks; line: its 95% interval. One pull at a time looks fast here and moves less in all: "
        "the concurrency curve shows both."
    )
    if len(shown) > len(rows):
        caption += f" {len(shown) - len(rows)} slower settings are in the table alone."
    if failed:
        caption += f" {numbers.count(failed, 'setting')} had no successful pull and no place here."
    engines = list(dict.fromkeys(rows["engine"]))
    return drawn(
        "overview",
        f"Median pull time of {numbers.count(len(rows), 'setting')}",
        f"Dots with intervals, from {names[0]} with {numbers.seconds(first['median_s'])} to {names[-1]} with "
        f"{numbers.seconds(last['median_s'])}. The cells table has the numbers.",
        caption,
        lambda sheet: _draw(sheet, rows, names, engines),
        legend=legend([(engine, index) for index, engine in enumerate(engines)]) if len(engines) > 1 else None,
    )


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str], engines: list[str]) -> Figure:
    figure = sheet.figure(0.5 + 0.21 * len(rows))
    ax = figure.subplots()
    low = float(rows[["median_s", "median_low_s"]].min().min()) * 0.9
    high = float(rows[["median_s", "median_high_s"]].max().max()) * 1.1
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(engines.index(row["engine"]))
        if row["median_low_s"] == row["median_low_s"]:
            ax.plot(
                [row["median_low_s"], row["median_high_s"]], [place, place], color=colour, alpha=0.55, linewidth=2.6
            )
        ax.plot([row["median_s"]], [place], color=colour, marker=marker, linestyle="none")
    ax.set_yticks(range(len(rows)), names, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    if high / low > 6:
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        axes.logarithmic(ax.xaxis, low, high, axes.seconds_tick)
    else:
        ax.set_xlim(0, high)
        axes.linear(ax.xaxis, axes.seconds_tick)
    bare(ax, grid_axis="x")
    ax.set_xlabel("median pull time" + (" (log scale)" if high / low > 6 else ""))
    return figure
