"""The trials of a stress test: one configuration, whole rounds over the images, each step its load."""

from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.model.ramp import Stage
from pullbench.model.spec import Spec
from pullbench.model.stress_plan import plan_stress, ramp_of, stage_trials
from tests.bench.samples import facts_for, make_spec

ONE = {"engines": ["scripted"], "platforms": ["linux/amd64"]}


def spec_of(matrix: dict[str, Any] | None = None, changes: dict[str, Any] | None = None, **stress: Any) -> Spec:
    return make_spec(
        **{"matrix": {**ONE, **(matrix or {})}, "stress": stress, "slo": {"mean_pull_s": 3.0}, **(changes or {})}
    )


def test_the_plan_has_the_most_trials_with_their_bytes_and_requests() -> None:
    spec = spec_of(steps=[1, 2, 4], trials=3, pulls_per_worker=2, hold=3)
    made = plan_stress(spec, facts_for(spec))
    stages = [(trial.stage.phase, trial.stage.load) for trial in made.trials if trial.stage is not None]
    assert list(dict.fromkeys(stages)) == [("up", 1), ("up", 2), ("up", 4), ("hold", 4), ("down", 2), ("down", 1)]
    assert [trial.number for trial in made.trials] == list(range(1 + 18))
    pulls = sum(len(trial.images) for trial in made.trials)
    assert pulls == 2 + 3 * (2 + 4 + 8 + 8 + 4 + 2)
    assert made.bytes == pulls * 2010
    assert made.manifest_requests == 2 * pulls
    assert [cell.concurrency for cell in made.cells] == [1, 2, 4]


def test_the_warm_up_is_at_the_lowest_load_and_of_no_step() -> None:
    spec = spec_of(changes={"warmup": 2}, steps=[2, 4])
    warm = [trial for trial in plan_stress(spec, facts_for(spec)).trials if trial.warmup]
    assert [(trial.number, trial.cell.concurrency, trial.stage) for trial in warm] == [(0, 2, None), (1, 2, None)]


def test_every_step_pulls_each_image_equally_often_and_every_worker_has_enough() -> None:
    spec = spec_of(steps=[1, 2, 3], pulls_per_worker=3)
    for trial in plan_stress(spec, facts_for(spec)).trials:
        counts = [trial.images.count(image) for image in spec.images]
        assert len(set(counts)) == 1
        assert trial.warmup or len(trial.images) >= 3 * trial.cell.concurrency


def test_a_rate_is_offered_for_the_length_of_a_trial() -> None:
    spec = spec_of(ramp="rate", steps=[2, 5], trial_s=4, in_flight=32)
    ramp = ramp_of(spec, facts_for(spec))
    (trial, *_) = stage_trials(spec, ramp, Stage(index=1, phase="up", load=5, trials=3), done=0, first=7)
    assert trial.load is not None
    assert (trial.load.mode, trial.load.rate, trial.cell.concurrency) == ("open", 5, 32)
    assert len(trial.images) == 20
    assert trial.number == 7


def test_a_step_that_has_trials_gets_those_that_it_lacks() -> None:
    spec = spec_of(steps=[1])
    stage = Stage(index=0, phase="up", load=1, trials=3)
    made = stage_trials(spec, ramp_of(spec, facts_for(spec)), stage, done=2, first=2)
    assert [trial.number for trial in made] == [2]


def test_more_than_one_configuration_is_refused_with_a_choice() -> None:
    engines = [{"name": "scripted", "kind": "fake"}, {"name": "other", "kind": "fake"}]
    spec = spec_of({"engines": ["scripted", "other"], "auth": ["persisted", "per-pull"]}, {"engines": engines})
    with pytest.raises(UsageError) as caught:
        plan_stress(spec, facts_for(spec))
    assert str(caught.value).startswith("matrix.engines: ")
    assert "engines scripted, other" in str(caught.value) and "auth persisted, per-pull" in str(caught.value)
    assert "`--set 'matrix.engines=[scripted]' --set 'matrix.auth=[persisted]'`" in str(caught.value)


def test_an_engine_that_keeps_images_goes_as_far_as_it_has_images_and_the_rest_is_excluded() -> None:
    spec = spec_of({"engines": ["docker"]}, steps=[1, 2, 4, 8])
    ramp = ramp_of(spec, facts_for(spec))
    assert ramp.loads == [1, 2]
    assert [entry.cell.concurrency for entry in ramp.planned_out] == [4, 8]
    assert "once a trial" in ramp.planned_out[0].reason
    assert {len(trial.images) for trial in plan_stress(spec, facts_for(spec)).trials} == {2}


def test_a_rate_of_an_engine_that_keeps_images_is_refused() -> None:
    spec = spec_of({"engines": ["docker"], "concurrency": [1]}, ramp="rate", in_flight=2)
    with pytest.raises(UsageError, match=r"^stress\.ramp: .*use wire$"):
        ramp_of(spec, facts_for(spec))


def test_a_test_that_nothing_could_break_is_refused() -> None:
    none = {"success_rate": None, "mean_pull_s": None, "p99_api_s": None, "consecutive_failures": None}
    spec = spec_of(changes={"slo": none})
    with pytest.raises(UsageError, match=r"^slo: "):
        ramp_of(spec, facts_for(spec))
