"""What ships beside the package is found in a project, else in the checkout of the code, else in the installed template."""

import tomllib
from pathlib import Path

import pytest

from pullbench.store import shipped as shipping
from pullbench.store.shipped import PARTS, is_project, make_flows_importable, project_folder, shipped

ROOT = Path(__file__).parents[2]


def make_project(folder: Path, *files: str) -> Path:
    for name in ("prefect.yaml", "flows/pull_benchmark.py", *files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in site-packages: no checkout, the template inside the package. The template."""
    code = tmp_path / "site-packages"
    template = make_project(code / "pullbench" / "project", "notebooks/trend.ipynb")
    monkeypatch.setattr(shipping, "CODE_FOLDER", code)
    monkeypatch.setattr(shipping, "TEMPLATE", template)
    monkeypatch.chdir(tmp_path)
    return template


def test_the_checkout_of_the_code_is_a_project_with_every_part() -> None:
    assert is_project(ROOT)
    assert all((ROOT / part).exists() for part in PARTS)


def test_the_current_folders_own_file_wins_where_it_is_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path, "notebooks/trend.ipynb")
    monkeypatch.chdir(project)
    assert project_folder() == project
    assert shipped("notebooks/trend.ipynb") == project / "notebooks" / "trend.ipynb"
    assert shipped("notebooks/run_report.ipynb") == ROOT / "notebooks" / "run_report.ipynb", (
        "what it lacks is the code's"
    )


def test_a_folder_of_another_tool_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prefect.yaml").write_text("")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "trend.ipynb").write_text("")
    monkeypatch.chdir(tmp_path)
    assert shipped("notebooks/trend.ipynb") == ROOT / "notebooks" / "trend.ipynb"


def test_without_a_checkout_the_template_has_it(installed: Path) -> None:
    assert project_folder() == installed
    assert shipped("notebooks/trend.ipynb") == installed / "notebooks" / "trend.ipynb"


def test_what_is_nowhere_is_looked_for_in_the_template(installed: Path) -> None:
    assert shipped("notebooks/none.ipynb") == installed / "notebooks" / "none.ipynb"


def test_a_current_folder_that_was_removed_is_no_project(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert project_folder() == installed


def test_flows_of_the_project_can_be_imported_and_it_is_put_on_the_path_once(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ["/elsewhere"]
    monkeypatch.setattr("sys.path", path)
    make_flows_importable()
    make_flows_importable()
    assert path == [str(installed), "/elsewhere"]


def test_the_wheel_has_the_package_and_every_part_of_a_project() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*build["only-include"], *build["force-include"]} == {"pullbench", *PARTS}
    placed = {**build["sources"], **build["force-include"]}
    assert placed == {top: f"pullbench/project/{top}" for top in {part.partition("/")[0] for part in PARTS}}
