"""The comparisons, trends and regional reports of a reports directory, as their own data beside them describes them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.report.render.render import PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherPage:
    """A report that is not of one run. `verdict` is None where it has none; `address` is relative to the reports."""

    name: str
    about: str
    verdict: str | None
    title: str
    address: str
    made_at: float


def comparisons(reports: Path) -> list[OtherPage]:
    """Two runs compared, newest first."""
    return _pages(reports, "compare-*/comparison.json", _comparison)


def trends(reports: Path) -> list[OtherPage]:
    """A benchmark over its runs, newest first."""
    return _pages(reports, "trend-*/trend.json", _trend)


def regions(reports: Path) -> list[OtherPage]:
    """One spec measured from several vantages, newest first."""
    return _pages(reports, "regional-*/regional.json", _regions)


_Described = tuple[str, str, str | None, str]
"""Name, what the page is about, verdict, title."""


def _pages(reports: Path, pattern: str, describe: Callable[[Mapping[str, Any]], _Described]) -> list[OtherPage]:
    """Whatever cannot be read is left out: it may be half written, or another tool's."""
    found = []
    for data in reports.glob(pattern):
        page = data.with_name(PAGE)
        try:
            name, about, verdict, title = describe(json.loads(data.read_text(encoding="utf-8")))
            made_at = page.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            continue
        address = f"{data.parent.name}/{PAGE}"
        found.append(OtherPage(name=name, about=about, verdict=verdict, title=title, address=address, made_at=made_at))
    return sorted(found, key=lambda entry: entry.made_at, reverse=True)


def _comparison(document: Mapping[str, Any]) -> _Described:
    baseline, candidate, said = document["baseline"], document["candidate"], document["headline"]
    return candidate["name"], f"{candidate['run_id']} compared with {baseline['run_id']}", said["status"], said["title"]


def _trend(document: Mapping[str, Any]) -> _Described:
    said, runs = document["headline"], len(document["runs"])
    return document["name"], f"{runs} runs at {document['vantage']}", said["status"], said["title"]


def _regions(document: Mapping[str, Any]) -> _Described:
    answered = [entry["vantage"] for entry in document["vantages"] if entry["answer"] == "complete"]
    title = f"{len(answered)} of {len(document['vantages'])} vantages are complete: {', '.join(answered) or 'none'}"
    return document["name"], f"regional-{document['regional_id']}", None, title
