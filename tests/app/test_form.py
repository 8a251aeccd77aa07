"""What a person fills in becomes a run: of a spec, of a registry alone, or of a run to resume."""

import dataclasses
import re
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
from tests.bench.samples import facts_for, spec_data

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


FIELDS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({**FILLED, "images": [""]}, {}, "images"),
    ({**FILLED, "images": ["a b"]}, {}, r"images\[0\]"),
    ({**FILLED, "url": "ftp://registry.internal"}, {}, r"registries\[0\]\.url"),
    ({**FILLED, "url": "https://"}, {}, r"registries\[0\]\.url"),
    ({**FILLED, "url": "https://registry.internal/path?x=1"}, {}, r"registries\[0\]\.url"),
    ({**FILLED, "engines": []}, {}, r"matrix\.engines"),
    ({**FILLED, "engines": ["wire", "wire"]}, {}, r"matrix\.engines\[1\]"),
    ({**FILLED, "concurrency": []}, {}, r"matrix\.concurrency"),
    ({**FILLED, "concurrency": [2, 2]}, {}, r"matrix\.concurrency\[1\]"),
    ({**FILLED, "credentials": "env:"}, {}, r"registries\[0\]\.credentials"),
    ({**FILLED, "name": "x" * 200}, {}, "name"),
    (FILLED, {"overrides": Overrides(engines=["dockr"])}, r"matrix\.engines\[0\].*docker"),
    (FILLED, {"overrides": Overrides(registries=["eu"])}, r"matrix\.registries\[0\]"),
    (FILLED, {"overrides": Overrides(platforms=["linux"])}, r"matrix\.platforms\[0\]"),
    (FILLED, {"sets": ("budget",)}, "settings: budget"),
    (FILLED, {"sets": ("",)}, "settings: "),
    (FILLED, {"sets": ("budget.minutes=[",)}, "settings: budget.minutes"),
    (FILLED, {"sets": ("budget.minutes=soon",)}, r"budget\.minutes: a number"),
    (FILLED, {"sets": ("repetitions=many",)}, "repetitions: a whole number"),
    (FILLED, {"sets": ("concurrency=3",)}, "concurrency: unknown key here; it belongs to matrix"),
    (FILLED, {"sets": ("registries[3].url=x",)}, r"settings: registries\[3\]\.url"),
    ({}, {"sets": ("budget",)}, "settings: budget"),
    ({}, {"sets": ("repetitions=0",)}, "repetitions: at least 1"),
    ({}, {"overrides": Overrides(engines=["dockr"])}, r"matrix\.engines\[0\].*docker"),
    ({}, {"spec": Path("specs/frist.yaml")}, "specs/frist.yaml"),
    ({}, {"spec": Path("specs")}, "specs"),
    ({}, {"resume": "20270101T000000Z-0000"}, "20270101T000000Z-0000"),
]
PYDANTIC = re.compile(r"validation error|type=|input_value|pydantic|Input should|Value error", re.IGNORECASE)


@pytest.mark.parametrize(("registry", "request_", "named"), FIELDS)
def test_each_mistake_in_the_form_is_one_line_that_names_the_key_and_no_line_is_pydantics(
    tmp_path: Path, registry: dict[str, Any], request_: dict[str, Any], named: str
) -> None:
    given = {"spec": Path("specs/first.yaml"), "results": str(tmp_path / "results"), **request_}
    form = RunForm(request=RunRequest(**given), registry=RegistryForm.model_validate(registry), is_deployed=True)
    with pytest.raises(UsageError, match=named) as refused, form.preparing(None):
        raise AssertionError("nothing is wrong with it")
    said = str(refused.value)
    assert "\n" not in said and not PYDANTIC.search(said) and "--" not in said, said


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


def resumed(request: RunRequest, registry: dict[str, Any] | None = None, **changes: Any) -> RunRequest:
    form = RegistryForm.model_validate(registry or {})
    return RunForm(request=dataclasses.replace(request, **changes), registry=form, is_deployed=True).resolved()


@pytest.mark.parametrize(
    "changes",
    [
        {"sets": ("budget.minutes=99",)},
        {"sets": ("seed=7", "budget.bytes=2GB")},
        {"overrides": Overrides(repetitions=2)},
        {"vantage": "eu"},
    ],
    ids=["budget", "the same seed", "the same repetitions", "the same vantage"],
)
def test_a_resumed_run_may_have_a_greater_budget_and_the_form_may_repeat_its_spec(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    run_id, request = begun(tmp_path, overrides=Overrides(repetitions=2), sets=("seed=7",))
    spec = resumed(request, **changes).spec
    assert isinstance(spec, LoadedSpec) and spec.hash == ResultStore(request.results).run(run_id).spec_hash


@pytest.mark.parametrize(
    ("changes", "registry", "named"),
    [
        ({"sets": ("seed=99",)}, {}, "seed"),
        ({"overrides": Overrides(concurrency=[7])}, {}, r"matrix\.concurrency"),
        ({"overrides": Overrides(repetitions=9)}, {}, "repetitions"),
        ({}, FILLED, "registries"),
        ({"vantage": "us"}, {}, "vantage 'eu', not 'us'"),
    ],
    ids=["setting", "factor", "repetitions", "registry", "vantage"],
)
def test_whatever_else_the_form_has_beside_a_run_to_resume_is_refused_by_its_key(
    tmp_path: Path, changes: dict[str, Any], registry: dict[str, Any], named: str
) -> None:
    run_id, request = begun(tmp_path)
    with pytest.raises(UsageError, match=named) as refused:
        resumed(request, registry, **changes)
    assert run_id in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_of_a_registry_that_no_spec_names_is_resumed_with_the_same_form(tmp_path: Path) -> None:
    registry = {**FILLED, "engines": ["wire"]}
    request = RunRequest(spec=Path("specs/first.yaml"), results=str(tmp_path / "results"), report=False)
    first = RunForm(request=request, registry=RegistryForm.model_validate(registry), is_deployed=True)
    with first.preparing(None) as prepared:
        prepared.use_facts(facts_for(prepared.bench.spec))
        run_id = prepared.begin().run_id
    again = resumed(dataclasses.replace(request, resume=run_id), registry, sets=("budget.minutes=99",)).spec
    assert isinstance(again, LoadedSpec) and again.hash == ResultStore(request.results).run(run_id).spec_hash


def test_a_stored_spec_that_cannot_be_read_is_named_with_its_run(tmp_path: Path) -> None:
    run_id, request = begun(tmp_path)
    store = ResultStore(request.results)
    store.write_run(dataclasses.replace(store.run(run_id), spec='{"name": 5, "images": "one"}'))
    with pytest.raises(UsageError, match=rf"{run_id}.*name: .*images: ") as refused:
        resumed(request)
    assert not PYDANTIC.search(str(refused.value))


def test_a_shells_command_resumes_only_what_its_spec_names(tmp_path: Path) -> None:
    _, request = begun(tmp_path)
    assert RunForm(request=request).resolved() is request
