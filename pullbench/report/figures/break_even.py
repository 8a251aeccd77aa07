"""What pulls of one image take in all, directly and through a cache that starts cold: where the lines cross it has paid."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import varying
from pullbench.report.figures import axes
from pullbench.report.figures.style import MUTED, Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html
from pullbench.report.run.break_even import setting_name

MOST_PANELS = 4
_DIRECT, _CACHE = 1, 0
_LEAST_PULLS, _MOST_PULLS = 6, 200


def break_even(table: pd.DataFrame) -> Html:
    """A panel a setting; nothing where cold, warm and direct were not all measured. `table` is that of `break_evens`."""
    known = table[table["cold_s"].notna()]
    if known.empty:
        return Html()
    shown, factors = known.head(MOST_PANELS), varying(known)
    rows = [(setting_name(row, factors), row) for row in records(shown)]
    name, first = rows[0]
    caption = f"{', '.join(filter(None, [name, str(first['proxy'])]))}: {first['says']}."
    caption += " Where the lines cross the cache has paid; band: the 95% interval of that."
    caption += f" From {numbers.count(int(first['blocks']), 'block')}."
    if len(known) > len(shown):
        caption += f" {len(known) - len(shown)} more settings are in the table."
    told = "; ".join(f"{name}: {row['says']}".removeprefix(": ") for name, row in rows)
    return drawn(
        "break-even",
        "Time of all pulls of one image, through a cold cache and directly",
        f"Two rising lines a panel. {told}.",
        caption,
        lambda sheet: _draw(sheet, rows),
        legend=legend([("through the cache, the first pull cold", _CACHE), ("directly", _DIRECT)]),
    )


def _draw(sheet: Sheet, rows: list[tuple[str, dict[str, Any]]]) -> Figure:
    across = 1 if sheet.narrow else min(len(rows), 2)
    down = -(-len(rows) // across)
    figure = sheet.figure(0.3 + (2.1 if sheet.narrow else 2.4) * down)
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel in panels:
        panel.set_visible(False)
    for panel, (name, row) in zip(panels, rows, strict=False):
        panel.set_visible(True)
        _panel(panel, row)
        panel.set_title(name)
    return figure


def _panel(ax: Axes, row: dict[str, Any]) -> None:
    last = max(_LEAST_PULLS, *(math.ceil(2 * row[name]) for name in ("pulls", "high") if row[name] == row[name]), 0)
    last = min(last, _MOST_PULLS)
    ends = {
        _CACHE: (row["cold_s"], row["cold_s"] + (last - 1) * row["warm_s"]),
        _DIRECT: (row["direct_s"], last * row["direct_s"]),
    }
    for index, (first_s, all_s) in ends.items():
        colour, marker = series_style(index)
        ax.plot([1, last], [first_s, all_s], color=colour, marker=marker)
    if row["low"] == row["low"]:
        ax.axvspan(max(1, row["low"]), min(last, max(1.0, row["high"])), color=MUTED, alpha=0.15, linewidth=0)
    if row["pulls"] == row["pulls"] and 1 <= row["pulls"] <= last:
        ax.axvline(row["pulls"], color=MUTED, linewidth=1, linestyle="--")
    axes.headroom(ax, max(all_s for _, all_s in ends.values()))
    axes.linear(ax.yaxis, axes.seconds_tick)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    ax.set_xlim(0.8, last * 1.02)
    bare(ax, grid_axis="y")
    ax.set_xlabel("pulls of one image")
