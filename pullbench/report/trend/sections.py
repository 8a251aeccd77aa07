"""The trend report's sections as HTML, its sentences and its JSON document; none reckons a number."""

from collections.abc import Sequence

from pullbench.report.compare.runs import Difference
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.render.html import Column, Html, Row, clipped, join, paragraph, table, tag
from pullbench.report.run.sections import MOST_OF_A_NAME, PILLS, p_value, pill
from pullbench.report.trend.changes import Trend, headline

_MOST_RUNS = 400
_MOST_CHANGES = 6


def header(found: Trend) -> Html:
    """Title, verdict, and which runs are in no line."""
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


def steps(found: Trend) -> Html:
    """Each step: since when, by how much, and what else changed there."""
    if found.steps.empty:
        return paragraph("No step is shown, neither over all settings nor in one.", kind="note")
    columns = [
        Column(title="Since"),
        Column(title="Setting"),
        Column(title="Before", number=True),
        Column(title="After", number=True),
        Column(title="Ratio", number=True),
        Column(title="p", number=True, hint="that there is no step; corrected for the number of settings looked at"),
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


def _changes(found: Sequence[Difference]) -> str:
    parts = [f"{entry.what}: {entry.baseline} → {entry.candidate}" for entry in found[:_MOST_CHANGES]]
    more = [f"and {len(found) - _MOST_CHANGES} more"] if len(found) > _MOST_CHANGES else []
    return "; ".join(parts + more) or "nothing that is recorded"


def runs(found: Trend) -> Html:
    """Every run of the line, the newest first."""
    columns = [
        Column(title="Run"),
        Column(title="Started (UTC)"),
        Column(title="Quarter"),
        Column(title="Median pull", number=True, hint="geometric mean over the settings"),
        Column(title="95% interval", number=True, hint="over the run's blocks"),
        Column(title="Succeeded", number=True),
    ]
    shown = found.runs.iloc[::-1].head(_MOST_RUNS)
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
    left = len(found.runs) - len(shown)
    made = table(columns, rows, caption=numbers.count(len(found.runs), "run"))
    return join([made, paragraph(f"{left} older runs are in `pullbench trend --json`.", kind="note") if left else ""])
