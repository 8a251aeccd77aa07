"""The spec's `stress`, and what the form changes of it."""

from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.model.spec import Spec, StressOverrides, read_spec


def read(**stress: Any) -> Spec:
    return read_spec(
        {
            "name": "a",
            "registries": [{"name": "eu", "url": "https://r.example.com"}],
            "images": ["app:1"],
            "stress": stress,
        }
    )


def test_the_steps_double_unless_the_spec_says_otherwise() -> None:
    spec = read()
    assert spec.stress is not None
    assert spec.stress.steps == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("stress", "told"),
    [
        ({"steps": [1, 1]}, "stress: `steps` must ascend"),
        ({"steps": [4, 2]}, "stress: `steps` must ascend"),
        ({"steps": [0]}, "stress.steps[0]: "),
        ({"steps": []}, "stress.steps: "),
        ({"steps": [1.5]}, "stress: 1.5 "),
        ({"steps": [2000]}, "stress: 2000 "),
        ({"down": [1, 2]}, "stress: `down` must descend"),
        ({"down": [2.5]}, "stress: 2.5 "),
        ({"trials": 2}, "stress.trials: "),
        ({"ramp": "users"}, "stress.ramp: "),
        ({"step": [1]}, "stress.step: unknown key; did you mean 'steps'?"),
    ],
)
def test_what_is_no_ramp_is_refused_with_its_key(stress: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**stress)
    assert str(caught.value).startswith(told)


def test_a_rate_need_not_be_whole() -> None:
    spec = read(ramp="rate", steps=[0.5, 2.5])
    assert spec.stress is not None
    assert spec.stress.steps == [0.5, 2.5]


def test_a_spec_without_a_stress_test_keeps_its_hash() -> None:
    plain = {"name": "a", "registries": [{"name": "eu", "url": "https://r.example.com"}], "images": ["app:1"]}
    assert read_spec(plain).hash() == read_spec({**plain, "stress": None}).hash()
    assert read_spec(plain).hash() != read().hash()
    assert "stress" not in read_spec(plain).model_dump(exclude_none=True)


def test_a_stress_test_from_before_the_key_at_client_limit_keeps_its_hash() -> None:
    assert read().hash() == read(at_client_limit="stop").hash() != read(at_client_limit="continue").hash()


def test_the_form_chooses_one_configuration_and_a_ramp() -> None:
    data = {"matrix": {"engines": ["wire", "docker"], "cache": ["cold"]}, "stress": {"hold": 5}}
    made = StressOverrides(engine="docker", registry="eu", steps=[1, 4], ramp="rate").apply(data)
    assert made["matrix"] == {"engines": ["docker"], "registries": ["eu"], "cache": ["cold"]}
    assert made["stress"] == {"hold": 5, "ramp": "rate", "steps": [1, 4]}
    assert StressOverrides().apply({"name": "a"}) == {"name": "a", "matrix": {}, "stress": {}}
    assert StressOverrides(engine="docker").apply({"matrix": ["wire"]}) == {"matrix": ["wire"]}
