"""Preflight as a panel: each check of each place, with the word that says how it went."""

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pullbench.model.finding import Finding, FindingGroup, Status, group_findings, worst
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.figures.style import BAD, GOOD, GRID, INK, MUTED, WARN, Sheet, drawn
from pullbench.report.render.html import Html

MOST_PLACES = 6
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
    shown = sorted(sorted(places, key=lambda place: _GRAVITY.index(place.status))[:MOST_PLACES], key=places.index)
    bad = [
        f"{check} of {place.name} is {_WORDS[status][0]}"
        for place in shown
        for check in names
        if (status := _status(place, check)) in (Status.FAIL, Status.ERROR, Status.WARN)
    ]
    caption = f"{numbers.count(len(findings), 'finding')} in {numbers.count(len(names), 'check')}. "
    caption += f"To be mended: {'; '.join(bad[:6])}." if bad else "Every check that applies passed."
    caption += " The word is that of the worst target in a place; an empty field: nothing to check there."
    if len(places) > len(shown):
        caption += f" {len(places) - len(shown)} more places, none worse, are in the table."
    return drawn(
        "preflight",
        "Preflight at a glance",
        f"A grid of {len(names)} checks by {', '.join(place.name for place in shown)}. "
        f"{'; '.join(bad) or 'All that apply passed'}.",
        caption,
        lambda sheet: _draw(sheet, names, shown),
    )


def _joined(places: Sequence[FindingGroup]) -> list[FindingGroup]:
    """Local targets, which are one check each (a daemon, a file, the clock), share a column."""
    checks = {place.name: {finding.check for finding in place.findings} for place in places}
    single = [place for place in places if len(checks[place.name]) == 1]
    if len(single) < 2:
        return list(places)
    local = FindingGroup(name="this machine", findings=tuple(finding for place in single for finding in place.findings))
    return [*(place for place in places if len(checks[place.name]) > 1), local]


def _status(place: FindingGroup, check: str) -> Status | None:
    found = [finding for finding in place.findings if finding.check == check]
    return worst(found) if found else None


def _draw(sheet: Sheet, names: list[str], places: list[FindingGroup]) -> Figure:
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
    titles = [_short(place.name, sheet, len(places)) for place in places]
    ax.set_xticks(range(len(places)), titles, color=INK)
    ax.set_yticks(range(len(names)), names, color=INK)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return figure


def _short(name: str, sheet: Sheet, places: int) -> str:
    """A place's name that fits its column, in two lines at most."""
    most = max(7, (38 if sheet.narrow else 100) // places)
    rows = textwrap.wrap(name, most, break_on_hyphens=False)
    return "\n".join([*rows[:1], rows[1][: most - 1] + "…" if len(rows) > 2 else rows[1]] if rows[1:] else rows)
