"""Dots with intervals, a row each (forest plots): settings, regions, comparisons within a run and between two, and a calibration's errors."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.model.factor_words import factor_title
from pullbench.report.calibration import words
from pullbench.report.calibration.judgement import Calibration, plain_row_of
from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import records
from pullbench.report.core.tables import label, varying
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, GOOD, GRID, INK, MUTED, PAPER, Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html
from pullbench.stats.compare import MARGIN, matters

_AT_LEAST = (0.8, 1.25)


def _ratio_rows(
    sheet: Sheet,
    rows: pd.DataFrame,
    names: Sequence[str],
    series: Sequence[int],
    *,
    label: str,
    margin: float | None = None,
) -> Figure:
    """`ratio` with `low` and `high` on a log axis around 1×; hollow where there is no interval. `margin` draws a band."""
    figure = sheet.figure(0.6 + (0.42 if sheet.narrow else 0.25) * len(rows))
    ax = figure.subplots()
    ends = rows[["ratio", "low", "high"]]
    low = min(_AT_LEAST[0], float(ends.min().min()) * 0.9)
    high = max(_AT_LEAST[1], float(ends.max().max()) * 1.1)
    if margin is not None:
        ax.axvspan(1 / (1 + margin), 1 + margin, color=MUTED, alpha=0.12, linewidth=0)
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(series[place])
        bounded = row["low"] == row["low"]
        if bounded:
            _interval(ax, place, row["low"], row["high"], colour)
        face = colour if bounded else PAPER
        ax.plot([row["ratio"]], [place], color=colour, marker=marker, markerfacecolor=face, linestyle="none")
        if sheet.narrow:
            ax.text(low * 1.02, place - 0.34, names[place], color=INK, va="center", fontsize=sheet.font_pt - 1)
    ax.axvline(1.0, color=MUTED, linewidth=0.9)
    _named_rows(ax, [] if sheet.narrow else names, len(rows), head=0.75 if sheet.narrow else 0.6)
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    axes.doublings(ax.xaxis, low, high)
    bare(ax, grid_axis="x")
    ax.set_xlabel(f"{label} (log scale)")
    return figure


def _interval(ax: Axes, place: int, low: float, high: float, colour: str) -> None:
    """The line of an interval, in its row."""
    ax.plot([low, high], [place, place], color=colour, alpha=0.55, linewidth=2.6)


def _named_rows(ax: Axes, names: Sequence[str], count: int, *, head: float = 0.6) -> None:
    """Rows from the top down, named on the left; `head` is the room over the first."""
    ax.set_yticks(range(len(names)), list(names), color=INK)
    ax.set_ylim(count - 0.4, -head)


def _time_axis(ax: Axes, sheet: Sheet, times: pd.DataFrame, label: str) -> None:
    """From zero, or on a log scale where the longest of `times` is over some six times the shortest."""
    low, high = float(times.min().min()) * 0.88, float(times.max().max()) * 1.12
    scaled = high / low > 6
    if scaled:
        ax.set_xscale("log")
        axes.logarithmic(ax.xaxis, low, high, axes.seconds_tick, most=3 if sheet.narrow else 9)
    else:
        axes.elapsed(ax.xaxis, high, most=4 if sheet.narrow else 8)
    ax.set_xlim(low if scaled else 0, high)
    bare(ax, grid_axis="x")
    ax.set_xlabel(label + (", log scale" if scaled else ""))


_MOST_SETTINGS = 30
_LONGEST_NAME = 44


def overview(table: pd.DataFrame) -> Html:
    """A dot and an interval a configuration, the fastest pull on top, coloured by engine; nothing for a single one."""
    shown = table[table["median_s"].notna()].sort_values("median_s", kind="stable")
    if len(shown) < 2:
        return Html()
    factors = varying(table)
    rows = shown.head(_MOST_SETTINGS)
    names = [label(row, factors)[:_LONGEST_NAME] for row in records(rows)]
    first, last = rows.iloc[0], rows.iloc[-1]
    failed = len(table) - len(shown)
    times = last["median_s"] / first["median_s"]
    caption = (
        f"p50 is {numbers.seconds(first['median_s'])} with {names[0]} and {numbers.seconds(last['median_s'])} with "
        f"{names[-1]}{f', {numbers.ratio(times)}' if matters(times) else ''}. Filled mark: p50 with its 95% interval."
    )
    if (rows["concurrency"] > 1).any():
        caption += " Empty mark: seconds per image with all workers together, 1 / (images/s)."
    if len(shown) > len(rows):
        caption += f" {len(shown) - len(rows)} slower configurations are only in the table."
    if failed:
        caption += f" {numbers.count(failed, 'configuration')} had no successful pull and no mark."
    engines = sorted(table["engine"].unique())
    return drawn(
        "overview",
        f"Pull time of {numbers.count(len(rows), 'configuration')}, fastest pull first",
        f"Dots with intervals, from {names[0]} with {numbers.seconds(first['median_s'])} to {names[-1]} with "
        f"{numbers.seconds(last['median_s'])}. The table of configurations has the numbers.",
        caption,
        lambda sheet: _draw_overview(sheet, rows, names, engines),
        legend=legend([(engine, index) for index, engine in enumerate(engines)]) if len(engines) > 1 else None,
    )


def _draw_overview(sheet: Sheet, rows: pd.DataFrame, names: list[str], engines: list[str]) -> Figure:
    figure = sheet.figure(0.5 + 0.21 * len(rows))
    ax = figure.subplots()
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(engines.index(row["engine"]))
        both = [row["wall_per_pull_s"], row["median_s"]]
        _interval(ax, place, row["median_low_s"], row["median_high_s"], colour)
        if row["concurrency"] > 1:  # else it is the pull's time, and what lies between two pulls
            ax.plot(both, [place, place], color=GRID, linewidth=1.2, zorder=1)
            ax.plot(both[:1], [place], color=colour, marker=marker, markerfacecolor=PAPER, linestyle="none")
        ax.plot(both[1:], [place], color=colour, marker=marker, linestyle="none")
    short = [name.replace("concurrency ", "c=") for name in names]  # the axis keeps room for its ticks
    _named_rows(ax, short if sheet.narrow else names, len(rows))
    _time_axis(ax, sheet, rows[["median_s", "median_low_s", "median_high_s", "wall_per_pull_s"]], "time")
    return figure


_MOST_REGIONS = 36


def regions(cells: pd.DataFrame) -> Html:
    """A dot and an interval for each route and configuration, coloured by vantage; nothing for only one."""
    shown = cells[cells["median_s"].notna()] if len(cells) else cells
    if len(shown) < 2:
        return Html()
    factors = ["registry", *(name for name in tables.varying(shown) if name != "registry")]
    rows = shown.head(_MOST_REGIONS)
    names = [f"{row['vantage']} → {tables.label(row, factors)}"[:_LONGEST_NAME] for row in records(rows)]
    vantages = list(dict.fromkeys(cells["vantage"]))
    caption = (
        "Mark: a single pull, median over repetitions; line: its 95% interval, from 3 repetitions on. Each vantage measured "
        "in its own run, on its own machine. Two vantages differ in the route and in the machine."
    )
    if len(shown) > len(rows):
        caption += f" The tables have {len(shown) - len(rows)} more."
    return drawn(
        "regions",
        "Pull time from each vantage to each registry",
        f"Dots with intervals, {numbers.count(len(rows), 'row')}. The tables have the numbers.",
        caption,
        lambda sheet: _draw_regions(sheet, rows, names, vantages),
        legend=legend([(f"vantage {vantage}", index) for index, vantage in enumerate(vantages)]),
    )


def _draw_regions(sheet: Sheet, rows: pd.DataFrame, names: list[str], vantages: list[str]) -> Figure:
    figure = sheet.figure(0.6 + 0.22 * len(rows))
    ax = figure.subplots()
    for place, row in enumerate(records(rows)):
        colour, marker = series_style(vantages.index(row["vantage"]))
        _interval(ax, place, row["median_low_s"], row["median_high_s"], colour)
        ax.plot([row["median_s"]], [place], color=colour, marker=marker, linestyle="none")
    _named_rows(ax, names, len(rows))
    _time_axis(ax, sheet, rows[["median_s", "median_low_s", "median_high_s"]], "median pull")
    return figure


_MOST_CONTRASTS = 24
_LONGEST_CONTRAST = 52


def contrast(table: pd.DataFrame) -> Html:
    """A dot and an interval for each comparison on a log axis; left of 1× takes less time. Nothing without any."""
    rows = table[table["ratio"].notna()].head(_MOST_CONTRASTS)
    if rows.empty:
        return Html()
    names = [_contrast_name(row) for row in records(rows)]
    sure = rows[rows["verdict"].isin(["faster", "slower"])]
    factors = list(dict.fromkeys(rows["factor"]))
    series = [factors.index(factor) for factor in rows["factor"]]
    bounded = rows["low"].notna()
    caption = (
        "Left of 1× the first takes less time than the second. Mark: geometric mean over repetitions"
        f"{'; line: its interval, corrected as the verdict is' if bounded.any() else ''}. For concurrency the time is that of the whole trial, "
        f"for everything else that of a pull. {_significant_contrasts(len(sure), len(rows))}"
    )
    if not bounded.all():
        caption += " An empty mark has too few repetitions for an interval."
    listed = "; ".join(f"{name} {numbers.ratio(value)}" for name, value in zip(names, rows["ratio"], strict=True))
    return drawn(
        "contrast",
        "Time of one configuration as a multiple of another's",
        f"Dots with intervals: {listed}.",
        caption,
        lambda sheet: _ratio_rows(sheet, rows, names, series, label="takes this many times as long"),
        legend=legend([(factor_title(factor), index) for index, factor in enumerate(factors)]),
    )


def _significant_contrasts(sure: int, rows: int) -> str:
    if rows == 1:
        return f"The difference is {'' if sure else 'not '}statistically significant."
    verb = "is" if sure == 1 else "are"
    return f"{sure} of the {rows} differences {verb} statistically significant."


def _contrast_name(row: dict[str, object]) -> str:
    within = f"  ({row['within']})" if row["within"] else ""
    factor = "concurrency " if row["factor"] == "concurrency" else ""
    return f"{factor}{row['candidate']} vs {row['baseline']}{within}"[:_LONGEST_CONTRAST]


_MOST_RATIOS = 30
_NOT_SIGNIFICANT = 0
_RATIO_GROUPS = (("slower", 5), ("faster", 2), ("inconclusive, or no difference", _NOT_SIGNIFICANT))


def ratios(cells: pd.DataFrame) -> Html:
    """A dot and an interval for each configuration on a log axis, by falling ratio; right of 1× the candidate is slower."""
    known = cells[cells["ratio"].notna()].sort_values("ratio", ascending=False, kind="stable")
    if known.empty:
        return Html()
    # Where there are too many, those in the middle are the least interesting.
    ends = _MOST_RATIOS // 2
    shown = known if len(known) <= _MOST_RATIOS else pd.concat([known.head(ends), known.tail(ends)])
    factors = varying(cells) or ["engine"]
    names = [label(row, factors) for row in records(shown)]
    series = [dict(_RATIO_GROUPS).get(str(verdict), _NOT_SIGNIFICANT) for verdict in shown["verdict"]]
    slower, faster = (int((known["verdict"] == verdict).sum()) for verdict in ("slower", "faster"))
    caption = (
        f"Right of 1× the candidate takes longer. Mark: ratio of the medians; line: its interval, corrected as the verdict is; band: the "
        f"{MARGIN:.0%} within which a difference does not count. {slower} significantly slower and {faster} faster of "
        f"{numbers.count(len(known), 'configuration')}."
    )
    if len(shown) < len(known):
        caption += f" The {ends} highest and the {ends} lowest are drawn; the table has all."
    listed = ". ".join(f"{name} {numbers.ratio(value)}" for name, value in zip(names, shown["ratio"], strict=True))
    return drawn(
        "ratios",
        "Candidate's time as a multiple of the baseline's",
        f"Dots with intervals. {listed}.",
        caption,
        lambda sheet: _ratio_rows(
            sheet, shown, names, series, label="candidate's time / baseline's time", margin=MARGIN
        ),
        legend=legend(list(_RATIO_GROUPS)),
    )


_MOST_GOALS = 3.0
"""Goals on each side: larger errors are drawn at the edge."""
_GOAL_COLOURS = {"met": GOOD, "missed": BAD, "not_shown": MUTED}
_GOAL_MARKERS = {"met": "o", "missed": "s", "not_shown": "D"}


def calibrated(found: Calibration) -> Html:
    """A dot and an interval for each row around the truth; the band between ±1 is the goal. Counts and shares have none."""
    rows = [row for row in map(plain_row_of, found.rows) if row["allowed"] and row["error"] is not None]
    if not rows:
        return Html()
    caption = (
        "Mark: the error by what the goal allows; line: its 95% interval; band: the goal. Round mark: met, diamond: inconclusive, "
        "square: missed. Cross: what plain sockets saw of the same line, where they looked. What is further off than three times "
        "the goal is drawn at the edge; the table has the numbers."
    )
    listed = ". ".join(f"{words.quantity(row['quantity'])} of {row['line']} {words.error(row)}" for row in rows)
    return drawn(
        "calibration",
        "Error, in units of the goal",
        f"Dots with intervals. {listed}.",
        caption,
        lambda sheet: _draw_calibrated(sheet, rows),
    )


def _draw_calibrated(sheet: Sheet, rows: list[dict[str, Any]]) -> Figure:
    figure = sheet.figure(0.7 + (0.42 if sheet.narrow else 0.25) * len(rows))
    ax = figure.subplots()
    ax.axvspan(-1, 1, color=GOOD, alpha=0.12, linewidth=0)
    ax.axvline(0.0, color=MUTED, linewidth=0.9)
    names = [f"{words.quantity(row['quantity'])} · {row['line']}" for row in rows]
    for place, row in enumerate(rows):
        colour = _GOAL_COLOURS[row["verdict"]]
        if row["low"] is not None and row["high"] is not None:
            ends = [_in_goals(row, row[name]) for name in ("low", "high")]
            ax.plot(ends, [place, place], color=colour, alpha=0.55, linewidth=2.6)
        if row["reference"] is not None:
            ax.plot([_in_goals(row, row["reference"])], [place], color=INK, marker="x", markersize=4, linestyle="none")
        edge = abs(_in_goals(row, row["measured"])) >= _MOST_GOALS
        face = PAPER if edge else colour
        marker = _GOAL_MARKERS[row["verdict"]]
        ax.plot(
            [_in_goals(row, row["measured"])],
            [place],
            color=colour,
            marker=marker,
            markerfacecolor=face,
            linestyle="none",
        )
        if sheet.narrow:
            ax.text(-_MOST_GOALS, place - 0.36, names[place], color=INK, va="center", fontsize=sheet.font_pt - 1)
    ax.set_yticks([] if sheet.narrow else range(len(rows)), [] if sheet.narrow else names, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.8 if sheet.narrow else -0.6)
    ax.set_xlim(-_MOST_GOALS * 1.04, _MOST_GOALS * 1.04)
    axes.linear(ax.xaxis, lambda value: f"{value:+g}".replace("-", "−"))
    bare(ax, grid_axis="x")
    ax.set_xlabel("error / goal")
    return figure


def _in_goals(row: dict[str, Any], value: float) -> float:
    off = float((value - row["truth"]) / row["allowed"])
    return max(-_MOST_GOALS, min(_MOST_GOALS, off))
