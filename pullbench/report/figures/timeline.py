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
    """A dot a trial, its median pull by its own cell's; crosses where pulls failed; nothing for a single trial.

    `table` is that of `tables.trials_over_time`.
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
        "random order. At 1× a trial took what its own setting takes in the middle; dots that leave 1× together are the "
        "network or the registry changing under the run. "
    )
    caption += (
        f"Crosses: {numbers.count(len(broken), 'trial')} with failures, {numbers.count(failed, 'pull')} in all, warm-up included."
        if failed
        else "No pull failed."
    )
    if (failed_whole := int(broken["ratio"].isna().sum())) > 0:
        caption += f" At the lower edge: {numbers.count(failed_whole, 'trial')} without a successful pull."
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
        mine = rows[(rows["engine"] == engine) & rows["ratio"].notna()]
        colour, marker = series_style(index)
        ax.plot(mine["at_s"], mine["ratio"], color=colour, marker=marker, markersize=3.6, linestyle="none", alpha=0.8)
    broken = rows[rows["failed"] > 0]
    low, high = _reach(rows["ratio"])
    height = broken["ratio"].fillna(low * 1.05)
    ax.plot(broken["at_s"], height, color=BAD, marker="x", markersize=6.5, markeredgewidth=1.6, linestyle="none")
    ax.axhline(1.0, color=MUTED, linewidth=0.9)
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    axes.doublings(ax.yaxis, low, high)
    axes.elapsed(ax.xaxis, last_s, most=4 if sheet.narrow else 8)
    bare(ax, grid_axis="y")
    ax.set_xlabel("since the run's first trial")
    ax.set_title("median pull of each trial, as a multiple of its own setting's")
    return figure


def _reach(ratios: pd.Series) -> tuple[float, float]:
    """The ends of the axis: at least 0.7× to 1.6×, so that noise of a percent does not look like drift."""
    known = ratios.dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
    return min(0.7, low * 0.85), max(1.6, high * 1.25)


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
