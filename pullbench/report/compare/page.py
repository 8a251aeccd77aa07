"""The page of a comparison, section by section. It formats what `compare_runs` found, and computes no number."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.report.compare import verdict
from pullbench.report.compare.runs import ALIKE, RunsCompared
from pullbench.report.core import numbers
from pullbench.report.core.sections import FACTOR_TITLES, MOST_CELLS, MOST_OF_A_NAME, PILLS, p_value, pill
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import label, varying
from pullbench.report.figures import forest
from pullbench.report.render.html import Column, Html, Row, clipped, join, paragraph, shortened, style, table, tag

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
    """The report of two runs compared; `result.cells` is a frame to go on with."""

    def __init__(self, result: RunsCompared) -> None:
        self.result = result

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict, the two runs, and what to know before a ratio is believed."""
        found = self.result
        said = verdict.headline(found)
        names = list(dict.fromkeys([found.baseline.run.name, found.candidate.run.name]))
        warned = [tag("li", text) for text in verdict.warnings(found)]
        return tag(
            "header",
            paragraph("pullbench · comparison of two runs", kind="eyebrow"),
            tag("h1", join((clipped(name, MOST_OF_A_NAME) for name in names), " and ")),
            tag(
                "div",
                tag("p", tag("strong", said.title)),
                tag("p", said.sentence),
                class_=f"verdict {PILLS[said.status][0]}",
            ),
            tag("ul", *(tag("li", _run(side, stored)) for side, stored in _sides(found)), class_="facts"),
            tag("ul", *warned, class_="warnings") if warned else "",
        )

    def different(self) -> Html:
        """What is not the same in the two runs, before any ratio."""
        if not self.result.differences:
            return paragraph("Spec, content, clients and machine are the same in both runs.", kind="note")
        columns = [
            Column(title="Where"),
            Column(title="What", prose=True),
            Column(title="Baseline", prose=True),
            Column(title="Candidate", prose=True),
        ]
        rows = [
            Row(contents=[_KINDS[entry.kind], entry.what, _shown(entry.baseline), _shown(entry.candidate)])
            for entry in self.result.differences
        ]
        return table(
            columns,
            rows,
            caption=f"{numbers.count(len(rows), 'difference')} in what was asked, and where and how it ran",
        )

    def ranked(self) -> Html:
        """Regressions, then improvements, each by its effect."""
        lists = [
            tag("h3", title) + tag("ol", *(tag("li", verdict.cell_sentence(row)) for row in records(frame)))
            for title, frame in (("Got worse", self.result.regressions()), ("Got better", self.result.improvements()))
            if len(frame)
        ]
        if not lists:
            return paragraph("No setting is proven slower, faster, or to fail more or less.", kind="note")
        return join([Html(made) for made in lists])

    def ratios(self) -> Html:
        """Each setting's time in the candidate as a multiple of that in the baseline."""
        return forest.ratios(self.result.cells)

    def side_by_side(self) -> Html:
        """Every setting that both runs have, its times, the ratio, and how sure it is."""
        cells = self.result.cells
        if cells.empty:
            return paragraph("The runs have no setting in common.", kind="note")
        factors = varying(cells) or ["engine"]
        columns = [
            *(
                Column(title=FACTOR_TITLES.get(name, name.capitalize()), number=name == "concurrency")
                for name in factors
            ),
            Column(title="Baseline", number=True, hint="median pull: geometric mean of the blocks' medians"),
            Column(title="Candidate", number=True),
            Column(title="Ratio", number=True, hint="candidate's time by the baseline's; below 1 is faster"),
            Column(title="95% interval", number=True, hint="Welch, over the blocks' log-medians"),
            Column(title="p", number=True, hint="that there is no difference; Holm-corrected over all settings"),
            Column(title="Succeeded", number=True, hint="baseline, then candidate"),
            Column(title="Verdict"),
        ]
        shown = cells.head(MOST_CELLS)
        rows = [_cell_row(row, factors) for row in records(shown)]
        made = table(columns, rows, caption=f"{numbers.count(len(cells), 'setting')} that both runs measured")
        left = len(cells) - len(shown)
        return join([made, paragraph(f"{left} more are in `pullbench compare --json`.", kind="note") if left else ""])

    def only_in_one(self) -> Html:
        """The settings that one run alone measured."""
        lines = [
            tag("li", f"{side} alone: ", join((tag("code", name) for name in _names(cells)), ", "))
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


def _shown(value: Any) -> str:
    if value is None:
        return numbers.NOT_KNOWN
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell_row(row: Mapping[str, Any], factors: Sequence[str]) -> Row:
    verdicts = [pill(str(row["verdict"]))]
    if row["success_verdict"] != ALIKE:
        verdicts.append(pill(row["success_verdict"]))
    failed = row["candidate_succeeded"] < row["candidate_pulls"]
    contents = [
        *(row[name] for name in factors),
        numbers.seconds(row["baseline_s"]),
        numbers.seconds(row["candidate_s"]),
        numbers.ratio(row["ratio"]),
        numbers.ratio_range(row["low"], row["high"]),
        p_value(row["p"]),
        f"{row['baseline_succeeded']}/{row['baseline_pulls']} → {row['candidate_succeeded']}/{row['candidate_pulls']}",
        join(verdicts, " "),
    ]
    return Row(contents=contents, kind="failed" if failed else None)


def _names(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    factors = varying(pd.DataFrame(cells)) or ["engine", "registry", "concurrency"]
    names = [label(cell, factors) for cell in cells[:_MOST_NAMED]]
    return names if len(cells) <= _MOST_NAMED else [*names, f"and {len(cells) - _MOST_NAMED} more"]
