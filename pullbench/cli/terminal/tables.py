"""What commands print as tables: they fit the width that they are printed in, and show foreign text as it is.

Help must not wait for pydantic and pandas, so what needs them is imported where it is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from pullbench.cli.terminal.safe_text import literal
from pullbench.report.calibration import words as calibration_words
from pullbench.report.core import numbers
from pullbench.report.core.objective_words import (
    VERDICT_WORDS,
    evidence_text,
    measured_text,
    objective_title,
    target_text,
)

if TYPE_CHECKING:
    import pandas as pd

    from pullbench.model.plan import Plan
    from pullbench.report.trend.changes import Trend

VERDICT_STYLES = {"met": "green", "missed": "bold red", "not_shown": "dim"}
_STEP_STYLES = {"held": "green", "open": "dim", "missed": "bold red"}
_COMPARED_STYLES = {"slower": "bold red", "faster": "green", "fails_more": "bold red", "fails_less": "green"}
RUN_ID_WIDTH = len("20261123T161500Z-3fa2")
"""The least width of a column of run_ids: people copy them from it."""
_UNBOUNDED = 10_000


@dataclass(frozen=True, slots=True)
class ResponsiveTable:
    """A table, or `narrow` of the same where a terminal does not hold it: rich would shorten the names in it to nothing.

    `room` is how many columns of characters it needs beyond its longest words, to be better than `narrow`.
    """

    table: Table
    narrow: Callable[[], RenderableType]
    room: int = 0
    whole: bool = False
    """Whether no cell may wrap."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        measured = self.table.__rich_measure__(console, options.update(width=_UNBOUNDED))
        needed = measured.maximum if self.whole else measured.minimum + self.room
        yield self.table if needed <= options.max_width else self.narrow()


def result_table(document: dict[str, Any]) -> RenderableType | None:
    """What a run's document has measured: its steps, its rows beside their truth, or its cells; None where it is nothing."""
    if "calibration" in document:
        return calibration_table(document["calibration"]) if document["calibration"]["rows"] else None
    if "stress" in document:
        return steps_table(document["stress"]) if document["stress"]["steps"] else None
    return cells_table(document["cells"]) if document["cells"] else None


def cells_table(cells: Sequence[dict[str, Any]]) -> ResponsiveTable:
    """The cells of a run: the factors that vary, and what was measured; on a narrow terminal the most of that."""
    from pullbench.model.plan import FACTORS

    varying = [name for name in FACTORS if len({cell[name] for cell in cells}) > 1] or ["engine"]
    ordered = sorted(cells, key=lambda entry: [entry[name] for name in varying])
    return ResponsiveTable(_all_of_cells(ordered, varying), lambda: _most_of_cells(ordered, varying))


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
            *(literal(cell[name]) for name in varying),
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
            literal(" ".join(f"×{cell[name]}" if name == "concurrency" else str(cell[name]) for name in varying)),
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


def steps_table(stress: dict[str, Any]) -> ResponsiveTable:
    """The steps of a stress test, as its document has them; without the intervals where a terminal does not hold them."""
    return ResponsiveTable(_steps(stress, intervals=True), lambda: _steps(stress, intervals=False))


def _steps(stress: dict[str, Any], *, intervals: bool) -> Table:
    from pullbench.report.stress import verdict

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
            Text(verdict.outcome(step), style=_STEP_STYLES[step["verdict"]]),
            Text(f"{step['succeeded']:,}/{step['pulls']:,}", style="bold red" if failed else ""),
            numbers.seconds(step["mean_s"]),
            *([mean_range] if intervals else []),
            verdict.rate(step["rate"]),
            *([rate_range] if intervals else []),
            numbers.percent(step["client_busy"]),
        )
    return table


def calibration_table(part: dict[str, Any]) -> Table:
    """The rows of a calibration, as its document has them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in calibration_words.HEADINGS:
        table.add_column(name, justify="right" if name in calibration_words.HEADINGS[2:7] else "left", no_wrap=True)
    for row in part["rows"]:
        *texts, verdict = calibration_words.cells(row)
        table.add_row(*texts, Text(verdict, style=VERDICT_STYLES[row["verdict"]]))
    return table


def comparison_table(cells: "pd.DataFrame") -> ResponsiveTable:
    """The configurations that both runs have: times, ratio, interval, failures, verdict.

    On a narrow terminal the factors share one column; on a narrower one an inconclusive row has no advice.
    """
    from pullbench.report.core.tables import varying

    factors = varying(cells) or ["engine"]

    def together() -> ResponsiveTable:
        made = (_compared(cells, factors, together=True, advice=advice) for advice in (True, False))
        return ResponsiveTable(next(made), lambda: next(made), whole=True)

    return ResponsiveTable(_compared(cells, factors, together=False, advice=True), together, whole=True)


def _compared(cells: "pd.DataFrame", factors: Sequence[str], *, together: bool, advice: bool) -> Table:
    from pullbench.report.core.stored import records

    rows = records(cells)
    failed = any(row[f"{side}_succeeded"] < row[f"{side}_pulls"] for row in rows for side in ("baseline", "candidate"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ["configuration"] if together else factors:
        table.add_column(
            name.replace("_", " "),
            justify="right" if name == "concurrency" else "left",
            overflow="fold",
            min_width=13 if together else None,
        )
    for title in ("baseline", "candidate", "ratio", "95% CI", *(["failed"] if failed else [])):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=len("inconclusive"))
    for row in rows:
        table.add_row(
            *map(literal, [_factors_in_words(row, factors)] if together else [str(row[name]) for name in factors]),
            numbers.seconds(row["baseline_s"]),
            numbers.seconds(row["candidate_s"]),
            numbers.ratio(row["ratio"]),
            numbers.ratio_range(row["low"], row["high"]),
            *([_failed_on_both_sides(row)] if failed else []),
            _compared_verdict(row, advice=advice),
        )
    return table


def _factors_in_words(row: dict[str, Any], factors: Sequence[str]) -> str:
    return " ".join(f"concurrency {row[name]}" if name == "concurrency" else str(row[name]) for name in factors)


def _failed_on_both_sides(row: dict[str, Any]) -> str:
    """`0 → 3`: failed pulls of the baseline and the candidate."""
    return " → ".join(str(row[f"{side}_pulls"] - row[f"{side}_succeeded"]) for side in ("baseline", "candidate"))


def trend_table(found: "Trend") -> ResponsiveTable:
    """A benchmark's runs, the oldest first, with the change points of the whole; on a narrow terminal without quarters."""
    return ResponsiveTable(
        _runs_over_time(found, narrow=False), lambda: _runs_over_time(found, narrow=True), whole=True
    )


def _runs_over_time(found: "Trend", *, narrow: bool) -> Table:
    from pullbench.report.core.stored import records

    rows = records(found.runs)
    failed = any(row["succeeded"] < row["pulls"] for row in rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True, min_width=RUN_ID_WIDTH)
    for title in ("started",) if narrow else ("started (UTC)", "quarter"):
        table.add_column(title, no_wrap=True)
    for title in ("median", "95% CI", *(["succeeded"] if failed or not narrow else [])):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("change point", no_wrap=True)
    whole = found.steps[found.steps["setting"] == ""]
    changes = {row["run_id"]: row for row in records(whole)}
    for row in rows:
        table.add_row(
            literal(row["run_id"]),
            *([f"{row['started_at']:%Y-%m-%d}"] if narrow else [f"{row['started_at']:%Y-%m-%d %H:%M}", row["quarter"]]),
            numbers.seconds(row["level_s"]),
            numbers.seconds_range(row["level_low_s"], row["level_high_s"]),
            *([f"{row['succeeded']}/{row['pulls']}"] if failed or not narrow else []),
            _change_point(changes.get(row["run_id"])),
        )
    return table


def _change_point(change: dict[str, Any] | None) -> Text:
    if change is None:
        return Text("")
    return Text(f"{change['verdict']}: {numbers.ratio(change['ratio'])}", style=_COMPARED_STYLES[change["verdict"]])


def _compared_verdict(row: dict[str, Any], *, advice: bool) -> Text:
    from pullbench.report.compare.verdict import needs_more

    words = [str(row["verdict"])] + ([row["success_verdict"]] if row["success_verdict"] != "alike" else [])
    style = next((_COMPARED_STYLES[word] for word in reversed(words) if word in _COMPARED_STYLES), "dim")
    said = ", ".join(word.replace("_", " ") for word in words)
    return Text(f"{said} ({more})" if advice and (more := needs_more(row)) else said, style=style)


def objectives_table(rows: Sequence[dict[str, Any]]) -> ResponsiveTable:
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
            _objective_verdict(row),
            literal(evidence_text(row)),
        )
    return ResponsiveTable(table, lambda: Group(*map(_objective_sentence, rows)), room=60)


def _objective_verdict(row: dict[str, Any]) -> Text:
    return Text(VERDICT_WORDS[row["verdict"]], style=VERDICT_STYLES[row["verdict"]])


def _objective_sentence(row: dict[str, Any]) -> Text:
    asked = target_text(row["name"], row["target"])
    said = f": {measured_text(row)}, {asked} is asked; {evidence_text(row)}"
    return Text.assemble(_objective_verdict(row), "  ", Text(objective_title(row["name"]), style="bold"), literal(said))


def plan_table(plan: "Plan") -> Table:
    """The cells that will be measured."""
    from pullbench.model.plan import FACTORS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in FACTORS:
        table.add_column(name.replace("_", " "), justify="right" if name == "concurrency" else "left")
    for cell in plan.cells:
        table.add_row(*(literal(getattr(cell, name)) for name in FACTORS))
    return table
