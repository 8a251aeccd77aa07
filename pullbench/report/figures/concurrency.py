"""The concurrency curve: what a pull takes, and what moves in all, as pulls at once grow."""

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import GRID, Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html
from pullbench.report.stored import records
from pullbench.report.tables import label, varying

MOST_LINES = 6
MOST_ENGINES = 4
MEASURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("median{}_s", "median pull time", axes.seconds_tick),
    ("throughput{}_bytes_per_s", "throughput", axes.rate_tick),
)
_LOG_FROM = 6
"""From this spread of the values on the axis is logarithmic, so that a fast engine is no flat line at the bottom."""


def concurrency(table: pd.DataFrame) -> Html:
    """Median pull time with its interval, and throughput, over concurrency: a panel a route, a line an engine.

    The other routes stand behind each panel's lines in grey: lines that lie on each other can be told apart, and
    compared. Nothing where fewer than two concurrencies were measured.
    """
    shown = table[table["median_s"].notna()]
    if shown["concurrency"].nunique() < 2:
        return Html()
    factors = [name for name in varying(shown) if name not in ("engine", "concurrency")]
    named = shown.assign(line=[label(row, factors) for row in records(shown)])
    fastest = named.groupby("line", sort=False)["wall_per_pull_s"].min().sort_values()
    lines = sorted(fastest.index[:MOST_LINES])
    engines = list(named["engine"].drop_duplicates())[:MOST_ENGINES]
    drawn_cells = named[named["line"].isin(lines) & named["engine"].isin(engines)]
    caption = _caption(drawn_cells, len(fastest) - len(lines), len(lines))
    return drawn(
        "concurrency",
        "Pull time and throughput by concurrency",
        f"Lines over {', '.join(map(str, sorted(named['concurrency'].unique())))} pulls at once, "
        f"for {', '.join(engines)}; one panel each for {', '.join(lines)}. The cells table has the numbers.",
        caption,
        lambda sheet: _draw(sheet, drawn_cells, engines, lines),
        legend=legend([(engine, index) for index, engine in enumerate(engines)]) if len(engines) > 1 else None,
    )


def _caption(named: pd.DataFrame, left_out: int, panels: int) -> str:
    low, high = named["concurrency"].min(), named["concurrency"].max()
    ends = named.pivot_table(
        index=["engine", "line"], columns="concurrency", values=["median_s", "throughput_bytes_per_s"]
    )
    slower = (ends[("median_s", high)] / ends[("median_s", low)]).dropna()
    more = (ends[("throughput_bytes_per_s", high)] / ends[("throughput_bytes_per_s", low)]).dropna()
    said = "Line: median over blocks" + ("; band: its 95% interval." if named["median_low_s"].notna().any() else ".")
    if named["median_low_s"].isna().any():
        said += " Where there is no band, the blocks are too few for an interval."
    if panels > 1:
        said += " Grey: the other panels' lines."
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
    """Wide: a column a route (two panels where there is one), at most three beside each other. Narrow: a row a route."""
    side_by_side = sheet.narrow or len(lines) == 1
    columns = 2 if side_by_side else min(len(lines), 3)
    rows = len(lines) if side_by_side else 2 * -(-len(lines) // columns)
    figure = sheet.figure(0.35 + (1.75 if sheet.narrow else 2.0) * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flatten():
        panel.set_visible(False)
    for index, line in enumerate(lines):
        if side_by_side:
            places = [(index, 0), (index, 1)]
        else:
            top = 2 * (index // columns)
            places = [(top, index % columns), (top + 1, index % columns)]
        for place, (column, measure, text) in zip(places, MEASURES, strict=True):
            panel = panels[place]
            panel.set_visible(True)
            _panel(panel, named, engines, line, column, text)
            panel.set_title(
                "\n".join(filter(None, [line, measure])) if sheet.narrow else ": ".join(filter(None, [line, measure]))
            )
    return figure


def _panel(
    ax: Axes, named: pd.DataFrame, engines: list[str], line: str, column: str, text: Callable[[float], str]
) -> None:
    value, low, high = (column.format(part) for part in ("", "_low", "_high"))
    for _, other in named[named["line"] != line].groupby(["line", "engine"], sort=False):
        behind = other.sort_values("concurrency")
        ax.plot(behind["concurrency"], behind[value], color=GRID, linewidth=1.1, zorder=1)
    for index, engine in enumerate(engines):
        mine = named[(named["line"] == line) & (named["engine"] == engine)].sort_values("concurrency")
        colour, marker = series_style(index)
        ax.fill_between(mine["concurrency"], mine[low], mine[high], color=colour, alpha=0.18, linewidth=0)
        ax.plot(mine["concurrency"], mine[value], color=colour, marker=marker)
    levels = sorted(named["concurrency"].unique())
    ax.set_xscale("log", base=2)
    axes.doubling(ax.xaxis, levels)
    ax.set_xlim(levels[0] * 0.9, levels[-1] * 1.12)
    ends = named[[value, low, high]]
    least, most = float(ends.min().min()), float(ends.max().max())
    if least > 0 and most / least > _LOG_FROM:
        ax.set_yscale("log")
        ax.set_ylim(least * 0.85, most * 1.15)
        ax.set_ylabel("log scale")
        axes.logarithmic(ax.yaxis, least * 0.85, most * 1.15, text, most=6)
    else:
        axes.headroom(ax, most)
        axes.linear(ax.yaxis, text)
    bare(ax, grid_axis="y")
    ax.set_xlabel("pulls at once")
