"""What a comparison of two runs says, in sentences and as a document."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pullbench.report.compare.runs import FAILS_LESS, FAILS_MORE, RunsCompared
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, json_records, json_value, records
from pullbench.report.core.tables import configuration
from pullbench.report.run.verdicts import Headline
from pullbench.stats.compare import Comparison, ComparisonVerdict

_ORDER = (
    (ComparisonVerdict.SLOWER, "slower"),
    (ComparisonVerdict.FASTER, "faster"),
    (ComparisonVerdict.NO_DIFFERENCE, "no different"),
    (ComparisonVerdict.INCONCLUSIVE, "inconclusive"),
    (ComparisonVerdict.TOO_FEW_SAMPLES, "with too few samples"),
)


def headline(found: RunsCompared) -> Headline:
    """Whether it got worse. `status` is slower, failed (more pulls fail), faster, no_difference, inconclusive or
    too_few_samples; a regression of any cell weighs more than what the whole does."""
    if found.cells.empty:
        sentence = "The runs have no setting in common: every factor must be equal for a ratio to say something."
        return Headline(status="inconclusive", title="Nothing to compare", clauses=(sentence,))
    worse, better = found.regressions(), found.improvements()
    clauses = (whole_sentence(found), _counts(found))
    if (worse["success_verdict"] == FAILS_MORE).any():
        fails = worse[worse["success_verdict"] == FAILS_MORE]
        title = f"More pulls fail in {_of_settings(len(fails), len(found.cells))}"
        return Headline(status="failed", title=title, clauses=(*clauses, f"Worst: {cell_sentence(_first(fails))}."))
    if len(worse):
        title = f"Slower in {_of_settings(len(worse), len(found.cells))}"
        return Headline(status="slower", title=title, clauses=(*clauses, f"Worst: {cell_sentence(_first(worse))}."))
    if len(better):
        title = f"Better in {_of_settings(len(better), len(found.cells))}, worse in none"
        return Headline(status="faster", title=title, clauses=(*clauses, f"Best: {cell_sentence(_first(better))}."))
    titles = {
        ComparisonVerdict.NO_DIFFERENCE: "No difference",
        ComparisonVerdict.TOO_FEW_SAMPLES: "Too few samples to say",
    }
    return Headline(
        status=str(found.whole.verdict),
        title=titles.get(found.whole.verdict, "No difference is proven"),
        clauses=clauses,
    )


def whole_sentence(found: RunsCompared) -> str:
    """The one ratio over all common settings."""
    whole = found.whole
    if whole.ratio is None and found.cells["ratio"].notna().any():
        return "In one of the runs no block has every setting, so there is no ratio over all of them."
    if whole.ratio is None:
        return "No setting succeeded in both runs, so there is no ratio of times."
    over = numbers.count(found.whole_cells, "setting")
    return f"Over {over} a pull takes {_times(whole)} the baseline's time: {_said(whole)}."


def cell_sentence(row: Mapping[str, Any]) -> str:
    """One setting: how its time and its failures changed."""
    parts = []
    if numbers.known(row["ratio"]):
        span = numbers.ratio_range(row["low"], row["high"])
        interval = "" if span == numbers.NOT_KNOWN else f" ({span})"
        times = f"{numbers.seconds(row['baseline_s'])} → {numbers.seconds(row['candidate_s'])}"
        parts.append(f"{times}, {numbers.ratio(row['ratio'])}{interval}")
    if row["success_verdict"] in (FAILS_MORE, FAILS_LESS) or not numbers.known(row["ratio"]):
        parts.append(
            f"{row['baseline_succeeded']} of {row['baseline_pulls']} → "
            f"{row['candidate_succeeded']} of {numbers.count(int(row['candidate_pulls']), 'pull')} succeeded"
        )
    return f"{configuration(row)}: {'; '.join(parts)}"


def warnings(found: RunsCompared) -> list[str]:
    """What to know before a ratio is believed, weightiest first."""
    said = []
    if found.same_run:
        said.append("Both are the same run: nothing can differ.")
    if found.other_machine:
        said.append(
            "The runs were made on different machines or vantages: what differs may be the client or the way to the "
            "registry. Compare runs of one machine, or read the ratios as those of the two places."
        )
    if any(entry.kind == "images" for entry in found.differences):
        said.append("The runs did not pull the same content: a tag has moved, or other images were asked for.")
    for side, stored in (("baseline", found.baseline), ("candidate", found.candidate)):
        if stored.run.status != "complete":
            said.append(
                f"The {side} is {stored.run.status}: {len(stored.trials)} of {stored.run.trials_planned} trials."
            )
    return said


def _times(whole: Comparison) -> str:
    span = numbers.ratio_range(whole.low, whole.high)
    return numbers.ratio(whole.ratio) + ("" if span == numbers.NOT_KNOWN else f" (95% interval {span})")


def _said(whole: Comparison) -> str:
    return {
        ComparisonVerdict.NO_DIFFERENCE: "no difference of more than 5%",
        ComparisonVerdict.FASTER: "faster",
        ComparisonVerdict.SLOWER: "slower",
        ComparisonVerdict.INCONCLUSIVE: "inconclusive",
        ComparisonVerdict.TOO_FEW_SAMPLES: "too few samples",
    }[whole.verdict]


def _counts(found: RunsCompared) -> str:
    counts = Counter(found.cells["verdict"])
    parts = [f"{counts[verdict]} {words}" for verdict, words in _ORDER if counts[verdict]]
    return f"By setting: {', '.join(parts)}."


def _of_settings(number: int, total: int) -> str:
    return f"{number} of {numbers.count(total, 'setting')}"


def _first(frame: Any) -> dict[str, Any]:
    return records(frame.head(1))[0]


def comparison_document(found: RunsCompared, report: str | None = None) -> dict[str, Any]:
    """The document of design's `compare --json`; null for what is not known. `report` is where the HTML is, if any."""
    said = headline(found)
    whole = {
        name: json_value(getattr(found.whole, name)) for name in ("ratio", "low", "high", "p", "blocks", "verdict")
    }
    return {
        "baseline": _run(found.baseline),
        "candidate": _run(found.candidate),
        "report": report,
        "headline": said.document(),
        "other_machine": found.other_machine,
        "differences": [
            {"kind": entry.kind, "what": entry.what, "baseline": entry.baseline, "candidate": entry.candidate}
            for entry in found.differences
        ],
        "whole": whole | {"cells": found.whole_cells},
        "cells": json_records(found.cells),
        "only_in": {side: [dict(cell) for cell in cells] for side, cells in found.only_in.items()},
    }


def _run(stored: StoredRun) -> dict[str, Any]:
    run = stored.run
    return {
        "run_id": run.run_id,
        "name": run.name,
        "labels": dict(run.labels),
        "vantage": run.vantage,
        "started_at": run.started_at.isoformat(),
        "status": run.status,
    }
