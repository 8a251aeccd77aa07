"""The page of a trend, section by section. It formats what `trend_of` found, and computes no number."""

from collections.abc import Sequence

from pullbench.report.compare.runs import Difference
from pullbench.report.core import numbers
from pullbench.report.core.sections import MOST_OF_A_NAME, PILLS, p_value, pill
from pullbench.report.core.stored import records
from pullbench.report.figures import over_time
from pullbench.report.render.html import Column, Html, Row, clipped, join, paragraph, style, table, tag
from pullbench.report.trend.changes import Trend, headline

_MOST_RUNS = 400
_MOST_CHANGES = 6


class TrendPage:
    """The report of one benchmark over its runs; `result.runs` and `result.steps` are frames to go on with."""

    def __init__(self, result: Trend) -> None:
        self.result = result

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict, and which runs are in no line."""
        found = self.result
        said = headline(found)
        left = len(found.left_out)
        note = (
            f"{numbers.count(left, 'run')} of this name lack a setting of the newest run and are left out: "
            f"{', '.join(found.left_out[:5])}{' …' if left > 5 else ''}."
        )
        return tag(
            "header",
            paragraph("pullbench · trend", kind="eyebrow"),
            tag("h1", clipped(found.name, MOST_OF_A_NAME)),
            tag(
                "div",
                tag("p", tag("strong", said.title)),
                tag("p", said.sentence),
                class_=f"verdict {PILLS[said.status][0]}",
            ),
            paragraph(note, kind="note") if left else "",
        )

    def run_by_run(self) -> Html:
        """Each run's level over time, and where it changed."""
        return over_time.trend(self.result.runs, self.result.steps)

    def steps(self) -> Html:
        """Each step: since when, by how much, and what else changed there."""
        found = self.result
        if found.steps.empty:
            return paragraph("No step is shown, neither over all settings nor in one.", kind="note")
        columns = [
            Column(title="Since"),
            Column(title="Setting"),
            Column(title="Before", number=True),
            Column(title="After", number=True),
            Column(title="Ratio", number=True),
            Column(
                title="p", number=True, hint="that there is no step; corrected for the number of settings looked at"
            ),
            Column(title="What else changed", prose=True),
            Column(title="Verdict"),
        ]
        rows = [
            Row(
                contents=[
                    tag("span", f"{row['started_at']:%Y-%m-%d}, {row['quarter']}", title=row["run_id"]),
                    row["setting"] or "all together",
                    numbers.seconds(row["before_s"]),
                    numbers.seconds(row["after_s"]),
                    numbers.ratio(row["ratio"]),
                    p_value(row["p"]),
                    _changes(found.changes.get(row["run_id"], [])),
                    pill(row["verdict"]),
                ]
            )
            for row in records(found.steps)
        ]
        return table(columns, rows, caption=numbers.count(len(rows), "step"))

    def runs(self) -> Html:
        """Every run of the line, the newest first."""
        columns = [
            Column(title="Run"),
            Column(title="Started (UTC)"),
            Column(title="Quarter"),
            Column(title="Median pull", number=True, hint="geometric mean over the settings"),
            Column(title="95% interval", number=True, hint="over the run's blocks"),
            Column(title="Succeeded", number=True),
        ]
        shown = self.result.runs.iloc[::-1].head(_MOST_RUNS)
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
        left = len(self.result.runs) - len(shown)
        made = table(columns, rows, caption=numbers.count(len(self.result.runs), "run"))
        return join(
            [made, paragraph(f"{left} older runs are in `pullbench trend --json`.", kind="note") if left else ""]
        )


def _changes(found: Sequence[Difference]) -> str:
    parts = [f"{entry.what}: {entry.baseline} → {entry.candidate}" for entry in found[:_MOST_CHANGES]]
    more = [f"and {len(found) - _MOST_CHANGES} more"] if len(found) > _MOST_CHANGES else []
    return "; ".join(parts + more) or "nothing that is recorded"
