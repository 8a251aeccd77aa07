"""One benchmark over its runs: its times, their change points, and what else changed there.

A series is the runs of one name from one vantage, the newest run's: another place has another level. A run's level is the
geometric mean of the medians of the newest run's configurations. A run that lacks one of them measured something else: it
is left out, by name. A change point means only that later runs differ from earlier ones; what else changed is listed with it.
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
from pullbench.report.core.tables import latency_s
from pullbench.report.run.verdicts import Headline
from pullbench.stats.change_points import MIN_RUNS, SIGNIFICANCE, Segmentation, find_change_points
from pullbench.stats.summary import median_estimate
from pullbench.store.dataset import ResultStore

RUN_COLUMNS = [
    *("run_id", "started_at", "quarter", "vantage", "pulls", "succeeded", "success_rate"),
    *("level_s", "level_low_s", "level_high_s", "blocks", "level_of_step_s"),
]
STEP_COLUMNS = ["setting", "run_id", "started_at", "quarter", "before_s", "after_s", "ratio", "p", "verdict"]
_OF_PULLS = [*FACTORS, "block", "warmup", "ok", "queued_s", "duration_s"]
_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunLevel:
    value: float
    low: float | None
    high: float | None
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The result of `trend_of`, the oldest run first.

    `runs` has a row for each run as RUN_COLUMNS. `steps` has a row for each change point as STEP_COLUMNS: those of the whole
    (an empty `setting`) before those of single configurations. `changes` has what else differs at the first run of each new
    level. `elsewhere` counts the runs of the name from other vantages.
    """

    name: str
    vantage: str
    elsewhere: Mapping[str, int]
    runs: pd.DataFrame
    steps: pd.DataFrame
    settings: int
    left_out: Sequence[str]
    changes: Mapping[str, Sequence[Difference]]


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
    """By configuration and block, the median of the successful pulls."""
    pulls: int
    succeeded: int

    def of(self, key: _Key) -> float:
        """A configuration's median, as in `tables.cells`."""
        return median_estimate([[value] for value in self.medians[key].values()]).value or math.nan

    def level(self, keys: Iterable[_Key]) -> _RunLevel | None:
        """The level over some configurations, from the blocks that have all of them; None without such a block."""
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
    if len(succeeded):
        times = succeeded.assign(latency_s=latency_s(succeeded))
        grouped = times.groupby([*FACTORS, "block"], dropna=False, sort=False)["latency_s"].median()
        for key, value in zip(grouped.index.tolist(), grouped.tolist(), strict=True):
            if value > 0:
                medians.setdefault(key[:-1], {})[int(key[-1])] = float(value)
    return _MeasuredRun(run=run, medians=medians, pulls=len(pulls), succeeded=len(succeeded))


def _trend(name: str, found: Sequence[_MeasuredRun], elsewhere: Mapping[str, int]) -> Trend:
    keys = frozenset(found[-1].medians)
    levels = [(entry, entry.level(keys) if keys and keys <= set(entry.medians) else None) for entry in found]
    kept = [(entry, level) for entry, level in levels if level is not None]
    runs = [entry for entry, _ in kept]
    history = find_change_points([level.value for _, level in kept])
    rows = _step_rows("", runs, history, 1)
    for key in sorted(keys) if len(keys) > 1 else ():
        rows += _step_rows(_setting(key, keys), runs, find_change_points([entry.of(key) for entry in runs]), len(keys))
    begun = {row["run_id"] for row in rows}
    return Trend(
        name=name,
        vantage=found[-1].run.vantage,
        elsewhere=dict(elsewhere),
        runs=pd.DataFrame(
            [_run_row(entry, level, history, at) for at, (entry, level) in enumerate(kept)], columns=RUN_COLUMNS
        ),
        steps=pd.DataFrame(rows, columns=STEP_COLUMNS),
        settings=len(keys),
        left_out=[entry.run.run_id for entry, level in levels if level is None],
        changes={
            after.run.run_id: differences(without_tables(before.run), without_tables(after.run))
            for before, after in pairwise(runs)
            if after.run.run_id in begun
        },
    )


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


def _setting(key: _Key, keys: Iterable[_Key]) -> str:
    """A configuration by the factors in which it differs from the others."""
    several = [place for place in range(len(FACTORS)) if len({other[place] for other in keys}) > 1] or [0]
    return " · ".join(
        f"concurrency {key[place]}" if FACTORS[place] == "concurrency" else str(key[place]) for place in several
    )


def quarter(instant: datetime) -> str:
    """`2026 Q4`."""
    return f"{instant.year} Q{(instant.month + 2) // 3}"


def headline(found: Trend) -> Headline:
    """The last change point and the newest level. `status` is the change point's verdict, or no_difference."""
    if found.runs.empty:
        said = "No run has a repetition in which every configuration of the newest run succeeded."
        return Headline(status="inconclusive", title="Nothing to show", clauses=(said,))
    last = records(found.runs.tail(1))[0]
    now = [
        f"{numbers.count(len(found.runs), 'run')} of {numbers.count(found.settings, 'configuration')}: the newest, "
        f"{_day(last['started_at'])}, has a median pull of {numbers.seconds(last['level_s'])}.",
        *_elsewhere(found),
    ]
    if len(found.runs) < 2 * MIN_RUNS:
        few = f"A change point needs at least {MIN_RUNS} runs before and after it."
        return Headline(status="too_few_samples", title="Too few runs for a trend", clauses=(*now, few))
    whole = found.steps[found.steps["setting"] == ""]
    if whole.empty:
        return Headline(status="no_difference", title="Steady: no change point", clauses=tuple(now))
    change = records(whole.tail(1))[0]
    title = f"{change['verdict'].capitalize()} since {_day(change['started_at'])}: {numbers.ratio(change['ratio'])} the time"
    times = f"{numbers.seconds(change['before_s'])} before, {numbers.seconds(change['after_s'])} from run {change['run_id']} on"
    return Headline(status=change["verdict"], title=title, clauses=(f"The median pull was {times}.", *now))


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
    """The document of `trend --json`; null for what is not known."""
    said = headline(found)
    return {
        "name": found.name,
        "report": report,
        "headline": said.document(),
        "settings": found.settings,
        "runs": json_records(found.runs),
        "steps": [
            row | {"changes": [f"{entry.kind}: {entry.what}" for entry in found.changes.get(row["run_id"], [])]}
            for row in json_records(found.steps)
        ],
        "vantage": found.vantage,
        "elsewhere": dict(found.elsewhere),
        "left_out": list(found.left_out),
    }
