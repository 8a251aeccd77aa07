"""What the shell shows of a calibration: every row beside its truth."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pullbench.cli.terminal.console import VERDICT_STYLES, ShellProgress
from pullbench.model.finding import Finding, Status
from pullbench.report.calibration import words


def calibration_table(part: dict[str, Any]) -> Table:
    """The rows of a calibration, as its document has them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in words.HEADINGS:
        table.add_column(name, justify="right" if name in words.HEADINGS[2:7] else "left", no_wrap=True)
    for row in part["rows"]:
        *texts, verdict = words.cells(row)
        table.add_row(*texts, Text(verdict, style=VERDICT_STYLES[row["verdict"]]))
    return table


class CalibrationProgress(ShellProgress):
    """Progress of a calibration on stderr. What preflight warns of is how the lab was made; what stops a run is told."""

    def checked(self, findings: Sequence[Finding]) -> None:
        super().checked([finding for finding in findings if finding.status is not Status.WARN])
