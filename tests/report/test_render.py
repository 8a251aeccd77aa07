"""What can be told of rendering without a kernel: parameters, the environment that is passed on, the page's shape."""

import json
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.report.page import heading, page_of
from pullbench.report.render import RUN_NOTEBOOK, check_parameters, environment, render_run_report
from pullbench.store.dataset import ResultStore


def notebook(path: Path, *cells: dict) -> Path:
    path.write_text(json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_the_notebooks_parameters_are_those_that_are_set() -> None:
    check_parameters(RUN_NOTEBOOK, {"results_url": "", "run_id": ""})


@pytest.mark.parametrize(
    "given", [{"run_id": ""}, {"results_url": "", "runid": ""}, {"results_url": "", "run_id": "", "x": 1}]
)
def test_a_misspelt_parameter_is_refused_before_anything_runs(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="parameters"):
        check_parameters(RUN_NOTEBOOK, given)


def test_a_file_that_is_no_notebook_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{")
    with pytest.raises(UsageError, match=r"broken\.ipynb: no notebook"):
        check_parameters(broken, {})


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "", "20200101T000000Z-0000"])
def test_a_run_that_is_not_there_leaves_nothing_behind(store: ResultStore, tmp_path: Path, run_id: str) -> None:
    with pytest.raises(UsageError):
        render_run_report(store.url, run_id, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_no_variable_but_what_python_needs_is_passed_on(tmp_path: Path) -> None:
    here = {"PATH": "/bin", "HOME": "/home/a", "EU_PASSWORD": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret"}
    passed = environment(tmp_path, str(tmp_path), here)
    assert "s3cret" not in passed.values()
    assert passed["PATH"] == "/bin"
    assert {passed[name] for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")} == {
        str(tmp_path / "jupyter")
    }


def test_an_object_stores_keys_go_where_the_results_are_in_one(tmp_path: Path) -> None:
    here = {"AWS_SECRET_ACCESS_KEY": "key", "EU_PASSWORD": "s3cret"}
    passed = environment(tmp_path, "s3://bucket/results", here)
    assert passed["AWS_SECRET_ACCESS_KEY"] == "key"
    assert "EU_PASSWORD" not in passed


def test_the_notebook_only_calls_the_report() -> None:
    cells = json.loads(RUN_NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for cell in code:
        if not {"parameters", "remove_cell"} & set(cell["metadata"].get("tags", [])):
            assert len(cell["source"]) == 1, cell["source"]
        assert cell["outputs"] == []
    assert [cell for cell in cells if cell["cell_type"] == "markdown" and heading("".join(cell["source"]))]


def test_a_section_without_content_is_left_out_with_its_heading() -> None:
    import nbformat.v4 as v4

    shown = v4.new_code_cell("x", outputs=[v4.new_output("execute_result", {"text/html": "<b>here</b>"})])
    empty = v4.new_code_cell("y", outputs=[v4.new_output("execute_result", {"text/plain": "''"})])
    hidden = v4.new_code_cell("z = 'code'", metadata={"tags": ["remove_cell"]}, outputs=shown.outputs)
    cells = [hidden, v4.new_markdown_cell("## Full one"), shown, v4.new_markdown_cell("## Empty one"), empty]
    page = page_of(v4.new_notebook(cells=cells), "a <title>")
    assert page.count("<b>here</b>") == 1
    assert "Full one" in page and '<a href="#full-one">' in page and 'id="full-one"' in page
    assert "Empty one" not in page
    assert "¶" not in page
    assert "a &lt;title&gt;" in page
    assert "code" not in page.split("</style>")[1]
