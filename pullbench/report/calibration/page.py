"""The page of a calibration, section by section. It formats the result of `calibration`, and computes no number."""

from functools import cached_property

from pullbench.report.calibration import words
from pullbench.report.calibration.judgement import Calibration, calibration, calibration_headline, machine, plain_row_of
from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.sections import PILLS
from pullbench.report.core.stored import StoredRun
from pullbench.report.core.verdict_box import verdict_box
from pullbench.report.figures import forest
from pullbench.report.render.html import Column, Html, Row, definitions, join, paragraph, style, table, tag
from pullbench.stats.slo import SloVerdict

_HINTS = {
    "line": "its name in the benchmark",
    "truth": "known only to the lab's processes until the last trial is stored",
    "95% CI": "Student's t over repetitions; of shares Wilson's over layers; counts have none",
    "plain sockets": "the same line measured by a plain-socket client, before and after: it shows the lab's own error",
}
_NOT = (
    (
        "Connecting and DNS",
        "The kernel accepts a connection before the user-space link sees it, so connect_s is that of loopback. Names are not "
        "looked up. The phases after that are slowed: TLS, waiting, the transfer.",
    ),
    (
        "Real networks",
        "No loss, no congestion, no slow start, no network card. The jitter is of answers, not of packets.",
    ),
    (
        "Other clients",
        "Only wire measures every phase itself. Times of docker, podman, skopeo and containerd come from these clients, or are "
        "measured around them. Extraction is theirs.",
    ),
    (
        "Other routes",
        "HTTP/2, forward proxies, tokens, layers in parts and writing to disk are tested, but have no truth here.",
    ),
    (
        "High rates",
        "The lines stay under 35 MB/s, because the lab shares this machine with the client. Every run measures how much this "
        "client can handle: its ceiling (client_busy).",
    ),
    (
        "Failures that cluster",
        "Faults are independent here. Where real faults cluster, the reported interval is too narrow.",
    ),
)


class CalibrationPage:
    """The report of a calibration; `result.rows` is there for your own analysis."""

    def __init__(self, stored: StoredRun) -> None:
        self.stored = stored

    @cached_property
    def result(self) -> Calibration:
        """Every quantity with its truth and its measured value."""
        return calibration(self.stored)

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict and the facts of the run."""
        stored, found = self.stored, self.result
        run, said = stored.run, calibration_headline(stored, found)
        facts = [
            f"{run.started_at:%d %B %Y, %H:%M} UTC".lstrip("0"),
            machine(stored, found),
            "" if found.seed is None else f"seed {found.seed}",
            *(f"{key}={value}" for key, value in run.labels.items()),
        ]
        return tag(
            "header",
            paragraph("pullbench · calibration", kind="eyebrow"),
            tag("h1", "Does pullbench measure the truth?"),
            verdict_box(PILLS[said.status][0], said.title, said.clauses),
            tag(
                "ul",
                join(tag("li", fact) for fact in facts if fact),
                tag("li", tag("code", run.run_id)),
                class_="facts",
            ),
        )

    def rows(self) -> Html:
        """Every quantity with its truth."""
        if not self.result.rows:
            return Html()
        columns = [
            Column(
                title=name.capitalize() if name[0].isalpha() else name,
                number=name in words.HEADINGS[2:7],
                hint=_HINTS.get(name),
            )
            for name in words.HEADINGS
        ]
        made = []
        for row in self.result.rows:
            plain = plain_row_of(row)
            *texts, _ = words.cells(plain)
            kind = "failed" if row.agreement.verdict == SloVerdict.MISSED else None
            colour = PILLS[plain["verdict"]][0]
            badge = tag("span", words.VERDICTS[plain["verdict"]], class_=f"pill {colour}")
            made.append(Row(contents=[*texts, badge], kind=kind))
        return table(columns, made, caption=f"{numbers.count(len(made), 'goal')}, each of one server or line")

    def error_by_goal(self) -> Html:
        """Each error divided by its goal, as a figure."""
        return forest.calibrated(self.result)

    def reading(self) -> Html:
        """What the errors mean for the reports of other runs."""
        if not self.result.rows:
            return Html()
        return join(paragraph(sentence) for sentence in words.reading([plain_row_of(row) for row in self.result.rows]))

    def not_calibrated(self) -> Html:
        """What this calibration does not cover."""
        return definitions(_NOT)

    def errors(self) -> Html:
        """Why pulls failed, by error code."""
        return sections.errors(tables.errors(self.stored))

    def preflight(self) -> Html:
        """What was checked before any load."""
        return sections.preflight(self.stored.checks)

    def environment(self) -> Html:
        """What was asked for, and where it ran."""
        return sections.environment(self.stored)
