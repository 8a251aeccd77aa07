"""The page of a stress test, section by section. It formats what `steps` and `verdict` say, and computes no number."""

from functools import cached_property

from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.sections import PILLS, pill, scorecard
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.figures.load import course_over_time, load_curve
from pullbench.report.render.html import Column, Html, Row, join, paragraph, style, table, tag
from pullbench.report.stress import verdict
from pullbench.report.stress.steps import Stressed, course, judged_step, step_scores, stressed
from pullbench.report.stress.verdict import load

_KINDS = {"held": "good", "open": "open", "missed": "bad"}
_NOTES = (
    (
        "Steps",
        "Each step is some trials under one load. A trial is a replicate; intervals (Student's t) are over trials. Steps follow "
        "each other in time, so what changed meanwhile is in their difference. The way down shows how much.",
    ),
    (
        "Limit",
        "A step meets the SLO where no SLO is missed and mean and median pull time are shown to be met. It misses the SLO where "
        "the whole 95% interval is beyond a target. The limit is between the highest load that meets the SLO and the lowest that "
        "misses it. A finer ramp there narrows it.",
    ),
    (
        "Pulls/s",
        "Successful pulls of a trial divided by its wall time, first start to last end. Near the end of a trial workers run out "
        "of pulls, so short trials understate it, most at high concurrency.",
    ),
    (
        "Saturation point (knee)",
        "The lowest load within 5% of the most pulls/s, by the universal scalability law where it fits, else as measured. Beyond "
        "it more load only makes each pull wait longer.",
    ),
    (
        "Mean pull time",
        "The mean of the trials' means of successful pulls. With a rate it counts from a pull's arrival, so waiting in the "
        "client counts too.",
    ),
    (
        "Recovery",
        "The first step of the way down at which the SLO was met again, and when it began; and the lowest load compared with the "
        "same load on the way up (Welch's test over trials). Between trials and steps there is no load for a moment.",
    ),
    (
        "Early ends",
        "The ramp stops on the first answer of 429, because a rate limit says nothing about capacity. It also stops where this "
        "client is at 80% of its own ceiling, and on the spec's budget.",
    ),
    (
        "Not known",
        "Other load on registry, network and this machine at the time, and what other clients would add from elsewhere.",
    ),
)


class StressPage:
    """The report of one stress test; `result` has the frame of its steps to go on with."""

    def __init__(self, stored: StoredRun) -> None:
        self.stored = stored

    @cached_property
    def result(self) -> Stressed:
        """The steps, the limit, the saturation point and the recovery."""
        return stressed(self.stored)

    @cached_property
    def _mean_target_s(self) -> float | None:
        return self.stored.targets.get("mean_pull_s")

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict, and what the test was."""
        found, run = self.result, self.stored.run
        said = verdict.headline(found, self.stored)
        facts = [f"{run.started_at:%d %B %Y, %H:%M} UTC".lstrip("0")]
        if run.finished_at is not None:
            facts.append(numbers.seconds((run.finished_at - run.started_at).total_seconds()))
        facts += [f"from {run.vantage}"] if run.vantage else []
        facts += _setting(self.stored)
        if len(found.steps):
            facts += [
                numbers.count(len(found.steps), "step"),
                numbers.count(int(found.steps["pulls"].sum()), "pull"),
                numbers.size(float(found.steps["bytes"].sum())),
            ]
        facts += [f"{key}={value}" for key, value in run.labels.items()]
        words = (tag("p", tag("strong", said.title)), tag("p", said.sentence))
        return tag(
            "header",
            paragraph("pullbench · stress test", kind="eyebrow"),
            tag("h1", run.name),
            tag("div", *words, class_=f"verdict {PILLS[said.status][0]}"),
            tag("ul", join(tag("li", fact) for fact in facts), tag("li", tag("code", run.run_id)), class_="facts"),
        )

    def findings(self) -> Html:
        """The limit, the saturation point and the recovery, a card each."""
        if self.result.up.empty:
            return Html()
        return tag("ul", _limit_card(self.result), _knee_card(self.result), _recovery_card(self.result), class_="cards")

    def load_curve(self) -> Html:
        """What each load gives: pulls/s, and the mean pull time."""
        return load_curve(self.result, self._mean_target_s)

    def slos(self) -> Html:
        """The SLOs at the highest load that met them, or at the first step where none did."""
        judged = judged_step(self.result)
        if judged is None:
            return Html()
        at = paragraph(f"At {load(self.result.stress.ramp, judged['load'])}:", kind="note")
        return join([at, scorecard(step_scores(self.stored, int(judged["step"])))])

    def over_time(self) -> Html:
        """The load up, at its highest and down again, and the pull times meanwhile."""
        return course_over_time(course(self.stored), self.result, self._mean_target_s)

    def steps(self) -> Html:
        """Every step with its numbers, in order."""
        found = self.result
        if found.steps.empty:
            return Html()
        percentiles = numbers.percentiles_known(records(found.steps))
        columns = [
            Column(title="Step", number=True),
            Column(title="Phase"),
            Column(title="Concurrency" if found.stress.ramp == "concurrency" else "Pulls/s", number=True),
            Column(title="SLO"),
            Column(title="Began", number=True, hint="since the first step began"),
            Column(title="Pulls", number=True, hint="succeeded of all"),
            Column(title="Mean pull", number=True, hint="mean of the trials' means, successful pulls"),
            Column(title="95% interval", number=True, hint="Student t over trials"),
            *(Column(title=f"p{q}", number=True, hint="over pulls, where there are enough") for q in percentiles),
            Column(title="Pulled", number=True, hint="successful pulls/s, geometric mean over trials"),
            Column(title="95% interval", number=True, hint="Student t over trials"),
            Column(title="Throughput", number=True),
            Column(title="Client", number=True, hint="share of this client's own ceiling, the median trial's"),
        ]
        rows = [_step_row(row, percentiles, limit=row["load"] == found.held) for row in records(found.steps)]
        return table(
            columns, rows, caption=f"{numbers.count(len(rows), 'step')}; marked: the highest load that meets the SLO"
        )

    def errors(self) -> Html:
        """Why pulls failed, by error code."""
        return sections.errors(tables.errors(self.stored))

    def preflight(self) -> Html:
        """What was checked before any load."""
        return sections.preflight(self.stored.checks)

    def planned_out(self) -> Html:
        """What was excluded, with its reason."""
        return sections.planned_out(self.stored)

    def environment(self) -> Html:
        """What was asked for, and where it ran."""
        return sections.environment(self.stored)

    def method(self) -> Html:
        """How the numbers are made, and what they do not show."""
        return tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in _NOTES), class_="method")


def _setting(stored: StoredRun) -> list[str]:
    """What was ramped: the factors that are the same in every step."""
    if stored.trials.empty:
        return []
    row = records(stored.trials.head(1))[0]
    return [f"{row['engine']} from {row['registry']}", str(row["proxy"]), str(row["platform"]), str(row["cache"])]


def _card(name: str, kind: str, word: str, value: str, below: str, text: str) -> Html:
    badge = tag("span", word, class_=f"pill {kind}")
    return tag(
        "li",
        tag("div", tag("span", name, class_="name"), badge, class_="top"),
        tag("div", value, class_="value"),
        tag("div", below, class_="target"),
        tag("p", text),
        class_=f"card {kind}",
    )


def _limit_card(found: Stressed) -> Html:
    unit = "concurrency" if found.stress.ramp == "concurrency" else "pulls/s"
    kind, word = ("good", "met") if found.held is not None else ("bad", "none shown")
    rows = records(found.up[found.up["load"] == found.held])
    said = "No load is shown to meet the SLO."
    if rows:
        said = f"{verdict.rate(rows[0]['rate'])}, {verdict.rate_range(rows[0]['rate_low'], rows[0]['rate_high'])}; "
        said += f"mean pull time {numbers.seconds(rows[0]['mean_s'])}"
    value = numbers.NOT_KNOWN if found.held is None else f"{found.held:g}"
    return _card(
        "Highest load that meets the SLO", kind, word, value, f"{unit}; the limit: {verdict.bracket(found)}", said
    )


def _knee_card(found: Stressed) -> Html:
    unit = "concurrency" if found.stress.ramp == "concurrency" else "pulls/s"
    seen = found.knee is not None and not verdict.knee_undecided(found)
    value = f"{found.knee:g}" if seen else numbers.NOT_KNOWN
    span = (
        ""
        if found.knee is None or found.knee_low is None
        else f", 95% interval {found.knee_low:g} to {found.knee_high:g}"
    )
    word = "seen" if seen else "not seen"
    said = verdict.knee(found) or "Inconclusive: needs more trials per step."
    return _card("Saturation point (knee)", "open", word, value, unit + span, said)


def _recovery_card(found: Stressed) -> Html:
    seen, back = found.recovery, verdict.recovered(found)
    kind, word = {True: ("good", "recovered"), False: ("bad", "not recovered"), None: ("open", "not measured")}[back]
    if seen is None:
        return _card("Recovery", kind, word, numbers.NOT_KNOWN, "", "No step of the way down was measured.")
    if back is False and seen.held_at is not None:
        word = "met again, still slower"  # the time on the card is that until it was met
    value = numbers.seconds(seen.after_s)
    value = value if seen.after_s is None else f"≤ {value}"
    held = "" if seen.held_at is None else f"until the SLO was met again, at {load(found.stress.ramp, seen.held_at)}"
    return _card("Recovery", kind, word, value, held, verdict.recovery(found))


def _step_row(row: dict[str, object], percentiles: list[int], *, limit: bool) -> Row:
    number: dict[str, float] = {name: value for name, value in row.items() if isinstance(value, int | float)}
    contents = [
        row["step"],
        row["phase"],
        f"{number['load']:g}",
        _outcome(row),
        numbers.seconds(number["at_s"]) if number["at_s"] else "0",
        f"{number['succeeded']:,}/{number['pulls']:,}",
        numbers.seconds(number["mean_s"]),
        numbers.seconds_range(number["mean_low_s"], number["mean_high_s"]),
        *(numbers.seconds(number[f"p{q}_s"]) for q in percentiles),
        verdict.rate(number["rate"]),
        verdict.rate_range(number["rate_low"], number["rate_high"]),
        numbers.rate(number["throughput_bytes_per_s"]),
        numbers.percent(number["client_busy"]),
    ]
    missed = row["verdict"] == "missed"
    return Row(contents=contents, kind="failed" if missed else "best" if limit and row["phase"] == "up" else None)


def _outcome(row: dict[str, object]) -> Html:
    if row["rate_limited"]:
        return pill("rate limited")
    kind = _KINDS[str(row["verdict"])]
    return tag("span", verdict.outcome(row), class_=f"pill {kind}")
