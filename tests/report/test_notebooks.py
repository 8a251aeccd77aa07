"""The notebooks as a person runs them in Jupyter: the results folder is set, all else is left as it stands."""

import ast
import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pullbench.report.calibration.page import CalibrationPage
from pullbench.report.compare.page import ComparisonPage
from pullbench.report.fleet.page import FleetPage
from pullbench.report.regional.page import RegionalPage
from pullbench.report.render.html import Html
from pullbench.report.render.render import (
    CALIBRATION_NOTEBOOK,
    COMPARE_NOTEBOOK,
    FLEET_NOTEBOOK,
    REGIONAL_NOTEBOOK,
    RUN_NOTEBOOK,
    STRESS_NOTEBOOK,
    TREND_NOTEBOOK,
)
from pullbench.report.run.page import RunPage
from pullbench.report.stress.page import StressPage
from pullbench.report.trend.page import TrendPage
from tests.report import synthetic
from tests.report.synthetic import STARTED_AT, Recipe

SMALL = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2), blocks=3, warmup=0, pulls=2)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("results")
    for number in range(2):
        at = STARTED_AT + timedelta(days=number)
        store = synthetic.make(folder, replace(SMALL, run_id=f"run-{number}", started_at=at, seed=number))
    return store.url


def run_all(notebook: Path, results_url: str) -> list[str]:
    """What the code cells show, in order."""
    known: dict[str, Any] = {}
    shown = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        *lines, last = "".join(cell["source"]).splitlines()
        exec("\n".join(lines), known)
        if "parameters" in cell["metadata"].get("tags", []):
            exec(last, known)
            known["results_url"] = results_url
        elif isinstance(made := eval(last, known), Html):
            shown.append(str(made))
    return shown


@pytest.mark.parametrize(
    ("notebook", "words"),
    [
        (RUN_NOTEBOOK, "<code>run-1</code>"),
        (COMPARE_NOTEBOOK, "baseline: <code>run-0</code>"),
        (TREND_NOTEBOOK, f'<h1><span class="foreign">{SMALL.name}</span></h1>'),
    ],
)
def test_a_notebook_that_names_no_run_shows_the_newest(
    notebook: Path, words: str, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What drawings look like is for the tests of figures: drawing takes most of a notebook's time.
    monkeypatch.setattr("pullbench.report.figures.style._svg", lambda *given: Html("<svg></svg>"))
    style, header, *sections = run_all(notebook, results)
    assert style.startswith("<style>") and words in header
    assert any(sections)


@pytest.mark.parametrize("notebook", sorted(RUN_NOTEBOOK.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_says_before_each_section_what_it_shows_and_keeps_no_output(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
    assert all(not cell.get("outputs") for cell in cells)
    _parameters, _page, _header, *sections = [at for at, cell in enumerate(cells) if cell["cell_type"] == "code"]
    for at in sections:
        before = [cell for cell in cells[:at] if cell["cell_type"] == "markdown"]
        assert "".join(before[-1]["source"]).startswith("## ")


@pytest.mark.parametrize(
    ("notebook", "page"),
    [
        (RUN_NOTEBOOK, RunPage),
        (STRESS_NOTEBOOK, StressPage),
        (FLEET_NOTEBOOK, FleetPage),
        (CALIBRATION_NOTEBOOK, CalibrationPage),
        (REGIONAL_NOTEBOOK, RegionalPage),
        (COMPARE_NOTEBOOK, ComparisonPage),
        (TREND_NOTEBOOK, TrendPage),
    ],
)
def test_a_notebook_shows_each_section_of_its_page_once(notebook: Path, page: type) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    _parameters, first, *rest = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    sections = [name for name, value in vars(page).items() if callable(value) and not name.startswith("_")]
    assert [first.splitlines()[-1], *rest] == [f"page.{name}()" for name in sections]


@pytest.mark.parametrize("notebook", sorted(RUN_NOTEBOOK.parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_uses_nothing_but_the_public_api(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imported = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imported] == ["import pullbench as pb"]
    assert not re.search(r"\._\w", code), "a name that starts with an underscore is nobody's"
