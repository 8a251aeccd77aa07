"""prefect.yaml against the flows that it names."""

import importlib
import inspect
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect import Flow
from prefect.client.schemas.schedules import CronSchedule
from prefect.utilities.schema_tools import validate

from flows.compare_runs import compare_runs
from flows.pull_benchmark import pull_benchmark
from flows.stress_test import stress_test
from pullbench.bench.specfile import load_spec
from pullbench.serving.project import find_project

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
SCHEDULES = [(entry["name"], schedule) for entry in DEPLOYMENTS for schedule in entry.get("schedules", [])]


def flow_of(entrypoint: str) -> Flow[Any, Any]:
    path, name = entrypoint.split(":")
    found = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(found, Flow)
    return found


def test_every_flow_is_deployed() -> None:
    defined = {
        f"flows/{path.name}:{name}"
        for path in (ROOT / "flows").glob("*.py")
        for name in re.findall(r"^@flow\b.*?^(?:async )?def (\w+)", path.read_text(), re.MULTILINE | re.DOTALL)
    }
    assert {"flows/preflight.py:preflight", "flows/pull_benchmark.py:pull_benchmark"} <= defined
    assert {entry["entrypoint"] for entry in DEPLOYMENTS} == defined


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda entry: str(entry["name"]))
def test_a_deployment_gives_parameters_that_its_flow_has_and_a_spec_that_is_there(deployment: dict[str, Any]) -> None:
    parameters = deployment.get("parameters", {})
    assert parameters.keys() <= inspect.signature(flow_of(deployment["entrypoint"]).fn).parameters.keys()
    if "spec" in parameters:
        assert load_spec(ROOT / parameters["spec"]).spec.name
    assert deployment["description"]
    assert "pullbench" in deployment["tags"], "an automation finds our runs by this tag"


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda entry: str(entry["name"]))
def test_every_parameter_of_a_form_is_explained(deployment: dict[str, Any]) -> None:
    properties = flow_of(deployment["entrypoint"]).parameters.model_dump()["properties"]
    assert not [name for name, entry in properties.items() if not entry.get("description")]


@pytest.mark.parametrize(("name", "schedule"), SCHEDULES, ids=[name for name, _ in SCHEDULES])
def test_a_schedule_has_a_slug_a_cron_line_and_a_time_zone(name: str, schedule: dict[str, str]) -> None:
    assert schedule["slug"], "without one a second deployment would make it anew, and switch it on again"
    assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert datetime.now(UTC).astimezone(ZoneInfo(schedule["timezone"]))


def test_the_stress_test_is_quarterly_the_benchmark_weekly_and_preflight_daily() -> None:
    found = {(name, schedule["slug"]): schedule["cron"] for name, schedule in SCHEDULES}
    assert found["stress-test", "quarterly"] == "0 3 1 1,4,7,10 *"
    assert found["pull-benchmark", "weekly"].split()[2:] == ["*", "*", "0"]
    assert found["preflight", "daily"].split()[2:] == ["*", "*", "*"]


def test_what_loads_a_registry_shares_a_queue_that_lets_one_run_at_a_time() -> None:
    queues = {entry["name"]: entry["work_pool"].get("work_queue_name") for entry in DEPLOYMENTS}
    assert queues["pull-benchmark"] == queues["stress-test"] == "measuring"
    assert ("local", "measuring") in find_project(ROOT).queues


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
    assert set(overrides["ramp"]["enum"]) == {"concurrency", "rate"}


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda entry: str(entry["name"]))
def test_no_field_of_a_form_asks_first_whether_it_is_none(deployment: dict[str, Any]) -> None:
    schema = flow_of(deployment["entrypoint"]).parameters.model_dump()
    groups = [schema, *schema["definitions"].values()]
    fields = {name: field for group in groups for name, field in group.get("properties", {}).items()}
    assert not [name for name, field in fields.items() if {"type": "null"} in field.get("anyOf", [])]


@pytest.mark.parametrize(
    ("flow", "overrides"),
    [
        (pull_benchmark, {}),
        (pull_benchmark, {"repetitions": None}),
        (pull_benchmark, {"repetitions": 5}),
        (stress_test, {"engine": None, "ramp": None, "hold": None}),
        (stress_test, {"engine": "", "steps": []}),
    ],
)
def test_an_empty_field_of_a_form_is_taken_by_the_server_and_by_the_flow(
    flow: Flow[Any, Any], overrides: dict[str, Any]
) -> None:
    given = {"spec": "specs/first.yaml", "overrides": overrides}
    validate(given, flow.parameters.model_dump(), ignore_required=True)
    taken = flow.validate_parameters(given)["overrides"]
    assert taken.apply({}).get("repetitions") == overrides.get("repetitions")
    assert taken.apply({})["matrix"] == {}


def test_the_form_of_a_comparison_has_choices_limits_and_defaults() -> None:
    properties = compare_runs.parameters.model_dump()["properties"]
    assert properties["fail_on"]["enum"] == ["nothing", "regression"] and properties["fail_on"]["default"] == "nothing"
    assert properties["fail_from_percent"]["minimum"] == 0
    assert not compare_runs.parameters.model_dump().get("required")


def test_the_form_has_descriptions_defaults_choices_and_bounds() -> None:
    properties = pull_benchmark.parameters.model_dump()["properties"]
    assert all(entry.get("description") for entry in properties.values()), properties
    listed, free = properties["spec"]["anyOf"]
    assert {"specs/first.yaml", "specs/stress.yaml"} <= set(listed["enum"]) and free["type"] == "string"
    assert properties["resume"]["type"] == "string", "a plain field, not a choice of types"
    overrides = pull_benchmark.parameters.definitions["Overrides"]["properties"]
    assert all(entry.get("title") and entry.get("description") for entry in overrides.values())
    assert overrides["cache"]["items"]["enum"] == ["cold", "warm"]
    assert (overrides["concurrency"]["items"]["minimum"], overrides["concurrency"]["items"]["maximum"]) == (1, 1024)


def test_the_form_has_a_group_for_a_registry_that_no_spec_names() -> None:
    fields = pull_benchmark.parameters.definitions["RegistryForm"]["properties"]
    assert {"url", "images", "engines", "concurrency", "credentials"} <= set(fields)
    assert all(entry.get("title") and entry.get("description") for entry in fields.values())
    assert "fake" not in fields["engines"]["items"]["enum"] and "docker" in fields["engines"]["items"]["enum"]
    assert fields["credentials"]["anyOf"][0]["enum"] == ["docker", "anonymous"]
    assert not pull_benchmark.parameters.model_dump().get("required")


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda entry: str(entry["name"]))
def test_internal_parameters_are_not_in_a_form_and_are_accepted_all_the_same(deployment: dict[str, Any]) -> None:
    found = flow_of(deployment["entrypoint"])
    hidden = {"results", "reports", "regional"}
    assert not hidden & set(found.parameters.model_dump()["properties"])
    taken = hidden & set(inspect.signature(found.fn).parameters)
    needed = dict.fromkeys(found.parameters.model_dump().get("required", []), "tcp://127.0.0.1:1")
    assert found.validate_parameters({**needed, **dict.fromkeys(taken, "s3://bucket/x")}).items() >= {
        (name, "s3://bucket/x") for name in taken
    }


def test_schedules_are_paused_until_a_spec_names_a_registry_of_the_users() -> None:
    assert SCHEDULES and all(schedule["active"] is False for _, schedule in SCHEDULES)
