"""All settings in one picture: what one pull takes in each cell, and how often an image arrives."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import label, varying
from pullbench.report.figures.forest import interval, named_rows, time_axis
from pullbench.report.figures.style import GRID, PAPER, Sheet, drawn, legend, series_style
from pullbench.report.render.html import Html

MOST_ROWS = 30
LONGEST_LABEL = 44


def overview(table: pd.DataFrame) -> Html:
    """A dot and an interval a cell, the shortest single pull on top, coloured by engine; nothing for a single cell."""
    shown = table[table["median_s"].notna()].sort_values("median_s", kind="stable")
    if len(shown) < 2:
        return Html()
    factors = varying(table)
    rows = shown.head(MOST_ROWS)
    names = [label(row, factors)[:LONGEST_LABEL] for row in records(rows)]
    first, last = rows.iloc[0], rows.iloc[-1]
    failed = len(table) - len(shown)
    caption = (
        f"The shortest single pull, {names[0]}, takes {numbers.seconds(first['median_s'])}; the longest shown, "
        f"{names[-1]}, {numbers.seconds(last['median_s'])}, {numbers.ratio(last['median_s'] / first['median_s'])} as long. "
        "Full mark: a single pull, median over blocks, with its 95% interval. Hollow mark: time per image, a trial's wall "
        "time by its pulls, over trials without failures; by that measure the fastest is named above and marked below."
    )
    if len(shown) > len(rows):
        caption += f" {len(shown) - len(rows)} slower settings are in the table alone."
    if failed:
        caption += f" {numbers.count(failed, 'setting')} had no successful pull and no place here."
    engines = sorted(table["engine"].unique())
    return drawn(
        "overview",
        f"Pull time of {numbers.count(len(rows), 'setting')}, shortest single pull first",
        f"Dots with intervals, from {names[0]} with {numbers.seconds(first['median_s'])} to {names[-1]} with "
        f"{numbers.seconds(last['median_s'])}. The cells table has the numbers.",
        caption,
        lambda sheet: _draw(sheet, rows, names, engines),
        legend=legend([(engine, index) for index, engine in enumerate(engines)]) if len(engines) > 1 else None,
    )


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str], engines: list[str]) -> Figure:
    figure = sheet.figure(0.5 + 0.21 * len(rows))
    ax = figure.subplots()
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(engines.index(row["engine"]))
        both = [row["wall_per_pull_s"], row["median_s"]]
        ax.plot(both, [place, place], color=GRID, linewidth=1.2, zorder=1)
        interval(ax, place, row["median_low_s"], row["median_high_s"], colour)
        ax.plot(both[:1], [place], color=colour, marker=marker, markerfacecolor=PAPER, linestyle="none")
        ax.plot(both[1:], [place], color=colour, marker=marker, linestyle="none")
    named_rows(ax, names, len(rows))
    time_axis(ax, sheet, rows[["median_s", "median_low_s", "median_high_s", "wall_per_pull_s"]], "time")
    return figure
