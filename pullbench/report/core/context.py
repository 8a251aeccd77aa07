"""The report's sections about the run itself: preflight, what was planned out, where and how it was measured."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from pullbench.model.calibration import KEY
from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.render.html import Column, Html, Row, definitions, join, marked, paragraph, table, tag
from pullbench.report.run.readiness import preflight as preflight  # one of the sections that a notebook calls from here

_MOST_ALIKE = 3
"""Settings with the same kind of warning that have a row each."""
_NOTES = (
    (
        "Clock",
        "A pull's time runs from its start to its last verified byte (docker: until the daemon says it is done, "
        "unpacked), with all attempts and waiting in it. Tags were resolved to digests before. Failed pulls are in no "
        "time; they count in success rates.",
    ),
    (
        "Median",
        "The median of each block's pulls; then the geometric mean of these over blocks. Its 95% interval is Student's t "
        "over the blocks: pulls of one block share their minute, so they are not counted as independent.",
    ),
    (
        "Image every",
        "A trial's wall time divided by its pulls. With more pulls at once a single pull takes longer, while the whole "
        "is done sooner: this number shows the whole.",
    ),
    (
        "Percentiles",
        "Over pulls, and only where there are enough: p90 from 20 pulls, p95 from 40, p99 from 200. A dash is not zero.",
    ),
    (
        "Success",
        "Wilson's interval over pulls. It takes failures to be independent; real ones cluster, so it is rather too "
        "narrow. To prove 99.9% takes thousands of pulls without a failure.",
    ),
    (
        "Objectives",
        "Met or missed where the whole 95% interval lies on one side of the target, over all settings together and for "
        "each by itself; all else is not proven. What is met together can be missed by one setting.",
    ),
    (
        "Comparisons",
        "Ratios within the same block; differences under 5% are called none. Faster and slower need a p under 3%, "
        "corrected (Holm) for the number of comparisons of one factor, that of the fastest setting for every setting it "
        "was picked from; and no side wins that failed more often. Inconclusive means just that.",
    ),
    (
        "Not known",
        "Other load on registry, network and this machine at the time; what other vantages see; what an engine does not "
        "show is empty, never zero.",
    ),
)


def stability(found: pd.DataFrame) -> Html:
    """What makes the numbers less sure than they look, each with what to do about it.

    A warning that many settings share is told once, of the setting where it weighs most; all are folded below.
    """
    if found.empty:
        return paragraph(
            "No sign of drift, outliers, two kinds of pulls, too few blocks or a busy client.", kind="note"
        )
    columns = [
        Column(title="Where", setting=True),
        Column(title="What was seen", prose=True),
        Column(title="What to do", prose=True),
    ]
    every = [_warning(row, row["scope"]) for row in records(found)]
    rows: list[Row] = []
    for kind, mine in found.groupby("kind", sort=False):
        if len(mine) <= _MOST_ALIKE:
            rows += [_warning(row, row["scope"]) for row in records(mine)]
            continue
        # A block may be odd by being faster than the others, too.
        weight = np.log(mine["value"]).abs() if kind == "odd_block" else mine["value"]
        worst = records(mine.loc[[weight.idxmax()]])[0]
        rows.append(_warning(worst, f"{numbers.count(len(mine), 'setting')}, most of all {worst['scope']}"))
    made = table(columns, rows, caption=numbers.count(len(found), "warning"))
    if len(rows) == len(every):
        return made
    folded = table(columns, every, caption="Every warning, setting by setting")
    return join([made, tag("details", tag("summary", "Every warning"), folded)])


def _warning(row: Mapping[str, Any], where: str) -> Row:
    return Row(contents=[where, row["says"], marked(row["remedy"])])


def planned_out(stored: StoredRun) -> Html:
    """The cells of the matrix that could not be, by reason."""
    found = tables.planned_out(stored)
    if found.empty:
        return Html()
    columns = [Column(title="Cells", number=True), Column(title="Why", prose=True), Column(title="Such as")]
    rows = [Row(contents=[row["count"], row["reason"], row["example"]]) for row in records(found)]
    return table(columns, rows, caption=f"{numbers.count(int(found['count'].sum()), 'cell')} planned out")


def environment(stored: StoredRun) -> Html:
    """Where the run was made, with what, and of what."""
    spec, facts = stored.spec, json.loads(stored.run.facts or "{}")
    engines = [
        f"{engine['name']} {engine.get('version') or ''}".strip()
        for engine in facts.get("engines", [])
        if not engine.get("unavailable")
    ]
    asked: list[tuple[str, object]] = [
        ("images", ", ".join(spec.get("images", []))),
        ("engines", ", ".join(engines)),
        ("pulls a trial", spec.get("pulls_per_trial") or "as many as images or workers"),
        ("timeout", numbers.seconds(spec.get("timeout_s"))),
        ("retries", spec.get("retries", 0)),
        ("seed", stored.run.seed),
        ("spec", f"sha256:{stored.run.spec_hash[:12]}…"),
    ]
    known = list(_flat({name: value for name, value in stored.environment.items() if name not in ("engines", KEY)}))
    return join(
        [
            tag("h3", "What was asked"),
            definitions((name, value) for name, value in asked if value not in ("", None)),
            tag("h3", "Where it ran") if known else "",
            definitions(known) if known else "",
        ]
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        title = f"{prefix}{name}".replace("_", " ")
        if name == "nics" and isinstance(value, Mapping):
            # The kernel tells 0 for an interface whose speed it does not know, as virtual ones are.
            yield (
                "network interfaces",
                ", ".join(
                    f"{nic} ({f'{speed:,} Mbit/s' if speed else 'speed unknown'})" for nic, speed in value.items()
                ),
            )
        elif name.endswith("_bytes_per_s") and isinstance(value, Mapping):
            told = value.items() if len(value) > 1 else ()  # one alone is what the ceiling itself says
            yield from ((f"{title.removesuffix(' bytes per s')} · {each}", numbers.rate(rate)) for each, rate in told)
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


def method(stored: StoredRun) -> Html:
    """How the numbers came about, in plain words, and what they do not tell."""
    blocks = numbers.count(int(stored.spec.get("repetitions", 0)), "block")
    warmup = numbers.count(int(stored.spec.get("warmup", 0)), "block")
    ordered = f"Each of {blocks} runs every cell once, in an order drawn anew, so that a slow minute hits all alike."
    if stored.spec.get("warmup", 0):
        ordered += f" Before them, {warmup} of warm-up, stored and in no number."
    notes = [("Blocks", ordered), *_NOTES]
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in notes), class_="method")
