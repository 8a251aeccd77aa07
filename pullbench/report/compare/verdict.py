"""The result of a comparison of two runs, in sentences and as a document."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.report.compare.runs import FAILS_LESS, FAILS_MORE, PooledRatio, RunsCompared
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, json_records, json_value, measured, records
from pullbench.report.core.tables import configuration
from pullbench.report.run.verdicts import Headline
from pullbench.stats.compare import MARGIN, Comparison, ComparisonVerdict, more_repetitions
from pullbench.stats.summary import MIN_BLOCKS

_TOO_NOISY = "too noisy to decide by repeating"
_ORDER = (
    (ComparisonVerdict.SLOWER, "slower"),
    (ComparisonVerdict.FASTER, "faster"),
    (ComparisonVerdict.NO_DIFFERENCE, "without a difference"),
    (ComparisonVerdict.INCONCLUSIVE, "inconclusive"),
    (ComparisonVerdict.TOO_FEW_SAMPLES, "with too few repetitions"),
)


def headline(found: RunsCompared) -> Headline:
    """Whether it got worse. `status` is slower, failed (more pulls fail), faster, no_difference, inconclusive or

    too_few_samples. The worst counts: more failures, then a slower configuration, then configurations that are slower only
    when taken together. The pooled ratios are evidence in the clauses unless they alone give the verdict.
    """
    if found.cells.empty:
        sentence = "Two runs are compared where every factor is equal, and here no configuration is."
        return Headline(status="inconclusive", title="No configuration in common", clauses=(sentence,))
    worse, better, total = found.regressions(), found.improvements(), len(found.cells)
    rest = (*pooled_sentences(found), _counts(found))
    if (worse["success_verdict"] == FAILS_MORE).any():
        fails = worse[worse["success_verdict"] == FAILS_MORE]
        title = f"More pulls fail in {len(fails)} of {numbers.count(total, 'configuration')}"
        return Headline(status="failed", title=title, clauses=(_extreme("Worst", fails), *rest))
    if len(worse):
        title = f"{_of_configurations(len(worse), total)} slower, {_by(worse)}"
        return Headline(status="slower", title=title, clauses=(_extreme("Worst", worse), *rest))
    together = _deciding(found, better=len(better) > 0)
    if together.times.verdict is ComparisonVerdict.SLOWER or (better.empty and together.is_significant):
        others = tuple(_pooled_sentence(found, entry) for entry in found.pooled if entry is not together)
        best = (_extreme("Best", better),) if len(better) else ()
        clauses = (_pooled_sentence(found, together), *best, _counts(found), *others)
        return Headline(status=str(together.times.verdict), title=_title_together(found, together), clauses=clauses)
    if len(better):
        faster = (better["verdict"] == ComparisonVerdict.FASTER).all()
        word = f"faster, {_by(better)}" if faster else "better"
        title = f"{_of_configurations(len(better), total)} {word}; none is worse"
        return Headline(status="faster", title=title, clauses=(_extreme("Best", better), *rest))
    titles = {
        ComparisonVerdict.NO_DIFFERENCE: f"No difference above {MARGIN:.0%}{_of_engines(found, together)}",
        ComparisonVerdict.TOO_FEW_SAMPLES: "Too few repetitions to compare",
    }
    title = titles.get(together.times.verdict, "Inconclusive: no configuration changed significantly")
    return Headline(status=str(together.times.verdict), title=title, clauses=rest)


def _deciding(found: RunsCompared, *, better: bool) -> PooledRatio:
    """The pooled ratio that counts: one that is slower, then one that is faster, else that of the judged engines."""
    wanted = (ComparisonVerdict.SLOWER,) if better else (ComparisonVerdict.SLOWER, ComparisonVerdict.FASTER)
    for verdict in wanted:
        for entry in found.pooled:
            if entry.times.verdict is verdict:
                return entry
    return found.pooled[0]


def _title_together(found: RunsCompared, pooled: PooledRatio) -> str:
    """`6% slower over 4 configurations together`; with the engines where others do different work."""
    change = _share(pooled.times.ratio)
    word = pooled.times.verdict
    engines = _of_engines(found, pooled)
    return f"{change} {word}{engines}, over {numbers.count(pooled.cells, 'configuration')} together"


def _of_engines(found: RunsCompared, pooled: PooledRatio) -> str:
    """` with docker`, where other engines of the comparison do different work."""
    return f" with {numbers.listed(pooled.engines)}" if len(found.pooled) > 1 else ""


def _by(changed: pd.DataFrame) -> str:
    """`by 59%`, `by up to 59%`: the largest of some significant changes of time."""
    ratios = changed["ratio"].dropna()
    largest = float(max(ratios, key=lambda ratio: abs(math.log(ratio))))
    return f"by {_share(largest)}" if len(changed) == 1 else f"by up to {_share(largest)}"


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{abs(ratio - 1):.0%}"


def pooled_sentences(found: RunsCompared) -> list[str]:
    """A sentence for each kind of work: the ratio over its configurations together."""
    return [_pooled_sentence(found, entry) for entry in found.pooled]


def _pooled_sentence(found: RunsCompared, pooled: PooledRatio) -> str:
    """The ratio over the configurations of engines that do the same work, and how sure it is."""
    times, engines = pooled.times, numbers.listed(pooled.engines)
    of_engines = f" of {engines}" if engines else ""
    mine = found.cells[found.cells["engine"].isin(list(pooled.engines))]
    if times.ratio is None and mine["ratio"].notna().any():
        return f"One of the runs has no repetition with every configuration{of_engines}, so there is no ratio over all of them."
    if times.ratio is None:
        return f"No configuration{of_engines} succeeded in both runs, so there is no ratio of times."
    ratio = f"{numbers.ratio(times.ratio)} the baseline's time{numbers.sure(times.low, times.high, times.p)}"
    if pooled.of == 1:
        return f"With {engines}, a pull takes {ratio}: {_said(times)}."
    those = "the" if pooled.cells == pooled.of else f"{pooled.cells} of the"
    return f"Together, {those} {numbers.count(pooled.of, 'configuration')}{of_engines} take {ratio}: {_said(times)}."


def cell_sentence(row: Mapping[str, Any]) -> str:
    """One configuration: how its time and its failures changed."""
    parts = []
    if numbers.known(row["ratio"]):
        times = f"{numbers.seconds(row['baseline_s'])} → {numbers.seconds(row['candidate_s'])}"
        parts.append(f"{times}, {numbers.ratio(row['ratio'])}{numbers.sure(row['low'], row['high'], row['p'])}")
    if row["success_verdict"] in (FAILS_MORE, FAILS_LESS) or not numbers.known(row["ratio"]):
        parts.append(
            f"{row['baseline_succeeded']} of {row['baseline_pulls']} → "
            f"{row['candidate_succeeded']} of {numbers.count(int(row['candidate_pulls']), 'pull')} succeeded"
        )
    return f"{configuration(row)}: {'; '.join(parts)}"


def needs_more(row: Mapping[str, Any]) -> str:
    """`needs about 7 more repetitions`, in each run, or that no usual number decides; nothing of a verdict, nor of failures."""
    more = row["more_repetitions"]
    if numbers.known(more):
        return f"needs about {numbers.count(int(more), 'more repetition')}"
    undecided = row["verdict"] == ComparisonVerdict.INCONCLUSIVE and row["success_verdict"] != FAILS_MORE
    return _TOO_NOISY if undecided else ""


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
            result = "It has no results." if measured(stored.trials).empty else "Its intervals are wider."
            said.append(
                f"The {side} is {stored.run.status}: {len(stored.trials)} of {stored.run.trials_planned} trials. "
                f"{result} `--resume {stored.run.run_id}` measures the rest."
            )
    return said


def _said(whole: Comparison) -> str:
    more = more_repetitions(whole)
    return {
        ComparisonVerdict.NO_DIFFERENCE: f"no difference above {MARGIN:.0%}",
        ComparisonVerdict.FASTER: "significantly faster",
        ComparisonVerdict.SLOWER: "significantly slower",
        ComparisonVerdict.INCONCLUSIVE: "inconclusive"
        + (f" (needs about {numbers.count(more, 'more repetition')} in each run)" if more else f"; {_TOO_NOISY}"),
        ComparisonVerdict.TOO_FEW_SAMPLES: f"too few repetitions (needs at least {MIN_BLOCKS} in each run)",
    }[whole.verdict]


def _counts(found: RunsCompared) -> str:
    """How many configurations have which verdict on their own."""
    counts = Counter(found.cells["verdict"])
    parts = ", ".join(f"{counts[verdict]} {words}" for verdict, words in _ORDER if counts[verdict])
    changed = len(found.regressions()) + len(found.improvements())
    if changed or len(found.cells) == 1:
        return f"Pull times by configuration: {parts}."
    return f"Taken alone, no configuration changed significantly: {parts}."


def _of_configurations(number: int, total: int) -> str:
    return f"{number} of {numbers.count(total, 'configuration')} {'is' if number == 1 else 'are'}"


def _extreme(word: str, ordered: pd.DataFrame) -> str:
    return f"{word}: {cell_sentence(records(ordered.head(1))[0])}."


def comparison_document(found: RunsCompared, report: str | None = None) -> dict[str, Any]:
    """The document of `compare --json`; null for what is not known. `report` is where the HTML is, if any.

    `whole` is the first of `pooled`: the ratio over the engines whose SLOs are judged.
    """
    said = headline(found)
    pooled = [_pooled_document(entry) for entry in found.pooled]
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
        "whole": pooled[0],
        "pooled": pooled,
        "cells": json_records(found.cells),
        "only_in": {side: [dict(cell) for cell in cells] for side, cells in found.only_in.items()},
    }


def _pooled_document(pooled: PooledRatio) -> dict[str, Any]:
    times = pooled.times
    names = ("ratio", "low", "high", "confidence", "p", "blocks", "verdict")
    return {
        **{name: json_value(getattr(times, name)) for name in names},
        "cells": pooled.cells,
        "more_repetitions": more_repetitions(times),
        "engines": list(pooled.engines),
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
