"""A report's main figure as a file of its own, for pages that cannot embed HTML: the Prefect UI, a wiki, a mail.

The figures of a page take their colours from it, with fallbacks. Alone they stand on paper of their own, so that they are
readable on a dark page too.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from pullbench.report.render.data_files import put

PICTURE = "picture.svg"
_PREFERRED = "overview-wide-title"
_FIGURE = re.compile(r'<div class="pb-wide"[^>]*>\s*(<svg\b.*?</svg>)', re.DOTALL)
_TITLE = re.compile(r"<title\b[^>]*>(.*?)</title>", re.DOTALL)
_VIEW_BOX = re.compile(r'viewBox="([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)"')
_PAPER = "background:#ffffff;color:#16191d"
_MARGIN = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The file, and what it shows in words."""

    path: Path
    title: str


def write_picture(page: Path) -> Picture | None:
    """Write the main figure of a report beside it, as SVG; None where the page has no figure."""
    drawings = [found[1] for found in _FIGURE.finditer(page.read_text(encoding="utf-8"))]
    if not drawings:
        return None
    chosen = next((drawing for drawing in drawings if _PREFERRED in drawing), drawings[0])
    named = _TITLE.search(chosen)
    path = page.with_name(PICTURE)
    on_paper = chosen.replace("<svg ", f'<svg style="{_PAPER}" ', 1)
    put(path, _VIEW_BOX.sub(_with_margin, on_paper, count=1).encode())
    return Picture(path=path, title=html.unescape(named[1]) if named else "The report's figure")


def _with_margin(found: re.Match[str]) -> str:
    x, y, width, height = map(float, found.groups())
    return f'viewBox="{x - _MARGIN:g} {y - _MARGIN:g} {width + 2 * _MARGIN:g} {height + 2 * _MARGIN:g}"'
