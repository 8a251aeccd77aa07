"""What commands print as tables: they fit the width that they are printed in, and show foreign text as it is.

Help must not wait for pydantic and pandas, so what needs them is imported where it is used.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from pullbench.cli.terminal.safe_text import literal
from pullbench.model.factor_words import factor_in_column, factor_text, factor_title
from pullbench.report.calibration import words as calibration_words
from pullbench.report.core import numbers
from pullbench.report.core.client_limit import LIMITED_FROM
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
    from pullbench.report.trend.changes import RunSeries, Trend

VERDICT_STYLES = {"met": "green", "missed": "bold red", "not_shown": "dim"}
_STEP_STYLES = {"held": "green", "open": "dim", "missed": "bold red"}
_COMPARED_STYLES = {"slower": "bold red", "faster": "green", "fails_more": "bold red", "fails_less": "green"}
RUN_ID_WIDTH = len("20261123T161500Z-3fa2")
"""The least width of a column of run_ids: people copy them from it."""
_UNBOUNDED = 10_000


@dataclass(frozen=True, slots=True)
class ResponsiveTable:
    """A table, or `narrow` where a terminal is too narrow for it: rich would shorten its names to nothing.

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


def listing(columns: Sequence[str], rows: Sequence[dict[str, str]], *, folds: Collection[str]) -> Table:
    """A row for each of `rows`, by the names of its columns. Only the columns in `folds` wrap on a narrow terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        whole = None if name in folds else max(len(name), *(len(row[name]) for row in rows))
        justify: Literal["left", "right"] = "right" if name == "size" else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=whole is not None, min_width=whole)
    for row in rows:
        table.add_row(*(literal(row[name]) for name in columns))
    return table


def result_table(document: dict[str, Any]) -> RenderableType | None:
    """What a run's document has measured: steps, rows with their truth, or configurations; None where there is nothing."""
    if "calibration" in document:
        return calibration_table(document["calibration"]) if document["calibration"]["rows"] else None
    if "stress" in document:
        return steps_table(document["stress"]) if document["stress"]["steps"] else None
    return cells_table(document["cells"]) if document["cells"] else None


def cells_table(cells: Sequence[dict[str, Any]]) -> "CellsTable":
    """The configurations of a run: the factors that vary, and what was measured."""
    return CellsTable(cells)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the configurations: its cells, and when it is left out on a narrow terminal."""

    title: str
    cells: Sequence[Text]
    rank: int = 0
    """0 stays; the highest is left out first."""

    @property
    def width(self) -> int:
        return max(len(self.title), *(cell.cell_len for cell in self.cells))


class CellsTable:
    """A row a configuration, with as many columns as fit; what all have in common is one line above."""

    def __init__(self, cells: Sequence[dict[str, Any]], *, measured: bool = True) -> None:
        from pullbench.model.plan import FACTORS

        self._is_measured = measured
        varying = [name for name in FACTORS if len({cell[name] for cell in cells}) > 1] or ["engine"]
        self._factors = varying
        self._rows = sorted(cells, key=lambda entry: [entry[name] for name in varying])
        self._common = [factor_text(name, cells[0][name]) for name in FACTORS if name not in varying]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        common = ", ".join(filter(None, self._common))
        if common:
            yield literal(f"{'All configurations' if len(self._rows) > 1 else 'Configuration'}: {common}.")
        room = options.max_width
        measured = self._measured() if self._is_measured else []
        names = [
            _Column(factor_title(name), [literal(factor_in_column(name, row)) for row in self._rows])
            for name in self._factors
        ]
        apart = _fitting([*names, *measured], room)
        joined = [literal(_factors_in_words(row, self._factors)) for row in self._rows]
        least = max((len(word) for text in joined for word in text.plain.split()), default=0)
        together = [
            _Column("configuration", joined),
            *_fitting(measured, room - max(least, len("configuration")) - _GAP),
        ]
        if len(names) == 1 or _width(apart) <= room:
            yield self._table(apart, names=len(names))
        else:
            yield self._table(together, names=1)

    def _table(self, columns: Sequence[_Column], *, names: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place, column in enumerate(columns):
            left = place < names and column.title != "concurrency"
            table.add_column(column.title, justify="left" if left else "right", no_wrap=place >= names, overflow="fold")
        for row in zip(*(column.cells for column in columns), strict=True):
            table.add_row(*row)
        return table

    def _measured(self) -> list[_Column]:
        rows = self._rows
        failed = any(row["succeeded"] < row["pulls"] for row in rows)
        percentiles = numbers.percentiles_known(rows)
        shares = [
            (title, key, rank)
            for title, key, rank in (("download", "download_share", 5), ("unpack", "extract_share", 1))
            if any(numbers.known(row[key]) for row in rows)
        ]
        ranks = {90: 6, 95: 4, 99: 7}

        def column(title: str, text: Callable[[dict[str, Any]], str], rank: int = 0) -> _Column:
            return _Column(title, [Text(text(row)) for row in rows], rank)

        return [
            column("p50", lambda row: numbers.seconds(row["median_s"])),
            column("95% CI", lambda row: numbers.seconds_range(row["median_low_s"], row["median_high_s"]), 2),
            *(column(f"p{q}", lambda row, q=q: numbers.seconds(row[f"p{q}_s"]), ranks[q]) for q in percentiles),  # type: ignore[misc]
            column("images/s", lambda row: numbers.plain(row["images_per_s"])),
            column("MB/s", lambda row: numbers.megabytes(row["throughput_bytes_per_s"]), 3),
            *(column(title, lambda row, key=key: numbers.whole_percent(row[key]), rank) for title, key, rank in shares),  # type: ignore[misc]
            _Column(
                "pulls",
                [Text(f"{row['succeeded']}/{row['pulls']}", style=_failed_style(row)) for row in rows],
                0 if failed else 3,
            ),
        ]


_GAP = 2
"""Columns of characters between two columns of a table."""


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width + _GAP for column in columns) - _GAP


def _fitting(columns: Sequence[_Column], room: int) -> list[_Column]:
    """The columns that fit; the highest ranks are left out first."""
    kept = list(columns)
    while _width(kept) > room and (most := max((column.rank for column in kept), default=0)):
        kept.remove(next(column for column in reversed(kept) if column.rank == most))
    return kept


def _failed_style(cell: dict[str, Any]) -> str:
    return "bold red" if cell["succeeded"] < cell["pulls"] else ""


def steps_table(stress: dict[str, Any]) -> "StepsTable":
    """The steps of a stress test, as its document has them."""
    return StepsTable(stress)


class StepsTable:
    """A row a step, with as many columns as fit; what a step says of the SLO folds between words."""

    def __init__(self, stress: dict[str, Any]) -> None:
        self._stress = stress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        said = self._said()
        least = max(len(word) for text in (Text("SLO"), *said) for word in text.plain.split())
        folded = min(max(text.cell_len for text in said), max(least, _FOLDS_AT))
        columns = _fitting(self._columns(), options.max_width - folded - _GAP)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.title, justify="left" if column.title == "phase" else "right", no_wrap=True)
        table.add_column("SLO")
        for row in zip(*(column.cells for column in columns), said, strict=True):
            table.add_row(*row)
        yield table

    def _said(self) -> list[Text]:
        from pullbench.report.stress import verdict

        return [
            Text(verdict.outcome(step), style=_STEP_STYLES["open" if verdict.is_unclear(step) else step["verdict"]])
            for step in self._stress["steps"]
        ]

    def _columns(self) -> list[_Column]:
        from pullbench.report.stress import verdict

        steps = self._stress["steps"]
        failed = any(step["succeeded"] < step["pulls"] for step in steps)
        limited = any(numbers.known(step["client_busy"]) and step["client_busy"] >= LIMITED_FROM for step in steps)

        def column(title: str, text: Callable[[dict[str, Any]], str], rank: int = 0) -> _Column:
            return _Column(title, [Text(text(step)) for step in steps], rank)

        return [
            column("step", lambda step: str(verdict.step_number(step))),
            column("phase", lambda step: str(step["phase"])),
            column(
                "concurrency" if self._stress["ramp"] == "concurrency" else "offered/s",
                lambda step: f"{step['load']:g}",
            ),
            _Column(
                "pulls",
                [Text(f"{step['succeeded']:,}/{step['pulls']:,}", style=_failed_style(step)) for step in steps],
                0 if failed else 2,
            ),
            column("mean pull", lambda step: numbers.seconds(step["mean_s"])),
            column("95% CI", lambda step: numbers.seconds_range(step["mean_low_s"], step["mean_high_s"]), 3),
            column("pulls/s", lambda step: numbers.plain(step["rate"])),
            column("95% CI", lambda step: numbers.ratio_range(step["rate_low"], step["rate_high"]), 4),
            column("client", lambda step: numbers.whole_percent(step["client_busy"]), 0 if limited else 1),
        ]


_FOLDS_AT = 24
"""The width from which on what a step says of the SLO is folded."""


_CALIBRATION_NARROW = ("quantity", "line", "truth", "measured", "error", "verdict")


def calibration_table(part: dict[str, Any]) -> ResponsiveTable:
    """The rows of a calibration, as its document has them; on a narrow terminal without the intervals and what sockets saw."""
    headings = calibration_words.HEADINGS
    every = range(len(headings))
    fewer = [place for place in every if headings[place] in _CALIBRATION_NARROW]
    return ResponsiveTable(_calibrated(part, list(every)), lambda: _calibrated(part, fewer))


def _calibrated(part: dict[str, Any], shown: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in shown:
        table.add_column(
            calibration_words.HEADINGS[place], justify="right" if 2 <= place < 7 else "left", overflow="fold"
        )
    for row in part["rows"]:
        *texts, verdict = calibration_words.cells(row)
        cells = [*map(literal, texts), Text(verdict, style=VERDICT_STYLES[row["verdict"]])]
        table.add_row(*(cells[place] for place in shown))
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
            factor_title(name),
            justify="right" if name == "concurrency" else "left",
            overflow="fold",
            min_width=13 if together else None,
        )
    for title in ("baseline", "candidate", "ratio", "CI", *(["failed"] if failed else [])):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=len("inconclusive"))
    for row in rows:
        table.add_row(
            *map(
                literal,
                [_factors_in_words(row, factors)] if together else [factor_in_column(name, row) for name in factors],
            ),
            numbers.seconds(row["baseline_s"]),
            numbers.seconds(row["candidate_s"]),
            numbers.ratio(row["ratio"]),
            numbers.ratio_range(row["low"], row["high"]),
            *([_failed_on_both_sides(row)] if failed else []),
            _compared_verdict(row, advice=advice),
        )
    return table


def _factors_in_words(row: dict[str, Any], factors: Sequence[str]) -> str:
    return " ".join(filter(None, (factor_text(name, row[name]) for name in factors)))


def _failed_on_both_sides(row: dict[str, Any]) -> str:
    """`0 → 3`: failed pulls of the baseline and the candidate."""
    return " → ".join(str(row[f"{side}_pulls"] - row[f"{side}_succeeded"]) for side in ("baseline", "candidate"))


def trend_table(found: "Trend") -> Group:
    """A benchmark's runs, the oldest first, with the change points of all configurations together; on a narrow terminal

    without quarters. Engines that do different work have a table each.
    """
    several = len(found.series) > 1
    made: list[RenderableType] = []
    for series in found.series:
        made += [literal(f"{numbers.listed(series.engines)}:")] if several else []
        made.append(
            ResponsiveTable(
                _runs_over_time(series, narrow=False), partial(_runs_over_time, series, narrow=True), whole=True
            )
        )
    return Group(*made)


def _runs_over_time(found: "RunSeries", *, narrow: bool) -> Table:
    from pullbench.report.core.stored import records

    rows = records(found.runs)
    failed = any(row["succeeded"] < row["pulls"] for row in rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", no_wrap=True, min_width=RUN_ID_WIDTH)
    for title in () if narrow else ("started (UTC)", "quarter"):  # a run's ID starts with its date
        table.add_column(title, no_wrap=True)
    for title in ("median", "95% CI", *(["succeeded"] if failed or not narrow else [])):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("change point", no_wrap=True)
    changes = {row["run_id"]: row for row in records(found.whole)}
    for row in rows:
        table.add_row(
            literal(row["run_id"]),
            *([] if narrow else [f"{row['started_at']:%Y-%m-%d %H:%M}", row["quarter"]]),
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


def plan_table(plan: "Plan") -> RenderableType:
    """The configurations that will be measured; nothing for none."""
    return CellsTable([cell.as_dict() for cell in plan.cells], measured=False) if plan.cells else Group()
