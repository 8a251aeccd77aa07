"""The page of a trend, section by section. It formats the result of `trend_of`, and computes no number."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.report.compare.differences import Difference
from pullbench.report.core import numbers
from pullbench.report.core.sections import MOST_OF_A_NAME, PILLS, pill
from pullbench.report.core.stored import records
from pullbench.report.core.verdict_box import verdict_box
from pullbench.report.figures import over_time
from pullbench.report.render.html import Column, Html, Row, clipped, join, marked, paragraph, style, table, tag
from pullbench.report.trend.changes import RunSeries, Trend, headline

_MOST_RUNS = 400
_MOST_CHANGES = 6


class TrendPage:
    """The report of one benchmark over its runs; `result.runs` and `result.steps` are frames for your own analysis."""

    def __init__(self, result: Trend) -> None:
        self.result = result

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict, and which runs are left out."""
        found = self.result
        said = headline(found)
        left = len(found.left_out)
        note = (
            f"{numbers.count(left, 'run')} left out, without a configuration of the newest run: "
            f"{', '.join(found.left_out[:5])}{' …' if left > 5 else ''}."
        )
        return tag(
            "header",
            paragraph("pullbench · trend", kind="eyebrow"),
            tag("h1", clipped(found.name, MOST_OF_A_NAME)),
            verdict_box(PILLS[said.status][0], said.title, said.clauses),
            paragraph(note, kind="note") if left else "",
        )

    def run_by_run(self) -> Html:
        """Each run's level over time, and the change points; a drawing for each kind of work."""
        return join(over_time.trend(each.runs, each.whole, self._engines(each)) for each in self.result.series)

    def _engines(self, series: RunSeries) -> str:
        """The engines of a series, where there are others that do different work."""
        return numbers.listed(series.engines) if len(self.result.series) > 1 else ""

    def steps(self) -> Html:
        """Each change point: since when, by how much, and what else changed there."""
        found = self.result
        if all(each.steps.empty for each in found.series):
            return paragraph("No change point, neither over all configurations nor in one.", kind="note")
        columns = [
            Column(title="Since"),
            Column(title="Configuration"),
            Column(title="Ratio", number=True),
            Column(title="Before", number=True),
            Column(title="After", number=True),
            Column(
                title="p",
                number=True,
                hint="how often a history without a change shows one this large; corrected for the configurations tested",
            ),
            Column(title="What else changed", prose=True),
            Column(title="Verdict"),
        ]
        rows = [
            Row(
                contents=[
                    tag("span", _date(row), f", {row['quarter']}", title=row["run_id"]),
                    row["setting"] or " ".join(filter(None, ["all", self._engines(each)])),
                    numbers.ratio(row["ratio"]),
                    numbers.seconds(row["before_s"]),
                    numbers.seconds(row["after_s"]),
                    numbers.p_value(row["p"]),
                    _changes(found.changes.get(row["run_id"], [])),
                    pill(row["verdict"]),
                ]
            )
            for each in found.series
            for row in records(each.steps)
        ]
        return table(columns, rows, caption=numbers.count(len(rows), "change point"))

    def runs(self) -> Html:
        """Every run of each series, the newest first."""
        made = [_runs_table(each.runs, self._engines(each)) for each in self.result.series if len(each.runs)]
        left = len(self.result.runs) - _MOST_RUNS
        note = paragraph(marked(f"`pullbench trend --json` has {left} older runs."), kind="note") if left > 0 else ""
        return join([*made, note])


def _runs_table(runs: pd.DataFrame, engines: str) -> Html:
    columns = [
        Column(title="Run"),
        Column(title="Started (UTC)"),
        Column(title="Quarter"),
        Column(title="Median pull", number=True, hint="geometric mean over the configurations"),
        Column(title="95% CI", number=True, hint="Student's t over the run's repetitions"),
        Column(title="Succeeded", number=True),
    ]
    shown = runs.iloc[::-1].head(_MOST_RUNS)
    rows = [
        Row(
            contents=[
                tag("code", row["run_id"]),
                f"{row['started_at']:%Y-%m-%d %H:%M}",
                row["quarter"],
                numbers.seconds(row["level_s"]),
                numbers.seconds_range(row["level_low_s"], row["level_high_s"]),
                f"{row['succeeded']:,}/{row['pulls']:,}",
            ],
            kind="failed" if row["succeeded"] < row["pulls"] else None,
        )
        for row in records(shown)
    ]
    caption = numbers.count(len(runs), "run")
    return table(columns, rows, caption=f"{caption} with {engines}" if engines else caption)


def _date(row: Mapping[str, Any]) -> Html:
    """The day of a run, on one line."""
    return tag("span", f"{row['started_at']:%Y-%m-%d}", class_="date")


def _changes(found: Sequence[Difference]) -> str:
    parts = [f"{entry.what}: {entry.before} → {entry.after}" for entry in found[:_MOST_CHANGES]]
    more = [f"and {len(found) - _MOST_CHANGES} more"] if len(found) > _MOST_CHANGES else []
    return "; ".join(parts + more) or "nothing on record"
