"""The trend report's sections as HTML, its sentences and its JSON document; none reckons a number."""

from collections.abc import Sequence
from typing import Any

from pullbench.report.compare.differences import Difference
from pullbench.report.core import numbers
from pullbench.report.core.stored import records
from pullbench.report.render.html import Column, Html, Row, clipped, join, paragraph, table, tag
from pullbench.report.run.documents import plain_records
from pullbench.report.run.sections import MOST_OF_A_NAME, PILLS, p_value, pill
from pullbench.report.run.verdicts import Headline
from pullbench.report.trend.trend import Trend
from pullbench.stats.change_points import MIN_RUNS

_MOST_RUNS = 400
_MOST_CHANGES = 6


def headline(found: Trend) -> Headline:
    """Where the benchmark stands: its last level, and the last step. `status` is that step's verdict, or no_difference."""
    if found.runs.empty:
        said = "No run has a block in which every setting of the newest run succeeded."
        return Headline(status="inconclusive", title="Nothing to show", sentence=said)
    last = records(found.runs.tail(1))[0]
    now = (
        f"{numbers.count(len(found.runs), 'run')} over {numbers.count(found.settings, 'setting')}; the newest, "
        f"{last['started_at']:%d %B %Y}, has a median pull of {numbers.seconds(last['level_s'])}.{_elsewhere(found)}"
    )
    if len(found.runs) < 2 * MIN_RUNS:
        few = f"{now} A step needs {MIN_RUNS} runs on each side to be shown."
        return Headline(status="too_few_samples", title="Too few runs to tell a step", sentence=few)
    whole = found.steps[found.steps["setting"] == ""]
    if whole.empty:
        return Headline(status="no_difference", title="Steady: no step is shown", sentence=now)
    step = records(whole.tail(1))[0]
    title = f"{step['verdict'].capitalize()} since {step['started_at']:%d %B %Y}: {numbers.ratio(step['ratio'])}"
    change = f"{numbers.seconds(step['before_s'])} → {numbers.seconds(step['after_s'])}"
    return Headline(status=step["verdict"], title=title, sentence=f"{change} from run {step['run_id']} on. {now}")


def _elsewhere(found: Trend) -> str:
    """Which vantages have runs of the name too: their levels are other places', and in no line with these."""
    if not found.elsewhere:
        return ""
    others = ", ".join(f"{vantage} {count}" for vantage, count in found.elsewhere.items())
    return f" All are from vantage {found.vantage}; runs from others are left out ({others}; `--vantage` chooses)."


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


def trend_document(found: Trend, report: str | None = None) -> dict[str, Any]:
    """What `trend --json` prints; null for what is not known."""
    said = headline(found)
    return {
        "name": found.name,
        "report": report,
        "headline": {"status": said.status, "title": said.title, "sentence": said.sentence},
        "settings": found.settings,
        "runs": plain_records(found.runs),
        "steps": [
            row | {"changes": [f"{entry.kind}: {entry.what}" for entry in found.changes.get(row["run_id"], [])]}
            for row in plain_records(found.steps)
        ],
        "vantage": found.vantage,
        "elsewhere": dict(found.elsewhere),
        "left_out": list(found.left_out),
    }
