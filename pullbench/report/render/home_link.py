"""The link from a report to the page of all reports: hidden until there is such a page in the directory above.

A report is one file that opens anywhere, so it may not link to a page that is not there.
"""

from pathlib import Path

from pullbench.report.render.data_files import put

_START = '<nav class="home" aria-label="All reports"'
HIDDEN = f'{_START} hidden><a href="../index.html">All reports</a></nav>'
_SHOWN = HIDDEN.replace(" hidden>", ">", 1)
_HEAD_BYTES = 65_536
"""The link is the first element of a page's body: after the style sheet, before any content."""


def shown(page: bytes) -> bytes:
    """A report's HTML with its link shown."""
    return page.replace(HIDDEN.encode(), _SHOWN.encode(), 1)


def show_home_link(page: Path) -> None:
    """Show the link in a report that was rendered before there was a page of all reports."""
    with page.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if HIDDEN.encode() in head:
        put(page, shown(page.read_bytes()))
