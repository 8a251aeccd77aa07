"""How an image spreads through a fleet."""

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.figures import axes
from pullbench.report.figures.style import Sheet, bare, drawn, legend, series_style
from pullbench.report.fleet.times import arrivals
from pullbench.report.render.html import Html

MOST_LINES = 6


def spread(stored: StoredRun, cells: pd.DataFrame) -> Html:
    """The share of nodes that have the image by the time since the common start: a line a cell."""
    shown = records(cells.head(MOST_LINES))
    factors = [name for name in tables.varying(cells) if name != "concurrency"] if len(cells) else []
    lines = [(tables.label(row, factors) or str(row["proxy"]), arrivals(stored, row), row["nodes"]) for row in shown]
    lines = [line for line in lines if line[1]]
    if not lines:
        return Html()
    caption = "The n-th node's time is the median over trials. A line that ends below 100% had nodes that failed."
    if len(cells) > len(shown):
        caption += f" {len(cells) - len(shown)} more settings are in the table alone."
    return drawn(
        "spread",
        "How the image spreads through the fleet",
        f"Lines from 0% to 100% of the nodes for {', '.join(name for name, _, _ in lines)}. The table has the numbers.",
        caption,
        lambda sheet: _draw(sheet, lines),
        legend=legend([(name, index) for index, (name, _, _) in enumerate(lines)]),
    )


def _draw(sheet: Sheet, lines: list[tuple[str, list[float], int]]) -> Figure:
    figure = sheet.figure(3.2)
    ax = figure.subplots()
    longest = max(times[-1] for _, times, _ in lines)
    for index, (_, times, nodes) in enumerate(lines):
        colour, _ = series_style(index)
        shares = [100 * (rank + 1) / nodes for rank in range(len(times))]
        ax.step([0.0, *times], [0.0, *shares], where="post", color=colour)
    axes.elapsed(ax.xaxis, longest, most=4 if sheet.narrow else 8)
    ax.set_xlim(0, longest * 1.05)
    ax.set_ylim(0, 104)
    axes.linear(ax.yaxis, lambda value: f"{value:g}%")
    bare(ax, grid_axis="both")
    ax.set_xlabel("since the common start")
    ax.set_ylabel("nodes that have it")
    return figure
