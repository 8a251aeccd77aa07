"""The layer waterfall: each exchange of one pull as a bar over time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report import numbers
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, INK, MUTED, Sheet, bare, drawn, legend
from pullbench.report.html import Html, join
from pullbench.report.stored import records
from pullbench.report.waterfall import MedianPull

MOST_ROWS = 32
PHASES = (("connecting_s", "connect", 1), ("wait_s", "wait for first byte", 3), ("transfer_s", "transfer", 0))
EXTRACT = ("unpack", 2)
_COLOURS = {0: "#0072b2", 1: "#e69f00", 2: "#009e73", 3: "#cc79a7"}


def waterfalls(pulls: Sequence[MedianPull]) -> Html:
    """A figure for each pull; nothing where no engine shows its exchanges."""
    return join(waterfall(entry.steps, entry.setting, entry.pull) for entry in pulls)


def waterfall(steps: pd.DataFrame, setting: str, pull: Mapping[str, Any]) -> Html:
    """The steps of one pull as bars over its time; `setting` names its cell."""
    rows = steps.head(MOST_ROWS)
    names = [_name(row) for row in records(rows)]
    longest = max(records(rows), key=lambda row: row["total_s"] if row["total_s"] == row["total_s"] else 0.0)
    took_s = float(pull["duration_s"])
    caption = (
        f"{setting}: {pull['image']}, {numbers.seconds(took_s)} in all, the pull nearest to the median of its setting. "
        f"The longest step is {_name(longest)}: {numbers.seconds(longest['total_s'])}"
        f"{_rate(longest)}."
    )
    if rows["extract_s"].notna().any():
        caption += " Unpacking is one layer after the other; its start is reckoned, its duration measured."
    if len(steps) > len(rows):
        caption += f" {len(steps) - len(rows)} more steps are not drawn."
    phases = [(text, colour) for column, text, colour in PHASES if rows[column].notna().any()]
    phases = phases or [("download", 0)]
    phases += [EXTRACT] if rows["extract_s"].notna().any() else []
    return drawn(
        f"waterfall-{pull['trial']}-{pull['pull']}",
        f"Inside a median pull: {setting}",
        f"{len(rows)} bars over {numbers.seconds(took_s)}: {'; '.join(names)}.",
        caption,
        lambda sheet: _draw(sheet, rows, names, took_s),
        legend=legend(phases, marker="s"),
    )


def _name(row: Mapping[str, Any]) -> str:
    size = f" {numbers.size(row['bytes'])}" if row["bytes"] == row["bytes"] else ""
    again = f" (attempt {int(row['attempt'])})" if row["attempt"] > 1 else ""
    return f"{row['kind']}{size}{again}"


def _rate(row: Mapping[str, Any]) -> str:
    seconds = row["transfer_s"] if row["transfer_s"] == row["transfer_s"] else row["total_s"]
    return f" at {numbers.rate(row['bytes'] / seconds)}" if seconds and row["bytes"] == row["bytes"] else ""


def _bars(row: Mapping[str, Any]) -> Iterator[tuple[float, float, str]]:
    """Start, length and colour of the parts of one step."""
    at_s = row["start_s"]
    parts = [(row[column], colour) for column, _, colour in PHASES if row[column] == row[column]]
    if not parts and row["total_s"] == row["total_s"]:
        parts = [(row["total_s"], 0)]
    for length_s, colour in parts:
        yield at_s, length_s, _COLOURS[colour]
        at_s += length_s
    if row["extract_s"] == row["extract_s"]:
        yield row["extract_start_s"], row["extract_s"], _COLOURS[EXTRACT[1]]


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str], took_s: float) -> Figure:
    figure = sheet.figure(0.5 + 0.23 * len(rows))
    ax = figure.subplots()
    for place, row in enumerate(records(rows)):
        for start_s, length_s, colour in _bars(row):
            ax.barh(place, length_s, left=start_s, height=0.62, color=colour, linewidth=0)
        if isinstance(row["error_code"], str):
            ax.plot([row["start_s"] + (row["total_s"] or 0)], [place], marker="x", color=BAD, markeredgewidth=1.8)
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
