"""Where commands print, and how the verdict of a run is printed."""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console
from rich.text import Text

from pullbench.cli.terminal.safe_text import literal
from pullbench.cli.terminal.tables import slo_table
from pullbench.model.text import count

_PIPE_WIDTH = 240
_UNFOLDED_WIDTH = 100_000
_INDENT = len("MIRROR  ")
_BLOCK = (("TIME", "cause", 3), ("BEST", "best", 3), ("MIRROR", "mirror", 1), ("SLO", "slo", 2), ("NOTES", "notes", 2))
"""Title, key of a document's `summary`, and the most lines on a terminal: with what is left out and the report they are 12 at most.

A run with a mirror has a line less of BEST.
"""
_SLO_STYLES = {"met": "green", "missed": "bold red", "partly": "yellow", "failed": "bold red"}


def stdout_console(*, folds_in_pipes: bool = True) -> Console:
    """Where results are printed: as wide as the terminal, or wide enough for a row where it is a file or a pipe.

    Without `folds_in_pipes` no line is folded there: a command in it can be copied from a log, and found by grep.
    """
    pipe_width = _PIPE_WIDTH if folds_in_pipes else _UNFOLDED_WIDTH
    return Console(highlight=False, width=None if sys.stdout.isatty() else pipe_width)


def waiting(what: str) -> AbstractContextManager[object]:
    """Report on a terminal's stderr that something runs, until it is done; nothing elsewhere."""
    stderr = Console(stderr=True, highlight=False)
    return stderr.status(f"{what} …") if stderr.is_terminal else nullcontext()


def excluded_lines(reasons: Mapping[str, int]) -> list[str]:
    """What is excluded, and why, a line each."""
    return [f"excluded ({count(cells, 'configuration')}): {reason}" for reason, cells in reasons.items()]


def without_excluded(document: dict[str, Any]) -> dict[str, Any]:
    """A document whose notes leave out which configurations are excluded: the start of the run has printed that."""
    from pullbench.report.run.verdicts import excluded_notes

    if "summary" not in document:
        return document
    said, printed = document["summary"], excluded_notes(document["planned_out"])
    return document | {"summary": said | {"notes": [note for note in said["notes"] if note not in printed]}}


def print_stopping_findings(console: Console, document: dict[str, Any]) -> None:
    """What failed or could not run in the preflight of a run's document, with what to do; nothing where all passed."""
    from pullbench.cli.terminal.findings import findings_view
    from pullbench.model.finding import (
        Status,
        finding_of_document,  # imports pydantic, which help must not wait for
    )

    found = [
        finding_of_document(entry)
        for entry in document["preflight"]["findings"]
        if entry["status"] in (Status.FAIL, Status.ERROR)
    ]
    if found:
        console.print(findings_view(found))
        console.print()


def print_verdict(console: Console, document: dict[str, Any], *, evidence: bool = False) -> None:
    """The verdict of a run's document: where the time goes, the best configuration, the SLOs, what limits all that.

    With `evidence`, no sentence is left out, and each SLO of a benchmark has a row too.
    """
    soft = not console.is_terminal
    if "summary" in document:
        for line in verdict_block(document, None if soft else console.width, in_full=evidence):
            console.print(line, soft_wrap=soft)
        if evidence and document["slo"]:
            console.print()
            console.print(slo_table(document["slo"]))
        return
    console.print(literal(document["headline"]["title"]), style="bold")
    is_stress = "stress" in document
    for sentence in document["headline"]["clauses"] if is_stress else [document["headline"]["sentence"]]:
        console.print(literal(sentence), soft_wrap=soft)
    if document["slo"]:
        console.print()
        if is_stress:
            console.print(literal(f"SLO at {_load(document['stress'])}:"))
        console.print(slo_table(document["slo"]))


def _load(stress: Mapping[str, Any]) -> str:
    """The load at which the SLOs of a stress test are judged."""
    value = f"{stress['judged_load']:g}"
    return f"concurrency {value}" if stress["ramp"] == "concurrency" else f"{value} pulls/s"


def verdict_block(document: Mapping[str, Any], width: int | None, *, in_full: bool = False) -> list[Text]:
    """TIME, BEST, MIRROR, SLO and NOTES of a benchmark, as lines of at most `width` characters; None: a line each.

    On a terminal the block has at most 11 lines, but `in_full`: its last line says where what does not fit is.
    """
    lines, left_out = [], 0
    for title, key, most in _BLOCK:
        sentences = document["summary"][key]
        if not sentences:
            continue
        most -= key == "best" and bool(document["summary"]["mirror"])
        style = _SLO_STYLES.get(document["headline"]["status"], "") if key == "slo" else ""
        shown, left = _folded(sentences, width, 1_000 if in_full else most)
        left_out += left
        for number, line in enumerate(shown):
            start = f"{title if number == 0 else '':<{_INDENT}}"
            lines.append(Text.assemble((start, "bold"), literal(line, style)))
    if left_out:
        more = count(left_out, "sentence").replace(" ", " more ", 1)
        lines.append(Text(f"{'':<{_INDENT}}{more}: pullbench show latest", style="dim"))
    return lines


def _folded(sentences: Sequence[str], width: int | None, most: int) -> tuple[list[str], int]:
    """The first sentences that fit in `most` lines, at least one in full, and how many are left out."""
    if width is None:
        return [" ".join(sentences)], 0
    for kept in range(len(sentences), 0, -1):
        lines = textwrap.wrap(
            " ".join(sentences[:kept]), max(20, width - _INDENT), break_on_hyphens=False, break_long_words=False
        )
        if len(lines) <= most:
            break
    return lines, len(sentences) - kept
