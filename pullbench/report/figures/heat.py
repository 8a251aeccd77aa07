"""Registry by way, as a map: what a pull takes, written into each place and shown by its shade."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures.style import BAD, INK, MUTED, SERIES, Sheet, drawn
from pullbench.report.render.html import Html

MOST_ROWS, MOST_WAYS, MOST_ENGINES = 12, 6, 4
_LONGEST = 22
_PALEST, _DARKEST = 0.06, 0.5
"""Shades on which the page's ink can be read, light and dark."""


def heat(table: pd.DataFrame) -> Html:
    """A panel an engine, a row a registry, a column a way; nothing without two places. `table` is that of `places.places`."""
    if table.empty or not table["median_s"].notna().any():
        return Html()
    engines = list(table["engine"].drop_duplicates())[:MOST_ENGINES]
    rows = list(table[["registry", "region"]].drop_duplicates().itertuples(index=False, name=None))[:MOST_ROWS]
    ways = list(table["way"].drop_duplicates())[:MOST_WAYS]
    told = "; ".join(
        f"{row['engine']} from {row['registry']} {row['way']}: {numbers.seconds(row['median_s'])}"
        for row in records(table.head(MOST_ROWS * MOST_WAYS))
    )
    return drawn(
        "places",
        "What a pull takes, by registry and way",
        f"A map with a number in each place. {told}.",
        _caption(table, len(engines), len(rows), len(ways)),
        lambda sheet: _draw(sheet, table, engines, rows, ways),
    )


def _caption(table: pd.DataFrame, engines: int, rows: int, ways: int) -> str:
    known = table[table["median_s"].notna()]
    worst = records(known.loc[[known["of_least"].idxmax()]])[0]
    first = f"With {worst['engine']}, a" if engines > 1 else "A"
    way = "directly" if worst["way"] == DIRECT else f"through {worst['way']}"
    said = (
        f"{first} pull from {worst['registry']} {way} takes {numbers.ratio(worst['of_least'])} as long as from "
        "the fastest place. Number: geometric mean of the median pulls"
    )
    settings = sorted(set(known["settings"]))
    if settings[0]:
        said += f" over the {numbers.count(int(settings[0]), 'setting')} that every place has"
    said += f"; below it, its multiple of the {'engine’s ' if engines > 1 else ''}least. Darker is slower. "
    said += f"{numbers.count(int(table['succeeded'].sum()), 'successful pull')}."
    if failed := int((table["pulls"] - table["succeeded"]).sum()):
        said += f" Red edge: {numbers.count(failed, 'failed pull')}, in no time."
    left = len(table[["registry", "region"]].drop_duplicates()) - rows + table["way"].nunique() - ways
    return f"{said} {left} more registries or ways are in the table alone." if left else said


def _draw(
    sheet: Sheet, table: pd.DataFrame, engines: list[str], rows: list[tuple[str, str]], ways: list[str]
) -> Figure:
    across = 1 if sheet.narrow else min(len(engines), 2)
    down = -(-len(engines) // across)
    figure = sheet.figure((0.55 + 0.55 * len(rows)) * down)
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for panel in panels:
        panel.set_visible(False)
    for engine, panel in zip(engines, panels, strict=False):
        panel.set_visible(True)
        _panel(panel, table[table["engine"] == engine], rows, ways, small=sheet.font_pt - 1)
        if len(engines) > 1:
            panel.set_title(engine)
    return figure


def _panel(ax: Axes, mine: pd.DataFrame, rows: list[tuple[str, str]], ways: list[str], *, small: float) -> None:
    by_place = {(row["registry"], row["way"]): row for row in records(mine)}
    span = max(math.log(float(mine["of_least"].max())), math.log(1.25)) if mine["of_least"].notna().any() else 1.0
    for down, (registry, _) in enumerate(rows):
        for across, way in enumerate(ways):
            _place(ax, across, down, by_place.get((registry, way)), span, small)
    ax.set_xlim(-0.5, len(ways) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(ways)), [_short(way).replace(" (", "\n(") for way in ways], color=INK)
    names = [
        _short(registry) + (f"\n{_short(region)}" if region and region != registry else "") for registry, region in rows
    ]
    ax.set_yticks(range(len(rows)), names, color=INK)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)


def _place(ax: Axes, x: int, y: int, row: dict[str, object] | None, span: float, small: float) -> None:
    if row is None:
        ax.text(x, y, "not\nmeasured", ha="center", va="center", color=MUTED, fontsize=small)
        return
    seconds, of_least = float(row["median_s"]), float(row["of_least"])  # type: ignore[arg-type]
    failed = int(row["pulls"]) - int(row["succeeded"])  # type: ignore[call-overload]
    edge = {"edgecolor": BAD, "linewidth": 1.4} if failed else {"edgecolor": "none", "linewidth": 0}
    if seconds == seconds:
        shade = _PALEST + (_DARKEST - _PALEST) * min(1.0, math.log(of_least) / span)
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=SERIES[0], alpha=shade, linewidth=0))
    ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor="none", **edge))  # type: ignore[arg-type]
    below = "" if seconds != seconds else "least" if of_least == 1 else numbers.ratio(of_least)
    lines = [numbers.seconds(seconds), below, f"{failed:,} failed" if failed else ""]
    for line, text in enumerate(text for text in lines if text):
        heavy = "bold" if line == 0 or text.endswith("failed") else "normal"
        height = y + (0.27 if failed else 0.32) * line - (0.27 if failed else 0.16)
        ax.text(x, height, text, ha="center", va="center", color=INK, fontweight=heavy, fontsize=small + (line == 0))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
