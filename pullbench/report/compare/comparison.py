"""Two runs side by side, cell by cell on equal coordinates: what got slower, what got faster, what fails more.

Times are compared between runs, so unpaired (Welch); successes by Fisher's exact test (Journal of the Royal Statistical
Society 85, 1922), which takes pulls to be independent where failures cluster: a proven rise is an upper bound of how sure
one can be. Either family is corrected by Holm over the cells that the runs have in common.
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
from pullbench.stats.compare import Blocks, Comparison, ComparisonVerdict, compare_unpaired, holm
from pullbench.stats.summary import CONFIDENCE

COLUMNS = [
    *(*FACTORS, "region", "engine_kind"),
    *("baseline_s", "candidate_s", "ratio", "low", "high", "p", "blocks", "verdict"),
    *("baseline_pulls", "baseline_succeeded", "candidate_pulls", "candidate_succeeded", "success_p", "success_verdict"),
]
FAILS_MORE, FAILS_LESS, ALIKE = "fails_more", "fails_less", "alike"
_SIDES = ("baseline", "candidate")
_LEAST_S = 1e-9
"""A clock's step: no logarithm of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsCompared:
    """What `compare_runs` found.

    `cells` has a row for each cell that both runs have, as COLUMNS; `only_in` the cells that one run alone has, by
    `baseline` and `candidate`; `whole` the one ratio over all common cells.
    """

    baseline: StoredRun
    candidate: StoredRun
    differences: Sequence[Difference]
    cells: pd.DataFrame
    only_in: Mapping[str, Sequence[Mapping[str, Any]]]
    whole: Comparison
    whole_cells: int
    """How many cells the one ratio is over: those that have all their blocks in both runs."""

    @property
    def other_machine(self) -> bool:
        """Whether the two stand on different machines or vantages, so that the network or the client may be what changed."""
        return other_machine(list(self.differences))

    @property
    def same_run(self) -> bool:
        return self.baseline.run.run_id == self.candidate.run.run_id

    def regressions(self, at_least: float = 0.0) -> pd.DataFrame:
        """The cells that are proven slower by at least such a share (0.1 is 10%), or that fail more; worst first."""
        slower = (self.cells["verdict"] == ComparisonVerdict.SLOWER) & (self.cells["ratio"] >= 1 + at_least)
        found = self.cells[slower | (self.cells["success_verdict"] == FAILS_MORE)]
        worse = found.assign(fails=found["success_verdict"] == FAILS_MORE)
        return worse.sort_values(["fails", "ratio"], ascending=False, kind="stable").drop(columns="fails")

    def improvements(self) -> pd.DataFrame:
        """The cells that are proven faster, or that fail less; best first."""
        faster = self.cells["verdict"] == ComparisonVerdict.FASTER
        return self.cells[faster | (self.cells["success_verdict"] == FAILS_LESS)].sort_values("ratio", kind="stable")


def compare_runs(baseline: StoredRun, candidate: StoredRun) -> RunsCompared:
    """Compare two stored runs; cells are alike where every factor is. Nothing here knows which run is the better."""
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
    whole, whole_cells = _whole(blocks)
    return RunsCompared(
        baseline=baseline,
        candidate=candidate,
        differences=differences(baseline, candidate),
        cells=pd.DataFrame(rows, columns=COLUMNS),
        only_in={
            side: [{name: row[name] for name in FACTORS} for key, row in table.items() if key not in other]
            for side, table, other in zip(_SIDES, tables, reversed(tables), strict=True)
        },
        whole=whole,
        whole_cells=whole_cells,
    )


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
        # What is left after failures is no fair sample: slow pulls are those that time out.
        verdict = ComparisonVerdict.INCONCLUSIVE
    return {
        **{name: after[name] for name in (*FACTORS, "region", "engine_kind")},
        "baseline_s": before["median_s"],
        "candidate_s": after["median_s"],
        **{name: getattr(time, name) for name in ("ratio", "low", "high", "p", "blocks")},
        "verdict": verdict,
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


def _whole(pairs: Sequence[tuple[Blocks, Blocks]]) -> tuple[Comparison, int]:
    """One ratio over the cells that have the most blocks in both runs: a block's value is the geometric mean over them."""
    most = [max((len(pair[side]) for pair in pairs), default=0) for side in (0, 1)]
    whole = [pair for pair in pairs if [len(pair[0]), len(pair[1])] == most and all(most)]
    pooled = [_pooled([pair[side] for pair in whole]) for side in (0, 1)]
    return compare_unpaired([(pooled[0], pooled[1])])[0], len(whole)


def _pooled(sides: Sequence[Blocks]) -> Blocks:
    shared = set.intersection(*(set(blocks) for blocks in sides)) if sides else set()
    return {block: [math.exp(sum(_log_medians(sides, block)) / len(sides))] for block in sorted(shared)}


def _log_medians(sides: Sequence[Blocks], block: int) -> Iterator[float]:
    return (math.log(max(float(np.median(blocks[block])), _LEAST_S)) for blocks in sides)
