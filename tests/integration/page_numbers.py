"""The numbers of a report's page: read back from its HTML, and made from a JSON document, as text with its unit."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from pullbench.report.core import numbers

_UNITS = r"µs|ms|min|[kMG]B/s|B/s|[kMG]B|B|s|h|%|×"
_NUMBER = re.compile(rf"(?<![\w.])(\d{{1,3}}(?:,\d{{3}})+|\d+)(\.\d+)?(?:\s?({_UNITS})(?![\w/]))?")
_RANGE = re.compile(rf"(\d[\d,.]*)(?:–)(\d[\d,.]*)(\s?(?:{_UNITS}))(?![\w/])")


@dataclass
class Table:
    """A table of the page: its caption, its columns' titles, and its cells' text, row by row."""

    caption: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    kinds: list[str | None] = field(default_factory=list)


class Page(HTMLParser):
    """The tables, and all other text that a reader or a screen reader gets; scales of drawings are no results."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tables: list[Table] = []
        self.prose: list[str] = []
        self._open: list[str] = []
        self._in_table = False
        self.feed(markup)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self._open.append(name)
        given = dict(attributes)
        if name == "table":
            self._in_table = True
            self.tables.append(Table())
        elif name == "tr" and "tbody" in self._open:
            self.tables[-1].rows.append([])
            self.tables[-1].kinds.append(given.get("class"))
        elif name == "th":
            self.tables[-1].columns.append("")
        elif name == "td":
            self.tables[-1].rows[-1].append("")

    def handle_endtag(self, name: str) -> None:
        while self._open and self._open.pop() != name:
            pass
        self._in_table &= name != "table"

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self._open):
            return
        if not self._in_table:
            if "svg" not in self._open or self._open[-1] in ("title", "desc"):
                self.prose.append(data)
        elif "caption" in self._open:
            self.tables[-1].caption += data
        elif "th" in self._open:
            self.tables[-1].columns[-1] += data
        elif "td" in self._open:
            self.tables[-1].rows[-1][-1] += data

    def table(self, caption: str) -> Table:
        """The one table whose caption ends so."""
        (found,) = [table for table in self.tables if table.caption.endswith(caption)]
        return found


def told(text: str) -> set[str]:
    """Every number of a text with its unit; an interval's first number has its second's."""
    found = _NUMBER.findall(_RANGE.sub(r"\1\3 \2\3", text))
    return {f"{whole}{decimals} {unit}".strip() for whole, decimals, unit in found}


def from_json(document: Any, key: str = "") -> Iterator[str]:
    """Every number that a page may show of a JSON document: as text, with the unit that its key names."""
    if isinstance(document, Mapping):
        unit = _of_row(document)
        for name, value in document.items():
            yield from from_json(value, name if unit is None or name not in _SCORED else unit)
    elif isinstance(document, list | tuple):
        yield f"{len(document):,}"
        for value in document:
            yield from from_json(value, key)
    elif isinstance(document, str):
        yield from told(document)
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield from (text for shown in _shown(float(document), key) for text in told(shown))


_SCORED = ("measured", "low", "high", "target")


def _of_row(row: Mapping[str, Any]) -> str | None:
    """What the numbers of an SLO or a claim are, which no key of theirs says."""
    if row.get("measures") == "seconds" or (str(row.get("name", "")).endswith("_s") and "target" in row):
        return "measured_s"
    return None


def _shown(value: float, key: str) -> Iterable[str]:
    if key.endswith("bytes_per_s"):
        return [numbers.rate(value)]
    if key == "p":
        return ["0.001" if value < 0.001 else f"{value:.3f}"]
    if key == "peak":
        return [f"{max(1, round(value))}"]
    if key.endswith("_s"):
        return [numbers.seconds(value)]
    if "bytes" in key:
        return [numbers.size(value), f"{value:,.0f}"]
    whole = [f"{value:,.0f}"] if value == int(value) else []
    ratios = [value, *([1 / value] if value else [])]
    shares = [value, 1 - value]
    return [
        *whole,
        *(numbers.ratio(each) for each in ratios),
        *(numbers.significant(each, digits) for each in ratios if each for digits in (2, 3)),
        *(numbers.percent(each) for each in shares),
        f"{value:.0%}",
        f"{value:.3f}",
    ]
