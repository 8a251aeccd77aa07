"""Progress on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from pullbench.app.progress import Progress as RunProgress
from pullbench.cli.terminal.console import excluded_lines
from pullbench.cli.terminal.findings import findings_view
from pullbench.cli.terminal.safe_text import literal
from pullbench.model.factor_words import factor_text
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import FACTORS, Cell, Plan, Trial, group_reasons
from pullbench.model.record import RunRecord, TrialResult
from pullbench.model.text import count, format_bytes, printable
from pullbench.registry.push import PushedImage
from pullbench.report.core.numbers import seconds

_LINE_EVERY_S = 10.0
_MINUTES_FROM_S = 120
_BAR_FROM = 100
"""Columns of characters from which on the text leaves room for a bar."""


class ShellProgress(RunProgress):
    """Progress of a run."""

    _unit = "trial"

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._done = self._total = 0
        self._pulls = self._failed = 0
        self._times: dict[Cell, dict[int, list[float]]] = {}
        """The pull times so far of each configuration by repetition, in seconds."""
        self._medians: dict[Cell, dict[int, float]] = {}
        """The medians of these, so that a million pulls are not sorted after every trial."""
        self._varying: list[str] = ["engine"]
        """The factors that name a configuration of this run."""
        self._has_warmup = False
        self._lines = Pace()

    def note(self, text: str) -> None:
        self._console.print(literal(text), soft_wrap=not self._console.is_terminal)  # a line of a log stays one

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        self._vary(plan)
        self._done, self._total = done, len(plan.trials)
        if done == self._total:
            self.note(f"run {run.run_id}: complete, nothing is left to measure")
            return
        if done:
            self.note(f"run {run.run_id}: {count(self._total - done, 'trial')} of {self._total} left")
        else:
            size = "size not known" if plan.bytes is None else f"{format_bytes(plan.bytes)} to pull"
            self.note(
                f"run {run.run_id}: {count(len(plan.cells), 'configuration')}, {count(self._total, 'trial')}, {size}"
            )
        self._note_excluded(plan)

    def _vary(self, plan: Plan) -> None:
        several = [name for name in FACTORS if len({getattr(cell, name) for cell in plan.cells}) > 1]
        self._varying = several or ["engine"]
        self._has_warmup = any(trial.warmup for trial in plan.trials)

    def _note_excluded(self, plan: Plan) -> None:
        for line in excluded_lines(group_reasons(plan.planned_out)):
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

    def starting(self, trial: Trial, /) -> None:
        if self._console.is_terminal:
            self._show(trial)

    def measured(self, trial: Trial, result: TrialResult, /) -> None:
        self._count(result)
        self._keep_times(trial, result)
        if self._console.is_terminal:
            self._show(trial)
        elif self._lines.due() or self._done == self._total:
            self.note(f"{self._unit} {self._done:,} of {self._total:,} {self._said(trial)}{self._left()}")

    def ended(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _count(self, result: TrialResult) -> None:
        self._done += 1
        self._pulls += result.record.pulls
        self._failed += result.record.pulls - result.record.succeeded

    def _keep_times(self, trial: Trial, result: TrialResult) -> None:
        times = [pull.queued_s + pull.duration_s for pull in result.pulls if pull.ok]
        if times and not trial.warmup:
            of_block = self._times.setdefault(trial.cell, {}).setdefault(trial.block, [])
            of_block += times
            self._medians.setdefault(trial.cell, {})[trial.block] = statistics.median(of_block)

    def _left(self) -> str:
        return self._lines.left(self._done, self._total)

    def _said(self, trial: Trial) -> str:
        """The pulls of the run, the configuration that runs, and its p50 so far, computed as in the tables."""
        from pullbench.stats.summary import typical

        medians = list(self._medians.get(trial.cell, {}).values())
        so_far = [
            f"{count(self._pulls, 'pull')} so far",
            *([f"{self._failed:,} failed"] if self._failed else []),
        ]
        words = " · ".join(filter(None, (factor_text(name, getattr(trial.cell, name)) for name in self._varying)))
        of_cell = f"{words}, p50 {seconds(typical(medians))}" if medians else words
        so_far += ["warm-up included"] if self._has_warmup else []
        return f"({', '.join(so_far)}): {of_cell}"

    def _show(self, trial: Trial) -> None:
        if self._bar is None:
            text = TextColumn(
                "{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")
            )
            bar = [BarColumn(bar_width=16)] if self._console.width >= _BAR_FROM else []
            columns = (text, *bar, MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, auto_refresh=False, expand=True)
            self._task = self._bar.add_task(printable(self._said(trial)), total=self._total, completed=self._done)
            self._bar.start()
        self._bar.update(self._task, completed=self._done, description=printable(self._said(trial)))
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
        left_s = (now - since) / (done - before) * (total - done)
        return f", about {seconds(left_s) if left_s >= _MINUTES_FROM_S else f'{left_s:.0f} s'} left"


class StressProgress(ShellProgress):
    """Progress of a stress test: a line a step, and between them the pulls, of which there may be fewer than the total."""

    _unit = "pull"

    def planned(self, run: RunRecord, plan: Plan, done: int) -> None:
        if run.status == "complete":
            self.note(f"run {run.run_id}: complete, nothing is left to measure")
            return
        self._vary(plan)
        self._total = sum(len(trial.images) for trial in plan.trials)
        if done:
            self.note(f"run {run.run_id}: continues, {count(done, 'trial')} are stored")
        self.note(f"run {run.run_id}: {stress_line(plan)}")
        self._note_excluded(plan)

    def _count(self, result: TrialResult) -> None:
        super()._count(result)
        self._done = self._pulls

    def _left(self) -> str:
        return super()._left().replace("about", "at most")


def stress_line(plan: Plan) -> str:
    """A stress test in a line: `up 1, 2, 4, hold 4, down 2, 1; at most 19 trials, …`."""
    said: list[str] = []
    phase = ""
    for stage in dict.fromkeys(trial.stage for trial in plan.trials if trial.stage is not None):
        said.append(f"{stage.load:g}" if stage.phase == phase else f"{stage.phase} {stage.load:g}")
        phase = stage.phase
    size = "size not known" if plan.bytes is None else format_bytes(plan.bytes)
    pulls = sum(len(trial.images) for trial in plan.trials)
    return (
        f"{', '.join(said)}; at most {count(len(plan.trials), 'trial')}, {count(pulls, 'pull')}, {size}, "
        f"{plan.manifest_requests} manifest requests"
    )


class CalibrationProgress(ShellProgress):
    """Progress of a calibration. Preflight's warnings describe how the lab is made, so only what stops a run is shown."""

    def checked(self, findings: Sequence[Finding]) -> None:
        super().checked([finding for finding in findings if finding.status is not Status.WARN])


class PushProgress:
    """Progress of a push of images."""

    def __init__(self, console: Console, total_bytes: int) -> None:
        self._console = console
        self._total = total_bytes
        self._lock = threading.Lock()
        self._done = 0
        self._pace = Pace()
        self._bar: Progress | None = None
        self.pushed = 0
        if console.is_terminal:
            columns = (TextColumn("pushing, shared layers once"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task("pushing", total=self._total)
            self._bar.start()

    def moved(self, size_bytes: int) -> None:
        with self._lock:
            self._done += size_bytes
            if self._bar is not None:
                self._bar.update(self._task, completed=self._done)
            elif self._pace.due():
                left = self._pace.left(self._done, self._total)
                done = f"{format_bytes(self._done)} of {format_bytes(self._total)} done, shared layers are sent once"
                self._console.print(literal(f"{done}{left}"))

    def settled(self, image: PushedImage) -> None:
        with self._lock:
            self.pushed += image.outcome == "pushed"

    def ended(self) -> None:
        if self._bar is not None:
            self._bar.stop()
