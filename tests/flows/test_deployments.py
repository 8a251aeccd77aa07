"""prefect.yaml against the flows that it names."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.fleet_benchmark import fleet_benchmark
from flows.preflight import preflight
from flows.pull_benchmark import pull_benchmark
from flows.regional_benchmark import regional_benchmark
from pullbench.bench.specfile import load_spec

ROOT = Path(__file__).parents[2]
FLOWS: dict[str, Any] = {
    "flows/preflight.py:preflight": preflight,
    "flows/pull_benchmark.py:pull_benchmark": pull_benchmark,
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
    assert load_spec(ROOT / deployment["parameters"]["spec"]).spec.name
    assert deployment["description"]


def test_no_deployment_holds_a_path_of_the_machine_that_deployed_it() -> None:
    text = (ROOT / "prefect.yaml").read_text()
    assert "{{ prefect.variables.pullbench_checkout }}" in text
    assert str(ROOT) not in text
    assert "$PWD }}" not in text


def test_the_form_has_descriptions_defaults_and_choices() -> None:
    for flow in FLOWS.values():
        properties = flow.parameters.model_dump()["properties"]
        assert all(entry.get("description") for entry in properties.values()), properties
    overrides = pull_benchmark.parameters.definitions["Overrides"]["properties"]
    assert all(entry.get("title") and entry.get("description") for entry in overrides.values())
    assert overrides["cache"]["items"]["enum"] == ["cold", "warm"]
