"""The layer waterfall: each exchange of one pull as a bar over time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures import axes
from pullbench.report.figures.style import BAD, INK, MUTED, SERIES, Sheet, bare, drawn, legend
from pullbench.report.render.html import Html, join, shortened
from pullbench.report.run.pulls import MedianPull

MOST_ROWS = 32
PHASES: tuple[tuple[str, str, int | None], ...] = (
    ("connecting_s", "connect", 1),
    ("wait_s", "wait for first byte", 3),
    ("transfer_s", "transfer", 0),
    ("other_s", "other: in the client itself", None),
)
EXTRACT = ("unpack", 2)
RATE_FROM_BYTES = 1_000_000
"""A smaller layer may be in the socket's buffer as a whole when its first byte is read: its rate says nothing."""
_OTHER_FROM = 0.005
"""From this share of the pull on, what no phase explains is told in the key."""


def waterfalls(pulls: Sequence[MedianPull]) -> Html:
    """A figure for each pull; nothing where no engine shows its exchanges."""
    return join(waterfall(entry.steps, entry.setting, entry.pull) for entry in pulls)


def waterfall(steps: pd.DataFrame, setting: str, pull: Mapping[str, Any]) -> Html:
    """The steps of one pull as bars over its time; `setting` names its cell."""
    rows = steps.head(MOST_ROWS)
    names = [_name(row) for row in records(rows)]
    took_s = float(pull["duration_s"])
    caption = (
        f"{setting}: {shortened(str(pull['image']))}, {numbers.seconds(took_s)} in all, the pull nearest to the median of its setting. "
        f"Steps stand in the order of their start. {_longest(rows)}"
    )
    if rows["extract_s"].notna().any():
        caption += " Unpacking is one layer after the other; its start is reckoned, its duration measured."
    if len(steps) > len(rows):
        caption += f" {len(steps) - len(rows)} more steps are not drawn."
    phases = [(text, colour) for column, text, colour in PHASES if _seen(rows, column, took_s)]
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


def _seen(rows: pd.DataFrame, column: str, took_s: float) -> bool:
    return bool(rows[column].notna().any() and (column != "other_s" or rows[column].max() > _OTHER_FROM * took_s))


def _longest(rows: pd.DataFrame) -> str:
    """The step with the longest bar, unpacking apart, and what it is made of."""
    row = max(records(rows), key=_length_s)
    said = f"The longest {'download' if rows['extract_s'].notna().any() else 'step'} is {_name(row)}, {numbers.seconds(_length_s(row))}"
    if row["wait_s"] == row["wait_s"] and row["transfer_s"] == row["transfer_s"]:
        said += (
            f": {numbers.seconds(row['wait_s'])} wait for the first byte, {numbers.seconds(row['transfer_s'])} transfer"
        )
        if row["kind"] == "layer" and row["bytes"] >= RATE_FROM_BYTES and row["transfer_s"]:
            said += f" at {numbers.rate(row['bytes'] / row['transfer_s'])}"
    return f"{said}."


def _parts(row: Mapping[str, Any]) -> list[tuple[float, int | None]]:
    """Length and colour of what a step's own bar is made of; together they are its time from start to end."""
    parts = [(row[column], colour) for column, _, colour in PHASES if row[column] == row[column]]
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
        yield row["extract_start_s"], row["extract_s"], SERIES[EXTRACT[1]]


def _draw(sheet: Sheet, rows: pd.DataFrame, names: list[str], took_s: float) -> Figure:
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
