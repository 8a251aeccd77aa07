"""What one value of a factor does compared with another, all else equal: regions, proxies, platforms, engines, concurrency.

Two configurations are compared where they differ in one factor alone. Their repetitions are pairs, for a repetition runs both within
minutes. Where several such pairs answer one question (a proxy at each concurrency), a repetition's value is the geometric
mean over them, so the question has one answer with one interval. `places` compares registries and routes at a glance.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.model.plan import FACTORS
from pullbench.model.route import DIRECT
from pullbench.report.core.client_limit import LIMITED_FROM
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import CELL_KEY, by_block, latency_s
from pullbench.stats.compare import MARGIN, Blocks, ComparisonVerdict, compare_paired

_WAY = ("registry", "proxy", "proxy_cache")
PLACE_COLUMNS = [
    *("engine", "registry", "region", "proxy", "proxy_cache", "way"),
    *("median_s", "of_least", "settings", "pulls", "succeeded"),
]
WITHIN: dict[str, tuple[str, ...]] = {
    "registry": ("engine", "proxy"),
    "proxy": ("engine", "registry"),
    "platform": ("engine",),
    "engine": (),
    "cache": ("engine",),
    "auth": ("engine",),
    "concurrency": ("engine",),
}
"""By factor: what a comparison does not pool over. A mirror's gain depends on the registry that it spares."""
METRICS = {"concurrency": "wall_per_pull_s"}
"""Concurrency is there to shorten the whole; every other factor is judged by the single pull."""
COLUMNS = [
    *("factor", "baseline", "candidate", "within", "engine", "metric", "baseline_s", "candidate_s"),
    *("ratio", "low", "high", "confidence", "p", "blocks", "pairs", "verdict", "client_limited"),
]

_WINNER = {ComparisonVerdict.SLOWER: 0, ComparisonVerdict.FASTER: 1}
"""Which of baseline and candidate is faster."""

_Coordinates = tuple[Any, ...]


def contrasts(stored: StoredRun) -> pd.DataFrame:
    """Every comparison that the run can answer, as COLUMNS; `ratio` is the candidate's time by the baseline's.

    `within` names what is held fixed, `pairs` how many pairs of configurations answer. p and the interval, whose level is
    `confidence`, are Holm-corrected within one factor: the interval excludes 1 exactly where p is significant.
    `baseline_s` and `candidate_s` are geometric means over repetitions and pairs. No side wins that failed more often, by over
    5% of its pulls: the slow pulls are those that time out, and what is left is no fair sample. `client_limited` says whether
    a trial of either side was.
    """
    rows: list[dict[str, Any]] = []
    by_metric = {metric: _block_values(stored, metric) for metric in ("median_s", *METRICS.values())}
    for factor, fixed in WITHIN.items():
        values = by_metric[METRICS.get(factor, "median_s")]
        questions = list(_questions(values, factor, fixed, _order(stored, factor, values)))
        answers = compare_paired([(question.pop("a"), question.pop("b")) for question in questions])
        for question, answer in zip(questions, answers, strict=True):
            found = {name: getattr(answer, name) for name in ("ratio", "low", "high", "confidence", "p", "blocks")}
            sides = _sides(stored, question, question.pop("held"))
            verdict = ComparisonVerdict.INCONCLUSIVE if _flattered(sides, answer.verdict) else answer.verdict
            limited = any(bool((side["client_busy"] >= LIMITED_FROM).any()) for side in sides)
            rows.append(question | found | {"verdict": str(verdict), "client_limited": limited})
    made = pd.DataFrame(rows, columns=COLUMNS)
    numeric = ["ratio", "low", "high", "confidence", "p", "baseline_s", "candidate_s"]
    return made.assign(**{name: pd.to_numeric(made[name]) for name in numeric})


def _sides(stored: StoredRun, question: Mapping[str, Any], held: Mapping[str, Any]) -> list[pd.DataFrame]:
    """The trials of the baseline and of the candidate."""
    trials, factor = stored.trials, question["factor"]
    mine = ~trials["warmup"].astype(bool)
    for name, value in held.items():
        mine &= trials[name] == value
    return [
        trials.loc[mine & (trials[factor] == question[side]), ["succeeded", "pulls", "client_busy"]]
        for side in ("baseline", "candidate")
    ]


def _flattered(sides: Sequence[pd.DataFrame], verdict: ComparisonVerdict) -> bool:
    """Whether the side that wins owes it, as far as is known, to failures of its own."""
    if verdict not in _WINNER:
        return False
    failed = [1 - side["succeeded"].sum() / side["pulls"].sum() for side in sides]
    winner = _WINNER[verdict]
    return bool(failed[winner] - failed[1 - winner] > MARGIN)


def wall_blocks(stored: StoredRun, cells: Sequence[Mapping[str, Any]]) -> list[Blocks]:
    """Each configuration's wall time a pull by repetition, over trials in which every pull succeeded."""
    values = _block_values(stored, "wall_per_pull_s")
    by_cell = {key: by_block(mine["value"], mine["block"]) for key, mine in values.groupby(list(FACTORS), sort=False)}
    return [by_cell.get(tuple(cell[name] for name in FACTORS), {}) for cell in cells]


def _block_values(stored: StoredRun, metric: str) -> pd.DataFrame:
    """One row a configuration and repetition: `value` in seconds."""
    if metric == "median_s":
        pulls = stored.pulls[[*CELL_KEY, "block"]].assign(value=latency_s(stored.pulls))
        fine = pulls[stored.pulls["ok"].astype(bool) & ~stored.pulls["warmup"].astype(bool)]
        return fine.groupby([*CELL_KEY, "block"], dropna=False, sort=False)["value"].median().reset_index()
    trials = measured(stored.trials)
    whole = trials[trials["succeeded"] == trials["pulls"]]
    return whole.assign(value=whole["wall_s"] / whole["pulls"])[[*CELL_KEY, "block", "value"]]


def _order(stored: StoredRun, factor: str, values: pd.DataFrame) -> list[Any]:
    """The values of a factor, the natural baseline first: direct, the spec's first registry, the host's platform."""
    there = sorted(values[factor].unique().tolist())
    matrix = stored.spec.get("matrix") or {}
    listed = {
        "registry": matrix.get("registries") or [entry["name"] for entry in stored.spec.get("registries") or []],
        "proxy": [DIRECT],
        "platform": matrix.get("platforms") or [stored.host_platform],
        "engine": [entry for entry in ("wire",) if entry in there] or matrix.get("engines") or [],
        "cache": ["cold"],
        "auth": ["persisted"],
    }.get(factor, [])
    first = [value for value in listed if value in there]
    return [*first, *(value for value in there if value not in first)]


def _questions(
    values: pd.DataFrame, factor: str, fixed: Sequence[str], levels: Sequence[Any]
) -> Iterator[dict[str, Any]]:
    if len(levels) < 2:
        return
    groups = values.groupby(list(fixed), sort=False) if fixed else [((), values)]
    shown = [name for name in fixed if values[name].nunique() > 1]
    for key, group in groups:
        held = dict(zip(fixed, key, strict=True))
        by_level = _by_level(group, factor)
        present = [level for level in levels if level in by_level]
        for baseline, candidate in _pairs(factor, present, group):
            pooled = _pooled(by_level[baseline], by_level[candidate])
            if pooled is not None:
                within = " · ".join(str(held[name]) for name in shown)
                yield {
                    "factor": factor,
                    "baseline": baseline,
                    "candidate": candidate,
                    "within": within,
                    "engine": held.get("engine", ""),
                    "held": held,
                    "metric": METRICS.get(factor, "median_s"),
                } | pooled


def _pairs(factor: str, present: Sequence[Any], group: pd.DataFrame) -> Iterator[tuple[Any, Any]]:
    """The first with each other value; of engines also the first that unpacks with the others that do: it is the same work."""
    yield from ((present[0], other) for other in present[1:])
    if factor == "engine":
        kinds = dict(zip(group["engine"], group["engine_kind"], strict=True))
        alike = [name for name in present if CAPABILITIES[kinds[name]].has_store]
        if alike and alike[0] != present[0]:
            yield from ((alike[0], other) for other in alike[1:])


def _by_level(group: pd.DataFrame, factor: str) -> dict[Any, dict[_Coordinates, dict[int, float]]]:
    """The repetitions' values of the configurations at each level, by their other factors."""
    others = [name for name in FACTORS if name != factor]
    found: dict[Any, dict[_Coordinates, dict[int, float]]] = {}
    for level, block, value, *place in zip(
        *(group[name].tolist() for name in (factor, "block", "value", *others)), strict=True
    ):
        found.setdefault(level, {}).setdefault(tuple(place), {})[int(block)] = float(value)
    return found


def _pooled(
    baseline: Mapping[_Coordinates, Mapping[int, float]], candidate: Mapping[_Coordinates, Mapping[int, float]]
) -> dict[str, Any] | None:
    """Both sides' values by repetition over the pairs that most repetitions have, so that no repetition pools other pairs than the rest."""
    common = {
        key: {block for block in baseline[key] if block in candidate[key]} for key in baseline if key in candidate
    }
    most = max((len(blocks) for blocks in common.values()), default=0)
    keys = [key for key, blocks in common.items() if len(blocks) == most]
    if most == 0:
        return None
    blocks = sorted(set.intersection(*(common[key] for key in keys)))
    a: Blocks = {block: [_mean([baseline[key][block] for key in keys])] for block in blocks}
    b: Blocks = {block: [_mean([candidate[key][block] for key in keys])] for block in blocks}
    return {
        "a": a,
        "b": b,
        "pairs": len(keys),
        "baseline_s": _mean([values[0] for values in a.values()]),
        "candidate_s": _mean([values[0] for values in b.values()]),
    }


def _mean(values: Sequence[float]) -> float:
    """The geometric mean; NaN without values."""
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def places(table: pd.DataFrame) -> pd.DataFrame:
    """One row an engine, registry and route, as PLACE_COLUMNS; `table` is that of `tables.cells`. Empty where there is one place.

    `way` is the proxy's name, with the state of its store where the run sets it. `median_s` is the geometric mean of the
    medians over the configurations (platform, concurrency, cache, auth) that every place of the engine has a time for, and
    `settings` their number; where there is none, over each place's own, and `settings` is 0. `of_least` is its multiple of the
    engine's least. A place without a successful pull has NaN.
    """
    if table.empty or len(table[["registry", "proxy", "proxy_cache"]].drop_duplicates()) < 2:
        return pd.DataFrame(columns=PLACE_COLUMNS)
    rows: list[dict[str, Any]] = []
    for _, mine in table.groupby("engine", sort=False):
        rows += _of_an_engine(mine)
    return pd.DataFrame(rows, columns=PLACE_COLUMNS)


def _of_an_engine(table: pd.DataFrame) -> list[dict[str, Any]]:
    others = [name for name in FACTORS if name not in ("engine", *_WAY)]
    groups = [(records(mine)[0], mine) for _, mine in table.groupby(list(_WAY), sort=False)]
    known = [
        {tuple(row[name] for name in others): row["median_s"] for row in records(mine) if row["median_s"] > 0}
        for _, mine in groups
    ]
    common = set.intersection(*(set(times) for times in known if times)) if any(known) else set()
    rows = [_place(first, mine, times, common) for (first, mine), times in zip(groups, known, strict=True)]
    least = min((row["median_s"] for row in rows if row["median_s"] == row["median_s"]), default=math.nan)
    return [row | {"of_least": row["median_s"] / least} for row in rows]


def _place(
    first: Mapping[str, Any], mine: pd.DataFrame, times: Mapping[Any, float], common: set[Any]
) -> dict[str, Any]:
    values = [math.log(time) for key, time in times.items() if key in common or not common]
    state = "" if first["proxy_cache"] == "any" else f" ({first['proxy_cache']})"
    return {name: first[name] for name in ("engine", "region", *_WAY)} | {
        "way": f"{first['proxy']}{state}",
        "median_s": math.exp(sum(values) / len(values)) if values else math.nan,
        "settings": len(common),
        "pulls": int(mine["pulls"].sum()),
        "succeeded": int(mine["succeeded"].sum()),
    }
