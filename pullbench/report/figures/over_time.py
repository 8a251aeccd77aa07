"""Over time: the trials of one run, and the runs of one benchmark."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, CROSSES, GRID, MUTED, SERIES, Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html

_MOST_TRIALS = 3_000


def timeline(table: pd.DataFrame) -> Html:
    """A dot a trial, its median pull divided by its configuration's; crosses by error code; nothing for one trial.

    `table` is that of `tables.trials_over_time`.
    """
    if len(table) < 2:
        return Html()
    broken, fine = table[table["failed"] > 0], table[table["failed"] == 0]
    every = -(-len(fine) // _MOST_TRIALS) if len(fine) else 1
    rows = pd.concat([fine.iloc[::every], broken]).sort_values("at_s")
    engines, codes = sorted(table["engine"].unique()), _codes(broken)
    keys = [(engine, index) for index, engine in enumerate(engines)] if len(engines) > 1 else []
    crosses = [(f"failed: {code}", index) for index, code in enumerate(codes)]
    return drawn(
        "timeline",
        "Trials over time",
        f"{len(table)} trials; {len(broken)} of them with failed pulls{_by_code(broken)}.",
        _timeline_caption(table, broken, every),
        lambda sheet: _draw_timeline(sheet, rows, engines, codes),
        legend=legend(keys, crosses=crosses) if keys or crosses else None,
    )


def _timeline_caption(table: pd.DataFrame, broken: pd.DataFrame, every: int) -> str:
    failed = int(table["failed"].sum())
    said = (
        f"{numbers.count(len(table), 'trial')}; the last started {numbers.seconds(table['at_s'].max())} after the first. "
        "Every configuration ran once a repetition, in random order. 1× is the typical time of the same configuration. If the dots of all configurations move "
        "away from 1× at the same time, the network or the registry changed. "
    )
    said += (
        f"Crosses: {numbers.count(len(broken), 'trial')} with {numbers.count(failed, 'failed pull')}, warm-up included, "
        f"by the most frequent error{_by_code(broken)}."
        if failed
        else "No pull failed."
    )
    if (failed_whole := int(broken["ratio"].isna().sum())) > 0:
        said += f" At the bottom: {numbers.count(failed_whole, 'trial')} without a successful pull."
    return f"{said} One in {every} of the trials without failures is drawn." if every > 1 else said


def _codes(broken: pd.DataFrame) -> list[str]:
    """The error codes that have a mark of their own, the most frequent first; what is rarer shares the last mark."""
    found = [str(code) for code in broken["code"].fillna("unknown").value_counts().index]
    return found if len(found) <= len(CROSSES) else [*found[: len(CROSSES) - 1], "other"]


def _by_code(broken: pd.DataFrame) -> str:
    counts = broken["code"].fillna("unknown").value_counts().head(len(CROSSES))
    return f" ({', '.join(f'{code} in {count}' for code, count in counts.items())})" if len(counts) else ""


def _draw_timeline(sheet: Sheet, rows: pd.DataFrame, engines: Sequence[str], codes: Sequence[str]) -> Figure:
    figure = sheet.figure(2.5 if sheet.narrow else 2.7)
    ax = figure.subplots()
    last_s = float(rows["at_s"].max())
    ax.set_xlim(-0.012 * last_s, 1.012 * last_s)
    _blocks(ax, rows)
    for index, engine in enumerate(engines):
        mine = rows[(rows["engine"] == engine) & rows["ratio"].notna()]
        colour, marker = series_style(index)
        ax.plot(mine["at_s"], mine["ratio"], color=colour, marker=marker, markersize=3.6, linestyle="none", alpha=0.8)
    low, high = _reach(rows["ratio"])
    _crosses(ax, rows[rows["failed"] > 0], codes, low * 1.05)
    ax.axhline(1.0, color=MUTED, linewidth=0.9)
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    axes.doublings(ax.yaxis, low, high)
    axes.elapsed(ax.xaxis, last_s, most=4 if sheet.narrow else 8)
    bare(ax, grid_axis="y")
    ax.set_xlabel("since the run's first trial")
    title = "p50, relative to its configuration" if sheet.narrow else None
    ax.set_title(title or "p50 of each trial, relative to its configuration")
    return figure


def _crosses(ax: Axes, broken: pd.DataFrame, codes: Sequence[str], edge: float) -> None:
    """The trials with failures, a mark a code; those without a successful pull are at the bottom."""
    place = {code: index for index, code in enumerate(codes)}
    marks = broken["code"].fillna("unknown").map(place).fillna(len(codes) - 1)
    for index in range(len(codes)):
        mine, (mark, _) = broken[marks == index], CROSSES[index]
        style: dict[str, Any] = {
            "marker": mark,
            "markersize": 6.5,
            "markeredgewidth": 1.6,
            "linestyle": "none",
            "color": BAD,
        }
        ax.plot(mine["at_s"], mine["ratio"].fillna(edge), **style)


def _reach(ratios: pd.Series) -> tuple[float, float]:
    """The ends of the axis: at least 0.7× to 1.6×, so that noise of a percent does not look like drift."""
    known = ratios.dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
    return min(0.7, low * 0.85), max(1.6, high * 1.25)


def _blocks(ax: Axes, rows: pd.DataFrame) -> None:
    """A thin line where each repetition starts; the warm-up is shaded and named."""
    starts = rows.groupby("block")["at_s"].min()
    if len(starts) <= 40:
        for start in starts.iloc[1:]:
            ax.axvline(start, color=GRID, linewidth=0.7)
    warm = rows[rows["warmup"].astype(bool)]
    counted = rows[~rows["warmup"].astype(bool)]
    if len(warm):
        end = counted["at_s"].min() if len(counted) else warm["at_s"].max()
        ax.axvspan(ax.get_xlim()[0], end, color=GRID, alpha=0.35, linewidth=0)
        ax.annotate(
            "warm-up", (0, 1), (6, -5), "axes fraction", "offset points", color=MUTED, va="top", fontsize="small"
        )


_MOST_QUARTERS = 12


def trend(runs: pd.DataFrame, steps: pd.DataFrame, engines: str = "") -> Html:
    """A mark for each run over time, a line for each level, a rule at each change point; nothing for one run.

    `engines` are named where other engines have a drawing of their own.
    """
    if len(runs) < 2:
        return Html()
    failed = int((runs["succeeded"] < runs["pulls"]).sum())
    caption = (
        f"Mark: geometric mean of the configurations' median pulls; line: its 95% interval over the run's repetitions. "
        f"{_steps_said(steps)} From {numbers.count(len(runs), 'run')}."
    )
    if failed:
        caption += f" Red: {numbers.count(failed, 'run')} with failed pulls, which have no pull time."
    listed = ". ".join(f"{row['started_at']:%Y-%m-%d} {numbers.seconds(row['level_s'])}" for row in records(runs))
    return drawn(
        f"trend{''.join(letter for letter in engines if letter.isalnum())}",
        f"Median pull time of each run{f' with {engines}' if engines else ''}",
        f"Marks over time. {listed}.",
        caption,
        lambda sheet: _draw_trend(sheet, runs, steps),
        legend=legend([("run", 0), ("level", 1)]),
    )


def _steps_said(steps: pd.DataFrame) -> str:
    if steps.empty:
        return "No change point."
    parts = [f"{row['started_at']:%d %b %Y}: {numbers.ratio(row['ratio'])}" for row in records(steps)]
    return f"Dashed: {numbers.count(len(steps), 'change point')} ({', '.join(parts)})."


def _draw_trend(sheet: Sheet, runs: pd.DataFrame, steps: pd.DataFrame) -> Figure:
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
    """Ticks at the start of quarters; days where the runs are within two quarters, times where they are of one day."""
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
