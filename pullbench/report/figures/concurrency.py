"""The concurrency curve: what a pull takes, and what moves in all, as pulls at once grow."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html
from pullbench.report.stored import records
from pullbench.report.tables import label, varying

MOST_LINES = 6
MOST_ENGINES = 4


def concurrency(table: pd.DataFrame) -> Html:
    """Median pull time with its interval, and throughput, over concurrency: a row of panels an engine.

    Nothing where fewer than two concurrencies were measured.
    """
    shown = table[table["median_s"].notna()]
    if shown["concurrency"].nunique() < 2:
        return Html()
    factors = [name for name in varying(shown) if name not in ("engine", "concurrency")]
    named = shown.assign(line=[label(row, factors) or "all cells" for row in records(shown)])
    fastest = named.groupby("line", sort=False)["wall_per_pull_s"].min().sort_values()
    lines = sorted(fastest.index[:MOST_LINES])
    engines = list(named["engine"].drop_duplicates())[:MOST_ENGINES]
    left_out = len(fastest) - len(lines)
    caption = _caption(named[named["line"].isin(lines)], left_out)
    return drawn(
        "concurrency",
        "Pull time and throughput by concurrency",
        f"Lines over {', '.join(map(str, sorted(named['concurrency'].unique())))} pulls at once, "
        f"for {', '.join(engines)}; one line each for {', '.join(lines)}. The cells table has the numbers.",
        caption,
        lambda sheet: _draw(sheet, named, engines, lines),
        legend=legend([(line, index) for index, line in enumerate(lines)]) if len(lines) > 1 else None,
    )


def _caption(named: pd.DataFrame, left_out: int) -> str:
    low, high = named["concurrency"].min(), named["concurrency"].max()
    ends = named.pivot_table(
        index=["engine", "line"], columns="concurrency", values=["median_s", "throughput_bytes_per_s"]
    )
    slower = (ends[("median_s", high)] / ends[("median_s", low)]).dropna()
    more = (ends[("throughput_bytes_per_s", high)] / ends[("throughput_bytes_per_s", low)]).dropna()
    said = "Line: median over blocks; band: its 95% interval."
    if len(slower) and len(more):
        said = (
            f"From {low} to {high} pulls at once a single pull takes {_span(slower)} as long, while {_span(more)} as "
            f"much data moves a second. {said}"
        )
    return f"{said} The {numbers.count(left_out, 'slowest line')} left out." if left_out else said


def _span(values: pd.Series) -> str:
    low, high = numbers.ratio(values.min()), numbers.ratio(values.max())
    return low if low == high else f"{low.rstrip('×')} to {high}"


def _draw(sheet: Sheet, named: pd.DataFrame, engines: list[str], lines: list[str]) -> Figure:
    columns = 1 if sheet.narrow else 2
    rows = len(engines) * (2 // columns)
    figure = sheet.figure(0.35 + (1.95 if sheet.narrow else 2.35) * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for index, engine in enumerate(engines):
        mine = named[named["engine"] == engine]
        prefix = f"{engine}: " if len(engines) > 1 else ""
        _panel(panels[2 * index], mine, lines, "median{}_s", f"{prefix}median pull time", axes.seconds_tick)
        _panel(panels[2 * index + 1], mine, lines, "throughput{}_bytes_per_s", f"{prefix}throughput", axes.rate_tick)
    for panel in panels[-columns:]:
        panel.set_xlabel("pulls at once")
    return figure


def _panel(ax: Axes, cells: pd.DataFrame, lines: list[str], column: str, title: str, text: Any) -> None:
    value, low, high = (column.format(part) for part in ("", "_low", "_high"))
    for index, line in enumerate(lines):
        mine = cells[cells["line"] == line].sort_values("concurrency")
        colour, marker = series_style(index)
        ax.fill_between(mine["concurrency"], mine[low], mine[high], color=colour, alpha=0.18, linewidth=0)
        ax.plot(mine["concurrency"], mine[value], color=colour, marker=marker)
    levels = sorted(cells["concurrency"].unique())
    ax.set_xscale("log", base=2)
    axes.doubling(ax.xaxis, levels)
    ax.set_xlim(levels[0] * 0.9, levels[-1] * 1.12)
    drawn_lines = cells[cells["line"].isin(lines)]
    axes.headroom(ax, float(drawn_lines[[value, high]].max().max()))
    axes.linear(ax.yaxis, text)
    bare(ax, grid_axis="y")
    ax.set_title(title)
