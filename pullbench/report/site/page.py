"""The site's one page: a table of runs that can be filtered. Its script is inline, and the page's policy names its hash."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pullbench.report.core import numbers
from pullbench.report.core.sections import PILLS, pill
from pullbench.report.render.html import Column, Html, Row, join, paragraph, shortened, table, tag
from pullbench.report.render.page import css

if TYPE_CHECKING:
    from pullbench.report.site.entries import Entry

_SCRIPT = """
const rows = [...document.querySelectorAll("tbody tr")];
const text = document.getElementById("find"), name = document.getElementById("name");
const verdict = document.getElementById("verdict"), shown = document.getElementById("shown");
const told = rows.map(row => row.textContent.toLowerCase());
const cell = (row, place) => row.children[place].textContent.trim();
function filter() {
  const words = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, at) => {
    const fits = words.every(word => told[at].includes(word))
      && (!name.value || cell(row, 0) === name.value) && (!verdict.value || cell(row, 3) === verdict.value);
    row.hidden = !fits;
    count += fits;
  });
  shown.textContent = count === rows.length ? "" : count + " of " + rows.length + " shown";
}
for (const field of [text, name, verdict]) field.addEventListener("input", filter);
document.getElementById("filters").hidden = false;
"""
_SPARK_RUNS = 24
_WIDTH, _HEIGHT = 96, 22


def site_page(entries: Sequence["Entry"], trends: Mapping[str, str], *, feed: str) -> str:
    """The page of the runs, the newest first; `trends` has the address of each name's trend report."""
    script = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{script}'"
    head = join(
        [
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Html(f'<link rel="alternate" type="application/atom+xml" title="pullbench runs" href="{feed}">'),
            tag("title", "pullbench reports"),
            tag("style", Html(css())),
        ]
    )
    body = tag("main", _header(entries, feed), _filters(entries), _trends(trends), _runs(entries), class_="pb site")
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}<script>{_SCRIPT}</script></body></html>\n'


def _header(entries: Sequence["Entry"], feed: str) -> Html:
    names = len({entry.name for entry in entries})
    facts = [numbers.count(len(entries), "run"), numbers.count(names, "benchmark")]
    if entries:
        facts.append(f"the newest of {entries[0].started_at:%d %B %Y, %H:%M} UTC".replace(" 0", " "))
    return tag(
        "header",
        paragraph("pullbench", kind="eyebrow"),
        tag("h1", "Reports"),
        tag("ul", *(tag("li", fact) for fact in facts), tag("li", tag("a", "feed", href=feed)), class_="facts"),
    )


def _filters(entries: Sequence["Entry"]) -> Html:
    """Shown by the script alone: without it the table is whole."""
    names = sorted({entry.name for entry in entries})
    words = sorted({_word(entry) for entry in entries})
    fields = [
        tag("label", "Find ", Html('<input id="find" type="search" autocomplete="off">')),
        tag("label", "Benchmark ", _choice("name", names)),
        tag("label", "Verdict ", _choice("verdict", words)),
        tag("span", id="shown", role="status"),
    ]
    return tag("form", *fields, id="filters", class_="filters", hidden=True) if entries else Html()


def _choice(key: str, values: Sequence[str]) -> Html:
    return tag("select", tag("option", "all", value=""), *(tag("option", value) for value in values), id=key)


def _trends(trends: Mapping[str, str]) -> Html:
    if not trends:
        return Html()
    links = [tag("li", tag("a", shortened(name), href=address)) for name, address in trends.items()]
    return tag("nav", "Trends:", tag("ul", *links), aria_label="Trends", class_="trends")


def _runs(entries: Sequence["Entry"]) -> Html:
    if not entries:
        return paragraph("No run is stored yet: `pullbench demo` makes one.", kind="note")
    columns = [
        Column(title="Benchmark"),
        Column(title="Run"),
        Column(title="Started (UTC)"),
        Column(title="Verdict"),
        Column(title="What it says", prose=True),
        Column(title="Median pull", number=True, hint="geometric mean over the run's settings"),
        Column(title="Course", hint="the runs of the same name, vantage and settings up to this one"),
        Column(title="Where"),
    ]
    rows = [Row(contents=_cells(entry)) for entry in entries]
    return table(columns, rows, caption="Every stored run, the newest first")


def _cells(entry: "Entry") -> list[object]:
    run = tag("code", entry.run_id)
    labels = ", ".join(f"{key}={value}" for key, value in entry.labels.items())
    return [
        entry.name,
        run if entry.report is None else tag("a", run, href=entry.report),
        f"{entry.started_at:%Y-%m-%d %H:%M}",
        _pill(entry),
        entry.title,
        numbers.seconds(entry.said.level_s),
        sparkline(entry.line[-_SPARK_RUNS:]),
        " · ".join(part for part in (entry.vantage, labels) if part),
    ]


def _pill(entry: "Entry") -> Html:
    return pill(entry.said.verdict) if entry.status == "complete" else tag("span", entry.status, class_="pill warn")


def _word(entry: "Entry") -> str:
    return PILLS[entry.said.verdict][1] if entry.status == "complete" else entry.status


def sparkline(line: Sequence[float]) -> Html:
    """A run's level beside those before it, from zero up; nothing for fewer than two. Its words say first and last."""
    if len(line) < 2:
        return Html()
    top = max(line)
    step = (_WIDTH - 6) / (len(line) - 1)
    points = [(3 + step * at, _HEIGHT - 3 - (_HEIGHT - 6) * value / top) for at, value in enumerate(line)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    words = f"{numbers.count(len(line), 'run')}: {numbers.seconds(line[0])} to {numbers.seconds(line[-1])}"
    x, y = points[-1]
    return Html(
        f'<svg class="spark" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f"<title>{words}</title>"
        f'<polyline points="{path}" fill="none" stroke="var(--pb-series-1)" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="var(--pb-series-1)"/></svg>'
    )
