"""The reports page: the runs of a results directory with their verdicts, comparisons, trends, and a feed.

    REPORTS/index.html     every run, newest first, with links to all reports
    REPORTS/runs.json      the same for programs
    REPORTS/feed.xml       the newest complete runs (Atom, RFC 4287)

Static files: any web server or a plain directory will do. Building the page again is quick and safe.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from pullbench.errors import IncompleteError
from pullbench.report.core import numbers
from pullbench.report.core.sections import PILLS, pill
from pullbench.report.render.data_files import put
from pullbench.report.render.home_link import show_home_link
from pullbench.report.render.html import Column, Html, Row, css, join, paragraph, shortened, table, tag, visible
from pullbench.report.render.render import PAGE, find_report, trend_folder
from pullbench.report.site.entries import KEPT, SiteEntry, entries, kept_address, kept_document
from pullbench.report.site.other_pages import OtherPage, comparisons, regions, trends
from pullbench.store.dataset import ResultStore

FEED = "feed.xml"
_MOST_OTHERS = 50
_SPARK_RUNS = 24
_WIDTH, _HEIGHT = 96, 22
_FEED_NEWEST = 50
_ATOM = "http://www.w3.org/2005/Atom"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCRIPT = """
const rows = [...document.querySelectorAll("#runs tbody tr")];
const text = document.getElementById("find"), name = document.getElementById("name");
const verdict = document.getElementById("verdict"), shown = document.getElementById("shown");
const texts = rows.map(row => row.textContent.toLowerCase());
const cell = (row, place) => row.children[place].textContent.trim();
function filter() {
  const words = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, at) => {
    const fits = words.every(word => texts[at].includes(word))
      && (!name.value || cell(row, 0) === name.value) && (!verdict.value || cell(row, 3) === verdict.value);
    row.hidden = !fits;
    count += fits;
  });
  shown.textContent = count === rows.length ? "" : count + " of " + rows.length + " shown";
}
for (const field of [text, name, verdict]) field.addEventListener("input", filter);
document.getElementById("filters").hidden = false;
"""
"""The page runs no other script: its policy names the hash of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """The reports that are not of one run, newest first."""

    comparisons: Sequence[OtherPage] = ()
    trends: Sequence[OtherPage] = ()
    regions: Sequence[OtherPage] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The page that was written, and what it says of each run, newest first."""

    page: Path
    entries: Sequence[SiteEntry]


def build_site(store: ResultStore, reports: Path, *, url: str | None = None) -> Site:
    """Write the page of all stored runs into a reports directory; `url` is where it will be served.

    Without `url` the feed keeps the address that it was built for before. Reports that were rendered before there was such a page get their link back to it. Raises IncompleteError where the
    directory cannot be written.
    """
    reports = reports.resolve()
    found = entries(store, reports)
    address = url or kept_address(reports)
    others = Others(comparisons=comparisons(reports), trends=trends(reports), regions=regions(reports))
    try:
        reports.mkdir(parents=True, exist_ok=True)
        put(reports / KEPT, (json.dumps(kept_document(found, address), indent=1, ensure_ascii=False) + "\n").encode())
        put(reports / FEED, feed(found, address).encode())
        put(reports / PAGE, site_page(found, others, feed=FEED).encode())
        for page in reports.glob(f"*/{PAGE}"):
            show_home_link(page)
    except OSError as error:
        raise IncompleteError(
            f"{error.filename or reports}: the reports page cannot be written there: {error.strerror or error}; give another "
            "directory with `--reports`"
        ) from error
    return Site(page=reports / PAGE, entries=found)


def without_report(store: ResultStore, reports: Path) -> list[str]:
    """The complete runs that have no report in a directory yet, newest first."""
    return [run.run_id for run in store.runs() if run.status == "complete" and find_report(reports, run.run_id) is None]


def stale_trends(store: ResultStore, reports: Path) -> list[str]:
    """The names with two complete runs or more whose trend report is missing, or lacks the newest run."""
    newest: dict[str, list[str]] = {}
    for run in store.runs():
        if run.status == "complete" and run.kind == "benchmark":
            newest.setdefault(run.name, []).append(run.run_id)
    return [name for name, run_ids in newest.items() if len(run_ids) > 1 and not _has(reports, name, run_ids[0])]


def _has(reports: Path, name: str, run_id: str) -> bool:
    try:
        document = json.loads((trend_folder(reports, name) / "trend.json").read_text(encoding="utf-8"))
        return run_id in (*(run["run_id"] for run in document["runs"]), *document["left_out"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def site_page(entries: Sequence[SiteEntry], others: Others, *, feed: str) -> str:
    """The page of the runs and of the other reports, newest first."""
    script = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{script}'"
    head = join(
        [
            Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
            Html(f'<link rel="alternate" type="application/atom+xml" title="pullbench runs" href="{feed}">'),
            tag("title", "pullbench reports"),
            tag("style", Html(css() + _site_css())),
        ]
    )
    sections = [
        _others("Comparisons", "Runs compared", others.comparisons),
        _others("Trends", "Benchmarks over their runs", others.trends),
        _others("Regions", "Benchmarks from several vantages", others.regions),
    ]
    body = tag("main", _header(entries, feed), _filters(entries), _runs(entries), *sections, class_="pb site")
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}<script>{_SCRIPT}</script></body></html>\n'


def _site_css() -> str:
    return Path(__file__).with_name("site.css").read_text(encoding="utf-8")


def _header(entries: Sequence[SiteEntry], feed: str) -> Html:
    names = len({entry.name for entry in entries})
    facts = [numbers.count(len(entries), "run"), numbers.count(names, "benchmark")]
    if entries:
        newest = entries[0].started_at
        facts.append(f"newest: {newest.day} {newest:%B %Y, %H:%M} UTC")
    return tag(
        "header",
        paragraph("pullbench", kind="eyebrow"),
        tag("h1", "Reports"),
        tag("ul", *(tag("li", fact) for fact in facts), tag("li", tag("a", "feed", href=feed)), class_="facts"),
    )


def _filters(entries: Sequence[SiteEntry]) -> Html:
    """Shown by the script only: without it the whole table is shown."""
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


def _others(title: str, caption: str, pages: Sequence[OtherPage]) -> Html:
    if not pages:
        return Html()
    columns = [
        Column(title="Benchmark"),
        Column(title="Report"),
        Column(title="Verdict"),
        Column(title="Result", prose=True),
    ]
    rows = [
        Row(
            contents=[
                entry.name,
                tag("a", shortened(entry.about), href=entry.address),
                Html() if entry.verdict is None else pill(entry.verdict),
                entry.title,
            ]
        )
        for entry in pages[:_MOST_OTHERS]
    ]
    more = f"; {len(pages) - len(rows)} older ones are in the directory" if len(pages) > len(rows) else ""
    return join([tag("h2", title), table(columns, rows, caption=f"{caption}, newest first{more}")])


def _runs(entries: Sequence[SiteEntry]) -> Html:
    if not entries:
        return paragraph(
            "No run is stored yet. Start the deployment pull-benchmark in the Prefect UI, or run ",
            tag("code", "pullbench demo"),
            ". Then reload this page.",
            kind="note",
        )
    columns = [
        Column(title="Benchmark"),
        Column(title="Run"),
        Column(title="Started (UTC)"),
        Column(title="Verdict"),
        Column(title="Result", prose=True),
        Column(
            title="Median pull",
            number=True,
            hint="geometric mean over the run's configurations; of the engines that unpack, where the run has others too",
        ),
        Column(title="History", hint="the runs of this name, vantage and configurations up to this one"),
        Column(title="Vantage, labels"),
    ]
    rows = [Row(contents=_cells(entry)) for entry in entries]
    return tag("div", table(columns, rows, caption="Every stored run, newest first"), id="runs")


def _cells(entry: SiteEntry) -> list[object]:
    run = tag("code", entry.run_id)
    labels = ", ".join(f"{key}={value}" for key, value in entry.labels.items())
    return [
        entry.name,
        run if entry.report is None else tag("a", run, href=entry.report),
        f"{entry.started_at:%Y-%m-%d %H:%M}",
        _pill(entry),
        entry.title,
        " ".join(
            filter(None, [numbers.seconds(entry.said.level_s), entry.said.level_of and f"({entry.said.level_of})"])
        ),
        sparkline(entry.line[-_SPARK_RUNS:]),
        " · ".join(part for part in (entry.vantage, labels) if part),
    ]


def _pill(entry: SiteEntry) -> Html:
    return pill(entry.said.verdict) if entry.status == "complete" else tag("span", entry.status, class_="pill warn")


def _word(entry: SiteEntry) -> str:
    return PILLS[entry.said.verdict][1] if entry.status == "complete" else entry.status


def sparkline(line: Sequence[float]) -> Html:
    """A run's level after those before it, on an axis from zero; nothing for fewer than two. Its title has first and last."""
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


def feed(entries: Sequence[SiteEntry], url: str | None) -> str:
    """The newest runs that are over, as Atom. Links are below `url`, or relative to the feed where there is none."""
    over = [entry for entry in entries if entry.finished_at is not None][:_FEED_NEWEST]
    root = ElementTree.Element("feed", xmlns=_ATOM)
    base = "" if url is None else f"{url.rstrip('/')}/"
    _add(root, "title", "pullbench runs")
    _add(root, "id", url or "urn:pullbench:runs")
    _add(root, "updated", _instant(max((entry.finished_at or entry.started_at for entry in over), default=_EPOCH)))
    ElementTree.SubElement(root, "link", rel="self", href=f"{base}feed.xml")
    ElementTree.SubElement(root, "link", rel="alternate", type="text/html", href=f"{base}index.html")
    author = ElementTree.SubElement(root, "author")
    _add(author, "name", "pullbench")
    for entry in over:
        made = ElementTree.SubElement(root, "entry")
        _add(made, "title", f"{entry.name}: {entry.title}")
        _add(made, "id", f"urn:pullbench:run:{entry.run_id}")
        _add(made, "published", _instant(entry.started_at))
        _add(made, "updated", _instant(entry.finished_at or entry.started_at))
        link = f"{base}{entry.report or 'index.html'}"
        ElementTree.SubElement(made, "link", rel="alternate", type="text/html", href=link)
        _add(made, "summary", entry.sentence)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    # Control characters are no XML, whatever a name holds.
    ElementTree.SubElement(parent, name).text = visible(text)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
