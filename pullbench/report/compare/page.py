"""The page of a comparison, section by section. It formats the result of `compare_runs`, and computes no number."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.report.compare import verdict
from pullbench.report.compare.runs import ALIKE, RunsCompared
from pullbench.report.core import numbers
from pullbench.report.core.sections import (
    INTERVAL_HINT,
    MOST_CELLS,
    MOST_OF_A_NAME,
    P_HINT,
    PILLS,
    factor_columns,
    factor_contents,
    pill,
)
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import label, varying
from pullbench.report.core.verdict_box import verdict_box
from pullbench.report.figures import forest
from pullbench.report.render.html import (
    Column,
    Html,
    Row,
    clipped,
    join,
    marked,
    paragraph,
    shortened,
    style,
    table,
    tag,
)

_KINDS = {
    "run": "Run",
    "images": "Content",
    "machine": "Machine",
    "engines": "Client",
    "spec": "Spec",
    "environment": "Environment",
}
_MOST_NAMED = 12


class ComparisonPage:
    """The report of two runs compared; `result.cells` is a frame for your own analysis."""

    def __init__(self, result: RunsCompared) -> None:
        self.result = result

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict, the two runs, and what to know before you trust a ratio."""
        found = self.result
        said = verdict.headline(found)
        names = list(dict.fromkeys([found.baseline.run.name, found.candidate.run.name]))
        warned = [tag("li", marked(text)) for text in verdict.warnings(found)]
        return tag(
            "header",
            paragraph("pullbench · comparison of two runs", kind="eyebrow"),
            tag("h1", join((clipped(name, MOST_OF_A_NAME) for name in names), " and ")),
            verdict_box(PILLS[said.status][0], said.title, said.clauses),
            tag("ul", *(tag("li", _run(side, stored)) for side, stored in _sides(found)), class_="facts"),
            tag("ul", *warned, class_="warnings") if warned else "",
        )

    def different(self) -> Html:
        """What differs between the two runs, before any ratio."""
        if not self.result.differences:
            return paragraph("Both runs have the same spec, images, clients and machine.", kind="note")
        columns = [
            Column(title="Where"),
            Column(title="What", prose=True),
            Column(title="Baseline", prose=True),
            Column(title="Candidate", prose=True),
        ]
        rows = [
            Row(contents=[_KINDS[entry.kind], entry.what, entry.before, entry.after])
            for entry in self.result.differences
        ]
        return table(
            columns,
            rows,
            caption=f"{numbers.count(len(rows), 'difference')} in spec, images, clients and machine",
        )

    def ranked(self) -> Html:
        """Regressions, then improvements, each by its effect."""
        lists = [
            tag("h3", title) + tag("ol", *(tag("li", verdict.cell_sentence(row)) for row in records(frame)))
            for title, frame in (("Got worse", self.result.regressions()), ("Got better", self.result.improvements()))
            if len(frame)
        ]
        if not lists:
            said = "Taken alone, no configuration changed significantly in its time or its failures."
            if any(entry.is_significant for entry in self.result.pooled):
                said += " Together they changed: see the verdict."
            return paragraph(said, kind="note")
        return join([Html(made) for made in lists])

    def ratios(self) -> Html:
        """Each configuration's time in the candidate, as a multiple of the baseline's."""
        return forest.ratios(self.result.cells)

    def side_by_side(self) -> Html:
        """Every configuration that both runs have, with its times, the ratio and its interval."""
        cells = self.result.cells
        if cells.empty:
            return paragraph("The runs have no configuration in common.", kind="note")
        factors = varying(cells) or ["engine"]
        columns = [
            *factor_columns(factors),
            Column(title="Ratio", number=True, hint="candidate's time by the baseline's; below 1 is faster"),
            Column(title="Baseline", number=True, hint="median pull: geometric mean of the repetitions' medians"),
            Column(title="Candidate", number=True),
            Column(title="CI", number=True, hint=f"Welch's; {INTERVAL_HINT}"),
            Column(title="p", number=True, hint=f"{P_HINT}; corrected (Holm) for the number of comparisons"),
            Column(title="Succeeded", number=True, hint="baseline → candidate"),
            Column(
                title="Verdict",
                hint="significant: p < 0.03 and a difference above 5%; inconclusive: with the repetitions that each run still needs",
            ),
        ]
        shown = cells.head(MOST_CELLS)
        rows = [_cell_row(row, factors) for row in records(shown)]
        made = table(columns, rows, caption=f"{numbers.count(len(cells), 'configuration')} in both runs")
        left = len(cells) - len(shown)
        return join(
            [made, paragraph(marked(f"`pullbench compare --json` has {left} more."), kind="note") if left else ""]
        )

    def only_in_one(self) -> Html:
        """The configurations that only one run measured."""
        lines = [
            tag("li", f"Only in the {side}: ", join((tag("code", name) for name in _names(cells)), ", "))
            for side, cells in self.result.only_in.items()
            if cells
        ]
        return tag("ul", *lines) if lines else Html()


def _sides(found: RunsCompared) -> tuple[tuple[str, StoredRun], tuple[str, StoredRun]]:
    return ("baseline", found.baseline), ("candidate", found.candidate)


def _run(side: str, stored: StoredRun) -> Html:
    run = stored.run
    labels = "".join(f", {shortened(f'{key}={value}', MOST_OF_A_NAME)}" for key, value in run.labels.items())
    return join([f"{side}: ", tag("code", run.run_id), f", {run.started_at:%d %B %Y, %H:%M} UTC{labels}"])


def _cell_row(row: Mapping[str, Any], factors: Sequence[str]) -> Row:
    verdicts: list[object] = [pill(str(row["verdict"]))]
    if row["success_verdict"] != ALIKE:
        verdicts.append(pill(row["success_verdict"]))
    verdicts += [verdict.needs_more(row)] if verdict.needs_more(row) else []
    failed = row["candidate_succeeded"] < row["candidate_pulls"]
    contents = [
        *factor_contents(row, factors),
        numbers.ratio(row["ratio"]),
        numbers.seconds(row["baseline_s"]),
        numbers.seconds(row["candidate_s"]),
        numbers.ratio_range(row["low"], row["high"]),
        numbers.p_value(row["p"]),
        f"{row['baseline_succeeded']}/{row['baseline_pulls']} → {row['candidate_succeeded']}/{row['candidate_pulls']}",
        join(verdicts, " "),
    ]
    return Row(contents=contents, kind="failed" if failed else None)


def _names(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    factors = varying(pd.DataFrame(cells)) or ["engine", "registry", "concurrency"]
    names = [label(cell, factors) for cell in cells[:_MOST_NAMED]]
    return names if len(cells) <= _MOST_NAMED else [*names, f"and {len(cells) - _MOST_NAMED} more"]
