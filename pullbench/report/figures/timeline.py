"""The run over time: one dot a trial, so that drift, warm-up and failures show."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.report.core import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, CROSSES, GRID, MUTED, Sheet, bare, drawn, legend, series_style
from pullbench.report.render.html import Html

MOST_TRIALS = 3_000


def timeline(table: pd.DataFrame) -> Html:
    """A dot a trial, its median pull by its own cell's; crosses by error code where pulls failed; nothing for one trial.

    `table` is that of `tables.trials_over_time`.
    """
    if len(table) < 2:
        return Html()
    broken, fine = table[table["failed"] > 0], table[table["failed"] == 0]
    every = -(-len(fine) // MOST_TRIALS) if len(fine) else 1
    rows = pd.concat([fine.iloc[::every], broken]).sort_values("at_s")
    engines, codes = sorted(table["engine"].unique()), _codes(broken)
    keys = [(engine, index) for index, engine in enumerate(engines)] if len(engines) > 1 else []
    crosses = [(f"failed: {code}", index) for index, code in enumerate(codes)]
    return drawn(
        "timeline",
        "Trials over time",
        f"{len(table)} trials; {len(broken)} of them with failed pulls{_by_code(broken)}.",
        _caption(table, broken, every),
        lambda sheet: _draw(sheet, rows, engines, codes),
        legend=legend(keys, crosses=crosses) if keys or crosses else None,
    )


def _caption(table: pd.DataFrame, broken: pd.DataFrame, every: int) -> str:
    failed = int(table["failed"].sum())
    said = (
        f"{numbers.count(len(table), 'trial')} in {numbers.seconds(table['at_s'].max())}, every cell once a block in "
        "random order. At 1× a trial took what its own setting takes in the middle; dots that leave 1× together are the "
        "network or the registry changing under the run. "
    )
    said += (
        f"Crosses: {numbers.count(len(broken), 'trial')} with failures, {numbers.count(failed, 'pull')} in all, warm-up "
        f"included, by the error that most of a trial's failures have{_by_code(broken)}."
        if failed
        else "No pull failed."
    )
    if (failed_whole := int(broken["ratio"].isna().sum())) > 0:
        said += f" At the lower edge: {numbers.count(failed_whole, 'trial')} without a successful pull."
    return f"{said} Of the trials without failures one in {every} is drawn." if every > 1 else said


def _codes(broken: pd.DataFrame) -> list[str]:
    """The error codes that have a mark of their own, the most frequent first; what is rarer shares the last mark."""
    found = [str(code) for code in broken["code"].fillna("unknown").value_counts().index]
    return found if len(found) <= len(CROSSES) else [*found[: len(CROSSES) - 1], "other"]


def _by_code(broken: pd.DataFrame) -> str:
    counts = broken["code"].fillna("unknown").value_counts().head(len(CROSSES))
    return f" ({', '.join(f'{code} in {count}' for code, count in counts.items())})" if len(counts) else ""


def _draw(sheet: Sheet, rows: pd.DataFrame, engines: Sequence[str], codes: Sequence[str]) -> Figure:
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
    title = "median pull, as a multiple of its setting's" if sheet.narrow else None
    ax.set_title(title or "median pull of each trial, as a multiple of its own setting's")
    return figure


def _crosses(ax: Axes, broken: pd.DataFrame, codes: Sequence[str], edge: float) -> None:
    """The trials with failures, a mark a code; those without a successful pull stand at the edge."""
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
