"""Curves over a load: concurrency with its saturation point and law, the loads of a stress test, and when a cache pays."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pullbench.model.ramp import StepVerdict
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.core.tables import label, varying
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, GRID, MUTED, PAPER, SERIES, Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html
from pullbench.report.run.concurrency import Curve, curve_of
from pullbench.report.stress.steps import Stressed
from pullbench.stats.compare import matters

_MOST_ROUTES = 6
_MOST_ENGINES = 4
_MEASURES: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
    ("median{}_s", "p50 of a pull", "p50", axes.seconds_tick),
    ("rate{}", "images/s", "images/s", lambda value: f"{value:g}"),
)
"""Column, its name in the wide and in the narrow drawing, and how its ticks read."""
_RATE = _MEASURES[1][0]
_LOG_FROM = 6
"""From this spread of the values on an axis is logarithmic, so that a fast engine is no flat line at the bottom."""
_LAW_POINTS = 40
_TITLE_CHARACTERS = {False: 105, True: 44}
"""What the titles of one row of panels hold together, in the wide and in the narrow drawing."""


def concurrency(table: pd.DataFrame, curves: Sequence[Curve] = ()) -> Html:
    """Median pull time and images a second with their intervals, over concurrency: a panel a route, a line an engine.

    The rate panel has the law of each curve (dashed), its recommended concurrency (a ring) and its saturation point (the bar
    at the bottom). The other routes are grey behind each panel's lines: lines that lie on each other can be distinguished,
    and compared. Nothing where fewer than two concurrencies were measured.
    """
    shown = table[table["median_s"].notna()]
    if shown["concurrency"].nunique() < 2:
        return Html()
    factors = [name for name in varying(shown) if name not in ("engine", "concurrency")]
    named = _with_rates(shown).assign(line=[label(row, factors) for row in records(shown)])
    fastest = named.groupby("line", sort=False)["wall_per_pull_s"].min().sort_values()
    lines = sorted(fastest.index[:_MOST_ROUTES])
    engines = sorted(table["engine"].unique())  # as in the other figures: the place gives the colour
    kept = list(named["engine"].drop_duplicates())[:_MOST_ENGINES]
    drawn_cells = named[named["line"].isin(lines) & named["engine"].isin(kept)]
    mine = _by_line(drawn_cells, curves)
    caption = _concurrency_caption(drawn_cells, len(fastest) - len(lines), len(lines), list(mine.values()))
    keys = [(engine, index) for index, engine in enumerate(engines) if engine in kept]
    return drawn(
        "concurrency",
        "Pull time and images/s by concurrency",
        f"Lines over concurrency {', '.join(map(str, sorted(named['concurrency'].unique())))}, "
        f"for {', '.join(kept)}{'; one panel each for ' if any(lines) else ''}{', '.join(lines)}. {_knees_told(mine)}The table of configurations has the numbers.",
        caption,
        lambda sheet: _draw_concurrency(sheet, drawn_cells, engines, lines, mine),
        legend=legend(keys) if len(kept) > 1 else None,
    )


def _with_rates(table: pd.DataFrame) -> pd.DataFrame:
    """The images/s of trials without failures, under the names of the panels."""
    ends = {"rate": "", "rate_low": "_high", "rate_high": "_low"}
    return table.assign(**{name: 1 / table[f"wall_per_pull{end}_s"] for name, end in ends.items()})


def _by_line(named: pd.DataFrame, curves: Sequence[Curve]) -> dict[tuple[str, str], Curve]:
    """The curve of each line and engine."""
    firsts = records(named.drop_duplicates(["line", "engine"]))
    found = {(row["line"], row["engine"]): curve_of(curves, row) for row in firsts}
    return {key: curve for key, curve in found.items() if curve is not None}


def _knees_told(curves: dict[tuple[str, str], Curve]) -> str:
    said = [
        f"{' '.join(filter(None, [engine, line]))}: concurrency {curve.scaling.recommended}"
        for (line, engine), curve in curves.items()
        if curve.scaling.recommended is not None
    ]
    return f"Saturation point: {'; '.join(said)}. " if said else ""


def _concurrency_caption(named: pd.DataFrame, left_out: int, panels: int, curves: Sequence[Curve]) -> str:
    low, high = named["concurrency"].min(), named["concurrency"].max()
    ends = named.pivot_table(index=["engine", "line"], columns="concurrency", values=["median_s", "rate"])
    said = "Line: geometric mean over repetitions" + (
        "; band: its 95% interval." if named["median_low_s"].notna().any() else "."
    )
    if named["median_low_s"].isna().any():
        said += " Where there is no band, the repetitions are too few for an interval."
    if any(curve.scaling.recommended is not None for curve in curves):
        said += " Ring: the saturation point (knee)."
    if any(curve.scaling.knee_low is not None for curve in curves):
        said += " Bar at the bottom: 95% interval of the saturation point (knee)."
    if any(curve.scaling.law is not None for curve in curves):
        said += " Dashed: the fitted universal scalability law."
    if panels > 1:
        said += " Grey: the other panels' lines."
    if {("rate", low), ("rate", high)} <= set(ends.columns):
        slower = (ends[("median_s", high)] / ends[("median_s", low)]).dropna()
        more = (ends[("rate", high)] / ends[("rate", low)]).dropna()
        if len(slower) and len(more):
            said = (
                f"From concurrency {low} to {high} a single pull takes {_span(slower)} as long, and there are "
                f"{_span(more)} as many images/s. {said}"
            )
    said += f" {numbers.count(int(named['succeeded'].sum()), 'successful pull')}."
    return (
        f"{said} The {numbers.count(left_out, 'slowest line')} {'is' if left_out == 1 else 'are'} left out."
        if left_out
        else said
    )


def _span(values: pd.Series) -> str:
    """`1.48×`, `1× to 2.10×`, or `about` for ratios that are no difference."""
    low, high = (numbers.ratio(value) if matters(value) else "1×" for value in (values.min(), values.max()))
    if low == high:
        return "about" if low == "1×" else low
    return f"{low.rstrip('×')} to {high}"


def _draw_concurrency(
    sheet: Sheet, named: pd.DataFrame, engines: list[str], lines: list[str], curves: dict[tuple[str, str], Curve]
) -> Figure:
    """Wide: a column a route (two panels where there is one), at most three in a row. Narrow: a row a route."""
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
        for place, (column, name, short, text) in zip(places, _MEASURES, strict=True):
            panel = panels[place]
            panel.set_visible(True)
            _concurrency_panel(panel, named, engines, line, column, text)
            if column == _RATE:
                for number, engine in enumerate(engines):
                    _knee(panel, curves.get((line, engine)), number)
            scale = ", log" if panel.get_yscale() == "log" else ""
            measure = (short if sheet.narrow else name) + scale
            panel.set_title(_panel_title(line, measure, _TITLE_CHARACTERS[sheet.narrow] // columns))
    return figure


def _panel_title(line: str, measure: str, most: int) -> str:
    """A route over its measure, in as many rows of at most so many characters as it takes."""
    rows: list[str] = []
    for part in filter(None, line.split(" · ")):
        if rows and len(rows[-1]) + 3 + len(part) <= most:
            rows[-1] += f" · {part}"
        else:
            rows.append(part if len(part) <= most else part[: most - 1] + "…")
    return "\n".join([*rows, measure])


def _concurrency_panel(
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
    _height(ax, pd.concat([named[value], named[low], named[high]]), text)
    bare(ax, grid_axis="y")
    ax.set_xlabel("concurrency")


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


_UP, _DOWN = 0, 1
_PHASE_NAMES = {"up": "up", "hold": "hold", "down": "down"}
_MOST_TICKS = {False: 10, True: 6}
_NEAR_TARGET = 3
"""An SLO above so many times the largest value is not drawn."""


def load_curve(found: Stressed, mean_target_s: float | None) -> Html:
    """Pulls per second and mean pull time over the load, up and down, with the limit, the saturation point and the SLO.

    Nothing where fewer than two loads were measured.
    """
    up = found.up
    if len(up) < 2:
        return Html()
    down = found.steps[(found.steps["phase"] == "down") & (found.steps["rate_limited"] == 0)].drop_duplicates(
        "load", keep="last"
    )
    keys: list[tuple[str, int | None]] = [("ramp up", _UP)]
    keys += [("ramp down", _DOWN)] if len(down) else []
    return drawn(
        "load-curve",
        "Pulls/s and pull time by load",
        f"Two panels over loads {', '.join(f'{load:g}' for load in up['load'])}: pulls per second, and mean pull time. "
        "The table of steps has the numbers.",
        _curve_caption(found, mean_target_s),
        lambda sheet: _draw_curve(sheet, found, up, down, mean_target_s),
        legend=legend(keys),
    )


def course_over_time(table: pd.DataFrame, found: Stressed, mean_target_s: float | None) -> Html:
    """The load over time, and below it each trial's mean pull; `table` is from `steps.course`."""
    if len(table) < 2:
        return Html()
    failed = int(table["failed"].sum())
    caption = "Top: the load of each trial; there is none between trials. Bottom: the mean pull of each trial"
    caption += ", on a logarithmic scale. " if _spreads(table["mean_s"]) else ". "
    caption += "Shaded: the hold, and the ramp down. " if (table["phase"] != "up").any() else ""
    caption += (
        f"Crosses: trials with failures, {numbers.count(failed, 'pull')} in all." if failed else "No pull failed."
    )
    caption += _target_says(table["mean_s"], mean_target_s)
    return drawn(
        "course",
        "The test over time",
        f"{len(table)} trials in {numbers.seconds(float(table['ends_s'].max()))}; {numbers.count(failed, 'pull')} failed.",
        caption,
        lambda sheet: _draw_course(sheet, table, found, mean_target_s),
    )


def _curve_caption(found: Stressed, mean_target_s: float | None) -> str:
    said = "Marks: geometric mean of pulls/s, and mean of the trials' means; bars: their 95% intervals over trials."
    if found.held is not None and found.broke is not None:
        said += f" Shaded: the limit lies between {found.held:g} (no SLO missed) and {found.broke:g} (missed)."
    elif found.broke is not None:
        said += f" Load {found.broke:g} misses an SLO."
    if found.knee is not None:
        said += f" Dotted: the saturation point (knee), {found.knee:g}."
    if found.stress.ramp == "rate":
        said += " Grey line: the offered rate."
    return said + _target_says(found.steps["mean_s"], mean_target_s)


def _target_is_drawn(values: pd.Series, target_s: float | None) -> bool:
    """Whether the line of an SLO is near enough to the values that it does not press them flat."""
    known = values.dropna()
    return target_s is not None and not known.empty and target_s <= _NEAR_TARGET * float(known.max())


def _target_says(values: pd.Series, target_s: float | None) -> str:
    """What the figure shows of the SLO for the mean pull time."""
    if target_s is None:
        return ""
    named = f"the SLO for the mean pull time, {numbers.seconds(target_s)}"
    return f" Dashed: {named}." if _target_is_drawn(values, target_s) else f" {_begin(named)}, is above the figure."


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]


def _target_line(ax: Axes, target_s: float) -> None:
    ax.axhline(target_s, color=BAD, linewidth=1.1, linestyle=(0, (5, 3)))


def _draw_curve(
    sheet: Sheet, found: Stressed, up: pd.DataFrame, down: pd.DataFrame, mean_target_s: float | None
) -> Figure:
    figure = sheet.figure(4.6 if sheet.narrow else 3.0)
    panels = figure.subplots(2, 1) if sheet.narrow else figure.subplots(1, 2)
    _load_panel(panels[0], found, up, down, "rate{}", lambda value: f"{value:g}/s", sheet, target=None)
    panels[0].set_title("successful pulls/s")
    if found.stress.ramp == "rate":
        panels[0].plot(up["load"], up["load"], color=GRID, linewidth=1.4, zorder=1)
    target = mean_target_s if _target_is_drawn(found.steps["mean_s"], mean_target_s) else None
    _load_panel(panels[1], found, up, down, "mean{}_s", axes.seconds_tick, sheet, target=target)
    panels[1].set_title("mean pull time")
    return figure


def _load_panel(
    ax: Axes,
    found: Stressed,
    up: pd.DataFrame,
    down: pd.DataFrame,
    column: str,
    text: Callable[[float], str],
    sheet: Sheet,
    *,
    target: float | None,
) -> None:
    value, low, high = (column.format(part) for part in ("", "_low", "_high"))
    if found.held is not None and found.broke is not None:
        ax.axvspan(found.held, found.broke, color=GRID, alpha=0.35, linewidth=0)
    if found.knee is not None:
        ax.axvline(found.knee, color=MUTED, linewidth=1.1, linestyle=(0, (1, 2)))
    for rows, index, fill, line in ((up, _UP, SERIES[_UP], "-"), (down, _DOWN, PAPER, (0, (4, 2)))):
        known = rows[rows[value].notna()].sort_values("load")
        colour = SERIES[index]
        reach = [(known[value] - known[low]).fillna(0).clip(lower=0), (known[high] - known[value]).fillna(0)]
        ax.errorbar(
            known["load"],
            known[value],
            yerr=reach,
            color=colour,
            linestyle=line,
            marker="os"[index],
            markerfacecolor=fill,
            elinewidth=1.1,
            capsize=2,
        )
    missed = up[(up["verdict"] == StepVerdict.MISSED) & up[value].notna()]
    ax.plot(missed["load"], missed[value], color=BAD, marker="x", markersize=9, markeredgewidth=1.8, linestyle="none")
    loads = sorted(set(up["load"]))
    ax.set_xscale("log", base=2)
    every = -(-len(loads) // _MOST_TICKS[sheet.narrow])
    axes.doubling(ax.xaxis, loads[::-1][::every][::-1])
    ax.set_xlim(loads[0] * 0.88, loads[-1] * 1.14)
    ax.set_xlabel("concurrency" if found.stress.ramp == "concurrency" else "offered pulls/s")
    if target is not None:
        _target_line(ax, target)
    _height(ax, pd.concat([up[value], down[value], up[high], down[high], _also(target)]), text)
    bare(ax, grid_axis="y")


def _also(target: float | None) -> "pd.Series[float]":
    """A drawn SLO, as one more value that the axis has to reach."""
    return pd.Series([] if target is None else [target], dtype="float64")


def _height(ax: Axes, values: pd.Series, text: Callable[[float], str]) -> None:
    """From zero on, or logarithmic where the values spread wide."""
    known = values.dropna()
    if known.empty or not known.max() > 0:
        return
    if _spreads(known):
        low, high = float(known.min()) * 0.8, float(known.max()) * 1.2
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        axes.logarithmic(ax.yaxis, low, high, text, most=6)
    else:
        axes.headroom(ax, float(known.max()))
        axes.linear(ax.yaxis, text)


def _spreads(values: pd.Series) -> bool:
    known = values.dropna()
    return bool(len(known) and known.min() > 0 and known.max() / known.min() > _LOG_FROM)


def _draw_course(sheet: Sheet, table: pd.DataFrame, found: Stressed, mean_target_s: float | None) -> Figure:
    figure = sheet.figure(3.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.5])
    last_s = float(table["ends_s"].max())
    for phase in ("hold", "down"):
        rows = table[table["phase"] == phase]
        for ax in (above, below):
            if len(rows):
                ends_s = last_s if phase == "down" else rows["ends_s"].max()
                ax.axvspan(rows["at_s"].min(), ends_s, color=GRID, alpha=0.5 if phase == "hold" else 0.25, linewidth=0)
        if len(rows):
            above.annotate(
                _PHASE_NAMES[phase], (float(rows["at_s"].min()), 1), (4, -4), ("data", "axes fraction"),
                "offset points", color=MUTED, va="top", fontsize="small",
            )  # fmt: skip
    above.hlines(table["load"], table["at_s"], table["ends_s"], color=SERIES[_UP], linewidth=3.2)
    above.set_yscale("log", base=2)
    loads = sorted(set(table["load"]))
    axes.doubling(above.yaxis, loads[::-1][:: -(-len(loads) // 5)][::-1])
    above.set_ylim(loads[0] / 1.4, loads[-1] * 1.8)
    above.set_title("load: " + ("concurrency" if found.stress.ramp == "concurrency" else "offered pulls/s"))
    middle = (table["at_s"] + table["ends_s"]) / 2
    below.plot(middle, table["mean_s"], color=SERIES[_UP], marker="o", markersize=3.6, linestyle="none")
    target = mean_target_s if _target_is_drawn(table["mean_s"], mean_target_s) else None
    if target is not None:
        _target_line(below, target)
    _height(below, pd.concat([table["mean_s"], _also(target)]), axes.seconds_tick)
    _failures(below, table, middle)
    below.set_title("mean pull of each trial")
    for ax in (above, below):
        ax.set_xlim(-0.012 * last_s, 1.012 * last_s)
        bare(ax, grid_axis="y")
    axes.elapsed(below.xaxis, last_s, most=4 if sheet.narrow else 8)
    below.set_xlabel("since the start of the first step")
    return figure


def _failures(ax: Axes, table: pd.DataFrame, middle: pd.Series) -> None:
    """A cross a trial with failures: at its mean, or at the lower edge where no pull succeeded."""
    broken = table["failed"] > 0
    low = ax.get_ylim()[0]
    height = table["mean_s"].fillna(low if math.isfinite(low) else 0.0)
    ax.plot(
        middle[broken], height[broken], color=BAD, marker="x", markersize=6.5, markeredgewidth=1.6, linestyle="none"
    )


_MOST_PANELS = 4
_DIRECT, _CACHE = 1, 0
_LEAST_PULLS, _MOST_PULLS = 6, 200


def break_even(table: pd.DataFrame) -> Html:
    """A panel a configuration; nothing where cold, warm and no proxy were not all measured. `table` is that of `break_evens`."""
    known = table[table["cold_s"].notna()]
    if known.empty:
        return Html()
    shown, factors = known.head(_MOST_PANELS), varying(known)
    rows = [(label(row, factors), row) for row in records(shown)]
    name, first = rows[0]
    caption = f"{', '.join(filter(None, [name, str(first['proxy'])]))}: {first['says']}."
    caption += " The cache pays where the lines cross; band: the 95% interval of that."
    caption += f" From {numbers.count(int(first['blocks']), 'repetition')}."
    if len(known) > len(shown):
        caption += f" {len(known) - len(shown)} more configurations are in the table."
    listed = "; ".join(f"{name}: {row['says']}".removeprefix(": ") for name, row in rows)
    return drawn(
        "break-even",
        "Time of all pulls of one image, through a cold mirror cache and without a proxy",
        f"Two rising lines a panel. {listed}.",
        caption,
        lambda sheet: _draw_break_even(sheet, rows),
        legend=legend([("through the cache, the first pull cold", _CACHE), ("without a proxy", _DIRECT)]),
    )


def _draw_break_even(sheet: Sheet, rows: list[tuple[str, dict[str, Any]]]) -> Figure:
    across = 1 if sheet.narrow else min(len(rows), 2)
    down = -(-len(rows) // across)
    figure = sheet.figure(0.3 + (2.1 if sheet.narrow else 2.4) * down)
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel in panels:
        panel.set_visible(False)
    for panel, (name, row) in zip(panels, rows, strict=False):
        panel.set_visible(True)
        _break_even_panel(panel, row)
        panel.set_title(name)
    return figure


def _break_even_panel(ax: Axes, row: dict[str, Any]) -> None:
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
