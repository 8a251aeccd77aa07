"""Every vantage's way to every registry in one picture."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report import numbers, tables
from pullbench.report.figures import axes
from pullbench.report.figures.style import INK, Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html
from pullbench.report.stored import records

MOST_ROWS = 36
LONGEST_LABEL = 44


def regions(cells: pd.DataFrame) -> Html:
    """A dot and an interval for each way and setting, coloured by vantage; nothing where there is but one."""
    shown = cells[cells["median_s"].notna()] if len(cells) else cells
    if len(shown) < 2:
        return Html()
    factors = ["registry", *(name for name in tables.varying(shown) if name != "registry")]
    rows = shown.head(MOST_ROWS)
    names = [f"{row['vantage']} → {tables.label(row, factors)}"[:LONGEST_LABEL] for row in records(rows)]
    vantages = list(dict.fromkeys(cells["vantage"]))
    caption = (
        "Mark: a single pull, median over blocks, with its 95% interval where there were blocks enough. Each vantage's numbers "
        "are of its own run, on its own machine: what differs between two vantages is the way and the machine together."
    )
    if len(shown) > len(rows):
        caption += f" {len(shown) - len(rows)} more are in the tables alone."
    return drawn(
        "regions",
        "Pull time from each vantage to each registry",
        f"Dots with intervals, {numbers.count(len(rows), 'row')}. The tables have the numbers.",
        caption,
        lambda sheet: _draw(sheet, rows, names, vantages),
        legend=legend([(f"from {vantage}", index) for index, vantage in enumerate(vantages)]),
    )


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str], vantages: list[str]) -> Figure:
    figure = sheet.figure(0.6 + 0.22 * len(rows))
    ax = figure.subplots()
    times = rows[["median_s", "median_low_s", "median_high_s"]]
    low, high = float(times.min().min()) * 0.88, float(times.max().max()) * 1.12
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(vantages.index(row["vantage"]))
        ax.plot([row["median_low_s"], row["median_high_s"]], [place, place], color=colour, alpha=0.55, linewidth=2.6)
        ax.plot([row["median_s"]], [place], color=colour, marker=marker, linestyle="none")
    ax.set_yticks(range(len(rows)), names, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    scaled = high / low > 6
    if scaled:
        ax.set_xscale("log")
        axes.logarithmic(ax.xaxis, low, high, axes.seconds_tick, most=4 if sheet.narrow else 9)
    else:
        axes.elapsed(ax.xaxis, high, most=4 if sheet.narrow else 8)
    ax.set_xlim(low if scaled else 0, high)
    bare(ax, grid_axis="x")
    ax.set_xlabel("median pull" + (", log scale" if scaled else ""))
    return figure
