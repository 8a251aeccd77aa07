"""The result of a comparison of two runs, in sentences and as a document."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pullbench.report.compare.runs import FAILS_LESS, FAILS_MORE, RunsCompared
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, json_records, json_value, records
from pullbench.report.core.tables import configuration
from pullbench.report.run.verdicts import Headline
from pullbench.stats.compare import MARGIN, Comparison, ComparisonVerdict, more_repetitions
from pullbench.stats.summary import MIN_BLOCKS

_ORDER = (
    (ComparisonVerdict.SLOWER, "slower"),
    (ComparisonVerdict.FASTER, "faster"),
    (ComparisonVerdict.NO_DIFFERENCE, "without a difference"),
    (ComparisonVerdict.INCONCLUSIVE, "inconclusive"),
    (ComparisonVerdict.TOO_FEW_SAMPLES, "with too few repetitions"),
)


def headline(found: RunsCompared) -> Headline:
    """Whether it got worse. `status` is slower, failed (more pulls fail), faster, no_difference, inconclusive or
    too_few_samples; a regression of any cell counts more than the ratio over all."""
    if found.cells.empty:
        sentence = "Two runs are compared where every factor is equal, and here no configuration is."
        return Headline(status="inconclusive", title="No configuration in common", clauses=(sentence,))
    worse, better, total = found.regressions(), found.improvements(), len(found.cells)
    whole, counts = whole_sentence(found), _counts(found)
    if (worse["success_verdict"] == FAILS_MORE).any():
        fails = worse[worse["success_verdict"] == FAILS_MORE]
        title = f"More pulls fail in {len(fails)} of {numbers.count(total, 'configuration')}"
        return Headline(status="failed", title=title, clauses=(_extreme("Worst", fails), whole, counts))
    if len(worse):
        title = f"{_of_configurations(len(worse), total)} slower"
        return Headline(status="slower", title=title, clauses=(whole, _extreme("Worst", worse), counts))
    if len(better):
        title = f"{_of_configurations(len(better), total)} better, none is worse"
        return Headline(status="faster", title=title, clauses=(whole, _extreme("Best", better), counts))
    titles = {
        ComparisonVerdict.NO_DIFFERENCE: f"No difference above {MARGIN:.0%}",
        ComparisonVerdict.TOO_FEW_SAMPLES: "Too few repetitions to compare",
    }
    title = titles.get(found.whole.verdict, "No configuration changed significantly")
    return Headline(status=str(found.whole.verdict), title=title, clauses=(whole, counts))


def whole_sentence(found: RunsCompared) -> str:
    """The one ratio over all common configurations."""
    whole = found.whole
    if whole.ratio is None and found.cells["ratio"].notna().any():
        return "One of the runs has no repetition with every configuration, so there is no ratio over all of them."
    if whole.ratio is None:
        return "No configuration succeeded in both runs, so there is no ratio of times."
    over = numbers.count(found.whole_cells, "configuration")
    return f"Over {over}, a pull takes {_times(whole)} the baseline's time: {_said(whole)}."


def cell_sentence(row: Mapping[str, Any]) -> str:
    """One configuration: how its time and its failures changed."""
    parts = []
    if numbers.known(row["ratio"]):
        span = numbers.ratio_range(row["low"], row["high"])
        interval = "" if span == numbers.NOT_KNOWN else f" (95% CI {span})"
        times = f"{numbers.seconds(row['baseline_s'])} → {numbers.seconds(row['candidate_s'])}"
        parts.append(f"{times}, {numbers.ratio(row['ratio'])}{interval}")
    if row["success_verdict"] in (FAILS_MORE, FAILS_LESS) or not numbers.known(row["ratio"]):
        parts.append(
            f"{row['baseline_succeeded']} of {row['baseline_pulls']} → "
            f"{row['candidate_succeeded']} of {numbers.count(int(row['candidate_pulls']), 'pull')} succeeded"
        )
    return f"{configuration(row)}: {'; '.join(parts)}"


def needs_more(row: Mapping[str, Any]) -> str:
    """`needs about 7 more`, of repetitions in each run, where that can be computed; else nothing."""
    more = row["more_repetitions"]
    return f"needs about {int(more)} more" if numbers.known(more) else ""


def warnings(found: RunsCompared) -> list[str]:
    """What to know before you trust a ratio, the most important first: what was seen, what it does, what to do."""
    said = []
    if found.same_run:
        said.append("Baseline and candidate are the same run, so nothing can differ. Choose two runs.")
    if found.other_machine:
        said.append(
            "The runs come from different machines or vantages. A difference may come from the client or its network, "
            "not from the registry. Compare runs of one machine."
        )
    compared = tuple(f" at {registry}" for registry in found.cells["registry"].unique())
    if any(entry.kind == "images" and entry.what.endswith(compared) for entry in found.differences):
        said.append(
            "The runs pulled different content: a tag moved, or the specs name other images. The ratios include that. "
            "Name the images by digest, `repository@sha256:…`."
        )
    for side, stored in (("baseline", found.baseline), ("candidate", found.candidate)):
        if stored.run.status != "complete":
            said.append(
                f"The {side} is {stored.run.status}: {len(stored.trials)} of {stored.run.trials_planned} trials. "
                f"Its intervals are wider. `--resume {stored.run.run_id}` measures the rest."
            )
    return said


def _times(whole: Comparison) -> str:
    span = numbers.ratio_range(whole.low, whole.high)
    return numbers.ratio(whole.ratio) + ("" if span == numbers.NOT_KNOWN else f" (95% CI {span})")


def _said(whole: Comparison) -> str:
    more = more_repetitions(whole)
    return {
        ComparisonVerdict.NO_DIFFERENCE: f"no difference above {MARGIN:.0%}",
        ComparisonVerdict.FASTER: "significantly faster",
        ComparisonVerdict.SLOWER: "significantly slower",
        ComparisonVerdict.INCONCLUSIVE: "inconclusive"
        + (f" (needs about {numbers.count(more, 'more repetition')} in each run)" if more else ""),
        ComparisonVerdict.TOO_FEW_SAMPLES: f"too few repetitions (needs at least {MIN_BLOCKS} in each run)",
    }[whole.verdict]


def _counts(found: RunsCompared) -> str:
    counts = Counter(found.cells["verdict"])
    parts = [f"{counts[verdict]} {words}" for verdict, words in _ORDER if counts[verdict]]
    return f"By configuration: {', '.join(parts)}."


def _of_configurations(number: int, total: int) -> str:
    return f"{number} of {numbers.count(total, 'configuration')} {'is' if number == 1 else 'are'}"


def _extreme(word: str, ordered: Any) -> str:
    return f"{word}: {cell_sentence(_first(ordered))}."


def _first(frame: Any) -> dict[str, Any]:
    return records(frame.head(1))[0]


def comparison_document(found: RunsCompared, report: str | None = None) -> dict[str, Any]:
    """The document of `compare --json`; null for what is not known. `report` is where the HTML is, if any."""
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
        "whole": whole | {"cells": found.whole_cells, "more_repetitions": more_repetitions(found.whole)},
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
