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
from pullbench.report.core.slo_words import (
    VERDICT_WORDS,
    evidence_text,
    measured_text,
    slo_place,
    slo_title,
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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = self.table.__rich_measure__(console, options.update(width=_UNBOUNDED)).minimum
        yield self.table if needed + self.room <= options.max_width else self.narrow()


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
    for name in ("step", "phase", load, "SLO", "succeeded", "mean pull", *span, "pulled", *span, "client"):
        justify: Literal["left", "right"] = "left" if name in ("phase", "SLO") else "right"
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
    """The cells that both runs have: times, ratio, interval, successes, verdict; words carry what colours show.

    On a narrow terminal the factors share one column.
    """
    from pullbench.report.core.tables import varying

    factors = varying(cells) or ["engine"]
    return ResponsiveTable(_compared(cells, factors, together=False), lambda: _compared(cells, factors, together=True))


def _compared(cells: "pd.DataFrame", factors: Sequence[str], *, together: bool) -> Table:
    from pullbench.report.core.stored import records

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ["setting"] if together else factors:
        right = name == "concurrency"
        table.add_column(name.replace("_", " "), justify="right" if right else "left", overflow="fold")
    for title in ("baseline", "candidate", "ratio", "95% interval", "succeeded"):
        table.add_column(title, justify="right", no_wrap=not together, overflow="fold")
    table.add_column("verdict", no_wrap=not together, overflow="fold")
    for row in records(cells):
        named = [f"×{row[name]}" if together and name == "concurrency" else str(row[name]) for name in factors]
        table.add_row(
            *map(literal, [" ".join(named)] if together else named),
            numbers.seconds(row["baseline_s"]),
            numbers.seconds(row["candidate_s"]),
            numbers.ratio(row["ratio"]),
            numbers.ratio_range(row["low"], row["high"]),
            f"{row['baseline_succeeded']}/{row['baseline_pulls']} → {row['candidate_succeeded']}/{row['candidate_pulls']}",
            _compared_verdict(row),
        )
    return table


def trend_table(found: "Trend") -> Table:
    """A benchmark's runs, the oldest first, with the steps of the whole between them."""
    from pullbench.report.core.stored import records

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True, min_width=RUN_ID_WIDTH)
    for title in ("started (UTC)", "quarter"):
        table.add_column(title, overflow="fold")
    for title in ("median", "95% interval", "succeeded"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    whole = found.steps[found.steps["setting"] == ""]
    steps = {row["run_id"]: row for row in records(whole)}
    for row in records(found.runs):
        step = steps.get(row["run_id"])
        said = "" if step is None else f"{step['verdict']} from here on: {numbers.ratio(step['ratio'])}"
        table.add_row(
            literal(row["run_id"]),
            f"{row['started_at']:%Y-%m-%d %H:%M}",
            row["quarter"],
            numbers.seconds(row["level_s"]),
            numbers.seconds_range(row["level_low_s"], row["level_high_s"]),
            f"{row['succeeded']}/{row['pulls']}",
            Text(said, style="" if step is None else _COMPARED_STYLES[step["verdict"]]),
        )
    return table


def _compared_verdict(row: dict[str, Any]) -> Text:
    words = [str(row["verdict"])] + ([row["success_verdict"]] if row["success_verdict"] != "alike" else [])
    style = next((_COMPARED_STYLES[word] for word in reversed(words) if word in _COMPARED_STYLES), "dim")
    return Text(", ".join(word.replace("_", " ") for word in words), style=style)


def slo_table(rows: Sequence[dict[str, Any]]) -> ResponsiveTable:
    """The SLOs, as the `slo` of a run's document has them; on a narrow terminal in sentences."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("SLO", "engine", "measured", "target", "verdict"):
        table.add_column(name, justify="right" if name == "measured" else "left", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in rows:
        table.add_row(
            slo_title(row["name"]),
            literal(slo_place(row)),
            measured_text(row),
            target_text(row["name"], row["target"]),
            _slo_verdict(row),
            literal(evidence_text(row)),
        )
    return ResponsiveTable(table, lambda: Group(*map(_slo_sentence, rows)), room=60)


def _slo_verdict(row: dict[str, Any]) -> Text:
    return Text(VERDICT_WORDS[row["verdict"]], style=VERDICT_STYLES[row["verdict"]])


def _slo_sentence(row: dict[str, Any]) -> Text:
    of = f" of {slo_place(row)}" if slo_place(row) else ""
    said = f"{of}: {measured_text(row)}, target {target_text(row['name'], row['target'])}; {evidence_text(row)}"
    return Text.assemble(_slo_verdict(row), "  ", Text(slo_title(row["name"]), style="bold"), literal(said))


def plan_table(plan: "Plan") -> Table:
    """The cells that will be measured."""
    from pullbench.model.plan import FACTORS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in FACTORS:
        table.add_column(name.replace("_", " "), justify="right" if name == "concurrency" else "left")
    for cell in plan.cells:
        table.add_row(*(literal(getattr(cell, name)) for name in FACTORS))
    return table
