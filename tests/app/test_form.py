"""What a person fills in becomes a run: of a spec, of a registry alone, or of a run to resume."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.app.form import RegistryForm, RunForm
from pullbench.app.run import RunRequest, preparing
from pullbench.bench.specfile import LoadedSpec
from pullbench.errors import UsageError
from pullbench.model.spec import Overrides
from pullbench.store.dataset import ResultStore
from tests.bench.samples import spec_data

FILLED = {"url": "https://registry.internal:5000", "images": ["team/app:1.0"]}


def resolved(registry: dict[str, Any], **request: Any) -> LoadedSpec:
    asked = RunRequest(**{"spec": Path("specs/first.yaml"), **request})
    spec = RunForm(request=asked, registry=RegistryForm.model_validate(registry)).resolved().spec
    assert isinstance(spec, LoadedSpec)
    return spec


def test_a_registry_and_an_image_are_enough_for_a_benchmark() -> None:
    spec = resolved(FILLED).spec
    (registry,) = spec.registries
    assert (registry.url, registry.credentials, spec.images) == (FILLED["url"], "docker", FILLED["images"])
    assert spec.matrix.engines == ["wire"] and spec.matrix.concurrency == [1, 2, 4]
    assert spec.budget.minutes is not None, "whoever tries a registry has not thought of a limit"
    assert spec.name == "registry.internal-5000"


def test_a_spec_is_measured_where_no_registry_is_filled_in() -> None:
    request = RunRequest(spec=Path("specs/first.yaml"))
    assert RunForm(request=request).resolved() is request


def test_the_rest_of_the_form_changes_a_registrys_spec_too() -> None:
    spec = resolved(FILLED, overrides=Overrides(repetitions=3, engines=["docker"]), sets=("budget.minutes=5",)).spec
    assert (spec.repetitions, spec.matrix.engines, spec.budget.minutes) == (3, ["docker"], 5)


@pytest.mark.parametrize(
    ("url", "image", "wanted_url", "wanted_image"),
    [
        ("registry.internal", "registry.internal/team/app:1", "https://registry.internal", "team/app:1"),
        ("http://127.0.0.1:5000/", "app:1", "http://127.0.0.1:5000", "app:1"),
        ("docker.io", "nginx:1.27", "https://registry-1.docker.io", "library/nginx:1.27"),
        (
            "https://hub.docker.com",
            "docker.io/library/nginx:1.27",
            "https://registry-1.docker.io",
            "library/nginx:1.27",
        ),
    ],
)
def test_a_registry_and_an_image_are_taken_as_docker_pull_writes_them(
    url: str, image: str, wanted_url: str, wanted_image: str
) -> None:
    spec = resolved({"url": url, "images": [image]}).spec
    assert (spec.registries[0].url, spec.images) == (wanted_url, [wanted_image])


@pytest.mark.parametrize(
    ("given", "source"),
    [
        ("", "docker"),
        ("anonymous", "anonymous"),
        ("on-call", "block:on-call"),
        ("env:EU", "env:EU"),
        ("block:b", "block:b"),
    ],
)
def test_a_plain_name_of_credentials_is_that_of_a_secret_block(given: str, source: str) -> None:
    assert resolved({**FILLED, "credentials": given}).spec.registries[0].credentials == source


@pytest.mark.parametrize(
    ("registry", "named"),
    [
        ({"url": "https://registry.internal"}, "Images"),
        ({"images": ["a:1"]}, "Registry URL"),
        ({**FILLED, "url": "https://me:secret@registry.internal"}, r"registries\[0\]\.url"),
        ({**FILLED, "images": ["UPPER CASE"]}, r"images\[0\]"),
        ({**FILLED, "name": "not a name"}, "name"),
    ],
)
def test_a_field_that_is_filled_in_wrongly_is_named_in_one_line(registry: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named) as refused:
        resolved(registry)
    assert "\n" not in str(refused.value) and "secret" not in str(refused.value)


def test_a_setting_without_a_value_is_named() -> None:
    with pytest.raises(UsageError, match="budget"):
        resolved(FILLED, sets=("budget",))


def begun(tmp_path: Path, **request: Any) -> tuple[str, RunRequest]:
    """A run of the fake engine that was begun and stopped; its run_id, and the request of somebody who resumes it."""
    spec = tmp_path / "spec.yaml"
    data = spec_data()
    spec.write_text(yaml.safe_dump(data | {"matrix": {**data["matrix"], "engines": ["fake"]}}))
    made = RunRequest(spec=spec, results=str(tmp_path / "results"), report=False, vantage="eu", **request)
    with preparing(made) as prepared:
        run_id = prepared.begin().run_id
    return run_id, RunRequest(spec=Path("specs/first.yaml"), results=made.results, report=False, resume=run_id)


def test_a_run_is_resumed_by_its_run_id_alone(tmp_path: Path) -> None:
    run_id, request = begun(tmp_path, overrides=Overrides(repetitions=2))
    found = RunForm(request=request, is_deployed=True).resolved()
    assert isinstance(found.spec, LoadedSpec)
    assert found.spec.hash == ResultStore(request.results).run(run_id).spec_hash
    assert (found.spec.spec.repetitions, found.vantage) == (2, "eu")


@pytest.mark.parametrize(("setting", "fits"), [("budget.minutes=99", True), ("seed=99", False)])
def test_a_resumed_run_may_have_a_greater_budget_and_nothing_else_may_differ(
    tmp_path: Path, setting: str, fits: bool
) -> None:
    run_id, request = begun(tmp_path)
    found = RunForm(request=dataclasses.replace(request, sets=(setting,)), is_deployed=True).resolved().spec
    assert isinstance(found, LoadedSpec)
    assert (found.hash == ResultStore(request.results).run(run_id).spec_hash) is fits


def test_a_shells_command_resumes_only_what_its_spec_names(tmp_path: Path) -> None:
    _, request = begun(tmp_path)
    assert RunForm(request=request).resolved() is request
