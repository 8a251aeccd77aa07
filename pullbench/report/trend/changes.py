"""One benchmark over its runs: its times, their change points, and what else changed there.

A series is the runs of one name from one vantage, the newest run's: another place has another level. A run's level is the
geometric mean of the medians of the newest run's configurations. Engines that do different work have a series each. A run
that lacks a configuration measured something else: it is left out, by name. A change point means only that later runs differ from earlier ones; what else changed is listed with it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import pandas as pd

from pullbench.errors import UsageError
from pullbench.model.plan import FACTORS
from pullbench.model.record import RunRecord
from pullbench.model.text import did_you_mean
from pullbench.report.compare.differences import Difference, differences
from pullbench.report.core import numbers
from pullbench.report.core.stored import json_records, measured, records, without_tables
from pullbench.report.core.tables import label, latency_s
from pullbench.report.run.slos import works
from pullbench.report.run.verdicts import Headline
from pullbench.stats.change_points import MIN_RUNS, SIGNIFICANCE, Segmentation, find_change_points
from pullbench.stats.summary import median_estimate
from pullbench.store.dataset import ResultStore

RUN_COLUMNS = [
    *("run_id", "started_at", "quarter", "vantage", "pulls", "succeeded", "success_rate"),
    *("level_s", "level_low_s", "level_high_s", "blocks", "level_of_step_s"),
]
STEP_COLUMNS = ["setting", "run_id", "started_at", "quarter", "before_s", "after_s", "ratio", "p", "verdict"]
_OF_PULLS = [*FACTORS, "engine_kind", "block", "warmup", "ok", "queued_s", "duration_s"]
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunLevel:
    value: float
    low: float | None
    high: float | None
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeries:
    """The runs as engines that do the same work measured them, the oldest first.

    `runs` has a row for each run as RUN_COLUMNS. `steps` has a row for each change point as STEP_COLUMNS: those of all
    `settings` configurations together (an empty `setting`) before those of single ones.
    """

    engines: Sequence[str]
    runs: pd.DataFrame
    steps: pd.DataFrame
    settings: int

    @property
    def whole(self) -> pd.DataFrame:
        """The change points of all configurations together."""
        return self.steps[self.steps["setting"] == ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The result of `trend_of`: one series at least, that of the engines whose SLOs are judged first.

    `settings` counts the newest run's configurations. `changes` has what else differs at the first run of each new level.
    `elsewhere` counts the runs of the name from other vantages.
    """

    name: str
    vantage: str
    elsewhere: Mapping[str, int]
    series: Sequence[RunSeries]
    settings: int
    left_out: Sequence[str]
    changes: Mapping[str, Sequence[Difference]]

    @property
    def runs(self) -> pd.DataFrame:
        """The runs with the level of the engines whose SLOs are judged."""
        return self.series[0].runs

    @property
    def steps(self) -> pd.DataFrame:
        """The change points of the first series, then those of the others' single configurations."""
        first, *others = (entry.steps for entry in self.series)
        return pd.concat([first, *(steps[steps["setting"] != ""] for steps in others)], ignore_index=True)


def trend_of(store: ResultStore, name: str, *, last: int | None = None, vantage: str | None = None) -> Trend:
    """The trend of the complete benchmark runs of a name from one vantage; the newest `last` of them.

    `vantage` is the newest run's unless given. UsageError where there is no such run.
    """
    every = store.runs()
    runs = [run for run in every if run.name == name and run.status == "complete" and run.kind == "benchmark"]
    if not runs:
        there = [run.name for run in every if run.status == "complete" and run.kind == "benchmark"]
        hint = did_you_mean(name, there)
        raise UsageError(f"'{name}': no complete benchmark of this name in {store.files.where()}; {hint}")
    vantage = vantage or runs[0].vantage
    here = [run for run in runs if run.vantage == vantage][:last]
    elsewhere = Counter(run.vantage for run in runs if run.vantage != vantage)
    if not here:
        raise UsageError(
            f"--vantage {vantage}: no complete run of '{name}' from there; its vantages: {', '.join(elsewhere)}"
        )
    return _trend(name, [_measured_run(store, run) for run in reversed(here)], elsewhere)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MeasuredRun:
    run: RunRecord
    medians: Mapping[_Key, Mapping[int, float]]
    """By configuration and repetition, the median of the successful pulls."""
    kinds: Mapping[str, str]
    """The kind of each engine that succeeded, by its name."""
    pulls: int
    succeeded: int

    def of(self, key: _Key) -> float:
        """A configuration's median, as in `tables.cells`."""
        return median_estimate([[value] for value in self.medians[key].values()]).value or math.nan

    def level(self, keys: Iterable[_Key]) -> _RunLevel | None:
        """The level over some configurations, from the repetitions that have all of them; None without such a repetition."""
        blocks = [self.medians[key] for key in sorted(keys)]
        shared = set.intersection(*(set(entry) for entry in blocks))
        pooled = [[math.exp(sum(math.log(entry[block]) for entry in blocks) / len(blocks))] for block in sorted(shared)]
        found = median_estimate(pooled)
        if found.value is None:
            return None
        return _RunLevel(value=found.value, low=found.low, high=found.high, blocks=len(pooled))


def _measured_run(store: ResultStore, run: RunRecord) -> _MeasuredRun:
    pulls = measured(store.frame("pulls", run.run_id, columns=_OF_PULLS, categories=True))
    succeeded = pulls[pulls["ok"].astype(bool)] if len(pulls) else pulls
    medians: dict[_Key, dict[int, float]] = {}
    kinds: dict[str, str] = {}
    if len(succeeded):
        kinds = dict(succeeded[["engine", "engine_kind"]].drop_duplicates().astype(str).itertuples(index=False))
        times = succeeded.assign(latency_s=latency_s(succeeded))
        grouped = times.groupby([*FACTORS, "block"], dropna=False, sort=False)["latency_s"].median()
        for key, value in zip(grouped.index.tolist(), grouped.tolist(), strict=True):
            if value > 0:
                medians.setdefault(key[:-1], {})[int(key[-1])] = float(value)
    return _MeasuredRun(run=run, medians=medians, kinds=kinds, pulls=len(pulls), succeeded=len(succeeded))


def _trend(name: str, found: Sequence[_MeasuredRun], elsewhere: Mapping[str, int]) -> Trend:
    newest = found[-1]
    keys = frozenset(newest.medians)
    groups = works(without_tables(newest.run), newest.kinds) or [[]]
    measured = [_series(found, group, keys, family=len(groups)) for group in groups]
    runs = [entry for entry, _ in measured[0][1]]
    shown = {entry.run.run_id for entry in runs}
    series = [entry for entry, _ in measured]
    begun = {run_id for entry in series for run_id in entry.steps["run_id"]}
    return Trend(
        name=name,
        vantage=newest.run.vantage,
        elsewhere=dict(elsewhere),
        series=series,
        settings=len(keys),
        left_out=[entry.run.run_id for entry in found if entry.run.run_id not in shown],
        changes={
            after.run.run_id: differences(without_tables(before.run), without_tables(after.run))
            for _, kept in reversed(measured)
            for (before, _), (after, _) in pairwise(kept)
            if after.run.run_id in begun
        },
    )


def _series(
    found: Sequence[_MeasuredRun], engines: Sequence[str], every: frozenset[_Key], *, family: int
) -> tuple[RunSeries, list[tuple[_MeasuredRun, _RunLevel]]]:
    """The series of some engines, and the runs in it with their levels; `family` is the number of series."""
    keys = frozenset(key for key in every if key[FACTORS.index("engine")] in engines)
    levels = [(entry, entry.level(keys) if keys and every <= set(entry.medians) else None) for entry in found]
    kept = [(entry, level) for entry, level in levels if level is not None]
    runs = [entry for entry, _ in kept]
    history = find_change_points([level.value for _, level in kept])
    rows = _step_rows("", runs, history, family)
    for key in sorted(keys) if len(keys) > 1 else ():
        points = find_change_points([entry.of(key) for entry in runs])
        rows += _step_rows(_configuration(key, every), runs, points, len(every))
    of_runs = [_run_row(entry, level, history, at) for at, (entry, level) in enumerate(kept)]
    series = RunSeries(
        engines=engines,
        runs=pd.DataFrame(of_runs, columns=RUN_COLUMNS),
        steps=pd.DataFrame(rows, columns=STEP_COLUMNS),
        settings=len(keys),
    )
    return series, kept


def _run_row(entry: _MeasuredRun, level: _RunLevel, history: Segmentation, at: int) -> dict[str, Any]:
    run = entry.run
    return {
        "run_id": run.run_id,
        "started_at": run.started_at,
        "quarter": quarter(run.started_at),
        "vantage": run.vantage,
        "pulls": entry.pulls,
        "succeeded": entry.succeeded,
        "success_rate": entry.succeeded / entry.pulls if entry.pulls else math.nan,
        "level_s": level.value,
        "level_low_s": math.nan if level.low is None else level.low,
        "level_high_s": math.nan if level.high is None else level.high,
        "blocks": level.blocks,
        "level_of_step_s": next(entry.value for entry in history.segments if entry.start <= at < entry.end),
    }


def _step_rows(setting: str, kept: Sequence[_MeasuredRun], history: Segmentation, family: int) -> list[dict[str, Any]]:
    """The change points of one series of a family; the more series, the smaller each p must be (Bonferroni)."""
    return [
        {
            "setting": setting,
            "run_id": kept[step.at].run.run_id,
            "started_at": kept[step.at].run.started_at,
            "quarter": quarter(kept[step.at].run.started_at),
            "before_s": step.before,
            "after_s": step.after,
            "ratio": step.ratio,
            "p": min(1.0, step.p * family),
            "verdict": "slower" if step.ratio > 1 else "faster",
        }
        for step in history.change_points
        if step.p * family <= SIGNIFICANCE
    ]


def _configuration(key: _Key, keys: Iterable[_Key]) -> str:
    """A configuration by the factors in which it differs from the others."""
    several = [name for place, name in enumerate(FACTORS) if len({other[place] for other in keys}) > 1]
    return label(dict(zip(FACTORS, key, strict=True)), several or ["engine"])


def quarter(instant: datetime) -> str:
    """`2026 Q4`."""
    return f"{instant.year} Q{(instant.month + 2) // 3}"


def headline(found: Trend) -> Headline:
    """The last change point and the newest level. `status` is the change point's verdict, or no_difference.

    A change point of all configurations together counts more than that of a single one, and one of the engines whose SLOs
    are judged more than one of the others.
    """
    if found.runs.empty:
        said = "No run has a repetition in which every configuration of the newest run succeeded."
        return Headline(status="inconclusive", title="Nothing to show", clauses=(said,))
    now = [*(_newest(found, entry) for entry in found.series if len(entry.runs)), *_elsewhere(found)]
    if len(found.runs) < 2 * MIN_RUNS:
        few = f"A change point needs at least {MIN_RUNS} runs before and after it."
        return Headline(status="too_few_samples", title="Too few runs for a trend", clauses=(*now, few))
    changed = [entry for entry in found.series if len(entry.whole)]
    single = found.steps[found.steps["setting"] != ""].sort_values("started_at", kind="stable")
    if changed:
        first, *others = changed
        change = records(first.whole.tail(1))[0]
        title = f"{_of_engines(found, first)}{_since(change)}"
        title = title[:1].upper() + title[1:]
        also = [f"{_of_engines(found, entry)}{_since(records(entry.whole.tail(1))[0])}." for entry in others]
        return Headline(status=change["verdict"], title=title, clauses=(_times(change, "median pull"), *also, *now))
    if len(single):
        change = records(single.tail(1))[0]
        count = single["setting"].nunique()
        title = f"{count} of {numbers.count(found.settings, 'configuration')} changed; together they are steady"
        said = _times(change, f"median pull of {change['setting']}")
        return Headline(
            status=change["verdict"], title=title, clauses=(f"{change['setting']}: {_since(change)}.", said, *now)
        )
    return Headline(status="no_difference", title="Steady: no change point", clauses=tuple(now))


def _of_engines(found: Trend, series: RunSeries) -> str:
    """`docker: `, where other engines do different work."""
    return f"{numbers.listed(series.engines)}: " if len(found.series) > 1 else ""


def _since(change: Mapping[str, Any]) -> str:
    """`slower since 1 March 2027: 1.51× the time`."""
    return f"{change['verdict']} since {_day(change['started_at'])}: {numbers.ratio(change['ratio'])} the time"


def _times(change: Mapping[str, Any], what: str) -> str:
    times = f"{numbers.seconds(change['before_s'])} before, {numbers.seconds(change['after_s'])} from run {change['run_id']} on"
    return f"The {what} was {times}{numbers.sure(None, None, change['p'])}."


def _newest(found: Trend, series: RunSeries) -> str:
    last = records(series.runs.tail(1))[0]
    configurations = numbers.count(series.settings, "configuration")
    of = f"{configurations} of {numbers.listed(series.engines)}" if len(found.series) > 1 else configurations
    level = "median pull" if series.settings == 1 else "mean of the medians"
    return (
        f"{numbers.count(len(series.runs), 'run')} of {of}; the newest ({_day(last['started_at'])}): "
        f"{level} {numbers.seconds(last['level_s'])}."
    )


def _day(instant: datetime) -> str:
    """`1 March 2027`."""
    return f"{instant:%d %B %Y}".lstrip("0")


def _elsewhere(found: Trend) -> list[str]:
    """The runs of the name from other vantages, which are in no series with these: other places have other levels."""
    if not found.elsewhere:
        return []
    others = ", ".join(f"{vantage} {count}" for vantage, count in found.elsewhere.items())
    return [
        f"All runs are from vantage {found.vantage}.",
        f"Runs from other vantages are left out ({others}); `--vantage` chooses another.",
    ]


def trend_document(found: Trend, report: str | None = None) -> dict[str, Any]:
    """The document of `trend --json`; null for what is not known.

    `series` has the runs of engines that do the same work, each kind of work apart; `runs` are those of the first.
    """
    said = headline(found)
    return {
        "name": found.name,
        "report": report,
        "headline": said.document(),
        "settings": found.settings,
        "engines": list(found.series[0].engines),
        "runs": json_records(found.runs),
        "steps": _steps_document(found, found.steps),
        "series": [
            {
                "engines": list(entry.engines),
                "settings": entry.settings,
                "runs": json_records(entry.runs),
                "steps": _steps_document(found, entry.steps),
            }
            for entry in found.series
        ],
        "vantage": found.vantage,
        "elsewhere": dict(found.elsewhere),
        "left_out": list(found.left_out),
    }


def _steps_document(found: Trend, steps: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        row | {"changes": [f"{entry.kind}: {entry.what}" for entry in found.changes.get(row["run_id"], [])]}
        for row in json_records(steps)
    ]
