"""A benchmark over its runs: each run's level with its interval, the steps between them, failures in red."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, MUTED, SERIES, Sheet, bare, drawn, legend
from pullbench.report.render.html import Html

_MOST_QUARTERS = 12


def trend(runs: pd.DataFrame, steps: pd.DataFrame) -> Html:
    """A mark a run over time, a line a level, a rule at each step; from two runs on, for one has no course."""
    if len(runs) < 2:
        return Html()
    whole = steps[steps["setting"] == ""]
    failed = int((runs["succeeded"] < runs["pulls"]).sum())
    caption = (
        f"Mark: geometric mean of the settings' median pulls; line on it: 95% interval over the run's blocks. "
        f"{_said(whole)} From {numbers.count(len(runs), 'run')}."
    )
    if failed:
        caption += f" Red: {numbers.count(failed, 'run')} with failed pulls, which are in no time."
    told = "; ".join(f"{row['started_at']:%Y-%m-%d} {numbers.seconds(row['level_s'])}" for row in records(runs))
    return drawn(
        "trend",
        "Time of a pull, run by run",
        f"Marks over time: {told}.",
        caption,
        lambda sheet: _draw(sheet, runs, whole),
        legend=legend([("run", 0), ("level", 1)]),
    )


def _said(steps: pd.DataFrame) -> str:
    if steps.empty:
        return "No step is shown."
    parts = [f"{row['started_at']:%d %b %Y}: {numbers.ratio(row['ratio'])}" for row in records(steps)]
    return f"Dashed: {numbers.count(len(steps), 'step')} ({', '.join(parts)})."


def _draw(sheet: Sheet, runs: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    figure = sheet.figure(3.1 if sheet.narrow else 3.0)
    ax = figure.subplots()
    at = [_day(instant) for instant in runs["started_at"].dt.tz_convert(None)]
    level, low, high = (runs[name].to_numpy(dtype=float) for name in ("level_s", "level_low_s", "level_high_s"))
    colours = [BAD if row["succeeded"] < row["pulls"] else SERIES[0] for row in records(runs)]
    for x, bottom, top, colour in zip(at, low, high, colours, strict=True):
        if bottom == bottom:
            ax.plot([x, x], [bottom, top], color=colour, alpha=0.45, linewidth=2.2)
    ax.scatter(at, level, color=colours, s=20, zorder=3)
    stretch = (runs["level_of_step_s"] != runs["level_of_step_s"].shift()).cumsum()
    for _, part in runs.assign(at=at).groupby(stretch):
        ends = [float(part["at"].iloc[0]), float(part["at"].iloc[-1])]
        ax.plot(ends, [float(part["level_of_step_s"].iloc[0])] * 2, color=SERIES[1], linewidth=1.6, zorder=2)
    by_run = dict(zip(runs["run_id"], at, strict=True))
    for row in records(steps):
        ax.axvline(by_run[row["run_id"]], color=MUTED, linewidth=0.9, linestyle="--")
    axes.headroom(ax, float(pd.Series([*level, *high]).max()))
    axes.linear(ax.yaxis, axes.seconds_tick)
    _quarters(ax, at)
    bare(ax, grid_axis="y")
    ax.set_ylabel("" if sheet.narrow else "median pull")
    return figure


def _day(instant: pd.Timestamp) -> float:
    """Days since 1970: the axis."""
    return (instant - pd.Timestamp(0)) / pd.Timedelta(days=1)


def _quarters(ax: Axes, at: Sequence[float]) -> None:
    """Ticks where quarters begin; days where all runs are of less than two quarters, and times where they are of one day."""
    first, last = (pd.Timestamp(day, unit="D").round("s") for day in (min(at), max(at)))
    begins = pd.date_range(first.normalize(), last, freq="QS")
    if len(begins) > 1:
        begins = begins[:: -(-len(begins) // _MOST_QUARTERS)]
        names = [f"{day.year} Q{day.quarter}" for day in begins]
    elif last - first < pd.Timedelta(days=1):
        begins = pd.DatetimeIndex(sorted({first, first + (last - first) / 2, last}))
        names = [f"{instant:%H:%M}" for instant in begins]
        ax.set_xlabel(f"{first:%d %B %Y}, UTC".lstrip("0"))
    else:
        begins = pd.DatetimeIndex(sorted({first.ceil("D"), last.normalize()}))
        names = [f"{day:%d %b %Y}".lstrip("0") for day in begins]
    ax.xaxis.set_major_locator(FixedLocator([_day(day) for day in begins]))
    ax.xaxis.set_major_formatter(FixedFormatter(names))
    slack = 0.02 * (max(at) - min(at)) or 0.02
    ax.set_xlim(min(at) - slack, max(at) + slack)
