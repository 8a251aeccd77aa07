"""How long a run will take, from the trials of the last stored run that measured the same."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pullbench.model.plan import FACTORS, Plan
from pullbench.model.record import RunRecord
from pullbench.model.spec import Spec
from pullbench.stats.summary import median_estimate
from pullbench.store.dataset import ResultStore

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDuration:
    """From the start of a run, preflight included, to the end of its last trial; the report is not in it."""

    low_s: float
    expected_s: float
    high_s: float
    run_id: str
    """The run whose trials it is computed from."""

    def as_dict(self) -> dict[str, Any]:
        return {"low": self.low_s, "expected": self.expected_s, "high": self.high_s, "from": self.run_id}


def expected_duration(store: ResultStore, spec: Spec, plan: Plan) -> ExpectedDuration | None:
    """The sum over the plan's trials of a trial's median time, with the intervals of these medians added up.

    Times are those of the last run of the spec's name with its images, registries and proxies, scaled by the number of
    pulls. A configuration that it did not measure takes the median over all its trials, and their whole range. What that run
    needed before its first trial, and between trials, is added. None without such a run.
    """
    wanted = _measured(spec.redacted())
    for run in store.runs():
        if run.name != spec.name or run.kind != "benchmark" or run.status not in ("complete", "incomplete"):
            continue
        if wanted <= _measured(json.loads(run.spec)):
            trials = store.frame("trials", run.run_id)
            if len(trials) and trials["pulls"].gt(0).all():
                return _duration(run, trials, plan)
    return None


def _measured(spec: Mapping[str, Any]) -> set[tuple[str, str]]:
    """The images of a stored spec, and the URLs by the names of registries and proxies."""
    places = (entry for key in ("registries", "proxies") for entry in spec.get(key) or ())
    return {("", image) for image in spec.get("images", ())} | {(each["name"], each["url"]) for each in places}


def _duration(run: RunRecord, trials: "pd.DataFrame", plan: Plan) -> ExpectedDuration:
    per_pull = (trials["wall_s"] + trials["setup_s"].fillna(0.0)) / trials["pulls"]
    known = {
        key: _typical(list(times))
        for key, times in per_pull.groupby([trials[factor].astype(str) for factor in FACTORS], observed=True)
    }
    anywhere = (float(per_pull.min()), float(per_pull.median()), float(per_pull.max()))
    low = expected = high = 0.0
    pulls: Counter[Any] = Counter()
    for trial in plan.trials:
        pulls[tuple(str(getattr(trial.cell, factor)) for factor in FACTORS)] += len(trial.images)
    for key, number in pulls.items():
        least, typical, most = known.get(key, anywhere)
        low, expected, high = low + number * least, expected + number * typical, high + number * most
    beside = _around_trials(run, trials.sort_values("started_at"), len(plan.trials))
    return ExpectedDuration(low_s=low + beside, expected_s=expected + beside, high_s=high + beside, run_id=run.run_id)


_LONGEST_PREFLIGHT_S = 600.0
"""More than this before the first trial is not preflight: the run was resumed later."""


def _around_trials(run: RunRecord, trials: "pd.DataFrame", number: int) -> float:
    """Preflight, and the pauses between trials. A pause is a median, so that a night between two resumes is none."""
    setup = trials["setup_s"].fillna(0.0)
    before = (trials["started_at"].iloc[0] - run.started_at).total_seconds() - setup.iloc[0]
    starts = trials["started_at"].diff().dt.total_seconds()
    pauses = (starts - trials["wall_s"].shift() - setup).dropna().clip(lower=0.0)
    return min(max(float(before), 0.0), _LONGEST_PREFLIGHT_S) + (number - 1) * float(
        pauses.median() if len(pauses) else 0.0
    )


def _typical(times: list[float]) -> tuple[float, float, float]:
    """A median with its interval; of fewer than three times, their range."""
    found = median_estimate([[time] for time in times])
    if found.value is None or found.low is None or found.high is None:
        return min(times), sum(times) / len(times), max(times)
    return found.low, found.value, found.high
