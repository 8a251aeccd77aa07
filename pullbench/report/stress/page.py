"""The page of a stress test, section by section. It formats the results of `steps` and `verdict`, and computes no number."""

from functools import cached_property

from pullbench.model.factor_words import factor_text
from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.sections import PILLS, pill, scorecard
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.verdict_box import verdict_box
from pullbench.report.figures.load import course_over_time, load_curve
from pullbench.report.render.html import Column, Html, Row, join, marked, paragraph, style, table, tag
from pullbench.report.stress import verdict
from pullbench.report.stress.steps import Stressed, course, judged_step, step_scores, stressed
from pullbench.report.stress.verdict import load

_LINE_END = Html("<br>")
_KINDS = {"held": "good", "open": "open", "missed": "bad"}
_NOTES = (
    (
        "Steps",
        "A step is several trials under one load; each trial is a replicate, and intervals are Student's t over trials. "
        "Steps follow each other in time, so other changes of that time are part of their difference. "
        "The ramp down shows how large they are.",
    ),
    (
        "Limit",
        "A step misses an SLO where the whole 95% interval is beyond the target. It is `met` where every SLO is met, and `not "
        "missed` where the pull times are met and others, mostly the success rate, have too few pulls. Else it is inconclusive. "
        "The limit lies between the highest load without a missed SLO and the lowest load with one; finer steps narrow it.",
    ),
    (
        "Pulls/s",
        "Successful pulls of a trial divided by its wall time, first start to last end. Near the end of a trial some workers "
        "have no pulls left, so short trials underestimate it, most at high concurrency.",
    ),
    (
        "Saturation point (knee)",
        "The lowest load within 5% of the highest rate, by the universal scalability law where it fits, else as measured. "
        "Beyond it more load only makes each pull wait longer.",
    ),
    (
        "Mean pull time",
        "The mean of the trials' means of successful pulls. With a rate it counts from a pull's arrival, so waiting in the "
        "client is included.",
    ),
    (
        "Recovery",
        "The first step of the ramp down that misses no SLO, and when it started. Then the lowest load, compared with "
        "the same load on the ramp up (Welch's test over trials). There is no load between trials.",
    ),
    (
        "Early ends",
        "The ramp stops at the first answer of 429, because a rate limit does not measure capacity. It stops where this client "
        "is at 80% of its own ceiling, unless `--keep-going` is given. It stops when the budget is used up.",
    ),
    (
        "Not known",
        "Other load on the registry, the network and this machine at that time, and how clients elsewhere would add to it.",
    ),
)


class StressPage:
    """The report of one stress test; `result.steps` is a frame for your own analysis."""

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
        """Title, verdict, and the facts of the test."""
        found, run = self.result, self.stored.run
        said = verdict.headline(found, self.stored)
        facts = [f"{run.started_at:%d %B %Y, %H:%M} UTC".lstrip("0")]
        if run.finished_at is not None:
            facts.append(numbers.seconds((run.finished_at - run.started_at).total_seconds()))
        facts += [f"from {run.vantage}"] if run.vantage else []
        facts += _configuration(self.stored)
        if len(found.steps):
            facts += [
                numbers.count(len(found.steps), "step"),
                numbers.count(int(found.steps["pulls"].sum()), "pull"),
                numbers.size(float(found.steps["bytes"].sum())),
            ]
        facts += [f"{key}={value}" for key, value in run.labels.items()]
        return tag(
            "header",
            paragraph("pullbench · stress test", kind="eyebrow"),
            tag("h1", run.name),
            verdict_box(PILLS[said.status][0], said.title, said.clauses),
            tag("ul", join(tag("li", fact) for fact in facts), tag("li", tag("code", run.run_id)), class_="facts"),
        )

    def findings(self) -> Html:
        """The limit, the saturation point and the recovery, a card each."""
        if self.result.up.empty:
            return Html()
        return tag("ul", _limit_card(self.result), _knee_card(self.result), _recovery_card(self.result), class_="cards")

    def load_curve(self) -> Html:
        """Pulls per second and mean pull time at each load."""
        return load_curve(self.result, self._mean_target_s)

    def slos(self) -> Html:
        """The SLOs at the highest load that misses none, or at the first step where each misses one."""
        judged = judged_step(self.result)
        if judged is None:
            return Html()
        at = paragraph(f"At {load(self.result.stress.ramp, judged['load'])}:", kind="note")
        return join([at, scorecard(step_scores(self.stored, int(judged["step"])))])

    def over_time(self) -> Html:
        """The load and the pull times over the test: ramp up, hold, ramp down."""
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
            Column(title="Concurrency" if found.stress.ramp == "concurrency" else "Offered/s", number=True),
            Column(title="SLO"),
            Column(title="Start", number=True, hint="since the start of the first step"),
            Column(title="Pulls", number=True, hint="successful pulls / all pulls"),
            Column(
                title="Mean pull",
                number=True,
                hint="mean of the trials' means, successful pulls; below it the 95% CI, Student's t over trials",
            ),
            *(Column(title=f"p{q}", number=True, hint="over pulls, where there are enough") for q in percentiles),
            Column(
                title="Pulls/s",
                number=True,
                hint="successful pulls per second, geometric mean over trials; below it the 95% CI, Student's t over trials",
            ),
            Column(title="Throughput", number=True),
            Column(title="Client", number=True, hint="share of this client's own ceiling, median over trials"),
        ]
        rows = [_step_row(row, percentiles, limit=row["load"] == found.held) for row in records(found.steps)]
        return table(columns, rows, caption=_steps_caption(found))

    def errors(self) -> Html:
        """Why pulls failed, by error code."""
        return sections.errors(tables.errors(self.stored))

    def preflight(self) -> Html:
        """What was checked before any load."""
        return sections.preflight(self.stored.checks)

    def planned_out(self) -> Html:
        """What was excluded, with its reason."""
        return sections.excluded(self.stored)

    def environment(self) -> Html:
        """The spec, and the machine that ran it."""
        return sections.environment(self.stored)

    def method(self) -> Html:
        """How the numbers are computed, and what they do not show."""
        return tag(
            "dl",
            *(tag("div", tag("dt", name), tag("dd", marked(text, 1_000))) for name, text in _NOTES),
            class_="method",
        )


def _configuration(stored: StoredRun) -> list[str]:
    """The configuration under test: the factors that are the same in every step."""
    if stored.trials.empty:
        return []
    row = records(stored.trials.head(1))[0]
    caches = [factor_text(name, row[name]) for name in ("cache", "proxy_cache")]
    route = f"{row['engine']} from {row['registry']} {factor_text('proxy', row['proxy'])}"
    return list(filter(None, [route, str(row["platform"]), *caches]))


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


def _steps_caption(found: Stressed) -> str:
    marked_row = "" if found.held is None else "; the highest load without a missed SLO is marked"
    return f"{numbers.count(len(found.steps), 'step')}{marked_row}"


def _limit_card(found: Stressed) -> Html:
    rows = records(found.up[found.up["load"] == found.held])
    kind, word, said = (
        "bad" if verdict.first_step_missed(found) else "open",
        "none",
        "No load is shown to meet the SLO.",
    )
    if rows:
        kind, word = ("open", "not missed") if rows[0]["inconclusive"] else ("good", "met")
        interval = verdict.rate_range(rows[0]["rate_low"], rows[0]["rate_high"])
        said = f"{verdict.rate(rows[0]['rate'])} (95% CI {interval}); mean pull {numbers.seconds(rows[0]['mean_s'])}"
    value = numbers.NOT_KNOWN if found.held is None else f"{found.held:g}"
    below = f"{_unit(found)}; limit: {verdict.bracket(found)}"
    return _card("Highest load without a missed SLO", kind, word, value, below, said)


def _knee_card(found: Stressed) -> Html:
    seen = found.knee is not None and not verdict.knee_undecided(found)
    value = f"{found.knee:g}" if seen else numbers.NOT_KNOWN
    known = found.knee_low is not None and found.knee_low != found.knee_high
    span = f", 95% CI {found.knee_low:g}–{found.knee_high:g}" if known else ""
    said = verdict.knee(found) or "Too little was measured."
    return _card("Saturation point (knee)", "open", "found" if seen else "not found", value, _unit(found) + span, said)


def _recovery_card(found: Stressed) -> Html:
    seen, back = found.recovery, verdict.recovered(found)
    if seen is None:
        return _card(
            "Recovery", "open", "not measured", numbers.NOT_KNOWN, "", "No step of the ramp down was measured."
        )
    said = " ".join(verdict.recovery(found))
    if found.broke is None:
        kind, word = ("bad", "slower") if back is False else ("open", "no overload")
        said = f"The ramp up missed no SLO, so there was no overload. {said}"
        return _card("Recovery", kind, word, numbers.NOT_KNOWN, "", said.strip())
    kind, word = ("good", "recovered") if back else ("bad", "not recovered")
    if not back and seen.held_at is not None:
        word = "met, still slower"  # the time on the card is the one until the SLO was met
    value = numbers.seconds(seen.after_s)
    value = value if seen.after_s is None else f"≤ {value}"
    met = "" if seen.held_at is None else f"until {load(found.stress.ramp, seen.held_at)} missed no SLO"
    return _card("Recovery", kind, word, value, met, said)


def _unit(found: Stressed) -> str:
    return "concurrent pulls" if found.stress.ramp == "concurrency" else "pulls/s"


def _step_row(row: dict[str, object], percentiles: list[int], *, limit: bool) -> Row:
    number: dict[str, float] = {name: value for name, value in row.items() if isinstance(value, int | float)}
    contents = [
        verdict.step_number(row),
        row["phase"],
        f"{number['load']:g}",
        _outcome(row),
        numbers.seconds(number["at_s"]) if number["at_s"] else "0",
        f"{number['succeeded']:,}/{number['pulls']:,}",
        _with_interval(
            numbers.seconds(number["mean_s"]), numbers.seconds_range(number["mean_low_s"], number["mean_high_s"])
        ),
        *(numbers.seconds(number[f"p{q}_s"]) for q in percentiles),
        _with_interval(
            numbers.significant(number["rate"]) if numbers.known(number["rate"]) else numbers.NOT_KNOWN,
            numbers.ratio_range(number["rate_low"], number["rate_high"]),
        ),
        numbers.rate(number["throughput_bytes_per_s"]),
        numbers.percent(number["client_busy"]),
    ]
    missed = row["verdict"] == "missed"
    return Row(contents=contents, kind="failed" if missed else "best" if limit and row["phase"] == "up" else None)


def _with_interval(value: str, interval: str) -> Html:
    """A number over its interval, where there is one."""
    return join([value] if interval == numbers.NOT_KNOWN else [value, _LINE_END, interval])


def _outcome(row: dict[str, object]) -> Html:
    if row["rate_limited"]:
        return pill("rate limited")
    kind = "open" if verdict.is_unclear(row) else _KINDS[str(row["verdict"])]
    return tag("span", verdict.outcome(row), class_=f"pill {kind}")
