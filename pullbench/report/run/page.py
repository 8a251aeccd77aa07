"""The page of a benchmark run, section by section. It formats what tables and verdicts say, and computes no number."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from pullbench.report.core import numbers, sections, tables
from pullbench.report.core.client_limit import is_limited, limit_remedy, limit_short
from pullbench.report.core.sections import (
    MOST_CELLS,
    MOST_OF_A_NAME,
    PILLS,
    factor_columns,
    factor_contents,
    factor_title,
    scorecard,
)
from pullbench.report.core.slo_words import values_to_meet
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.figures.forest import contrast, overview
from pullbench.report.figures.grids import heat, panel
from pullbench.report.figures.load import break_even, concurrency
from pullbench.report.figures.over_time import timeline
from pullbench.report.figures.pulls import ecdf
from pullbench.report.figures.pulls import waterfalls as draw_waterfalls
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
from pullbench.report.run.advice import Advice, advice
from pullbench.report.run.best import Choice, contenders
from pullbench.report.run.break_even import break_evens, payback
from pullbench.report.run.claims import claimed, claims
from pullbench.report.run.concurrency import Curve, curves, recommendations
from pullbench.report.run.contrasts import contrasts, places
from pullbench.report.run.phases import PullPhases, phases_section, pull_phases
from pullbench.report.run.pulls import spreads, waterfalls
from pullbench.report.run.served import served, served_section
from pullbench.report.run.slos import slos, verdict_rows
from pullbench.report.run.stability import stability_section, warnings
from pullbench.report.run.unknown import unknown_section, unknowns
from pullbench.report.run.verdicts import Summary, contrast_sentence, headline, summary
from pullbench.stats.compare import ComparisonVerdict
from pullbench.stats.summary import values_needed

_NOTES = (
    (
        "Clock",
        "A pull's time runs from its start to its last verified byte (docker: until the daemon reports it done, "
        "unpacked). All attempts and waits are in it. Tags are resolved to digests before the clock starts. Failed pulls "
        "count in success rates, but not in times.",
    ),
    (
        "p50",
        "The median of each repetition's pulls; then the geometric mean of these. The 95% interval is Student's t over the "
        "repetitions: pulls of one repetition run at about the same time, so they are not independent.",
    ),
    (
        "images/s",
        "A trial's pulls divided by its wall time. With a higher concurrency a single pull takes longer, while the trial "
        "is finished earlier: images/s measures the trial.",
    ),
    ("Phases", "Median shares of a pull's duration, as the engine reports them. Download and unpacking overlap."),
    (
        "Percentiles",
        f"Over pulls, and only where two are expected beyond: p90 from {values_needed(90)} pulls of a configuration, p95 from "
        f"{values_needed(95)}, p99 from {values_needed(99)}. An SLO needs the upper end of an interval to be met: p95 from "
        f"{values_to_meet(95)} pulls of an engine, p99 from {values_to_meet(99)}.",
    ),
    (
        "Success",
        "Wilson's interval over pulls. It assumes independent failures. Real failures cluster, so the true interval is "
        "wider. 99.9% needs at least 3,838 pulls without a failure.",
    ),
    (
        "SLO",
        "Met or missed where the whole 95% interval is on one side of the target, for each engine. Everything else is "
        "inconclusive. Engines that do different work are never pooled.",
    ),
    (
        "Comparisons",
        "Ratios within the same repetition; a difference under 5% counts as none. Faster and slower are statistically "
        "significant: where there is no difference, at most 3.5% of comparisons report one. p and interval (CI) are corrected "
        "(Holm) for the comparisons of one factor, and for every configuration that the best one was picked from. So the CI "
        "excludes 1 exactly where the difference is significant. A side that failed more often never wins.",
    ),
)


_SHARES = {"download": "Download", "extract": "Unpack"}
"""The phases that have a column, where an engine reports them."""
_SHARE_HINT = "median share of a pull's duration; download and unpacking overlap"


class RunPage:
    """The report of one run; `cells`, `differences`, `warnings` and `paid` are frames to go on with, `curves` a list."""

    def __init__(self, stored: StoredRun) -> None:
        self.stored = stored

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a configuration."""
        return tables.cells(self.stored.pulls, self.stored.trials)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Each SLO by engine and configuration."""
        return slos(self.stored, self.cells)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Each comparison of two values of one factor."""
        return contrasts(self.stored)

    @cached_property
    def curves(self) -> list[Curve]:
        """What more concurrent pulls give, a curve for each of the other factors' combinations."""
        return curves(self.stored)

    @cached_property
    def paid(self) -> pd.DataFrame:
        """After how many pulls a cache has paid."""
        return break_evens(self.stored)

    @cached_property
    def phases(self) -> list[PullPhases]:
        """Where the time of a pull goes, for each engine."""
        return pull_phases(self.stored, self.cells)

    @cached_property
    def warnings(self) -> pd.DataFrame:
        """What makes the numbers less sure."""
        return warnings(self.stored, self.cells)

    @cached_property
    def summary(self) -> Summary:
        """The verdict's sentences, and the configuration that they recommend."""
        return summary(self.stored, self.cells, self.scores, self.phases, self.paid)

    def style(self) -> Html:
        """The style sheet, for a notebook that is opened in Jupyter."""
        return style()

    def header(self) -> Html:
        """Title, verdict, and what the run was."""
        return header_of(self.stored, self.cells, self.scores, self.summary)

    def slo(self) -> Html:
        """A card for each SLO."""
        return scorecard(verdict_rows(self.scores))

    def where_the_time_goes(self) -> Html:
        """Download, unpacking, authentication: the shares of a pull, for each engine."""
        return phases_section(self.phases)

    def to_do(self) -> Html:
        """What to fix, what to set and what to measure again, the most pressing first."""
        return to_do_list(advice(self.stored, self.summary.choice, self.curves, self.warnings, self.paid, self.phases))

    def unknown(self) -> Html:
        """What the run cannot show, and what would."""
        said = self.summary
        return unknown_section(unknowns(self.stored, self.cells, said.limits, self.paid, said.phases))

    def break_even(self) -> Html:
        """When a cache has paid, drawn."""
        return break_even(self.paid)

    def payback(self) -> Html:
        """The same in numbers."""
        return payback(self.paid)

    def overview(self) -> Html:
        """The median pull of each configuration, drawn."""
        return overview(self.cells)

    def configurations(self) -> Html:
        """Every configuration with its numbers."""
        return settings_table(self.stored, self.cells, self.summary.choice)

    def concurrency(self) -> Html:
        """Pull time and images a second by concurrency, drawn."""
        return concurrency(self.cells, self.curves)

    def concurrency_choice(self) -> Html:
        """How many concurrent pulls to choose, and what fewer would cost."""
        return recommendations(self.curves)

    def places(self) -> Html:
        """The median pull by registry and route, drawn."""
        return heat(places(self.cells))

    def served(self) -> Html:
        """Which server or cache answered the pulls of each route."""
        return Html() if self.stored.pulls.empty else served_section(served(self.stored), self.cells)

    def contrasts(self) -> Html:
        """The ratio of each comparison with its interval, drawn."""
        return contrast(self.differences)

    def comparisons(self) -> Html:
        """Each comparison in a sentence."""
        return comparisons_table(self.differences)

    def errors(self) -> Html:
        """Why pulls failed, by error code."""
        if self.stored.pulls.empty:
            return paragraph("No pull was made.", kind="note")
        return sections.errors(tables.errors(self.stored))

    def stability(self) -> Html:
        """Warnings about the numbers, each with what to do."""
        return stability_section(self.warnings)

    def over_time(self) -> Html:
        """The trials in the order in which they ran, drawn."""
        return timeline(tables.trials_over_time(self.stored.pulls, self.stored.trials))

    def spread(self) -> Html:
        """Which share of the pulls took how long at most, drawn."""
        return ecdf(*spreads(self.stored, self.cells), sorted(self.cells["engine"].unique()))

    def inside_a_pull(self) -> Html:
        """Where the time of a median pull goes, drawn for each engine."""
        return draw_waterfalls(waterfalls(self.stored, self.cells, self.summary.choice))

    def rules_of_thumb(self) -> Html:
        """Rules of thumb about registries, compared with this run."""
        return Html() if self.stored.pulls.empty else claimed(claims(self.differences, self.stored), self.stored)

    def checks(self) -> Html:
        """The checks of each target by status, drawn."""
        return panel(self.stored.checks)

    def preflight(self) -> Html:
        """What was checked before any load."""
        return sections.preflight(self.stored.checks)

    def excluded(self) -> Html:
        """What was excluded, with its reason."""
        return sections.excluded(self.stored)

    def environment(self) -> Html:
        """The spec in short, and where it ran."""
        return sections.environment(self.stored)

    def method(self) -> Html:
        """How the numbers are made."""
        return method_notes(self.stored)


def header_of(stored: StoredRun, cells: pd.DataFrame, scores: pd.DataFrame, summed: Summary | None = None) -> Html:
    """Title, verdict and what the run was; `summed` is the run's `summary`, where that is known already."""
    run, said = stored.run, headline(stored, cells, scores, summed)
    pulls = measured(stored.pulls[["warmup", "block", "bytes"]])
    facts = [f"{run.started_at:%d %B %Y, %H:%M} UTC".lstrip("0")]
    if run.finished_at is not None:
        facts.append(f"run {numbers.seconds((run.finished_at - run.started_at).total_seconds())}")
    facts += [f"vantage {shortened(run.vantage, MOST_OF_A_NAME)}"] if run.vantage else []
    if len(pulls):
        facts += [
            numbers.count(len(cells), "configuration"),
            numbers.count(int(pulls["block"].nunique()), "repetition"),
            numbers.count(len(pulls), "pull"),
            numbers.size(float(pulls["bytes"].fillna(0).sum())),
        ]
    facts += [shortened(f"{key}={value}", MOST_OF_A_NAME) for key, value in run.labels.items()]
    return tag(
        "header",
        paragraph("pullbench · run report", kind="eyebrow"),
        tag("h1", clipped(run.name, MOST_OF_A_NAME)),
        tag(
            "div",
            tag("p", tag("strong", said.title)),
            *(tag("p", marked(clause)) for clause in said.clauses),
            class_=f"verdict {PILLS[said.status][0]}",
        ),
        tag("ul", join(tag("li", fact) for fact in facts), tag("li", tag("code", run.run_id)), class_="facts"),
    )


def to_do_list(found: Sequence[Advice]) -> Html:
    """What to do, the most pressing first; nothing where there is nothing."""
    items = [tag("li", tag("strong", clipped(entry.what)), ": ", marked(entry.why)) for entry in found]
    return tag("ol", *items, class_="todo") if items else Html()


def settings_table(stored: StoredRun, found: pd.DataFrame, choice: Choice | None) -> Html:
    """Every configuration with its numbers: the best is marked, those with failures are red."""
    if found.empty:
        return Html()
    factors = tables.varying(found) or ["engine"]
    same = sections.the_same_in_all(found, *factors)
    chosen = contenders(stored, found)
    winner, word = (None, "") if choice is None or len(chosen) == 1 else (choice.place, _word(choice))
    shown = found.head(MOST_CELLS)
    known = numbers.percentiles_known(records(shown))
    percentiles = [q for q in known if q != 90 or 95 not in known]
    phases = [phase for phase in _SHARES if shown[f"{phase}_share"].notna().any()]
    columns = [
        *factor_columns(factors),
        Column(title="p50", number=True, hint="geometric mean of the repetitions' medians, successful pulls"),
        Column(title="95% CI", number=True, hint="of p50; Student's t over repetitions"),
        Column(title="images/s", number=True, hint="a trial's pulls divided by its wall time: what concurrency raises"),
        *(Column(title=f"p{q}", number=True, hint="over pulls, where there are enough") for q in percentiles),
        Column(title="MB/s", number=True, hint="bytes received in a trial divided by its wall time"),
        *(Column(title=_SHARES[phase], number=True, hint=_SHARE_HINT) for phase in phases),
        Column(title="Pulls", number=True, hint="succeeded of all; warm-up is not counted"),
        Column(title="Notes"),
    ]
    slowest = float(shown["median_s"].max())
    rows = [
        _cell_row(row, factors, percentiles, phases, slowest, word=word if index == winner else "")
        for index, row in zip(shown.index, records(shown), strict=True)
    ]
    note = f"All configurations: {same}." if same else ""
    if winner is not None and found["engine_kind"].nunique() > chosen["engine_kind"].nunique():
        note += (
            f" The best configuration is that of {' and '.join(chosen['engine_kind'].unique())}. Other engines do different work "
            "(wire and skopeo do not unpack), so none of them can be the best."
        )
    if len(found) > len(shown):
        note += f" {len(found) - len(shown)} more configurations are in the results and in `pullbench show --json`."
    ordered = f"Ordered by {numbers.listed([factor_title(name).lower() for name in factors])}"
    made = table(columns, rows, caption=f"{ordered}: {numbers.count(len(found), 'configuration')}")
    return join([made, paragraph(note.strip(), kind="note")])


def _cell_row(
    row: Mapping[str, Any],
    factors: Sequence[str],
    percentiles: Sequence[int],
    phases: Sequence[str],
    slowest: float,
    *,
    word: str,
) -> Row:
    failed = row["succeeded"] < row["pulls"]
    share = 100 * row["median_s"] / slowest if row["median_s"] == row["median_s"] and slowest else 0
    median = join(
        [
            tag("span", class_="bar", style=f"--share: {share:.1f}%"),
            tag("span", numbers.seconds(row["median_s"]), class_="beside"),
        ]
    )
    contents = [
        *factor_contents(row, factors),
        median,
        numbers.seconds_range(row["median_low_s"], row["median_high_s"]),
        numbers.plain(row["images_per_s"]),
        *(numbers.seconds(row[f"p{q}_s"]) for q in percentiles),
        numbers.megabytes(row["throughput_bytes_per_s"]),
        *(numbers.whole_percent(row[f"{phase}_share"]) for phase in phases),
        f"{row['succeeded']}/{row['pulls']}",
        join(_notes(row, word), " "),
    ]
    return Row(contents=contents, kind="best" if word else "failed" if failed else None)


_CHOSEN = {
    "best": "most images/s",
    "chosen": "no other is significantly faster, and this is the simplest",
    "highest so far": "too few repetitions to compare",
}
"""What marks the configuration that the verdict names, and why."""


def _word(choice: Choice) -> str:
    if choice.is_clear:
        return "best"
    few = any(answer.verdict == ComparisonVerdict.TOO_FEW_SAMPLES for answer in choice.unclear)
    return "highest so far" if few else "chosen"


def _notes(row: Mapping[str, Any], word: str) -> list[Html]:
    notes = [tag("span", word, class_="pill good", title=_CHOSEN[word])] if word else []
    failed = row["pulls"] - row["succeeded"]
    if failed:
        notes.append(tag("span", f"{failed} failed", class_="pill bad"))
    if row["retried"]:
        notes.append(tag("span", f"{row['retried']} retried", class_="pill warn"))
    if row["found_cached"]:
        words = f"{row['found_cached']} not cold"
        notes.append(tag("span", words, class_="pill warn", title="cold pulls that found layers in the local store"))
    if 0 < row["phases_pulls"] < row["succeeded"]:
        words = f"shares from {row['phases_pulls']} of {numbers.count(int(row['succeeded']), 'pull')}"
        notes.append(tag("span", words, class_="pill open", title="the other pulls report no phases"))
    if row["proxy_other"]:
        words = f"mirror not {row['proxy_cache']} in {numbers.count(row['proxy_other'], 'trial')}"
        title = "trials whose mirror was in another state than the label says: by its upstream's counters, its headers, or a probe"
        notes.append(tag("span", words, class_="pill warn", title=title))
    if row["proxy_unshown"]:
        words = "mirror cache not verified"
        title = f"it should be {row['proxy_cache']}; no cache header and no upstream counter confirms it"
        notes.append(tag("span", words, class_="pill open", title=title))
    if is_limited(row):
        words = f"client-limited ({limit_short(row)})"
        notes.append(tag("span", words, class_="pill warn", title=limit_remedy([row])))
    return notes


def comparisons_table(found: pd.DataFrame) -> Html:
    """Each comparison as a sentence with its verdict and p."""
    return sections.comparisons(
        records(found),
        contrast_sentence,
        caption=", all else equal, paired by repetition",
        corrected="within the factor",
        first=("Factor", lambda row: factor_title(row["factor"])),
    )


def method_notes(stored: StoredRun) -> Html:
    """How the numbers are made."""
    blocks = numbers.count(int(stored.spec.get("repetitions", 0)), "repetition")
    warmup = numbers.count(int(stored.spec.get("warmup", 0)), "repetition")
    ordered = (
        f"Each of {blocks} runs every configuration once, in a new random order, so that a slow period affects all."
    )
    if stored.spec.get("warmup", 0):
        ordered += f" Before them, {warmup} of warm-up: stored, but not counted."
    notes = [("Repetitions", ordered), *_NOTES]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in notes), class_="method")
