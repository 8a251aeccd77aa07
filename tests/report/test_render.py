"""What can be told of rendering without a process: parameters, the environment that is passed on, the page's shape."""

import errno
import json
import os
from pathlib import Path

import pytest

from pullbench.errors import IncompleteError, UsageError
from pullbench.report.core.stored import RESULTS_URL_VARIABLE, open_results
from pullbench.report.render import render
from pullbench.report.render.notebook import heading, page_of
from pullbench.report.render.render import (
    RUN_NOTEBOOK,
    check_out_dir,
    check_parameters,
    find_report,
    render_run_report,
)
from pullbench.report.render.renderer import Renderer, environment
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """A run that is there: what it measured is looked at by nobody here."""
    recipe = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), blocks=1, warmup=0, pulls=2)
    return synthetic.make(tmp_path_factory.mktemp("small"), recipe)


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


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict]:
    """In place of the process that runs the notebook: keeps its jobs and variables, and makes a page."""
    jobs: list[dict] = []

    def page(self: Renderer, _notebook: Path, parameters: dict, executed: Path, *, title: str) -> bytes:
        jobs.append(
            {"parameters": parameters, "title": title, "variables": environment(tmp_path, self.results_url, {})}
        )
        executed.write_text(json.dumps(parameters), encoding="utf-8")
        return b"<p>page"

    monkeypatch.setattr(Renderer, "_start", lambda *_: None)
    monkeypatch.setattr(Renderer, "page", page)
    return jobs


@pytest.mark.parametrize(
    "url", ["sftp://user:planted@host/results", "https://host/results?sig=planted", "a::sftp://user:planted@h/r"]
)
def test_what_a_results_url_holds_of_secrets_is_in_no_notebook(
    url: str, no_process: list[dict], monkeypatch: pytest.MonkeyPatch, store: ResultStore, tmp_path: Path
) -> None:
    # The store refuses a user in a URL; the notebook must not depend on that.
    monkeypatch.setattr(render, "ResultStore", lambda _url: store)
    page = render_run_report(url, RUN_ID, tmp_path)
    assert "planted" not in (page.parent / "report.ipynb").read_text()
    assert "planted" not in json.dumps(no_process[0]["parameters"])
    assert no_process[0]["variables"][RESULTS_URL_VARIABLE] == url


def test_the_notebook_reads_the_url_that_it_was_started_with(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_results(store.url).url == store.url
    monkeypatch.setenv(RESULTS_URL_VARIABLE, store.url)
    assert open_results("sftp://host/results").url == store.url
    assert "results=results_url" in RUN_NOTEBOOK.read_text(), "open_run opens it so"


@pytest.mark.parametrize("folder", ["/dev/null/x", "file"])
def test_a_reports_folder_that_cannot_be_is_one_line_and_no_bug(
    folder: str, no_process: list[dict], store: ResultStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IncompleteError) as caught:
        render_run_report(store.url, RUN_ID, tmp_path / folder)
    assert str(caught.value).startswith(f"{tmp_path / folder}")
    assert "Not a directory" in str(caught.value)
    assert f"pullbench report {RUN_ID} --reports" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"Not a directory.*`--reports`"):
        check_out_dir(tmp_path / folder)


def test_a_full_disk_leaves_the_old_page_and_no_half_of_the_new(
    no_process: list[dict], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = render_run_report(store.url, RUN_ID, tmp_path)
    page.write_text("old")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write(path, content[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(IncompleteError, match="No space left on device"):
        render_run_report(store.url, RUN_ID, tmp_path)
    assert page.read_text() == "old"
    assert {path.name for path in page.parent.iterdir() if path.suffix in (".html", ".ipynb")} == {
        "index.html",
        "report.ipynb",
    }
    assert [path.name for path in page.parent.iterdir() if path.name.startswith(".")] == []


def test_looking_whether_a_report_can_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    check_out_dir(tmp_path / "a" / "b")
    check_out_dir(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stored_runs_report_is_found_where_there_is_one(
    no_process: list[dict], store: ResultStore, tmp_path: Path
) -> None:
    assert find_report(tmp_path / "none", RUN_ID) is None
    assert find_report(Path("/dev/null"), RUN_ID) is None
    page = render_run_report(store.url, RUN_ID, tmp_path)
    assert find_report(tmp_path, RUN_ID) == page
    page.unlink()
    assert find_report(tmp_path, RUN_ID) is None
    with pytest.raises(UsageError, match="is not a run_id"):
        find_report(tmp_path, "../x")


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
