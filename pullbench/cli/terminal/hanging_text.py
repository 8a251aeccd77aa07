"""A text with a title or a mark before it, whose further lines are indented."""

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

_NARROWEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class HangingText:
    """A text after a mark, wrapped with a hanging indent; with `soft_wrap` it is not wrapped.

    Lines are not padded with blanks, as a table's are.
    """

    before: Text
    text: Text
    indent: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        margin = self.indent + self.before.cell_len + 1
        width = len(self.text) + 1 if options.no_wrap else max(options.max_width - margin, _NARROWEST)
        folded = self.text.wrap(console, width, overflow="fold")
        for number, line in enumerate(folded or [Text()]):
            line.rstrip()
            start = Text.assemble(" " * self.indent, self.before, " ") if number == 0 else Text(" " * margin)
            yield start.append_text(line)
