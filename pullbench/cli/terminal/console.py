"""What the shell shows: progress, findings, cells. Text of registries is printed plainly, never as markup."""

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pullbench.app.progress import Silent
from pullbench.cli.terminal.findings import findings_view
from pullbench.cli.terminal.safe_text import plain as plain  # said to whoever prints: from here
from pullbench.cli.terminal.tables import Fitting
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import FACTORS, Plan, Trial, group_reasons
from pullbench.model.record import Run, TrialResult
from pullbench.model.text import count, format_bytes
from pullbench.report.core import numbers
from pullbench.report.core.client_limit import limit_notice
from pullbench.report.run.objectives import VERDICT_WORDS, evidence_text, measured_text, objective_title, target_text

VERDICT_STYLES = {"met": "green", "missed": "bold red", "not_shown": "dim"}
_LINE_EVERY_S = 10.0
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


class ShellProgress(Silent):
    """Progress of a run on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

    _unit = "trials"

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._done = self._total = 0
        self._failed = 0
        self._lines = Pace()

    def note(self, text: str) -> None:
        self._console.print(plain(text), soft_wrap=not self._console.is_terminal)  # a line of a log stays one

    def planned(self, run: Run, plan: Plan, done: int) -> None:
        self._done, self._total = done, len(plan.trials)
        if done == self._total:
            self.note(f"run {run.run_id}: complete, nothing is left to measure")
            return
        if done:
            self.note(f"run {run.run_id}: {count(self._total - done, 'trial')} of {self._total} left")
        else:
            size = "size not known" if plan.bytes is None else f"{format_bytes(plan.bytes)} to pull"
            self.note(f"run {run.run_id}: {count(len(plan.cells), 'cell')}, {count(self._total, 'trial')}, {size}")
        for line in planned_out_lines(group_reasons(plan.planned_out)):
            self.note(line)

    def checked(self, findings: Sequence[Finding]) -> None:
        counted = [finding for finding in findings if finding.status in (Status.FAIL, Status.ERROR, Status.WARN)]
        passed = sum(finding.status is Status.PASS for finding in findings)
        by_status = Counter(finding.status.value for finding in counted)
        self.note(
            f"preflight: {passed} passed" + "".join(f", {number} {status}" for status, number in by_status.items())
        )
        if counted:
            self._console.print(findings_view(counted), soft_wrap=not self._console.is_terminal)

    def measured(self, _trial: Trial, result: TrialResult) -> None:
        self._done += 1
        self._failed += result.record.pulls - result.record.succeeded
        if self._console.is_terminal:
            self._advance()
        elif self._lines.due() or self._done == self._total:
            left = self._lines.left(self._done, self._total)
            failed = f", {self._failed} pulls failed" if self._failed else ""
            self.note(f"trial {self._done} of {self._total}{failed}{left}")

    def ended(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _advance(self) -> None:
        if self._bar is None:
            columns = (TextColumn(self._unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, auto_refresh=False)
            self._task = self._bar.add_task(self._unit, total=self._total, completed=self._done - 1)
            self._bar.start()
        self._bar.update(self._task, completed=self._done)
        self._bar.refresh()


class Pace:
    """When a plain line is due, and how long the rest will take."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < _LINE_EVERY_S:
            return False
        self._last = now
        return True

    def left(self, done: int, total: int) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
            return ""
        since, before = self._first
        if done in (before, total):
            return ""
        return f", about {(now - since) / (done - before) * (total - done):.0f} s left"


def cells_table(cells: Sequence[dict[str, Any]]) -> Fitting:
    """The cells of a run: the factors that vary, and what was measured; on a narrow terminal the most of that."""
    varying = [name for name in FACTORS if len({cell[name] for cell in cells}) > 1] or ["engine"]
    ordered = sorted(cells, key=lambda entry: [entry[name] for name in varying])
    return Fitting(_all_of_cells(ordered, varying), lambda: _most_of_cells(ordered, varying))


def _all_of_cells(cells: Sequence[dict[str, Any]], varying: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in varying:
        table.add_column(name.replace("_", " "), justify="right" if name == "concurrency" else "left")
    percentiles = numbers.percentiles_known(cells)
    shown = (
        "pulls",
        "succeeded",
        "median",
        "95% interval",
        *(f"p{q}" for q in percentiles),
        "image every",
        "throughput",
    )
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for cell in cells:
        table.add_row(
            *(plain(cell[name]) for name in varying),
            str(cell["pulls"]),
            Text(str(cell["succeeded"]), style=_failed_style(cell)),
            numbers.seconds(cell["median_s"]),
            _interval(cell),
            *(numbers.seconds(cell[f"p{q}_s"]) for q in percentiles),
            numbers.seconds(cell["wall_per_pull_s"]),
            numbers.rate(cell["throughput_bytes_per_s"]),
        )
    return table


def _most_of_cells(cells: Sequence[dict[str, Any]], varying: Sequence[str]) -> Table:
    """A setting in one folded column; percentiles and throughput are left to wider terminals and the report."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("setting", overflow="fold", min_width=12)
    for name in ("pulls", "median", "95% interval", "image every"):
        table.add_column(name, justify="right", overflow="fold")
    for cell in cells:
        table.add_row(
            plain(" ".join(f"×{cell[name]}" if name == "concurrency" else str(cell[name]) for name in varying)),
            Text(f"{cell['succeeded']}/{cell['pulls']}", style=_failed_style(cell)),
            numbers.seconds(cell["median_s"]),
            _interval(cell),
            numbers.seconds(cell["wall_per_pull_s"]),
        )
    return table


def _failed_style(cell: dict[str, Any]) -> str:
    return "bold red" if cell["succeeded"] < cell["pulls"] else ""


def _interval(cell: dict[str, Any]) -> str:
    low, high = cell["median_low_s"], cell["median_high_s"]
    return numbers.NOT_KNOWN if low is None else f"{numbers.seconds(low)} to {numbers.seconds(high)}"


def print_stopping_findings(console: Console, document: dict[str, Any]) -> None:
    """What failed or could not run in the preflight of a run's document, with what to do; nothing where all was well."""
    found = [
        Finding(**entry | {"status": Status(entry["status"])})
        for entry in document["preflight"]["findings"]
        if entry["status"] in (Status.FAIL, Status.ERROR)
    ]
    if found:
        console.print(findings_view(found))
        console.print()


def print_verdict(console: Console, document: dict[str, Any]) -> None:
    """The verdict of a run's document, and how each objective fared: in the words of the report."""
    soft = not console.is_terminal
    console.print(plain(document["headline"]["title"]), style="bold")
    console.print(plain(document["headline"]["sentence"]), soft_wrap=soft)
    if document["kind"] != "stress" and (line := limit_notice(document["cells"])) is not None:
        console.print(plain(f"Note: {line}."), style="yellow", soft_wrap=soft)
    if document["slo"]:
        console.print()
        console.print(objectives_table(document["slo"]))


def objectives_table(rows: Sequence[dict[str, Any]]) -> Fitting:
    """The objectives over the whole run, as the `slo` of a run's document has them; on a narrow terminal in sentences."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("objective", "measured", "asked", "verdict"):
        table.add_column(name, justify="right" if name == "measured" else "left", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in rows:
        table.add_row(
            objective_title(row["name"]),
            measured_text(row),
            target_text(row["name"], row["target"]),
            _verdict(row),
            plain(evidence_text(row)),
        )
    return Fitting(table, lambda: Group(*map(_objective_sentence, rows)), room=60)


def _verdict(row: dict[str, Any]) -> Text:
    return Text(VERDICT_WORDS[row["verdict"]], style=VERDICT_STYLES[row["verdict"]])


def _objective_sentence(row: dict[str, Any]) -> Text:
    asked = target_text(row["name"], row["target"])
    said = f": {measured_text(row)}, {asked} is asked; {evidence_text(row)}"
    return Text.assemble(_verdict(row), "  ", Text(objective_title(row["name"]), style="bold"), plain(said))


def plan_table(plan: Plan) -> Table:
    """The cells that will be measured."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in FACTORS:
        table.add_column(name.replace("_", " "), justify="right" if name == "concurrency" else "left")
    for cell in plan.cells:
        table.add_row(*(plain(getattr(cell, name)) for name in FACTORS))
    return table
