"""Every vantage's way to every registry in one picture."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import records
from pullbench.report.figures.forest import interval, named_rows, time_axis
from pullbench.report.figures.style import Sheet, drawn, legend, series_style
from pullbench.report.render.html import Html

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
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(vantages.index(row["vantage"]))
        interval(ax, place, row["median_low_s"], row["median_high_s"], colour)
        ax.plot([row["median_s"]], [place], color=colour, marker=marker, linestyle="none")
    named_rows(ax, names, len(rows))
    time_axis(ax, sheet, rows[["median_s", "median_low_s", "median_high_s"]], "median pull")
    return figure
