"""The numbers of a stress test: a row for each step and each trial, the limit, the saturation point (knee) and the recovery.

The run decides by these rows what to do next, and its report shows them: one function over the same tables.
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from pullbench.errors import ErrorCode
from pullbench.model.plan import FACTORS
from pullbench.model.ramp import End, EndReason, StepResult, StepVerdict, after_overload, next_stage
from pullbench.model.spec import Stress
from pullbench.report.core import tables
from pullbench.report.core.client_limit import is_limited
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.core.tables import latency_s
from pullbench.report.run.slos import engine_scores, measured_engines, with_reason
from pullbench.stats import slo
from pullbench.stats.compare import Comparison, compare_unpaired
from pullbench.stats.scaling import scaling
from pullbench.stats.summary import median_estimate

STEP_COLUMNS = [
    *("step", "phase", "load", "trials", "started_at", "at_s", "lasted_s", "pulls", "succeeded"),
    *("success_rate", "success_low", "success_high", "mean_s", "mean_low_s", "mean_high_s"),
    *("median_s", "median_low_s", "median_high_s", "p90_s", "p95_s", "p99_s"),
    *("rate", "rate_low", "rate_high", "throughput_bytes_per_s", "bytes", "client_busy", "rate_limited"),
    *("client_limit", "verdict", "missed", "inconclusive"),
]
TRIAL_COLUMNS = ["trial", "step", "phase", "load", "at_s", "ends_s", "mean_s", "pulls", "failed"]
_LIKE_A_CELL = ("success_rate", "success_low", "success_high", "throughput_bytes_per_s", "bytes")
_MUST_BE_SHOWN = ("mean_pull_s", "p50_pull_s")
"""SLOs that the pulls of one step can show to be met; the others take more than a step has."""
_TOO_MANY = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What the service did when the load was lowered again. Loads and times are None where no step met the SLO again."""

    held_at: float | None
    """The first load of the ramp down that met the SLO again."""
    after_s: float | None
    """From the end of the overload to the start of that step: an upper bound."""
    load: float | None
    """The lowest load of the ramp down that was measured on the ramp up too."""
    against_before: Comparison | None
    """That load on the ramp down, compared with the ramp up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stressed:
    """A stress test as far as it got; loads are concurrencies, or pulls per second."""

    stress: Stress
    loads: list[float]
    """Those of the ramp that could be measured."""
    steps: pd.DataFrame
    """STEP_COLUMNS, in order; a step that a resumed run measured again has two rows."""
    end: EndReason | None
    """None: it did not reach its end."""
    held: float | None
    """The highest load of the ramp up that misses no SLO, below the first load that misses one."""
    broke: float | None
    """The lowest load of the ramp up that misses an SLO."""
    knee: float | None
    """The saturation point: from this load on, more load adds no pulls per second. None where the highest load still
    gained, or too little was measured."""
    knee_low: float | None
    knee_high: float | None
    recovery: Recovery | None

    @property
    def up(self) -> pd.DataFrame:
        """The steps of the ramp up that count: the last of each load that no rate limit cut short."""
        climbed = self.steps[(self.steps["phase"] == "up") & (self.steps["rate_limited"] == 0)]
        return climbed.drop_duplicates("load", keep="last")


def stressed(stored: StoredRun) -> Stressed:
    """The results of a stress test, from its stored tables."""
    stress = Stress.model_validate(stored.spec.get("stress") or {})
    table = steps(stored)
    loads = _loads(stress, stored)
    done = step_results(table)
    move = next_stage(stress, loads, done) if done else None
    found = Stressed(
        stress=stress, loads=loads, steps=table, end=move.reason if isinstance(move, End) else None,
        held=None, broke=None, knee=None, knee_low=None, knee_high=None, recovery=None,
    )  # fmt: skip
    held, broke = _limit(found.up)
    knee, low, high = _knee(stored, found.up)
    return dataclasses.replace(
        found, held=held, broke=broke, knee=knee, knee_low=low, knee_high=high, recovery=_recovery(stored, table, done)
    )


def steps(stored: StoredRun, *, since: int = 0) -> pd.DataFrame:
    """A row for each step in order, from a step on; STEP_COLUMNS names the columns.

    Each trial is a replicate. `mean_s` is the mean of the trials' means of successful pulls; `rate` is the geometric mean of
    successful pulls per second; both have a 95% interval over trials. `client_busy` is the median trial's. `client_limit` is
    what was nearest to its ceiling most often. `rate_limited` counts answers of 429; `missed` and `inconclusive` name SLOs.
    """
    trials = stored.trials
    if trials.empty or trials["step"].isna().all():
        return pd.DataFrame(columns=STEP_COLUMNS)
    ordered = trials[trials["step"].notna()].sort_values("trial")
    begin = ordered["started_at"].min()
    wanted = ordered[ordered["step"] >= since]
    rows = [_step(stored, group, begin) for _, group in wanted.groupby("step", sort=True)]
    return pd.DataFrame(rows, columns=STEP_COLUMNS)


def step_results(table: pd.DataFrame) -> list[StepResult]:
    """The steps in the form of the ramp's state machine."""
    return [
        StepResult(
            index=int(row["step"]),
            phase=row["phase"],
            load=float(row["load"]),
            trials=int(row["trials"]),
            verdict=StepVerdict(row["verdict"]),
            rate_limited=row["rate_limited"] > 0,
            client_busy=is_limited(row),
        )
        for row in records(table)
    ]


def judged_step(found: Stressed) -> dict[str, Any] | None:
    """The step of the ramp up whose SLO counts for the test: the highest that meets it, else the first."""
    up = found.up
    if up.empty:
        return None
    return records(up[up["load"] == found.held] if found.held is not None else up.head(1))[0]


def step_scores(stored: StoredRun, step: int) -> list[dict[str, Any]]:
    """The SLO of one step, in the form of `slos.verdict_rows`; its engine is scored, whatever `slo.engines` says."""
    return _scores(of_step(stored, step))


def _scores(mine: StoredRun) -> list[dict[str, Any]]:
    rows = []
    for name, engine, found, n in engine_scores(mine, mine.targets, list(measured_engines(mine))):
        values = {key: getattr(found, key) for key in ("target", "measured", "low", "high")}
        place = {"name": name, "engine": engine, "configuration": None}
        row = {**place, **values, "verdict": str(found.verdict), "n": n, "settings": 1, "missed_by": [], "pools": []}
        rows.append(with_reason(row))
    return rows


def of_step(stored: StoredRun, step: int) -> StoredRun:
    """The run's rows of one step."""
    trials = stored.trials[stored.trials["step"] == step]

    numbers = trials["trial"].tolist()

    def transfers(
        *, columns: Sequence[str] | None = None, where: Mapping[str, Collection[Any]] | None = None
    ) -> pd.DataFrame:
        return stored.read_transfers(columns=columns, where={**(where or {}), "trial": numbers})

    pulls = stored.pulls if stored.pulls.empty else stored.pulls[stored.pulls["trial"].isin(numbers)]
    return dataclasses.replace(stored, trials=trials, pulls=pulls, read_transfers=transfers)


def _step(stored: StoredRun, trials: pd.DataFrame, begin: pd.Timestamp) -> dict[str, Any]:
    first = records(trials.head(1))[0]
    mine = of_step(stored, int(first["step"]))
    cell = tables.cell(mine.pulls, mine.trials)
    fine = mine.pulls[mine.pulls["ok"].astype(bool)]
    mean = slo.score_mean(list(tables.by_block(tables.latency_s(fine), fine["trial"]).values()), math.inf)
    rates = _rates(trials)
    rate = median_estimate([[value] for value in rates.values()])
    ended_at = (trials["started_at"] + pd.to_timedelta(trials["wall_s"], unit="s")).max()
    scored = _scores(mine)
    verdict, missed = _verdict(scored)
    return {
        "step": int(first["step"]),
        "phase": first["phase"],
        "load": float(first["offered_rate"] if first["load_mode"] == "open" else first["concurrency"]),
        "trials": len(trials),
        "started_at": first["started_at"],
        "at_s": (first["started_at"] - begin).total_seconds(),
        "lasted_s": (ended_at - first["started_at"]).total_seconds(),
        "pulls": len(mine.pulls),
        "succeeded": len(fine),
        **{name: cell[name] for name in _LIKE_A_CELL},
        **{name: cell[name] for name in ("median_s", "median_low_s", "median_high_s", "p90_s", "p95_s", "p99_s")},
        "mean_s": _number(mean.measured),
        "mean_low_s": _number(mean.low),
        "mean_high_s": _number(mean.high),
        "rate": _number(rate.value),
        "rate_low": _number(rate.low),
        "rate_high": _number(rate.high),
        "client_busy": _number(trials["client_busy"].median()),
        "client_limit": _most_often(trials["client_limit"]),
        "rate_limited": _rate_limited(mine),
        "verdict": verdict.value,
        "missed": missed,
        "inconclusive": [row["name"] for row in scored if row["verdict"] == slo.SloVerdict.NOT_SHOWN],
    }


def _rates(trials: pd.DataFrame) -> dict[int, float]:
    """Successful pulls per second of each trial in which any succeeded, numbered in order from 0."""
    moved = trials[(trials["succeeded"] > 0) & (trials["wall_s"] > 0)].sort_values("trial")
    return dict(enumerate((moved["succeeded"] / moved["wall_s"]).astype(float).tolist()))


def _most_often(words: "pd.Series[Any]") -> str | None:
    counted = words.dropna().mode()
    return None if counted.empty else str(counted.iloc[0])


def _rate_limited(mine: StoredRun) -> int:
    """Answers of 429; pulls that failed by them, where the engine does not show its exchanges."""
    pulls = int((mine.pulls["error_code"] == ErrorCode.RATE_LIMITED).sum())
    answers = len(mine.read_transfers(columns=["status"], where={"status": [_TOO_MANY]}))
    return max(pulls, answers)


def _verdict(scored: list[dict[str, Any]]) -> tuple[StepVerdict, list[str]]:
    missed = [row["name"] for row in scored if row["verdict"] == slo.SloVerdict.MISSED]
    if missed:
        return StepVerdict.MISSED, missed
    for row in scored:
        shown = row["verdict"] == slo.SloVerdict.MET
        if not shown and (row["name"] in _MUST_BE_SHOWN or not _right_side(row)):
            return StepVerdict.OPEN, []
    return StepVerdict.HELD, []


def _right_side(row: Mapping[str, Any]) -> bool:
    """Whether the measured value, if there is one, is on the target's good side."""
    if row["measured"] is None:
        return True
    if row["name"] == "success_rate":
        return bool(row["measured"] >= row["target"])
    return bool(row["measured"] <= row["target"] if row["name"].endswith("_s") else row["measured"] < row["target"])


def _loads(stress: Stress, stored: StoredRun) -> list[float]:
    """The ramp's steps without those that were excluded for the configuration under test."""
    if stress.ramp == "rate" or stored.trials.empty:
        return list(stress.steps)
    ramped = records(stored.trials.head(1))[0]
    same = [name for name in FACTORS if name != "concurrency"]
    refused = {
        float(entry["cell"]["concurrency"])
        for entry in stored.planned_out
        if all(entry["cell"].get(name) == ramped[name] for name in same)
    }
    return [load for load in stress.steps if load not in refused]


def _limit(up: pd.DataFrame) -> tuple[float | None, float | None]:
    missed = up[up["verdict"] == StepVerdict.MISSED]["load"]
    broke = None if missed.empty else float(missed.min())
    held = up[(up["verdict"] == StepVerdict.HELD) & (up["load"] < (math.inf if broke is None else broke))]["load"]
    return None if held.empty else float(held.max()), broke


def _knee(stored: StoredRun, up: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    by_load = {float(row["load"]): _rates(stored.trials[stored.trials["step"] == row["step"]]) for row in records(up)}
    rates = {load: of_trials for load, of_trials in by_load.items() if of_trials}
    # A level need not be a whole number: a rate of 2.5 pulls per second works as concurrency 2 does.
    found = scaling(cast("Mapping[int, Mapping[int, float]]", rates))
    return found.knee, found.knee_low, found.knee_high


def _recovery(stored: StoredRun, table: pd.DataFrame, done: list[StepResult]) -> Recovery | None:
    """None where nothing was measured on the ramp down."""
    down = after_overload(done)
    if not down or len(down) == len(done):
        return None
    rows = {int(row["step"]): row for row in records(table)}
    overload = rows[done[len(done) - len(down) - 1].index]
    again = next((step for step in down if step.verdict is StepVerdict.HELD), None)
    before = {step.load: step for step in done if step.phase == "up" and not step.rate_limited}
    lowest = next((step for step in reversed(down) if step.load in before), None)
    against_before = None
    if lowest is not None:
        (against_before,) = compare_unpaired(
            [(_times(stored, before[lowest.load].index), _times(stored, lowest.index))]
        )
    return Recovery(
        held_at=None if again is None else again.load,
        after_s=None if again is None else rows[again.index]["at_s"] - overload["at_s"] - overload["lasted_s"],
        load=None if lowest is None else lowest.load,
        against_before=against_before,
    )


def _times(stored: StoredRun, step: int) -> dict[int, list[float]]:
    pulls = of_step(stored, step).pulls
    fine = pulls[pulls["ok"].astype(bool)]
    return tables.by_block(tables.latency_s(fine), fine["trial"])


def _number(value: Any) -> float:
    return math.nan if value is None or pd.isna(value) else float(value)


def course(stored: StoredRun) -> pd.DataFrame:
    """A row for each trial in order, without the warm-up: TRIAL_COLUMNS.

    `at_s` and `ends_s` count from the first trial's start. `mean_s` is over successful pulls, from their intended start on.
    """
    trials = stored.trials[stored.trials["step"].notna()] if len(stored.trials) else stored.trials
    if trials.empty:
        return pd.DataFrame(columns=TRIAL_COLUMNS)
    fine = stored.pulls[stored.pulls["ok"].astype(bool)]
    means = latency_s(fine).groupby(fine["trial"]).mean().rename("mean_s")
    rows = trials.merge(means, left_on="trial", right_index=True, how="left").sort_values("trial")
    rows["load"] = rows["offered_rate"].where(rows["load_mode"] == "open", rows["concurrency"]).astype(float)
    rows["at_s"] = (rows["started_at"] - rows["started_at"].min()).dt.total_seconds()
    rows["ends_s"] = rows["at_s"] + rows["wall_s"]
    rows["failed"] = rows["pulls"] - rows["succeeded"]
    return rows[TRIAL_COLUMNS].reset_index(drop=True)
