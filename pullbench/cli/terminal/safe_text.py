"""Text of strangers on a terminal: whatever a command prints, but for JSON, goes through here."""

import sys
from typing import TYPE_CHECKING

from pullbench.model.text import printable

if TYPE_CHECKING:
    from rich.text import Text


def plain(text: object, style: str = "") -> "Text":
    """The same for rich, and without markup: a registry may say anything."""
    from rich.text import Text  # not for those who print a line or two

    return Text(printable(text), style=style)


def tell(text: object) -> None:
    """A line on stdout, at once."""
    print(printable(text), flush=True)


def tell_document(text: str) -> None:
    """Lines of our own making on stdout, such as a spec or a summary; what steers a terminal is none of them."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in text.splitlines()))
    sys.stdout.flush()


def say(text: object) -> None:
    """One line on stderr, whatever line ends the text has."""
    print(f"pullbench: {printable(' '.join(str(text).split()))}", file=sys.stderr, flush=True)
