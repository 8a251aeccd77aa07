"""The run over time: one dot a trial, so that drift, warm-up and failures show."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, GRID, MUTED, Sheet, bare, drawn, legend, series_style
from pullbench.report.html import Html

MOST_TRIALS = 3_000


def timeline(table: pd.DataFrame) -> Html:
    """Dots at each trial's start and median pull time, crosses where pulls failed; nothing for a single trial.

    `table` is that of `timeline.trials_over_time`: at_s, block, warmup, engine, median_s, failed, pulls, failed_after_s.
    """
    if len(table) < 2:
        return Html()
    broken, fine = table[table["failed"] > 0], table[table["failed"] == 0]
    every = -(-len(fine) // MOST_TRIALS) if len(fine) else 1
    rows = pd.concat([fine.iloc[::every], broken]).sort_values("at_s")
    engines = sorted(table["engine"].unique())
    failed = int(table["failed"].sum())
    caption = (
        f"{numbers.count(len(table), 'trial')} in {numbers.seconds(table['at_s'].max())}, every cell once a block in "
        "random order. A level shift here is the network or the registry changing under the run. "
    )
    caption += (
        f"Crosses: {numbers.count(len(broken), 'trial')} with failures, {numbers.count(failed, 'pull')} in all, warm-up included."
        if failed
        else "No pull failed."
    )
    if every > 1:
        caption += f" Of the trials without failures one in {every} is drawn."
    return drawn(
        "timeline",
        "Trials over time",
        f"{len(table)} trials; {len(broken)} of them with failed pulls.",
        caption,
        lambda sheet: _draw(sheet, rows, engines),
        legend=legend([(engine, index) for index, engine in enumerate(engines)]) if len(engines) > 1 else None,
    )


def _draw(sheet: Sheet, rows: pd.DataFrame, engines: list[str]) -> Figure:
    figure = sheet.figure(2.5 if sheet.narrow else 2.7)
    ax = figure.subplots()
    last_s = float(rows["at_s"].max())
    ax.set_xlim(-0.012 * last_s, 1.012 * last_s)
    _blocks(ax, rows)
    for index, engine in enumerate(engines):
        mine = rows[(rows["engine"] == engine) & rows["median_s"].notna()]
        colour, marker = series_style(index)
        ax.plot(
            mine["at_s"], mine["median_s"], color=colour, marker=marker, markersize=3.6, linestyle="none", alpha=0.8
        )
    broken = rows[rows["failed"] > 0]
    height = broken["median_s"].fillna(broken["failed_after_s"])
    ax.plot(broken["at_s"], height, color=BAD, marker="x", markersize=6.5, markeredgewidth=1.6, linestyle="none")
    heights = pd.concat([rows["median_s"], height]).dropna()
    heights = heights[heights > 0]
    if len(heights):
        low, high = float(heights.min()) * 0.8, float(heights.max()) * 1.9
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        axes.logarithmic(ax.yaxis, low, high, axes.seconds_tick)
    axes.elapsed(ax.xaxis, last_s, most=4 if sheet.narrow else 8)
    bare(ax, grid_axis="y")
    ax.set_xlabel("since the run's first trial")
    ax.set_title("median pull time of each trial" + (", log scale" if len(heights) else ""))
    return figure


def _blocks(ax: Axes, rows: pd.DataFrame) -> None:
    """A thin line where each block starts; the warm-up is shaded and named."""
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
