"""The run report as a file: papermill runs the notebook, and the page is one a browser can open offline."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pullbench.errors import IncompleteError
from pullbench.report.render.data_files import TABLES
from pullbench.report.render.render import RUN_NOTEBOOK, render_run_report
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe

pytestmark = pytest.mark.integration

HOSTILE = '</td><script>alert("x")</script><img src=http://evil.example/x> \u202egnp\x1b[31m ' + "y" * 10_000
PLANTED = "planted-s3cret-7d1f"
SMALL = Recipe(engines=("wire", "docker"), concurrency=(1, 2), blocks=3, pulls=4, failure_rate=0.4, error_text=HOSTILE)
DATA = [f"{table}.parquet" for table in TABLES] + ["run.json", "cells.csv", "summary.md"]
"""What stands beside a report."""


class Elements(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.open = 0
        self.feed(markup)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(name)
        self.links += [
            value or "" for key, value in attributes if key in ("src", "href", "xlink:href", "data", "action")
        ]
        self.links += [key for key, _ in attributes if key.startswith("on")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a hostile registry, made with a secret and a broken IPython profile in the user's home."""
    store = synthetic.make(tmp_path_factory.mktemp("store"), SMALL)
    home = tmp_path_factory.mktemp("home")
    profile = home / ".ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("raise SystemExit('the user profile was read')")
    (home / ".ipython" / "profile_default" / "startup").mkdir()
    (home / ".ipython" / "profile_default" / "startup" / "00.py").write_text("raise SystemExit(1)")
    kernel = home / "kernels" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "x", "language": "python"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("JUPYTER_PATH", str(home / "kernels"))
        patch.setenv("EU_PASSWORD", PLANTED)
        before = sorted(path for path in home.rglob("*") if ".cache" not in path.parts)
        page = render_run_report(store.url, RUN_ID, tmp_path_factory.mktemp("reports"))
        after = sorted(path for path in home.rglob("*") if ".cache" not in path.parts)
    assert before == after, "Jupyter or IPython wrote to the user's home"
    return page


HOME = "../index.html"
"""The page of all reports; the link is hidden until there is one."""


def test_the_page_is_small_and_asks_for_nothing(report: Path) -> None:
    found = Elements(report.read_text(encoding="utf-8"))
    assert report.stat().st_size < 3_000_000
    assert not found.names & {"script", "iframe", "object", "embed", "link", "img", "form", "base"}
    assert found.links and all(link.startswith("#") for link in found.links if link != HOME)
    assert not re.findall(r"url\((?!#)[^)]*\)|@import", report.read_text(encoding="utf-8"))


def test_every_link_of_the_page_leads_somewhere(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in Elements(text).links if link != HOME} <= set(ids)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_no_code_no_path_of_the_kernel_and_no_foreign_character_is_in_the_page(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "read_run(" not in text and "results_url" not in text and "Traceback" not in text
    assert not set(text) & {"\u202e", "\x1b"}
    assert "‹U+202E›" in text


def test_no_secret_of_the_environment_is_in_page_notebook_or_data(report: Path) -> None:
    for path in report.parent.iterdir():
        assert PLANTED.encode() not in path.read_bytes(), path


def test_the_page_says_what_the_run_found(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    for words in (
        "A docker pull",
        "SLO",
        "Where the time goes",
        "Trials over time",
        "What to do",
        "Share of pulls",
        "onnection was cut",
        "Method",
    ):
        assert words in text, words
    assert names(report.parent) == sorted(["index.html", "report.ipynb", *DATA])


def test_a_cell_that_fails_is_named_and_the_old_page_stays(tmp_path: Path, report: Path) -> None:
    store = synthetic.make(tmp_path / "store", Recipe(engines=("wire",), concurrency=(1,), blocks=3, pulls=2))
    document = json.loads(RUN_NOTEBOOK.read_text())
    (cell,) = [cell for cell in document["cells"] if "page.errors(" in "".join(cell["source"])]
    cell["source"] = ["1 / 0"]
    broken = tmp_path / "broken.ipynb"
    broken.write_text(json.dumps(document))
    folder = tmp_path / "reports" / RUN_ID
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("the old page")
    with pytest.raises(IncompleteError, match=r"cell \[\d+\], 'Errors': ZeroDivisionError: division by zero") as caught:
        render_run_report(store.url, RUN_ID, tmp_path / "reports", notebook=broken)
    assert str(folder / "report.ipynb") in str(caught.value)
    assert (folder / "index.html").read_text() == "the old page"
    assert names(folder) == sorted(["index.html", "report.ipynb", *DATA])
    assert "ZeroDivisionError" in (folder / "report.ipynb").read_text()


def test_a_run_without_a_single_success_has_a_report(tmp_path: Path) -> None:
    recipe = Recipe(engines=("wire",), concurrency=(1, 2), blocks=3, pulls=2, fail_everywhere=True)
    page = render_run_report(synthetic.make(tmp_path / "store", recipe).url, RUN_ID, tmp_path / "reports")
    assert "Every pull failed" in page.read_text(encoding="utf-8")


def test_a_run_that_preflight_stopped_has_a_report(tmp_path: Path) -> None:
    store = synthetic.make(
        tmp_path / "store", Recipe(engines=("wire",), concurrency=(1,), blocks=0, warmup=0, status="failed")
    )
    page = render_run_report(store.url, RUN_ID, tmp_path / "reports")
    assert isinstance(store, ResultStore)
    assert "Nothing was measured" in page.read_text(encoding="utf-8")
