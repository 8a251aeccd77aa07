"""Where commands print, and how the verdict of a run is printed."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console

from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import slo_table
from pullbench.model.text import count
from pullbench.report.core.client_limit import limit_notice

_PIPE_WIDTH = 240
_UNFOLDED_WIDTH = 100_000


def stdout_console(*, folds_in_pipes: bool = True) -> Console:
    """Where results are printed: as wide as the terminal, or wide enough for a row where it is a file or a pipe.

    Without `folds_in_pipes` no line is folded there: a command in it can be copied from a log, and found by grep.
    """
    pipe_width = _PIPE_WIDTH if folds_in_pipes else _UNFOLDED_WIDTH
    return Console(highlight=False, width=None if sys.stdout.isatty() else pipe_width)


def waiting(what: str) -> AbstractContextManager[object]:
    """Says on a terminal's stderr that something is under way, until it is done; nothing elsewhere."""
    stderr = Console(stderr=True, highlight=False)
    return stderr.status(f"{what} …") if stderr.is_terminal else nullcontext()


def planned_out_lines(reasons: Mapping[str, int]) -> list[str]:
    """What will not be measured, and why, a line each."""
    return [f"planned out, not measured ({count(cells, 'cell')}): {reason}" for reason, cells in reasons.items()]


def print_stopping_findings(console: Console, document: dict[str, Any]) -> None:
    """What failed or could not run in the preflight of a run's document, with what to do; nothing where all was well."""
    from pullbench.cli.terminal.findings import findings_view
    from pullbench.model.finding import (
        Status,
        finding_of_document,  # brings pydantic, which help must not wait for
    )

    found = [
        finding_of_document(entry)
        for entry in document["preflight"]["findings"]
        if entry["status"] in (Status.FAIL, Status.ERROR)
    ]
    if found:
        console.print(findings_view(found))
        console.print()


def print_verdict(console: Console, document: dict[str, Any]) -> None:
    """The verdict of a run's document, and how each SLO fared: in the words of the report."""
    soft = not console.is_terminal
    console.print(literal(document["headline"]["title"]), style="bold")
    console.print(literal(document["headline"]["sentence"]), soft_wrap=soft)
    if document["kind"] != "stress" and (line := limit_notice(document["cells"])) is not None:
        console.print(literal(f"Note: {line}."), style="yellow", soft_wrap=soft)
    if document["slo"]:
        console.print()
        console.print(slo_table(document["slo"]))
