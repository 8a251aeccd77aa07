"""How long a run will take: from the trials of the last run of its name, or not known."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pullbench.app.duration import expected_duration
from pullbench.model.plan import Plan, plan
from pullbench.model.record import RunRecord, TrialResult
from pullbench.store.dataset import ResultStore
from tests.bench.samples import facts_for, make_spec
from tests.store.sample import START, result, run

SPEC = json.dumps(make_spec().redacted())
LEAD_S, PAUSE_S, SETUP_S = 5.0, 0.5, 0.25
WALL_S = {1: 4.0, 2: 2.0}


def planned(**changes: object) -> Plan:
    spec = make_spec(**changes)
    return plan(spec, facts_for(spec))


def measured(store: ResultStore, made: Plan, record: RunRecord, wall_s: dict[int, float] = WALL_S) -> None:
    """A run whose trials take what their concurrency says."""
    store.write_run(record)
    at = record.started_at + timedelta(seconds=LEAD_S)
    for trial in made.trials:
        took = wall_s[trial.cell.concurrency]
        at += timedelta(seconds=SETUP_S)
        of_trial = result(trial.number, pulls=len(trial.images))
        timed = replace(of_trial.record, started_at=at, wall_s=took, setup_s=SETUP_S, pulls=len(trial.images))
        at += timedelta(seconds=took + PAUSE_S)
        store.write_trial(record.run_id, record.vantage, trial, replace_record(of_trial, timed))


def replace_record(of_trial: TrialResult, record: object) -> TrialResult:
    return replace(of_trial, record=record)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(str(tmp_path / "results"))


def stored(run_id: str = "run-1", **changes: object) -> RunRecord:
    return run(
        run_id,
        **{"name": "sample", "status": "complete", "started_at": START, "kind": "benchmark", "spec": SPEC, **changes},
    )


def test_without_an_earlier_run_of_the_name_it_is_not_known(store: ResultStore) -> None:
    assert expected_duration(store, make_spec(), planned()) is None
    measured(store, planned(), stored(name="another"))
    assert expected_duration(store, make_spec(), planned()) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"images": ["another:1"]},
        {"registries": [{"name": "lab", "url": "http://127.0.0.1:2"}]},
    ],
    ids=["images", "registry"],
)
def test_a_run_that_measured_something_else_says_nothing(store: ResultStore, changes: dict[str, Any]) -> None:
    measured(store, planned(), stored())
    other = make_spec(**changes)
    assert expected_duration(store, make_spec(), planned()) is not None
    assert expected_duration(store, other, plan(other, facts_for(other))) is None


def test_an_older_run_of_the_same_images_counts_where_the_last_one_measured_others(store: ResultStore) -> None:
    other = json.dumps(make_spec(images=["another:1"]).redacted())
    measured(store, planned(), stored("run-1"))
    measured(store, planned(), stored("run-2", started_at=START + timedelta(days=1), spec=other))
    found = expected_duration(store, make_spec(), planned())
    assert found is not None and found.run_id == "run-1"


def test_the_same_plan_takes_what_it_took(store: ResultStore) -> None:
    made = planned()
    measured(store, made, stored())
    found = expected_duration(store, make_spec(), made)
    assert found is not None and found.run_id == "run-1"
    trials = sum(WALL_S[trial.cell.concurrency] + SETUP_S for trial in made.trials)
    assert found.expected_s == pytest.approx(LEAD_S + trials + PAUSE_S * (len(made.trials) - 1), rel=0.01)
    assert found.low_s <= found.expected_s <= found.high_s


def test_more_repetitions_take_longer_in_proportion(store: ResultStore) -> None:
    measured(store, planned(), stored())
    once, twice = (expected_duration(store, make_spec(), planned(repetitions=number, warmup=0)) for number in (5, 10))
    assert once is not None and twice is not None
    assert twice.expected_s - LEAD_S == pytest.approx(2 * (once.expected_s - LEAD_S), rel=0.05)


def test_a_configuration_that_was_not_measured_widens_the_range(store: ResultStore) -> None:
    measured(store, planned(), stored())
    matrix = {"engines": ["scripted"], "platforms": ["linux/amd64"], "concurrency": [1, 2, 8]}
    same = expected_duration(store, make_spec(), planned())
    more = expected_duration(store, make_spec(), planned(matrix=matrix, pulls_per_trial=8))
    assert same is not None and more is not None
    assert more.high_s - more.low_s > same.high_s - same.low_s


def test_the_newest_run_counts_and_a_failed_one_does_not(store: ResultStore) -> None:
    made = planned()
    measured(store, made, stored("run-1"))
    measured(store, made, stored("run-2", started_at=START + timedelta(days=1)), {1: 40.0, 2: 20.0})
    measured(store, made, stored("run-3", started_at=START + timedelta(days=2), status="failed"))
    found = expected_duration(store, make_spec(), made)
    assert found is not None and found.run_id == "run-2"
    assert set(found.as_dict()) == {"low", "expected", "high", "from"}
