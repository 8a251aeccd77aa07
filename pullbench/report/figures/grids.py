"""Grids of coloured fields: where images come from and by which route, and what preflight found of each place."""

import math
import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pullbench.model.finding import Finding, FindingGroup, Status, group_findings, worst
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures.style import BAD, GOOD, GRID, INK, MUTED, SERIES, WARN, Sheet, drawn
from pullbench.report.render.html import Html
from pullbench.stats.compare import matters

MOST_ROWS, MOST_WAYS, MOST_ENGINES = 12, 6, 4
_LONGEST = 22
_PALEST, _DARKEST = 0.06, 0.5
"""Shades on which the page's ink can be read, light and dark."""


def heat(table: pd.DataFrame) -> Html:
    """A panel an engine, a row a registry, a column a route; nothing without two places. `table` is that of `places.places`."""
    if table.empty or not table["median_s"].notna().any():
        return Html()
    engines = list(table["engine"].drop_duplicates())[:MOST_ENGINES]
    rows = list(table[["registry", "region"]].drop_duplicates().itertuples(index=False, name=None))[:MOST_ROWS]
    ways = list(table["way"].drop_duplicates())[:MOST_WAYS]
    listed = "; ".join(
        f"{row['engine']} from {row['registry']}, {row['way']}: {numbers.seconds(row['median_s'])}"
        for row in records(table.head(MOST_ROWS * MOST_WAYS))
    )
    return drawn(
        "places",
        "Pull time by registry and route",
        f"A map with a number in each place. {listed}.",
        _heat_caption(table, len(engines), len(rows), len(ways)),
        lambda sheet: _draw_heat(sheet, table, engines, rows, ways),
    )


def _heat_caption(table: pd.DataFrame, engines: int, rows: int, ways: int) -> str:
    known = table[table["median_s"].notna()]
    worst = records(known.loc[[known["of_least"].idxmax()]])[0]
    first = f"With {worst['engine']}, a" if engines > 1 else "A"
    route = "without a proxy" if worst["way"] == DIRECT else f"through {worst['way']}"
    times = numbers.ratio(worst["of_least"]) if matters(worst["of_least"]) else "about"
    said = (
        f"{first} pull from {worst['registry']} {route} takes {times} as long as from the fastest place. "
        f"Number: {_number_of(int(known['settings'].min()))}"
    )
    said += f"; below it, its multiple of the {'engine’s ' if engines > 1 else ''}fastest. Darker is slower. "
    said += f"{numbers.count(int(table['succeeded'].sum()), 'successful pull')}."
    if failed := int((table["pulls"] - table["succeeded"]).sum()):
        said += f" Red edge: {numbers.count(failed, 'failed pull')}, which count in no time."
    left = len(table[["registry", "region"]].drop_duplicates()) - rows + table["way"].nunique() - ways
    return f"{said} {left} more registries or routes are only in the table." if left else said


def _number_of(settings: int) -> str:
    """What a place's number is, by how many configurations every place has."""
    if settings == 1:
        return "p50 of the configuration measured on every route"
    over = f" over the {settings} configurations measured on every route" if settings else ""
    return f"geometric mean of p50{over}"


def _draw_heat(
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
        _heat_panel(panel, table[table["engine"] == engine], rows, ways, small=sheet.font_pt - 1)
        if len(engines) > 1:
            panel.set_title(engine)
    return figure


def _heat_panel(ax: Axes, mine: pd.DataFrame, rows: list[tuple[str, str]], ways: list[str], *, small: float) -> None:
    group_findings = {(row["registry"], row["way"]): row for row in records(mine)}
    span = max(math.log(float(mine["of_least"].max())), math.log(1.25)) if mine["of_least"].notna().any() else 1.0
    for down, (registry, _) in enumerate(rows):
        for across, way in enumerate(ways):
            _place(ax, across, down, group_findings.get((registry, way)), span, small)
    ax.set_xlim(-0.5, len(ways) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(ways)), [_short_name(way).replace(" (", "\n(") for way in ways], color=INK)
    names = [
        _short_name(registry) + (f"\n{_short_name(region)}" if region and region != registry else "")
        for registry, region in rows
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
    below = "" if seconds != seconds else "fastest" if of_least == 1 else numbers.ratio(of_least)
    lines = [numbers.seconds(seconds), below, f"{failed:,} failed" if failed else ""]
    for line, text in enumerate(text for text in lines if text):
        heavy = "bold" if line == 0 or text.endswith("failed") else "normal"
        height = y + (0.27 if failed else 0.32) * line - (0.27 if failed else 0.16)
        ax.text(x, height, text, ha="center", va="center", color=INK, fontweight=heavy, fontsize=small + (line == 0))


def _short_name(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


_MOST_PLACES = 6
_WORDS: dict[Status, tuple[str, str, float]] = {
    Status.PASS: ("pass", GOOD, 0.14),
    Status.WARN: ("warn", WARN, 0.26),
    Status.FAIL: ("fail", BAD, 0.34),
    Status.ERROR: ("not run", WARN, 0.26),
    Status.SKIP: ("skip", GRID, 0.18),
}
_GRAVITY = (Status.FAIL, Status.ERROR, Status.WARN, Status.PASS, Status.SKIP)


def panel(checks: pd.DataFrame) -> Html:
    """A row a check, a column a place with the worst of its findings; nothing under two checks. `checks` is the table."""
    if checks.empty or checks["check"].nunique() < 2:
        return Html()
    findings = [
        Finding(check=row["check"], target=row["target"], status=Status(row["status"]), observed="", remedy="-")
        for row in records(checks)
    ]
    names = list(dict.fromkeys(finding.check for finding in findings))
    places = _joined(group_findings(findings))
    shown = sorted(sorted(places, key=lambda place: _GRAVITY.index(place.status))[:_MOST_PLACES], key=places.index)
    bad = _by_status(shown, names)
    caption = f"{numbers.count(len(findings), 'finding')} in {numbers.count(len(names), 'check')}. "
    caption += f"{'; '.join(bad)}." if bad else "Every check that applies passed."
    caption += " A field has the worst result of its column; an empty one has nothing to check."
    if len(places) > len(shown):
        caption += f" {len(places) - len(shown)} more targets, none worse, are in the table."
    return drawn(
        "preflight",
        "Preflight at a glance",
        f"A grid of {len(names)} checks by {', '.join(place.name for place in shown)}. "
        f"{'; '.join(bad) or 'All that apply passed'}.",
        caption,
        lambda sheet: _draw_panel(sheet, names, shown),
    )


def _joined(places: Sequence[FindingGroup]) -> list[FindingGroup]:
    """Local targets, which are one check each (a daemon, a file, the clock), share a column."""
    checks = {place.name: {finding.check for finding in place.findings} for place in places}
    single = [place for place in places if len(checks[place.name]) == 1]
    if len(single) < 2:
        return list(places)
    local = FindingGroup(name="this machine", findings=tuple(finding for place in single for finding in place.findings))
    return [*(place for place in places if len(checks[place.name]) > 1), local]


_COUNTED = {Status.FAIL: "failure", Status.ERROR: "error", Status.WARN: "warning"}


def _by_status(places: Sequence[FindingGroup], names: Sequence[str]) -> list[str]:
    """`1 warning: docker-daemon`: the checks of each kind of trouble, the worst first."""
    said = []
    for status, word in _COUNTED.items():
        found = [name for name in names if any(_status(place, name) is status for place in places)]
        if found:
            said.append(f"{numbers.count(len(found), word)}: {numbers.first_few(found)}")
    return said


def _status(place: FindingGroup, check: str) -> Status | None:
    found = [finding for finding in place.findings if finding.check == check]
    return worst(found) if found else None


def _draw_panel(sheet: Sheet, names: list[str], places: list[FindingGroup]) -> Figure:
    figure = sheet.figure(0.45 + 0.21 * len(names))
    ax: Axes = figure.subplots()
    for y, check in enumerate(names):
        for x, place in enumerate(places):
            status = _status(place, check)
            if status is not None:
                word, colour, shade = _WORDS[status]
                ax.add_patch(Rectangle((x - 0.48, y - 0.44), 0.96, 0.88, facecolor=colour, alpha=shade, linewidth=0))
                heavy = "bold" if status in (Status.FAIL, Status.ERROR, Status.WARN) else "normal"
                ink = MUTED if status is Status.SKIP else INK
                ax.text(x, y, word, ha="center", va="center", color=ink, fontweight=heavy, fontsize=sheet.font_pt - 0.5)
    ax.set_xlim(-0.5, len(places) - 0.5)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.xaxis.tick_top()
    titles = [_short_check(place.name, sheet, len(places)) for place in places]
    ax.set_xticks(range(len(places)), titles, color=INK)
    ax.set_yticks(range(len(names)), names, color=INK)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure


def _short_check(name: str, sheet: Sheet, places: int) -> str:
    """A place's name that fits its column, in two lines at most."""
    most = max(7, (38 if sheet.narrow else 100) // places)
    rows = textwrap.wrap(name, most, break_on_hyphens=False)
    return "\n".join([*rows[:1], rows[1][: most - 1] + "…" if len(rows) > 2 else rows[1]] if rows[1:] else rows)
