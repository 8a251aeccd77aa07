"""One process makes several reports: each has a namespace of its own, and none harms the next."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.errors import IncompleteError
from pullbench.report.render import renderer as renderer_module
from pullbench.report.render.renderer import Renderer
from pullbench.report.render.worker import _time_limit

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    with Renderer(str(tmp_path_factory.mktemp("results"))) as made:
        yield made


def show(renderer: Renderer, folder: Path, *sources: str) -> str:
    """The page of a notebook with a section, its parameters' cell and these cells."""
    heading = {"cell_type": "markdown", "id": "heading", "metadata": {}, "source": "## The section"}
    parameters = {"tags": ["parameters"]}
    cells = [
        {
            "cell_type": "code",
            "metadata": meta,
            "source": source,
            "outputs": [],
            "execution_count": None,
            "id": f"c{at}",
        }
        for at, (source, meta) in enumerate([("given = 0", parameters), *((source, {}) for source in sources)])
    ]
    document = {"cells": [heading, *cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    notebook = folder / "notebook.ipynb"
    notebook.write_text(json.dumps(document))
    return renderer.page(notebook, {"given": 42}, folder / "executed.ipynb", title="t").decode()


HTML = """
known = ' '.join(name for name in ('left', 'given') if name in globals())
class Shown:
    def _repr_html_(self):
        return f'<b>{given} {known}</b>'
Shown()
"""


def test_a_page_shows_the_html_of_a_cells_last_value_with_the_parameters_given(
    renderer: Renderer, tmp_path: Path
) -> None:
    assert "<b>42 given</b>" in show(renderer, tmp_path, HTML)


def test_a_report_finds_nothing_that_another_left_in_the_same_process(renderer: Renderer, tmp_path: Path) -> None:
    show(renderer, tmp_path, "import os\nleft = os.getpid()", HTML)
    before = (tmp_path / "executed.ipynb").read_text()
    assert "42 left given" in before
    assert "<b>42 given</b>" in show(renderer, tmp_path, HTML)


def test_a_cell_that_fails_is_named_its_notebook_kept_and_the_next_report_made(
    renderer: Renderer, tmp_path: Path
) -> None:
    with pytest.raises(IncompleteError, match=r"cell \[4\], 'The section': ZeroDivisionError: division by zero"):
        show(renderer, tmp_path, "print('so far')", "1 / 0", "never = 1")
    kept = (tmp_path / "executed.ipynb").read_text()
    assert "so far" in kept and "ZeroDivisionError" in kept
    assert "<b>42 given</b>" in show(renderer, tmp_path, HTML)


def test_a_cell_that_is_no_python_is_named_too(renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match=r"cell \[3\], 'The section': SyntaxError"):
        show(renderer, tmp_path, "1 +")


def test_a_process_that_dies_is_replaced_by_the_next_job(renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError, match="the report failed in exit code 7"):
        show(renderer, tmp_path, "import os\nos._exit(7)")
    assert "<b>42 given</b>" in show(renderer, tmp_path, HTML)


def test_what_a_cell_writes_to_stdout_or_reads_from_stdin_reaches_no_job_and_no_answer(
    renderer: Renderer, tmp_path: Path
) -> None:
    noisy = "import os, sys\nprint('{}')\nos.write(1, b'{}\\n')\nassert os.read(0, 1) == b''"
    assert "<b>42 given</b>" in show(renderer, tmp_path, noisy, HTML)


def test_a_report_that_does_not_end_is_stopped_and_the_next_one_made(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer_module, "TIMEOUT_S", 0.5)
    with pytest.raises(IncompleteError, match=r"not done after 0\.5 s"):
        show(renderer, tmp_path, "import time\ntime.sleep(60)")
    monkeypatch.setattr(renderer_module, "TIMEOUT_S", 60)
    assert "<b>42 given</b>" in show(renderer, tmp_path, HTML)


def test_a_cell_that_runs_too_long_is_an_error_of_that_cell() -> None:
    with pytest.raises(TimeoutError, match=r"more than 0\.05 s"), _time_limit(0.05):
        time.sleep(5)


def test_leaving_the_renderer_ends_its_process_at_once(tmp_path: Path) -> None:
    with Renderer(str(tmp_path)) as made:
        process = made._process
        assert process is not None and process.poll() is None
    assert process.poll() is not None
