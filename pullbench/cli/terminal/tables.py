"""Tables that fit the width they are printed in: in full where that holds them, else in fewer and folded columns."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table

RUN_ID_WIDTH = len("20261123T161500Z-3fa2")
"""The least width of a column of run_ids: people copy them from it."""
_UNBOUNDED = 10_000


@dataclass(frozen=True, slots=True)
class Fitting:
    """A table, or `narrow` of the same where a terminal does not hold it: rich would shorten the names in it to nothing.

    `room` is how many columns of characters it needs beyond its longest words, to be better than `narrow`.
    """

    table: Table
    narrow: Callable[[], RenderableType]
    room: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = self.table.__rich_measure__(console, options.update(width=_UNBOUNDED)).minimum
        yield self.table if needed + self.room <= options.max_width else self.narrow()
