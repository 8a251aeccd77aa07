"""Sections that the pages of several kinds of run share: SLOs, errors, preflight, what was excluded, environment."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.errors import ErrorCode
from pullbench.model import factor_words
from pullbench.model.calibration import KEY
from pullbench.model.error_guide import GUIDES, comes_from
from pullbench.model.factor_words import factor_text
from pullbench.model.finding import TROUBLES, Finding, FindingGroup, Status, group_findings, worst_first
from pullbench.model.plan import FACTORS
from pullbench.report.core import numbers, tables
from pullbench.report.core.slo_words import (
    VERDICT_WORDS,
    evidence_text,
    measured_text,
    slo_title,
    target_text,
)
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.render.html import (
    Column,
    Html,
    Row,
    clipped,
    definitions,
    join,
    marked,
    paragraph,
    short_digests,
    table,
    tag,
)
from pullbench.store.schema import finding_from_row

MOST_OF_A_NAME = 120
"""Characters of a run's name or label that stand in a page's head."""
PILLS = {
    "met": ("good", VERDICT_WORDS["met"]),
    "partly": ("warn", "met in part"),
    "missed": ("bad", VERDICT_WORDS["missed"]),
    "not_shown": ("open", VERDICT_WORDS["not_shown"]),
    "no_slo": ("open", "no SLO"),
    "failed": ("bad", "failed"),
    "faster": ("good", "faster"),
    "slower": ("warn", "slower"),
    "no_difference": ("open", "no difference"),
    "inconclusive": ("open", "inconclusive"),
    "too_few_samples": ("open", "too few samples"),
    "fails_more": ("bad", "fails more"),
    "fails_less": ("good", "fails less"),
    "holds": ("good", "true here"),
    "does_not_hold": ("warn", "not true here"),
    "cannot_say": ("open", "inconclusive"),
    "pass": ("good", "pass"),
    "warn": ("warn", "warn"),
    "fail": ("bad", "fail"),
    "error": ("warn", "could not run"),
    "skip": ("open", "skipped"),
}
P_HINT = "how often runs without a difference show one this large"
INTERVAL_HINT = "intervals are at least 97%; they exclude 1× only where p < 0.03"
_ORDER = (*TROUBLES, Status.PASS, Status.SKIP)
_REMEDY_SHOWN = 1_000
"""Longer than any of ours: half a command is none."""
_EVIDENCE_SHOWN = 4_000
_ALIKE_SHOWN = 3
MOST_CELLS = 400
UNKNOWN = "What this run cannot show"
"""The title of the section that lists what is not known."""


def unknown_link() -> Html:
    """A link to that section."""
    return tag("a", UNKNOWN, href="#what-this-run-cannot-show")


def factor_columns(factors: Sequence[str]) -> list[Column]:
    """The columns that tell configurations apart: one factor has its own, several share one that fits a phone's screen."""
    if len(factors) == 1:
        return [Column(title=factor_title(factors[0]), number=factors[0] == "concurrency")]
    return [Column(title="Configuration", setting=True)]


def factor_contents(row: Mapping[str, Any], factors: Sequence[str]) -> list[object]:
    """What stands in the columns of `factor_columns`."""
    return [row[factors[0]]] if len(factors) == 1 else [tables.label(row, list(factors))]


def factor_title(factor: str) -> str:
    """A factor at the head of a column: `Mirror cache`."""
    return factor_words.factor_title(factor).capitalize()


def the_same_in_all(table: pd.DataFrame, *varying: str) -> str:
    """The factors that have one value in a table, in words: `wire, eu, without a proxy`; nothing where all vary."""
    same = [name for name in FACTORS if name not in varying]
    return ", ".join(filter(None, (factor_text(name, table[name].iloc[0]) for name in same)))


def comparisons(
    rows: Sequence[Mapping[str, Any]],
    said: Callable[[Mapping[str, Any]], str],
    *,
    caption: str,
    corrected: str,
    first: tuple[str, Callable[[Mapping[str, Any]], object]] | None = None,
) -> Html:
    """Each comparison as a sentence with its verdict and p; nothing for none.

    `corrected` is what Holm's correction of p and of the interval goes over. `first` is the title and content of a column before the sentence.
    """
    if not rows:
        return Html()
    columns = [
        *([Column(title=first[0])] if first else []),
        Column(title="Result", prose=True),
        Column(title="p", number=True, hint=f"{P_HINT}; corrected (Holm) {corrected}"),
        Column(title="Repetitions", number=True),
        Column(title="Verdict"),
    ]
    made = [
        Row(
            contents=[
                *([first[1](row)] if first else []),
                said(row),
                numbers.p_value(row["p"]),
                row["blocks"],
                pill(row["verdict"]),
            ]
        )
        for row in rows
    ]
    shown = table(columns, made, caption=f"{numbers.count(len(made), 'comparison')}{caption}")
    return join([shown, paragraph(f"CI: {INTERVAL_HINT}.", kind="note")])


def excluded(stored: StoredRun) -> Html:
    """The configurations of the matrix that were excluded, by reason."""
    found = tables.planned_out(stored)
    if found.empty:
        return Html()
    columns = [Column(title="Configurations", number=True), Column(title="Reason", prose=True), Column(title="Example")]
    rows = [Row(contents=[row["count"], row["reason"], row["example"]]) for row in records(found)]
    return table(columns, rows, caption=f"{numbers.count(int(found['count'].sum()), 'configuration')} excluded")


def environment(stored: StoredRun) -> Html:
    """The spec in short, and the machine."""
    spec, facts = stored.spec, json.loads(stored.run.facts or "{}")
    engines = [
        f"{engine['name']} {engine.get('version') or ''}".strip()
        for engine in facts.get("engines", [])
        if not engine.get("unavailable")
    ]
    asked: list[tuple[str, object]] = [
        ("images", ", ".join(spec.get("images", []))),
        ("engines", ", ".join(engines)),
        ("pulls per trial", spec.get("pulls_per_trial") or "the number of images or the highest concurrency"),
        ("timeout", numbers.seconds(spec.get("timeout_s"))),
        ("retries", spec.get("retries", 0)),
        ("seed", stored.run.seed),
        ("spec", f"sha256:{stored.run.spec_hash[:12]}…"),
    ]
    known = list(_flat({name: value for name, value in stored.environment.items() if name not in ("engines", KEY)}))
    return join(
        [
            tag("h3", "Spec"),
            definitions((name, value) for name, value in asked if value not in ("", None)),
            tag("h3", "Machine") if known else "",
            definitions(known) if known else "",
        ]
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        title = f"{prefix}{name}".replace("_", " ")
        if name == "nics" and isinstance(value, Mapping):
            # The kernel reports 0 for an interface of unknown speed, such as a virtual one.
            yield (
                "network interfaces",
                ", ".join(
                    f"{nic} ({f'{speed:,} Mbit/s' if speed else 'speed unknown'})" for nic, speed in value.items()
                ),
            )
        elif name.endswith("_bytes_per_s") and isinstance(value, Mapping):
            several = value.items() if len(value) > 1 else ()  # a single one is the ceiling itself
            yield from (
                (f"{title.removesuffix(' bytes per s')} · {each}", numbers.rate(rate)) for each, rate in several
            )
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{title} · ")
        elif isinstance(value, list):
            yield title, ", ".join(map(str, value))
        elif name.endswith("_bytes_per_s") and isinstance(value, int | float):
            yield title.removesuffix(" bytes per s"), numbers.rate(value)
        elif name.endswith("_bytes") and isinstance(value, int | float):
            yield title.removesuffix(" bytes"), numbers.size(value)
        elif value not in (None, ""):
            yield title, value


def pill(verdict: str) -> Html:
    """A verdict as a small badge: colour, and the word that carries it without colour."""
    kind, word = PILLS.get(verdict, ("open", verdict))
    return tag("span", word, class_=f"pill {kind}")


def scorecard(rows: Sequence[Mapping[str, Any]]) -> Html:
    """A card for each SLO and engine, from `slos.verdict_rows`; then a row for each configuration that is scored alone."""
    cards = [
        tag(
            "li",
            tag("div", tag("span", slo_title(row["name"]), class_="name"), pill(row["verdict"]), class_="top"),
            tag("div", measured_text(row), class_="value"),
            tag("div", " · ".join(filter(None, [row["engine"], _target(row)])), class_="target"),
            tag("p", evidence_text(row)),
            class_=f"card {PILLS[row['verdict']][0]}",
        )
        for row in rows
        if row["configuration"] is None
    ]
    alone = [row for row in rows if row["configuration"] is not None]
    return join([tag("ul", *cards, class_="cards"), _by_configuration(alone)]) if cards else Html()


def _target(row: Mapping[str, Any]) -> str:
    return target_text(row["name"], row["target"])


def _by_configuration(rows: Sequence[Mapping[str, Any]]) -> Html:
    if not rows:
        return Html()
    columns = [
        Column(title="SLO"),
        Column(title="Configuration"),
        Column(title="Measured", number=True),
        Column(title="Target"),
        Column(title="Verdict"),
        Column(title="Evidence", prose=True),
    ]
    made = [
        Row(
            contents=[
                slo_title(row["name"]),
                row["configuration"],
                measured_text(row),
                _target(row),
                pill(row["verdict"]),
                evidence_text(row),
            ],
            kind="failed" if row["verdict"] == "missed" else None,
        )
        for row in rows
    ]
    return table(columns, made, caption=f"{numbers.count(len(made), 'verdict')} by configuration")


def errors(found: pd.DataFrame) -> Html:
    """The failures by code, each with an example and its remedy, and what the codes mean."""
    if found.empty:
        return paragraph("No pull failed.", kind="note")
    columns = [
        Column(title="Code"),
        Column(title="Pulls", number=True),
        Column(title="Share", number=True),
        Column(title="Configurations", number=True),
        Column(title="Example", prose=True),
        Column(title="What to do", prose=True),
    ]
    rows = [
        Row(
            contents=[
                _linked(row["code"]),
                f"{row['count']:,}",
                numbers.percent(row["share"]),
                row["cells"],
                row["example"],
                marked(row["remedy"], _REMEDY_SHOWN),
            ]
        )
        for row in records(found)
    ]
    caption = f"{numbers.count(int(found['count'].sum()), 'failed pull')}, by error code"
    return join([table(columns, rows, caption=caption), _meanings([str(code) for code in found["code"]])])


def _linked(code: str) -> Html:
    """An error code that leads to what it means, further down on the page."""
    shown = tag("code", code)
    return tag("a", shown, href=f"#error-{code}") if code in GUIDES else shown


def _meanings(codes: Sequence[str]) -> Html:
    """What each code of the run means, and its usual causes; the table above has what to do about them here."""
    known = [code for code in ErrorCode if code in codes]
    if not known:
        return Html()
    entries = (
        tag("div", tag("dt", tag("code", code), id=f"error-{code}"), tag("dd", _meaning(code))) for code in known
    )
    return join([tag("h3", "Error codes of this run"), tag("dl", *entries, class_="method")])


def _meaning(code: ErrorCode) -> Html:
    return join(
        [
            paragraph(marked(GUIDES[code].meaning)),
            paragraph(f"From: {comes_from(code)}."),
            paragraph("Usual causes:"),
            tag("ul", *(tag("li", marked(cause)) for cause in GUIDES[code].causes)),
            paragraph("What to do in each case: ", tag("code", f"pullbench errors {code}")),
        ]
    )


def preflight(checks: pd.DataFrame) -> Html:
    """The section, from the rows of the table `checks`."""
    if checks.empty:
        return paragraph("No preflight is stored: it was skipped.", kind="note")
    findings = [finding_from_row(row) for row in records(checks)]
    places = group_findings(findings)
    return join([_troubles(places), _places(places, _tally(findings)), _everything(findings)])


def _troubles(places: Sequence[FindingGroup]) -> Html:
    """Each failure, error and warning, the worst first, with what to do and what the check saw."""
    found = [finding for place in places for finding in place.findings if finding.status in TROUBLES]
    if not found:
        return Html()
    columns = [
        Column(title="Status"),
        Column(title="Check"),
        Column(title="Target"),
        Column(title="Observed", prose=True),
        Column(title="What to do", prose=True),
    ]
    rows = [_trouble(finding) for finding in worst_first(found)]
    return table(columns, rows, caption=f"To fix: {_tally(found)}")


def _trouble(finding: Finding) -> Row:
    observed = clipped(short_digests(_observed(finding)))
    contents = [
        pill(finding.status.value),
        tag("code", finding.check),
        finding.target,
        join([observed, _evidence(finding)]),
        join(
            [
                marked(finding.remedy, _REMEDY_SHOWN),
                "; usual causes: ",
                tag("code", f"pullbench errors {finding.topic}"),
            ]
        ),
    ]
    return Row(contents=contents, kind="failed" if finding.status is Status.FAIL else None)


def _observed(finding: Finding) -> str:
    return f"{finding.observed} (expected: {finding.expected})" if finding.expected else finding.observed


def _evidence(finding: Finding) -> Html:
    """What the probe saw, folded; secrets were taken out before it was stored."""
    if not finding.evidence:
        return Html()
    text = json.dumps(json.loads(finding.evidence), indent=1, ensure_ascii=False)
    lines = text[:_EVIDENCE_SHOWN].splitlines() + (["…"] if len(text) > _EVIDENCE_SHOWN else [])
    return tag(
        "details",
        tag("summary", "What the check saw"),
        tag("pre", join((tag("span", line) for line in lines), "\n"), tabindex="0"),
    )


def _places(places: Sequence[FindingGroup], tally: str) -> Html:
    """A row a target, with its checks by status; targets with the same results share one."""
    alike: dict[tuple[Status, tuple[str, ...]], list[str]] = {}
    for place in places:
        said = (_checks(place, *TROUBLES), _checks(place, Status.PASS), _checks(place, Status.SKIP))
        alike.setdefault((place.status, said), []).append(place.name)
    columns = [
        Column(title="Status"),
        Column(title="Target"),
        Column(title="To fix", prose=True),
        Column(title="Passed", prose=True),
        Column(title="Skipped", prose=True),
    ]
    rows = []
    for (status, checks), names in alike.items():
        shown = names if len(names) <= _ALIKE_SHOWN else [f"{len(names)} targets, for example {names[0]}"]
        rows += [Row(contents=[pill(status.value), name, *checks]) for name in shown]
    if not any(checks[0] for _, checks in alike):
        columns.pop(2)
        rows = [Row(contents=[*row.contents[:2], *row.contents[3:]]) for row in rows]
    return table(columns, rows, caption=tally)


def _checks(place: FindingGroup, *statuses: Status) -> str:
    counts = Counter(finding.check for finding in place.findings if finding.status in statuses)
    return ", ".join(check if number == 1 else f"{check} ({number})" for check, number in counts.items())


def _everything(findings: Sequence[Finding]) -> Html:
    columns = [
        Column(title="Status"),
        Column(title="Check"),
        Column(title="Target"),
        Column(title="Observed", prose=True),
        Column(title="Took", number=True),
    ]
    rows = [
        Row(
            contents=[
                pill(finding.status.value),
                tag("code", finding.check),
                finding.target,
                short_digests(finding.observed),
                numbers.seconds(finding.duration_s) if finding.duration_s else "",
            ]
        )
        for finding in findings
    ]
    made = table(columns, rows, caption=numbers.count(len(findings), "finding"))
    return tag("details", tag("summary", "Every finding"), made)


def _tally(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.status for finding in findings)
    by_status = ", ".join(f"{counts[status]} {status.value}" for status in _ORDER if counts[status])
    return f"{numbers.count(len(findings), 'finding')}: {by_status}"
