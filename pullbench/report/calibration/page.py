"""The page of a calibration, section by section. It formats what `calibration` found, and computes no number."""

from functools import cached_property

from pullbench.report.calibration import words
from pullbench.report.calibration.judgement import Calibration, calibration, calibration_headline, machine, plain_row_of
from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.sections import PILLS, pill
from pullbench.report.core.stored import StoredRun
from pullbench.report.figures import forest
from pullbench.report.render.html import Column, Html, Row, definitions, join, paragraph, style, table, tag
from pullbench.stats.slo import SloVerdict

_HINTS = {
    "line": "the name that the benchmark had for it",
    "truth": "told to the lab's processes alone, until nothing was left to measure",
    "95% interval": "Student's t over blocks; of shares Wilson's over layers; counts have none",
    "plain sockets": "what a client of a few lines saw on the same line, before and after: the lab's own error shows there too",
}
_NOT = (
    (
        "Connecting and DNS",
        "The kernel answers a connect before a link in user space sees it, so connect_s is that of loopback, and names are not "
        "looked up. What follows the connect is slowed: TLS, waiting, the transfer.",
    ),
    (
        "Real networks",
        "No loss, no congestion, no slow start, no network card. Jitter is of answers, not of packets.",
    ),
    (
        "Other clients",
        "Only wire measures every phase itself. Times of docker, podman, skopeo and containerd are those that these clients "
        "tell or that pass around them, and extraction is theirs.",
    ),
    (
        "Other ways",
        "HTTP/2, forward proxies, tokens, layers in parts and writing to disk are tested, and have no truth here to be held against.",
    ),
    (
        "High rates",
        "The lines stay under 35 MB/s, for the lab shares this machine with what measures it. How much this client can take is "
        "its ceiling, which every run measures (client_busy).",
    ),
    (
        "Failures that cluster",
        "Faults are drawn independently here; where real ones come together, a stated interval is too narrow.",
    ),
)


class CalibrationPage:
    """The report of a calibration; `result.rows` are there to go on with."""

    def __init__(self, stored: StoredRun) -> None:
        self.stored = stored

    @cached_property
    def result(self) -> Calibration:
        """Every quantity with its truth and its measurement."""
        return calibration(self.stored)

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict and what the run was."""
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
            tag("h1", "Does it measure what is true?"),
            tag(
                "div",
                tag("p", tag("strong", said.title)),
                tag("p", said.sentence),
                class_=f"verdict {PILLS[said.status][0]}",
            ),
            tag(
                "ul",
                join(tag("li", fact) for fact in facts if fact),
                tag("li", tag("code", run.run_id)),
                class_="facts",
            ),
        )

    def rows(self) -> Html:
        """Every quantity beside its truth."""
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
            made.append(Row(contents=[*texts, pill(plain["verdict"])], kind=kind))
        return table(columns, made, caption=f"{numbers.count(len(made), 'goal')}, each of one server or line")

    def error_by_goal(self) -> Html:
        """Each error in units of what its goal allows, as a figure."""
        return forest.calibrated(self.result)

    def reading(self) -> Html:
        """What the errors mean for the reports of other runs."""
        if not self.result.rows:
            return Html()
        return join(paragraph(sentence) for sentence in words.reading([plain_row_of(row) for row in self.result.rows]))

    def not_calibrated(self) -> Html:
        """What has no truth here."""
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
