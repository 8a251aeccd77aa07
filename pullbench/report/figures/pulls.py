"""Single pulls: the distribution of their times, the parts of one pull, and when the nodes of a fleet have the image."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, INK, MUTED, SERIES, Sheet, bare, drawn, legend, series_style
from pullbench.report.fleet.times import arrivals
from pullbench.report.render.html import Html, join, shortened
from pullbench.report.run.pulls import MedianPull, Spread

_LOG_FROM = 6
_DASHES = ("-", (0, (5.0, 1.5)), (0, (1.5, 1.0)), (0, (6.0, 1.5, 1.5, 1.5)))
_NAMED = 4


def ecdf(shown: Sequence[Spread], left_out: Sequence[str], engines: Sequence[str]) -> Html:
    """A curve a configuration, of the pulls that succeeded; nothing without one. `shown` and `left_out` are those of `spreads`.

    `engines` are all of the run, in order: each has the colour that it has in the other figures.
    """
    if not shown:
        return Html()
    widest = max(shown, key=lambda each: each.times_s[-1] / each.times_s[0])
    caption = (
        "A curve further right is slower; a flatter curve varies more. With "
        f"{widest.name} the slowest pull took {numbers.ratio(float(widest.times_s[-1] / widest.times_s[0]))} the time of the "
        f"fastest ({numbers.seconds(float(widest.times_s[-1]))} and {numbers.seconds(float(widest.times_s[0]))})"
    )
    caption += ". Failed pulls are in no curve."
    if left_out:
        named = ", ".join(left_out[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        caption += f" Not drawn: {named}{more}."
    series = _series(shown, engines)
    listed = "; ".join(
        f"{each.name}: {numbers.seconds(float(each.times_s[0]))} to {numbers.seconds(float(each.times_s[-1]))}, "
        f"{numbers.count(each.n, 'pull')}"
        for each in shown
    )
    return drawn(
        "spread",
        "Share of pulls that took no longer than a time",
        f"Rising curves from the fastest pull to the slowest: {listed}.",
        caption,
        lambda sheet: _draw_ecdf(sheet, shown, series),
        legend=legend([(f"{each.name} (n = {each.n:,})", of) for each, of in zip(shown, series, strict=True)]),
    )


def _series(shown: Sequence[Spread], engines: Sequence[str]) -> list[int]:
    """A series for each curve: of several engines, curves of one engine have its colour and a marker each."""
    if len(engines) < 2:
        return list(range(len(shown)))
    before = [sum(other.engine == each.engine for other in shown[:place]) for place, each in enumerate(shown)]
    return [
        engines.index(each.engine) % len(SERIES) + len(SERIES) * rank for each, rank in zip(shown, before, strict=True)
    ]


def _draw_ecdf(sheet: Sheet, shown: Sequence[Spread], series: Sequence[int]) -> Figure:
    figure = sheet.figure(2.7 if sheet.narrow else 2.9)
    ax = figure.subplots()
    low = min(float(each.times_s[0]) for each in shown)
    high = max(float(each.times_s[-1]) for each in shown)
    for index, each in enumerate(shown):
        colour, marker = series_style(series[index])
        every = max(1, len(each.times_s) // 5)
        ax.plot(
            [each.times_s[0], *each.times_s],
            [0, *each.shares],
            drawstyle="steps-post" if each.n == len(each.times_s) else "default",
            color=colour,
            linestyle=_DASHES[index % len(_DASHES)],
            linewidth=1.6,
            marker=marker,
            markersize=4,
            markevery=(index % every, every),
        )
    if low > 0 and high / low > _LOG_FROM:
        ax.set_xscale("log")
        ax.set_xlim(low * 0.9, high * 1.1)
        axes.logarithmic(ax.xaxis, low * 0.9, high * 1.1, axes.seconds_tick, most=4 if sheet.narrow else 9)
        ax.set_xlabel("time of a pull, log scale")
    else:
        ax.set_xlim(0, high * 1.04)
        axes.elapsed(ax.xaxis, high * 1.04, most=4 if sheet.narrow else 8)
        ax.set_xlabel("time of a pull")
    ax.set_ylim(0, 1.03)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    bare(ax, grid_axis="both")
    ax.set_title("share of successful pulls")
    return figure


_MOST_STEPS = 32
_PHASES: tuple[tuple[str, str, int | None], ...] = (
    ("connecting_s", "connect", 1),
    ("wait_s", "wait for first byte", 3),
    ("transfer_s", "transfer", 0),
    ("other_s", "other: in the client", None),
)
_EXTRACT = ("unpack", 2)
_RATE_FROM_BYTES = 1_000_000
"""A smaller layer may be in the socket's buffer as a whole when its first byte is read: its rate says nothing."""
_OTHER_FROM = 0.005
"""From this share of the pull on, what no phase explains is in the key."""


def waterfalls(pulls: Sequence[MedianPull]) -> Html:
    """A figure for each pull; nothing where no engine shows its exchanges."""
    return join(waterfall(entry.steps, entry.setting, entry.pull) for entry in pulls)


def waterfall(steps: pd.DataFrame, setting: str, pull: Mapping[str, Any]) -> Html:
    """The steps of one pull as bars over its time; `setting` names its configuration."""
    rows = steps.head(_MOST_STEPS)
    names = [_step_name(row) for row in records(rows)]
    took_s = float(pull["duration_s"])
    caption = (
        f"{setting}: {shortened(str(pull['image']))}, {numbers.seconds(took_s)} in all, the pull nearest to the median of its configuration. "
        f"Steps are in the order of their start. {_longest(rows)}"
    )
    if rows["extract_s"].notna().any():
        caption += " Layers unpack one after the other; the duration is measured, the start computed."
    if len(steps) > len(rows):
        caption += f" {len(steps) - len(rows)} more steps are not drawn."
    phases = [(text, colour) for column, text, colour in _PHASES if _seen(rows, column, took_s)]
    phases = phases or [("download", 0)]
    phases += [_EXTRACT] if rows["extract_s"].notna().any() else []
    return drawn(
        f"waterfall-{pull['trial']}-{pull['pull']}",
        f"Inside a median pull: {setting}",
        f"{len(rows)} bars over {numbers.seconds(took_s)}: {'; '.join(names)}.",
        caption,
        lambda sheet: _draw_waterfall(sheet, rows, names, took_s),
        legend=legend(phases, marker="s"),
    )


def _step_name(row: Mapping[str, Any]) -> str:
    size = f" {numbers.size(row['bytes'])}" if row["bytes"] == row["bytes"] else ""
    again = f" (attempt {int(row['attempt'])})" if row["attempt"] > 1 else ""
    return f"{row['kind']}{size}{again}"


def _seen(rows: pd.DataFrame, column: str, took_s: float) -> bool:
    return bool(rows[column].notna().any() and (column != "other_s" or rows[column].max() > _OTHER_FROM * took_s))


def _longest(rows: pd.DataFrame) -> str:
    """The step with the longest bar, unpacking apart, and what it is made of."""
    row = max(records(rows), key=_length_s)
    said = f"The longest {'download' if rows['extract_s'].notna().any() else 'step'} is {_step_name(row)}, {numbers.seconds(_length_s(row))}"
    if row["wait_s"] == row["wait_s"] and row["transfer_s"] == row["transfer_s"]:
        said += (
            f": {numbers.seconds(row['wait_s'])} wait for the first byte, {numbers.seconds(row['transfer_s'])} transfer"
        )
        if row["kind"] == "layer" and row["bytes"] >= _RATE_FROM_BYTES and row["transfer_s"]:
            said += f" at {numbers.rate(row['bytes'] / row['transfer_s'])}"
    return f"{said}."


def _parts(row: Mapping[str, Any]) -> list[tuple[float, int | None]]:
    """Length and colour of what a step's own bar is made of; together they are its time from start to end."""
    parts = [(row[column], colour) for column, _, colour in _PHASES if row[column] == row[column]]
    return parts or ([(row["total_s"], 0)] if row["total_s"] == row["total_s"] else [])


def _length_s(row: Mapping[str, Any]) -> float:
    return float(sum(length_s for length_s, _ in _parts(row)))


def _bars(row: Mapping[str, Any]) -> Iterator[tuple[float, float, str]]:
    """Start, length and colour of the bars of one step."""
    at_s = row["start_s"]
    for length_s, colour in _parts(row):
        yield at_s, length_s, MUTED if colour is None else SERIES[colour]
        at_s += length_s
    if row["extract_s"] == row["extract_s"]:
        yield row["extract_start_s"], row["extract_s"], SERIES[_EXTRACT[1]]


def _draw_waterfall(sheet: Sheet, rows: pd.DataFrame, names: list[str], took_s: float) -> Figure:
    figure = sheet.figure(0.5 + 0.23 * len(rows))
    ax = figure.subplots()
    for place, row in enumerate(records(rows)):
        for start_s, length_s, colour in _bars(row):
            ax.barh(place, length_s, left=start_s, height=0.62, color=colour, linewidth=0)
        if isinstance(row["error_code"], str):
            ax.plot([row["start_s"] + _length_s(row)], [place], marker="x", color=BAD, markeredgewidth=1.8)
    ax.axvline(took_s, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)))
    ax.set_yticks(range(len(rows)), names, color=INK)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    last_s = max(
        took_s,
        float(rows["start_s"].max()),
        *(start + length for row in records(rows) for start, length, _ in _bars(row)),
    )
    ax.set_xlim(0, 1.01 * last_s)
    axes.elapsed(ax.xaxis, last_s, most=4 if sheet.narrow else 8)
    bare(ax, grid_axis="x")
    ax.set_xlabel("since the pull's start; dashed: its end")
    return figure


_MOST_LINES = 6


def spread(stored: StoredRun, cells: pd.DataFrame) -> Html:
    """The share of nodes that have the image over the time since the common start: a line for each configuration."""
    shown = records(cells.head(_MOST_LINES))
    factors = [name for name in tables.varying(cells) if name != "concurrency"] if len(cells) else []
    lines = [(tables.label(row, factors) or str(row["proxy"]), arrivals(stored, row), row["nodes"]) for row in shown]
    lines = [line for line in lines if line[1]]
    if not lines:
        return Html()
    caption = "The n-th node's time is the median over trials. Where a line ends below 100%, nodes failed."
    if len(cells) > len(shown):
        caption += f" The table has {len(cells) - len(shown)} more configurations."
    return drawn(
        "spread",
        "Nodes with the image over time",
        f"Lines from 0% to 100% of the nodes for {', '.join(name for name, _, _ in lines)}. The table has the numbers.",
        caption,
        lambda sheet: _draw_spread(sheet, lines),
        legend=legend([(name, index) for index, (name, _, _) in enumerate(lines)]),
    )


def _draw_spread(sheet: Sheet, lines: list[tuple[str, list[float], int]]) -> Figure:
    figure = sheet.figure(3.2)
    ax = figure.subplots()
    longest = max(times[-1] for _, times, _ in lines)
    for index, (_, times, nodes) in enumerate(lines):
        colour, _ = series_style(index)
        shares = [100 * (rank + 1) / nodes for rank in range(len(times))]
        ax.step([0.0, *times], [0.0, *shares], where="post", color=colour)
    axes.elapsed(ax.xaxis, longest, most=4 if sheet.narrow else 8)
    ax.set_xlim(0, longest * 1.05)
    ax.set_ylim(0, 104)
    axes.linear(ax.yaxis, lambda value: f"{value:g}%")
    bare(ax, grid_axis="both")
    ax.set_xlabel("since the common start")
    ax.set_ylabel("nodes with the image")
    return figure
