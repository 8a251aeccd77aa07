"""The feed of runs: Atom (RFC 4287), for whoever wants to be told without being mailed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from xml.etree import ElementTree

from pullbench.report.render.html import visible

NEWEST = 50
_ATOM = "http://www.w3.org/2005/Atom"


class FeedEntry(Protocol):
    """What the feed needs of a run; `site_entries.Entry` is one."""

    @property
    def run_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def title(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def report(self) -> str | None: ...


def feed(entries: Sequence[FeedEntry], url: str | None) -> str:
    """The newest runs that are over, as Atom. Links are below `url`, or relative to the feed where there is none."""
    over = [entry for entry in entries if entry.finished_at is not None][:NEWEST]
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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    # Control characters are no XML, whatever a name holds.
    ElementTree.SubElement(parent, name).text = visible(text)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
