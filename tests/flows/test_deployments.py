"""prefect.yaml against the flows that it names."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.compare_runs import compare_runs
from flows.fleet_benchmark import fleet_benchmark
from flows.preflight import preflight
from flows.publish_reports import publish_reports
from flows.pull_benchmark import pull_benchmark
from flows.regional_benchmark import regional_benchmark
from flows.stress_test import stress_test
from pullbench.bench.specfile import load_spec

ROOT = Path(__file__).parents[2]
FLOWS: dict[str, Any] = {
    "flows/preflight.py:preflight": preflight,
    "flows/pull_benchmark.py:pull_benchmark": pull_benchmark,
    "flows/compare_runs.py:compare_runs": compare_runs,
    "flows/publish_reports.py:publish_reports": publish_reports,
    "flows/stress_test.py:stress_test": stress_test,
    "flows/regional_benchmark.py:regional_benchmark": regional_benchmark,
    "flows/fleet_benchmark.py:fleet_benchmark": fleet_benchmark,
}
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def test_every_flow_is_deployed() -> None:
    assert {entry["entrypoint"] for entry in DEPLOYMENTS} == FLOWS.keys()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda entry: str(entry["name"]))
def test_a_deployment_gives_parameters_that_its_flow_has_and_a_spec_that_is_there(deployment: dict[str, Any]) -> None:
    flow = FLOWS[deployment["entrypoint"]]
    assert deployment["parameters"].keys() <= inspect.signature(flow.fn).parameters.keys()
    if "spec" in inspect.signature(flow.fn).parameters:
        assert load_spec(ROOT / deployment["parameters"]["spec"]).spec.name
    flow.validate_parameters(deployment["parameters"])
    assert deployment["description"]


def test_no_deployment_holds_a_path_of_the_machine_that_deployed_it() -> None:
    text = (ROOT / "prefect.yaml").read_text()
    assert "{{ prefect.variables.pullbench_checkout }}" in text
    assert str(ROOT) not in text
    assert "$PWD }}" not in text


def test_the_form_of_a_stress_test_has_descriptions_and_choices() -> None:
    properties = stress_test.parameters.model_dump()["properties"]
    assert all(entry.get("description") for entry in properties.values()), properties
    overrides = stress_test.parameters.definitions["StressOverrides"]["properties"]
    assert all(entry.get("title") and entry.get("description") for entry in overrides.values())
    assert {"concurrency", "rate"} in [set(each.get("enum", [])) for each in overrides["ramp"]["anyOf"]]


@pytest.mark.parametrize("flow", FLOWS.values(), ids=lambda flow: str(flow.name))
def test_every_parameter_of_a_form_is_described(flow: Any) -> None:
    properties = flow.parameters.model_dump()["properties"]
    assert all(entry.get("description") for entry in properties.values()), properties


def test_the_form_of_a_comparison_has_choices_limits_and_defaults() -> None:
    properties = compare_runs.parameters.model_dump()["properties"]
    assert properties["fail_on"]["enum"] == ["nothing", "regression"] and properties["fail_on"]["default"] == "nothing"
    assert properties["fail_from_percent"]["minimum"] == 0
    assert not compare_runs.parameters.model_dump().get("required")


def test_the_form_has_descriptions_defaults_and_choices() -> None:
    overrides = pull_benchmark.parameters.definitions["Overrides"]["properties"]
    assert all(entry.get("title") and entry.get("description") for entry in overrides.values())
    assert overrides["cache"]["items"]["enum"] == ["cold", "warm"]
