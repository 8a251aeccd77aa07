"""The SLOs compared with what was measured: for each engine, and for each of its configurations.

Engines do different work, so a number over two of them would describe neither: nothing here pools them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pullbench.model.capability import engines_by_work, engines_to_judge
from pullbench.model.route import DIRECT
from pullbench.report.core.slo_words import what_it_needs
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import CELL_KEY, CellRows, Rows, by_block, label, varying
from pullbench.stats import slo
from pullbench.stats.slo import Score

COLUMNS = ["name", "engine", "configuration", "counts", "target", "measured", "low", "high", "verdict", "n", "pools"]
API = "p99_api_s"
API_KINDS = ("token", "manifest")
_Scorer = Callable[[Rows, float], tuple[Score, int]]


def slos(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """One row for each SLO and engine, then one for each configuration of it in `table`, by its short name; COLUMNS.

    Pulls are scored for the engines of `slo.engines`, API answers for each engine that reports any; where none does, that
    SLO has one row without an engine. `configuration` is None in the row of a whole engine. `counts` says whether a row is a
    verdict of its own: those of engines are, those of configurations where the spec says `per_configuration`. An engine with
    one configuration has no second row for it. `n` is the number of pulls, or API answers, behind a row. `pools` names the
    caches (`cache`, `proxy_cache`) whose cold and warm pulls a row of pull times takes together.
    """
    score, each = _Scorers(stored), bool((stored.spec.get("slo") or {}).get("per_configuration"))
    judged, factors = judged_engines(stored), varying(table)
    rows: list[dict[str, Any]] = []
    for name, target in stored.targets.items():
        for engine in score.engines(name, judged):
            rows.append(_row(name, engine, None, *score.engine(name, engine, target)) | {"counts": True})
            cells = records(table[table["engine"] == engine])
            rows[-1]["pools"] = _pools(cells) if name.endswith("_pull_s") else []
            for cell in cells if len(cells) > 1 else []:
                found = _row(name, engine, label(cell, factors), *score.cell(name, cell, target))
                rows.append(found | {"counts": each, "pools": []})
    return pd.DataFrame(rows, columns=COLUMNS)


def _pools(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """The caches that are cold in one configuration, and not in another that has this cache."""
    states = {
        "cache": {cell["cache"] for cell in cells},
        "proxy_cache": {cell["proxy_cache"] for cell in cells if cell["proxy"] != DIRECT},
    }
    return [name for name, seen in states.items() if "cold" in seen and len(seen) > 1]


def engine_scores(
    stored: StoredRun, targets: Mapping[str, float], engines: Sequence[str]
) -> list[tuple[str, str | None, Score, int]]:
    """Name, engine, score and number of values, for any targets and engines; of API answers for each that reports any."""
    score = _Scorers(stored)
    return [
        (name, engine, *score.engine(name, engine, target))
        for name, target in targets.items()
        for engine in score.engines(name, engines)
    ]


def judged_engines(stored: StoredRun) -> list[str]:
    """The engines whose pulls are scored: those of `slo.engines`, else those of the matrix that unpack, else all of it."""
    named = (stored.spec.get("slo") or {}).get("engines")
    if named:
        return list(named)
    known = {entry["name"]: entry["kind"] for entry in stored.spec.get("engines") or []}
    in_matrix = (stored.spec.get("matrix") or {}).get("engines") or []
    kinds = {str(name): str(known.get(name, name)) for name in in_matrix}
    return engines_to_judge(kinds or measured_engines(stored))


def works(stored: StoredRun, kinds: Mapping[str, str]) -> list[list[str]]:
    """Of engines by name, with their kind: those that do the same work together; first those whose SLOs are judged.

    A figure over configurations is computed within one of these groups.
    """
    judged = set(judged_engines(stored))
    return sorted(engines_by_work(kinds), key=judged.isdisjoint)


def measured_engines(stored: StoredRun) -> dict[str, str]:
    """The engines that have trials, by name with their kind."""
    if stored.trials.empty:
        return {}
    pairs = stored.trials[["engine", "engine_kind"]].drop_duplicates()
    return {str(engine): str(kind) for engine, kind in pairs.itertuples(index=False)}


def verdict_rows(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `slos` that are verdicts of their own, as plain values and in that order: COLUMNS without `counts`, and

    `settings` (how many configurations a row is computed over), `missed_by` (those of them that miss it alone), `reason` (why
    it is inconclusive, and what it needs).
    """
    rows = []
    for row in records(scores[scores["counts"].astype(bool)].drop(columns="counts")):
        row["engine"], row["configuration"] = _text(row["engine"]), _text(row["configuration"])
        same = scores[(scores["name"] == row["name"]) & (scores["engine"] == row["engine"])]
        each = same[same["configuration"].notna()] if row["configuration"] is None else same.head(0)
        missed = list(each[each["verdict"] == slo.SloVerdict.MISSED]["configuration"])
        rows.append(with_reason(row | {"settings": max(1, len(each)), "missed_by": missed}))
    return rows


def with_reason(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with `reason`: why it is inconclusive, and what it needs; None where it has a verdict."""
    return {**row, "reason": what_it_needs(row) if row["verdict"] == slo.SloVerdict.NOT_SHOWN else None}


def each_shown(scores: pd.DataFrame) -> bool:
    """Whether every configuration has a verdict on every SLO, one way or the other."""
    return not (scores["verdict"] == slo.SloVerdict.NOT_SHOWN).any()


class _Scorers:
    """Scores SLOs of a run by name; the rows of a table are gone through once, whatever is asked of them."""

    def __init__(self, stored: StoredRun) -> None:
        self._stored = stored
        self._made: dict[Any, CellRows] = {}

    def engines(self, name: str, judged: Sequence[str]) -> Sequence[str | None]:
        """The engines that a name has rows of: those given, and for API answers those that report any, or None."""
        return judged if name != API else self._rows(name).engines() or [None]

    def engine(self, name: str, engine: str | None, target: float) -> tuple[Score, int]:
        return _SCORERS[name][1](self._rows(name).of_engine(engine or ""), target)

    def cell(self, name: str, cell: Mapping[str, Any], target: float) -> tuple[Score, int]:
        return _SCORERS[name][1](self._rows(name).of(cell), target)

    def _rows(self, name: str) -> CellRows:
        read = _SCORERS[name][0]
        return self._made[read] if read in self._made else self._made.setdefault(read, read(self._stored))


def _row(name: str, engine: str | None, configuration: str | None, found: Score, n: int) -> dict[str, Any]:
    values = {key: getattr(found, key) for key in ("target", "measured", "low", "high")}
    place = {"name": name, "engine": engine, "configuration": configuration}
    return place | values | {"verdict": str(found.verdict), "n": n}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _pulls(stored: StoredRun) -> CellRows:
    return CellRows(stored.pulls, ("ok", "block", "latency_s", "started_at", "trial", "pull"))


def _api(stored: StoredRun) -> CellRows:
    """The answers of the registry's API: of all transfers the few that are no content."""
    columns = ["warmup", *CELL_KEY, "total_s", "error_code"]
    asked = stored.read_transfers(columns=columns, where={"kind": API_KINDS})
    return CellRows(asked[asked["error_code"].isna()], ("total_s",))


def _success_rate(pulls: Rows, target: float) -> tuple[Score, int]:
    return slo.score_success_rate(int(pulls["ok"].sum()), len(pulls["ok"]), target), len(pulls["ok"])


def _mean_pull_s(pulls: Rows, target: float) -> tuple[Score, int]:
    ok = pulls["ok"].astype(bool)
    blocks = by_block(pulls["latency_s"][ok], pulls["block"][ok])
    return slo.score_mean(list(blocks.values()), target), int(ok.sum())


def _pull_percentile(q: float) -> _Scorer:
    def scorer(pulls: Rows, target: float) -> tuple[Score, int]:
        times = pulls["latency_s"][pulls["ok"].astype(bool)].tolist()
        return slo.score_percentile(times, q, target), len(times)

    return scorer


def _p99_api_s(answers: Rows, target: float) -> tuple[Score, int]:
    times = answers["total_s"][~np.isnan(answers["total_s"])].tolist()
    return slo.score_percentile(times, 99, target), len(times)


def _consecutive_failures(pulls: Rows, target: float) -> tuple[Score, int]:
    in_order = np.lexsort((pulls["pull"], pulls["trial"], pulls["started_at"]))
    outcomes = pulls["ok"][in_order].astype(bool).tolist()
    return slo.score_failure_streak(outcomes, int(target)), len(outcomes)


_SCORERS: Mapping[str, tuple[Callable[[StoredRun], CellRows], _Scorer]] = {
    "success_rate": (_pulls, _success_rate),
    "mean_pull_s": (_pulls, _mean_pull_s),
    "p50_pull_s": (_pulls, _pull_percentile(50)),
    "p95_pull_s": (_pulls, _pull_percentile(95)),
    "p99_pull_s": (_pulls, _pull_percentile(99)),
    API: (_api, _p99_api_s),
    "consecutive_failures": (_pulls, _consecutive_failures),
}
"""By the SLO's name: the rows that it is computed from, and how."""
