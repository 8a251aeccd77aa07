"""Two runs compared: what differs between them (read it before any ratio), then which cells got slower, got faster or fail more.

Cells are compared on equal coordinates. Times are compared between runs, so unpaired (Welch). Successes are compared by
Fisher's exact test (Journal of the Royal Statistical Society 85, 1922). It assumes independent pulls, so where failures
cluster, its p is too small. Both families are corrected by Holm over the cells that the runs have in common.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import CellRows, by_block, cells
from pullbench.stats.compare import Blocks, Comparison, ComparisonVerdict, compare_unpaired, holm, more_repetitions
from pullbench.stats.summary import CONFIDENCE

_NOT_MEASURED = frozenset({"name", "labels", "budget"})
"""Keys of a spec that do not change what is measured; name and labels are shown with the run."""
_MACHINE = ("architecture", "cpu", "cores", "memory_bytes")
_MEMORY_SLACK = 0.05
"""Two machines of one kind report slightly different memory, depending on what their kernels reserve."""
_VARIES_BY_ITSELF = frozenset({"client_ceiling_bytes_per_s", "client_ceiling_by_sink_bytes_per_s", "clock_offset"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that differs. `kind` is run, spec, images, engines, machine or environment."""

    kind: str
    what: str
    baseline: Any
    candidate: Any


def differences(baseline: StoredRun, candidate: StoredRun) -> list[Difference]:
    """Everything that differs except labels and times, the most important first; empty where nothing does."""
    return [
        *_of("run", _identity(baseline), _identity(candidate)),
        *_of("images", _digests(baseline), _digests(candidate)),
        *_machines(baseline.environment, candidate.environment),
        *_of("engines", _engines(baseline), _engines(candidate)),
        *_of("spec", _spec(baseline), _spec(candidate)),
        *_of("environment", _rest(baseline.environment), _rest(candidate.environment)),
    ]


def other_machine(found: list[Difference]) -> bool:
    """Whether the runs come from different vantages or kinds of machine, so that a ratio may come from those."""
    return any(entry.kind == "machine" or (entry.kind, entry.what) == ("run", "vantage") for entry in found)


def _identity(stored: StoredRun) -> dict[str, Any]:
    run = stored.run
    return {"name": run.name, "kind": run.kind, "vantage": run.vantage, "status": run.status}


def _digests(stored: StoredRun) -> dict[str, Any]:
    """The digest of each image, by registry and platform."""
    found = json.loads(stored.run.facts or "{}").get("images", [])
    return {
        f"{entry['image']} {platform} at {entry['registry']}": image["digest"]
        for entry in found
        for platform, image in entry["platforms"].items()
    }


def _engines(stored: StoredRun) -> dict[str, Any]:
    found = json.loads(stored.run.facts or "{}").get("engines", [])
    return {entry["name"]: f"{entry['kind']} {entry.get('version') or ''}".strip() for entry in found}


def _spec(stored: StoredRun) -> dict[str, Any]:
    measured = {key: value for key, value in stored.spec.items() if key not in _NOT_MEASURED}
    return dict(_flat(_named(measured)))


def _named(value: Any) -> Any:
    """Lists of named entries (registries, proxies, engines) as mappings, so that a new entry does not shift the others."""
    if isinstance(value, Mapping):
        return {str(key): _named(entry) for key, entry in value.items()}
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "name" in entry for entry in value):
        return {str(entry["name"]): _named({key: entry[key] for key in entry if key != "name"}) for entry in value}
    return value


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from _flat(entry, f"{before}{key}.")
        else:
            yield f"{before}{key}", entry


def _machines(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[Difference]:
    for name in _MACHINE:
        before, after = baseline.get(name), candidate.get(name)
        if not _same_part(name, before, after):
            yield Difference(kind="machine", what=name, baseline=before, candidate=after)


def _same_part(name: str, before: Any, after: Any) -> bool:
    if name == "memory_bytes" and before and after:
        return bool(abs(after - before) <= _MEMORY_SLACK * max(before, after))
    return bool(before == after)


def _rest(environment: Mapping[str, Any]) -> dict[str, Any]:
    left = {
        key: value
        for key, value in environment.items()
        if key not in (*_MACHINE, *_VARIES_BY_ITSELF, "engines")  # engines are compared by the facts
    }
    return dict(_flat(left))


def _of(kind: str, baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[Difference]:
    for what in dict.fromkeys((*baseline, *candidate)):
        before, after = baseline.get(what), candidate.get(what)
        if before != after:
            yield Difference(kind=kind, what=what, baseline=before, candidate=after)


COLUMNS = [
    *(*FACTORS, "region", "engine_kind"),
    *("baseline_s", "candidate_s", "ratio", "low", "high", "p", "blocks", "verdict", "more_repetitions"),
    *("baseline_pulls", "baseline_succeeded", "candidate_pulls", "candidate_succeeded", "success_p", "success_verdict"),
]
_NUMBERS = ("baseline_s", "candidate_s", "ratio", "low", "high", "p", "more_repetitions")
FAILS_MORE, FAILS_LESS, ALIKE = "fails_more", "fails_less", "alike"
_SIDES = ("baseline", "candidate")
_LEAST_S = 1e-9
"""The resolution of a clock: zero has no logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsCompared:
    """The result of `compare_runs`.

    `cells` has a row for each cell that both runs have, as COLUMNS. `only_in` has the cells of one run only, by `baseline`
    and `candidate`. `whole` is the one ratio over all common cells.
    """

    baseline: StoredRun
    candidate: StoredRun
    differences: Sequence[Difference]
    cells: pd.DataFrame
    only_in: Mapping[str, Sequence[Mapping[str, Any]]]
    whole: Comparison
    whole_cells: int
    """The number of cells in the one ratio: those that have all their blocks in both runs."""

    @property
    def other_machine(self) -> bool:
        """Whether machines or vantages differ, so that the network or the client may be what changed."""
        return other_machine(list(self.differences))

    @property
    def same_run(self) -> bool:
        return self.baseline.run.run_id == self.candidate.run.run_id

    def regressions(self, at_least: float = 0.0) -> pd.DataFrame:
        """The cells that are significantly slower by at least such a share (0.1 is 10%), or fail more; worst first."""
        slower = (self.cells["verdict"] == ComparisonVerdict.SLOWER) & (self.cells["ratio"] >= 1 + at_least)
        found = self.cells[slower | (self.cells["success_verdict"] == FAILS_MORE)]
        worse = found.assign(fails=found["success_verdict"] == FAILS_MORE)
        return worse.sort_values(["fails", "ratio"], ascending=False, kind="stable").drop(columns="fails")

    def improvements(self) -> pd.DataFrame:
        """The cells that are significantly faster, or fail less; best first."""
        faster = self.cells["verdict"] == ComparisonVerdict.FASTER
        return self.cells[faster | (self.cells["success_verdict"] == FAILS_LESS)].sort_values("ratio", kind="stable")


def compare_runs(baseline: StoredRun, candidate: StoredRun) -> RunsCompared:
    """Compare two stored runs, cell by cell, where every factor is equal."""
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
        cells=_with_numbers(pd.DataFrame(rows, columns=COLUMNS)),
        only_in={
            side: [{name: row[name] for name in FACTORS} for key, row in table.items() if key not in other]
            for side, table, other in zip(_SIDES, tables, reversed(tables), strict=True)
        },
        whole=whole,
        whole_cells=whole_cells,
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
        **{name: getattr(time, name) for name in ("ratio", "low", "high", "p", "blocks")},
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


def _whole(pairs: Sequence[tuple[Blocks, Blocks]]) -> tuple[Comparison, int]:
    """One ratio over the cells that have the most blocks in both runs; a block's value is the geometric mean over them."""
    most = [max((len(pair[side]) for pair in pairs), default=0) for side in (0, 1)]
    whole = [pair for pair in pairs if [len(pair[0]), len(pair[1])] == most and all(most)]
    pooled = [_pooled([pair[side] for pair in whole]) for side in (0, 1)]
    return compare_unpaired([(pooled[0], pooled[1])])[0], len(whole)


def _pooled(sides: Sequence[Blocks]) -> Blocks:
    shared = set.intersection(*(set(blocks) for blocks in sides)) if sides else set()
    return {block: [math.exp(sum(_log_medians(sides, block)) / len(sides))] for block in sorted(shared)}


def _log_medians(sides: Sequence[Blocks], block: int) -> Iterator[float]:
    return (math.log(max(float(np.median(blocks[block])), _LEAST_S)) for blocks in sides)
