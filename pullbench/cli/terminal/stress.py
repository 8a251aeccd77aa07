"""What the shell shows of a stress test: progress step by step, and the steps as a table."""

from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pullbench.cli.terminal.calibration import calibration_table
from pullbench.cli.terminal.console import ShellProgress, cells_table, planned_out_lines
from pullbench.cli.terminal.tables import Fitting
from pullbench.model.plan import Plan, Trial, group_reasons
from pullbench.model.record import Run, TrialResult
from pullbench.model.text import count, format_bytes
from pullbench.report.core import numbers
from pullbench.report.stress import verdict

_STYLES = {"held": "green", "open": "dim", "missed": "bold red"}


class StressProgress(ShellProgress):
    """Progress of a stress test on stderr: a line a step, and between them how many pulls it may still come to."""

    _unit = "pulls, at most"

    def planned(self, run: Run, plan: Plan, done: int) -> None:
        if run.status == "complete":
            self.note(f"run {run.run_id}: complete, nothing is left to measure")
            return
        self._total = sum(len(trial.images) for trial in plan.trials)
        if done:
            self.note(f"run {run.run_id}: goes on, {count(done, 'trial')} are stored")
        self.note(f"run {run.run_id}: {stress_line(plan)}")
        for line in planned_out_lines(group_reasons(plan.planned_out)):
            self.note(line)

    def measured(self, _trial: Trial, result: TrialResult) -> None:
        self._done += result.record.pulls
        self._failed += result.record.pulls - result.record.succeeded
        if self._console.is_terminal:
            self._advance()
        elif self._lines.due():
            failed = f", {self._failed:,} failed" if self._failed else ""
            left = self._lines.left(self._done, self._total).replace("about", "at most")
            self.note(f"{self._done:,} of at most {count(self._total, 'pull')}{failed}{left}")


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


def result_table(document: dict[str, Any]) -> RenderableType | None:
    """What a run's document has measured: its steps, its rows beside their truth, or its cells; None where it is nothing."""
    if "calibration" in document:
        return calibration_table(document["calibration"]) if document["calibration"]["rows"] else None
    if "stress" in document:
        return steps_table(document["stress"]) if document["stress"]["steps"] else None
    return cells_table(document["cells"]) if document["cells"] else None


def steps_table(stress: dict[str, Any]) -> Fitting:
    """The steps of a stress test, as its document has them; without the intervals where a terminal does not hold them."""
    return Fitting(_steps(stress, intervals=True), lambda: _steps(stress, intervals=False))


def _steps(stress: dict[str, Any], *, intervals: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    span = ["95% interval"] if intervals else []
    load = "at once" if stress["ramp"] == "concurrency" else "pulls/s"
    for name in ("step", "phase", load, "objectives", "succeeded", "mean pull", *span, "pulled", *span, "client"):
        justify: Literal["left", "right"] = "left" if name in ("phase", "objectives") else "right"
        table.add_column(name, justify=justify, no_wrap=intervals, overflow="fold")
    for step in stress["steps"]:
        failed = step["succeeded"] < step["pulls"]
        mean_range = numbers.seconds_range(step["mean_low_s"], step["mean_high_s"])
        rate_range = verdict.rate_range(step["rate_low"], step["rate_high"])
        table.add_row(
            str(step["step"]),
            step["phase"],
            f"{step['load']:g}",
            Text(verdict.outcome(step), style=_STYLES[step["verdict"]]),
            Text(f"{step['succeeded']:,}/{step['pulls']:,}", style="bold red" if failed else ""),
            numbers.seconds(step["mean_s"]),
            *([mean_range] if intervals else []),
            verdict.rate(step["rate"]),
            *([rate_range] if intervals else []),
            numbers.percent(step["client_busy"]),
        )
    return table
