"""Two runs compared: what differs between them (read it before any ratio), then which configurations got slower or faster, or fail more.

Configurations are compared where every factor is equal. Times are compared between runs, so unpaired (Welch). Successes are compared by
Fisher's exact test (Journal of the Royal Statistical Society 85, 1922). It assumes independent pulls, so where failures
cluster, its p is too small. Both families are corrected by Holm over the configurations that the runs have in common.

A pooled ratio is over the configurations of engines that do the same work: one that unpacks and one that does not have no
common time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.report.compare.differences import Difference, differences, other_machine
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import CellRows, by_block, cells
from pullbench.report.run.slos import works
from pullbench.stats.compare import Blocks, Comparison, ComparisonVerdict, compare_unpaired, holm, more_repetitions
from pullbench.stats.summary import CONFIDENCE

COLUMNS = [
    *(*FACTORS, "region", "engine_kind"),
    *("baseline_s", "candidate_s", "ratio", "low", "high", "confidence", "p", "blocks", "verdict", "more_repetitions"),
    *("baseline_pulls", "baseline_succeeded", "candidate_pulls", "candidate_succeeded", "success_p", "success_verdict"),
]
_NUMBERS = ("baseline_s", "candidate_s", "ratio", "low", "high", "confidence", "p", "more_repetitions")
FAILS_MORE, FAILS_LESS, ALIKE = "fails_more", "fails_less", "alike"
_SIDES = ("baseline", "candidate")
_LEAST_S = 1e-9
"""The resolution of a clock: zero has no logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledRatio:
    """One ratio over the configurations of engines that do the same work."""

    engines: Sequence[str]
    times: Comparison
    """Corrected (Holm) where there are several kinds of work."""
    cells: int
    """The number of configurations in it: those that have all their repetitions in both runs."""
    of: int
    """The number of configurations that the two runs have in common."""

    @property
    def is_significant(self) -> bool:
        """Whether the configurations together got slower or faster."""
        return self.times.verdict in (ComparisonVerdict.SLOWER, ComparisonVerdict.FASTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsCompared:
    """The result of `compare_runs`.

    `cells` has a row for each configuration that both runs have, as COLUMNS. `only_in` has those of one run only, by
    `baseline` and `candidate`. `pooled` has a ratio for each kind of work, that of the engines whose SLOs are judged first.
    """

    baseline: StoredRun
    candidate: StoredRun
    differences: Sequence[Difference]
    cells: pd.DataFrame
    only_in: Mapping[str, Sequence[Mapping[str, Any]]]
    pooled: Sequence[PooledRatio]
    """One at least."""

    @property
    def whole(self) -> Comparison:
        """The pooled ratio of the engines whose SLOs are judged."""
        return self.pooled[0].times

    @property
    def other_machine(self) -> bool:
        """Whether machines or vantages differ, so that the network or the client may be what changed."""
        return other_machine(list(self.differences))

    @property
    def same_run(self) -> bool:
        return self.baseline.run.run_id == self.candidate.run.run_id

    def regressions(self, at_least: float = 0.0) -> pd.DataFrame:
        """The configurations that are significantly slower by at least such a share (0.1 is 10%), or fail more; worst first."""
        slower = (self.cells["verdict"] == ComparisonVerdict.SLOWER) & (self.cells["ratio"] >= 1 + at_least)
        found = self.cells[slower | (self.cells["success_verdict"] == FAILS_MORE)]
        worse = found.assign(fails=found["success_verdict"] == FAILS_MORE)
        return worse.sort_values(["fails", "ratio"], ascending=False, kind="stable").drop(columns="fails")

    def improvements(self) -> pd.DataFrame:
        """The configurations that are significantly faster, or fail less; best first."""
        faster = self.cells["verdict"] == ComparisonVerdict.FASTER
        return self.cells[faster | (self.cells["success_verdict"] == FAILS_LESS)].sort_values("ratio", kind="stable")


def compare_runs(baseline: StoredRun, candidate: StoredRun) -> RunsCompared:
    """Compare two stored runs, configuration by configuration, where every factor is equal."""
    sides = (baseline, candidate)
    tables = [_by_key(cells(stored.pulls, stored.trials)) for stored in sides]
    common = [key for key in tables[0] if key in tables[1]]
    before, after = (
        _blocks(stored, [table[key] for key in common]) for stored, table in zip(sides, tables, strict=True)
    )
    blocks = list(zip(before, after, strict=True))
    times = compare_unpaired(blocks)
    successes = _success_p_values([(tables[0][key], tables[1][key]) for key in common])
    rows = [
        _row(tables[0][key], tables[1][key], time, success)
        for key, time, success in zip(common, times, successes, strict=True)
    ]
    return RunsCompared(
        baseline=baseline,
        candidate=candidate,
        differences=differences(baseline, candidate),
        cells=_with_numbers(pd.DataFrame(rows, columns=COLUMNS)),
        only_in={
            side: [{name: row[name] for name in FACTORS} for key, row in table.items() if key not in other]
            for side, table, other in zip(_SIDES, tables, reversed(tables), strict=True)
        },
        pooled=_pooled_ratios(candidate, rows, blocks),
    )


def _with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers that are missing in every row are NaN too, as those of the other columns."""
    return table.assign(**{name: pd.to_numeric(table[name]) for name in _NUMBERS})


def _by_key(table: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in FACTORS): row for row in records(table)}


def _blocks(stored: StoredRun, cells: Sequence[Mapping[str, Any]]) -> list[Blocks]:
    rows = CellRows(stored.pulls, ("block", "ok", "latency_s"))
    found: list[Blocks] = []
    for pulls in map(rows.of, cells):
        ok = pulls["ok"].astype(bool)
        found.append(by_block(pulls["latency_s"][ok], pulls["block"][ok]))
    return found


def _row(before: Mapping[str, Any], after: Mapping[str, Any], time: Comparison, success_p: float) -> dict[str, Any]:
    success = _success_verdict(before, after, success_p)
    verdict = time.verdict
    if success == FAILS_MORE and verdict is ComparisonVerdict.FASTER:
        # The pulls that succeed are no fair sample: slow pulls are those that time out.
        verdict = ComparisonVerdict.INCONCLUSIVE
    return {
        **{name: after[name] for name in (*FACTORS, "region", "engine_kind")},
        "baseline_s": before["median_s"],
        "candidate_s": after["median_s"],
        **{name: getattr(time, name) for name in ("ratio", "low", "high", "confidence", "p", "blocks")},
        "verdict": verdict,
        "more_repetitions": more_repetitions(time) if verdict is time.verdict else None,
        "baseline_pulls": before["pulls"],
        "baseline_succeeded": before["succeeded"],
        "candidate_pulls": after["pulls"],
        "candidate_succeeded": after["succeeded"],
        "success_p": success_p,
        "success_verdict": success,
    }


def _success_p_values(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[float]:
    from scipy.stats import fisher_exact

    found = []
    for before, after in pairs:
        counts = [[side["succeeded"], side["pulls"] - side["succeeded"]] for side in (before, after)]
        found.append(float(fisher_exact(counts).pvalue))
    return holm(found)


def _success_verdict(before: Mapping[str, Any], after: Mapping[str, Any], p: float) -> str:
    if p >= 1 - CONFIDENCE:
        return ALIKE
    return FAILS_MORE if after["success_rate"] < before["success_rate"] else FAILS_LESS


def _pooled_ratios(
    candidate: StoredRun, rows: Sequence[Mapping[str, Any]], blocks: Sequence[tuple[Blocks, Blocks]]
) -> list[PooledRatio]:
    """A ratio for each kind of work; one without a ratio where the runs have nothing in common."""
    groups = works(candidate, {str(row["engine"]): str(row["engine_kind"]) for row in rows}) or [[]]
    pairs = [[pair for row, pair in zip(rows, blocks, strict=True) if row["engine"] in group] for group in groups]
    whole = [_with_most_blocks(mine) for mine in pairs]
    times = compare_unpaired([(_pooled([one for one, _ in mine]), _pooled([two for _, two in mine])) for mine in whole])
    return [
        PooledRatio(engines=group, times=found, cells=len(pooled), of=len(mine))
        for group, found, pooled, mine in zip(groups, times, whole, pairs, strict=True)
    ]


def _with_most_blocks(pairs: Sequence[tuple[Blocks, Blocks]]) -> list[tuple[Blocks, Blocks]]:
    """The configurations that have the most repetitions in both runs."""
    most = [max((len(pair[side]) for pair in pairs), default=0) for side in (0, 1)]
    return [pair for pair in pairs if [len(pair[0]), len(pair[1])] == most and all(most)]


def _pooled(sides: Sequence[Blocks]) -> Blocks:
    """One value for each repetition that every side has: the geometric mean over the sides."""
    shared = set.intersection(*(set(blocks) for blocks in sides)) if sides else set()
    return {block: [math.exp(sum(_log_medians(sides, block)) / len(sides))] for block in sorted(shared)}


def _log_medians(sides: Sequence[Blocks], block: int) -> Iterator[float]:
    return (math.log(max(float(np.median(blocks[block])), _LEAST_S)) for blocks in sides)
