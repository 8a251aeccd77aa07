"""The pictures of a stress test: what each load gives, and how the test went over time."""

import math
from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pullbench.model.ramp import StepVerdict
from pullbench.report.core import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, GRID, MUTED, PAPER, SERIES, Sheet, bare, drawn, legend
from pullbench.report.render.html import Html
from pullbench.report.stress.steps import Stressed

_UP, _DOWN = 0, 1
_LOG_FROM = 6
_PHASE_NAMES = {"up": "up", "hold": "hold", "down": "down"}
MOST_TICKS = {False: 10, True: 6}


def load_curve(found: Stressed, mean_target_s: float | None) -> Html:
    """Pulls a second and mean pull time over the load, up and down, with the limit, the knee and the objective.

    Nothing where fewer than two loads were measured.
    """
    up = found.up
    if len(up) < 2:
        return Html()
    down = found.steps[(found.steps["phase"] == "down") & (found.steps["rate_limited"] == 0)].drop_duplicates(
        "load", keep="last"
    )
    keys: list[tuple[str, int | None]] = [("way up", _UP)]
    keys += [("way down", _DOWN)] if len(down) else []
    return drawn(
        "load-curve",
        "What each load gives",
        f"Two panels over {', '.join(f'{load:g}' for load in up['load'])}: pulls a second, and mean pull time. "
        "The table of steps has the numbers.",
        _curve_caption(found, mean_target_s),
        lambda sheet: _draw_curve(sheet, found, up, down, mean_target_s),
        legend=legend(keys),
    )


def course_over_time(table: pd.DataFrame, found: Stressed, mean_target_s: float | None) -> Html:
    """The load over time, and below it each trial's mean pull; `table` is that of `stress_course.course`."""
    if len(table) < 2:
        return Html()
    failed = int(table["failed"].sum())
    caption = "Above: the load of each trial; between trials there is none. Below: the mean pull of each trial"
    caption += ", on a logarithmic scale. " if _spreads(table["mean_s"]) else ". "
    caption += "Shaded: where the load was held, and the way down. " if (table["phase"] != "up").any() else ""
    caption += (
        f"Crosses: trials with failures, {numbers.count(failed, 'pull')} in all." if failed else "No pull failed."
    )
    return drawn(
        "course",
        "The test over time",
        f"{len(table)} trials in {numbers.seconds(float(table['ends_s'].max()))}; {failed} pulls failed.",
        caption,
        lambda sheet: _draw_course(sheet, table, found, mean_target_s),
    )


def _curve_caption(found: Stressed, mean_target_s: float | None) -> str:
    said = (
        "Marks: geometric mean of pulls a second, and mean of the trials' means; bars: their 95% intervals over trials."
    )
    if found.held is not None and found.broke is not None:
        said += f" Shaded: between {found.held:g}, which held, and {found.broke:g}, which missed an objective, lies the limit."
    elif found.broke is not None:
        said += f" At {found.broke:g} an objective was missed."
    if found.knee is not None:
        said += f" Dotted: the knee, {found.knee:g}."
    if found.stress.ramp == "rate":
        said += " Grey line: what was offered."
    if mean_target_s is not None:
        said += f" Dashed: the mean pull time that is asked, {numbers.seconds(mean_target_s)}."
    return said


def _draw_curve(
    sheet: Sheet, found: Stressed, up: pd.DataFrame, down: pd.DataFrame, mean_target_s: float | None
) -> Figure:
    figure = sheet.figure(4.6 if sheet.narrow else 3.0)
    panels = figure.subplots(2, 1) if sheet.narrow else figure.subplots(1, 2)
    _panel(panels[0], found, up, down, "rate{}", lambda value: f"{value:g}/s", sheet)
    panels[0].set_title("successful pulls a second")
    if found.stress.ramp == "rate":
        panels[0].plot(up["load"], up["load"], color=GRID, linewidth=1.4, zorder=1)
    _panel(panels[1], found, up, down, "mean{}_s", axes.seconds_tick, sheet)
    panels[1].set_title("mean pull time")
    if mean_target_s is not None:
        panels[1].axhline(mean_target_s, color=BAD, linewidth=1.1, linestyle=(0, (5, 3)))
    return figure


def _panel(
    ax: Axes,
    found: Stressed,
    up: pd.DataFrame,
    down: pd.DataFrame,
    column: str,
    text: Callable[[float], str],
    sheet: Sheet,
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
    every = -(-len(loads) // MOST_TICKS[sheet.narrow])
    axes.doubling(ax.xaxis, loads[::-1][::every][::-1])
    ax.set_xlim(loads[0] * 0.88, loads[-1] * 1.14)
    ax.set_xlabel("pulls at once" if found.stress.ramp == "concurrency" else "pulls a second, offered")
    _height(ax, pd.concat([up[value], down[value], up[high], down[high]]), text)
    bare(ax, grid_axis="y")


def _height(ax: Axes, values: pd.Series, text: Callable[[float], str]) -> None:
    known = values.dropna()
    if known.empty:
        return
    if _spreads(known):
        low, high = float(known.min()) * 0.7, float(known.max()) * 1.25
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
    above.set_title("load: " + ("pulls at once" if found.stress.ramp == "concurrency" else "pulls a second, offered"))
    middle = (table["at_s"] + table["ends_s"]) / 2
    below.plot(middle, table["mean_s"], color=SERIES[_UP], marker="o", markersize=3.6, linestyle="none")
    if mean_target_s is not None:
        below.axhline(mean_target_s, color=BAD, linewidth=1.1, linestyle=(0, (5, 3)))
    _height(below, table["mean_s"], axes.seconds_tick)
    _failures(below, table, middle)
    below.set_title("mean pull of each trial")
    for ax in (above, below):
        ax.set_xlim(-0.012 * last_s, 1.012 * last_s)
        bare(ax, grid_axis="y")
    axes.elapsed(below.xaxis, last_s, most=4 if sheet.narrow else 8)
    below.set_xlabel("since the first step began")
    return figure


def _failures(ax: Axes, table: pd.DataFrame, middle: pd.Series) -> None:
    """A cross a trial with failures: at its mean, or at the lower edge where no pull succeeded."""
    broken = table["failed"] > 0
    low = ax.get_ylim()[0]
    height = table["mean_s"].fillna(low if math.isfinite(low) else 0.0)
    ax.plot(
        middle[broken], height[broken], color=BAD, marker="x", markersize=6.5, markeredgewidth=1.6, linestyle="none"
    )
