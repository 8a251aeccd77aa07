"""A project written from the template: whole, without leftovers, and never over anything."""

from pathlib import Path

import pytest
import yaml

from pullbench.app.project import ProjectTarget, fill, write_project
from pullbench.bench.specfile import load_spec
from pullbench.errors import IncompleteError, UsageError
from pullbench.serving.project import find_project
from pullbench.store.shipped import is_project


def test_a_new_project_has_deployments_whose_flows_and_specs_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "project"
    assert "prefect.yaml" in write_project(folder)
    assert is_project(folder)
    for deployment in find_project(folder).deployments:
        assert (folder / deployment["entrypoint"].partition(":")[0]).is_file()
        if "spec" in deployment.get("parameters", {}):
            assert load_spec(folder / deployment["parameters"]["spec"]).spec.name
    assert not list(folder.rglob("__pycache__"))
    assert [path.name for path in (folder / "reports").iterdir()] == ["README.md"]


SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))
TARGET = ProjectTarget(
    url="https://registry.internal", credentials="anonymous # no login", images=["team/app:1.4", "12:34"]
)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: str(path.stem))
def test_every_ready_spec_takes_a_registry_and_images_and_keeps_the_rest(path: Path) -> None:
    ready = path.read_text()
    text = fill(ready, TARGET)
    before, after = yaml.safe_load(ready), yaml.safe_load(text)
    assert after["images"] == ["team/app:1.4", "12:34"]
    first = after["registries"][0]
    assert (first["url"], first["credentials"]) == (TARGET.url, "anonymous")
    assert "Change the URL and the images" in ready and "Change the URL and the images" not in text
    before["registries"][0] |= {"url": TARGET.url, "credentials": "anonymous"}
    assert before["registries"][0].pop("region", None) and "region" not in first, "nobody named it"
    assert after == before | {"images": after["images"]}


def test_a_new_project_of_a_target_measures_it_in_every_spec(tmp_path: Path) -> None:
    write_project(tmp_path / "project", TARGET)
    for path in (tmp_path / "project" / "specs").glob("*.yaml"):
        spec = load_spec(path).spec
        assert (spec.registries[0].url, spec.images) == (TARGET.url, ["team/app:1.4", "12:34"])


def test_a_folder_with_other_files_in_it_may_be_one(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    write_project(tmp_path)
    assert is_project(tmp_path)


@pytest.mark.parametrize("there", ["specs", "prefect.yaml"])
def test_nothing_is_written_where_a_part_of_it_is_there_already(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError, match=f"{there} exists"):
        write_project(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {there: "mine"}


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IncompleteError, match="could not be written") as told:
        write_project(tmp_path / "file" / "project")
    assert "\n" not in str(told.value)


def test_a_ready_spec_is_found_by_its_name_unless_the_folder_has_one_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ready = load_spec(Path("specs/first.yaml"))
    assert ready.source.is_absolute()
    own = yaml.safe_load(ready.source.read_text()) | {"name": "mine"}
    Path("specs").mkdir()
    Path("specs/first.yaml").write_text(yaml.safe_dump(own))
    assert load_spec(Path("specs/first.yaml")).spec.name == "mine"
    with pytest.raises(UsageError, match="no such file"):
        load_spec(Path("specs/none.yaml"))
