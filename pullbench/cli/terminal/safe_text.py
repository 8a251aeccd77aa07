"""Text of strangers on a terminal: whatever a command prints, but for JSON, goes through here."""

import sys
from typing import TYPE_CHECKING

from pullbench.model.text import printable

if TYPE_CHECKING:
    from rich.text import Text


def literal(text: object, style: str = "") -> "Text":
    """Text for rich that is shown as it is, without markup: a registry may say anything."""
    from rich.text import Text  # not for those who print a line or two

    return Text(printable(text), style=style)


def print_line(text: object) -> None:
    """A line on stdout, at once."""
    print(printable(text), flush=True)


def print_lines(text: str) -> None:
    """Lines of our own making on stdout, such as a spec or a summary, without what steers a terminal."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in text.splitlines()))
    sys.stdout.flush()


def print_notice(text: object) -> None:
    """One line on stderr, whatever line ends the text has: an error, or what else is not the result."""
    print(f"pullbench: {printable(' '.join(str(text).split()))}", file=sys.stderr, flush=True)
