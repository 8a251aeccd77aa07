"""The concurrency curve: what a pull takes, and how many images arrive, as pulls at once grow; with the knee and the law."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import label, varying
from pullbench.report.figures import axes
from pullbench.report.figures.style import GRID, MUTED, PAPER, Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html
from pullbench.report.run.concurrency import Curve, curve_of

MOST_LINES = 6
MOST_ENGINES = 4
MEASURES: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
    ("median{}_s", "median pull time", "median pull", axes.seconds_tick),
    ("rate{}", "images a second", "images/s", lambda value: f"{value:g}"),
)
"""Column, its name in the wide and in the narrow drawing, and how its ticks read."""
_RATE = MEASURES[1][0]
_LOG_FROM = 6
"""From this spread of the values on the axis is logarithmic, so that a fast engine is no flat line at the bottom."""
_LAW_POINTS = 40
_TITLE_CHARACTERS = {False: 105, True: 44}
"""What the titles of one row of panels hold together, in the wide and in the narrow drawing."""


def concurrency(table: pd.DataFrame, curves: Sequence[Curve] = ()) -> Html:
    """Median pull time and images a second with their intervals, over concurrency: a panel a route, a line an engine.

    On the rate stand the law of each curve (dashed), its recommended concurrency (a ring) and where its knee lies (the bar
    at the foot). The other routes stand behind each panel's lines in grey: lines that lie on each other can be told apart,
    and compared. Nothing where fewer than two concurrencies were measured.
    """
    shown = table[table["median_s"].notna()]
    if shown["concurrency"].nunique() < 2:
        return Html()
    factors = [name for name in varying(shown) if name not in ("engine", "concurrency")]
    named = _with_rates(shown).assign(line=[label(row, factors) for row in records(shown)])
    fastest = named.groupby("line", sort=False)["wall_per_pull_s"].min().sort_values()
    lines = sorted(fastest.index[:MOST_LINES])
    engines = list(named["engine"].drop_duplicates())[:MOST_ENGINES]
    drawn_cells = named[named["line"].isin(lines) & named["engine"].isin(engines)]
    mine = _by_line(drawn_cells, curves)
    caption = _caption(drawn_cells, len(fastest) - len(lines), len(lines), list(mine.values()))
    keys = [(engine, index) for index, engine in enumerate(engines)]
    return drawn(
        "concurrency",
        "Pull time and images a second by concurrency",
        f"Lines over {', '.join(map(str, sorted(named['concurrency'].unique())))} pulls at once, "
        f"for {', '.join(engines)}; one panel each for {', '.join(lines)}. {_told(mine)}The cells table has the numbers.",
        caption,
        lambda sheet: _draw(sheet, drawn_cells, engines, lines, mine),
        legend=legend(keys) if len(engines) > 1 else None,
    )


def _with_rates(table: pd.DataFrame) -> pd.DataFrame:
    """The time per image turned about, so that more is better: over trials without failures."""
    ends = {"rate": "", "rate_low": "_high", "rate_high": "_low"}
    return table.assign(**{name: 1 / table[f"wall_per_pull{end}_s"] for name, end in ends.items()})


def _by_line(named: pd.DataFrame, curves: Sequence[Curve]) -> dict[tuple[str, str], Curve]:
    """The curve of each line and engine."""
    firsts = records(named.drop_duplicates(["line", "engine"]))
    found = {(row["line"], row["engine"]): curve_of(curves, row) for row in firsts}
    return {key: curve for key, curve in found.items() if curve is not None}


def _told(curves: dict[tuple[str, str], Curve]) -> str:
    said = [
        f"{' '.join(filter(None, [engine, line]))}: {curve.scaling.recommended} at once"
        for (line, engine), curve in curves.items()
        if curve.scaling.recommended is not None
    ]
    return f"Recommended: {'; '.join(said)}. " if said else ""


def _caption(named: pd.DataFrame, left_out: int, panels: int, curves: Sequence[Curve]) -> str:
    low, high = named["concurrency"].min(), named["concurrency"].max()
    ends = named.pivot_table(index=["engine", "line"], columns="concurrency", values=["median_s", "rate"])
    said = "Line: median over blocks" + ("; band: its 95% interval." if named["median_low_s"].notna().any() else ".")
    if named["median_low_s"].isna().any():
        said += " Where there is no band, the blocks are too few for an interval."
    if any(curve.scaling.recommended is not None for curve in curves):
        said += " Ring: the recommended concurrency."
    if any(curve.scaling.knee_low is not None for curve in curves):
        said += " Bar at the foot: where the knee lies, at 95%."
    if any(curve.scaling.law is not None for curve in curves):
        said += " Dashed: the universal scalability law as fitted."
    if panels > 1:
        said += " Grey: the other panels' lines."
    if {("rate", low), ("rate", high)} <= set(ends.columns):
        slower = (ends[("median_s", high)] / ends[("median_s", low)]).dropna()
        more = (ends[("rate", high)] / ends[("rate", low)]).dropna()
        if len(slower) and len(more):
            said = (
                f"From {low} to {high} pulls at once a single pull takes {_span(slower)} as long, while {_span(more)} as "
                f"many images arrive a second. {said}"
            )
    said += f" {numbers.count(int(named['succeeded'].sum()), 'successful pull')}."
    return f"{said} The {numbers.count(left_out, 'slowest line')} left out." if left_out else said


def _span(values: pd.Series) -> str:
    low, high = numbers.ratio(values.min()), numbers.ratio(values.max())
    return low if low == high else f"{low.rstrip('×')} to {high}"


def _draw(
    sheet: Sheet, named: pd.DataFrame, engines: list[str], lines: list[str], curves: dict[tuple[str, str], Curve]
) -> Figure:
    """Wide: a column a route (two panels where there is one), at most three beside each other. Narrow: a row a route."""
    side_by_side = sheet.narrow or len(lines) == 1
    columns = 2 if side_by_side or len(lines) == 4 else min(len(lines), 3)
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
        for place, (column, name, short, text) in zip(places, MEASURES, strict=True):
            panel = panels[place]
            panel.set_visible(True)
            _panel(panel, named, engines, line, column, text)
            if column == _RATE:
                for number, engine in enumerate(engines):
                    _knee(panel, curves.get((line, engine)), number)
            scale = ", log" if panel.get_yscale() == "log" else ""
            measure = (short if sheet.narrow else name) + scale
            panel.set_title(_title(line, measure, _TITLE_CHARACTERS[sheet.narrow] // columns))
    return figure


def _title(line: str, measure: str, most: int) -> str:
    """A route over its measure, in as many rows of at most so many characters as it takes."""
    rows: list[str] = []
    for part in filter(None, line.split(" · ")):
        if rows and len(rows[-1]) + 3 + len(part) <= most:
            rows[-1] += f" · {part}"
        else:
            rows.append(part if len(part) <= most else part[: most - 1] + "…")
    return "\n".join([*rows, measure])


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
    _height(ax, named[[value, low, high]], text)
    bare(ax, grid_axis="y")
    ax.set_xlabel("pulls at once")


def _height(ax: Axes, ends: pd.DataFrame, text: Callable[[float], str]) -> None:
    """From zero on, or logarithmic where the values spread wide."""
    least, most = float(ends.min().min()), float(ends.max().max())
    if not most > 0:
        return
    if least > 0 and most / least > _LOG_FROM:
        ax.set_yscale("log")
        ax.set_ylim(least * 0.85, most * 1.15)
        axes.logarithmic(ax.yaxis, least * 0.85, most * 1.15, text, most=6)
    else:
        axes.headroom(ax, most)
        axes.linear(ax.yaxis, text)


def _knee(ax: Axes, curve: Curve | None, index: int) -> None:
    """The law of one curve, its recommended point, and the stretch in which its knee lies."""
    if curve is None:
        return
    colour, _ = series_style(index)
    found, foot = curve.scaling, 0.03 + 0.035 * index
    if found.law is not None:
        along = np.geomspace(found.levels[0].concurrency, found.levels[-1].concurrency, _LAW_POINTS)
        ax.plot(
            along, [found.law.rate(n) for n in along], color=MUTED, linewidth=1.1, linestyle=(0, (4, 2)), zorder=1.5
        )
    ring: dict[str, Any] = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "linestyle": "none"}
    for at, rate in [(at.concurrency, at.rate) for at in found.levels if at.concurrency == found.recommended]:
        ax.plot([at], [rate], markeredgecolor=PAPER, markeredgewidth=4.2, zorder=4, **ring)
        ax.plot([at], [rate], markeredgecolor=colour, markeredgewidth=1.8, zorder=5, **ring)
    if found.knee_low is not None and found.knee_high is not None:
        low, high = found.knee_low * 0.96, found.knee_high * 1.04
        ax.plot([low, high], [foot, foot], color=colour, linewidth=3, transform=ax.get_xaxis_transform())
