"""`pullbench open`: the report in the browser, or its path where there is none."""

import webbrowser
from datetime import timedelta
from pathlib import Path

import pytest

from pullbench.cli.open import open_report
from pullbench.errors import UsageError
from pullbench.store.dataset import ResultStore
from tests.store.sample import START, run


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to show."""
    urls: list[str] = []

    def show(url: str) -> bool:
        urls.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", show)
    monkeypatch.setenv("DISPLAY", ":0")
    return urls


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs of which the newest has a report, and a comparison."""
    store = ResultStore(str(tmp_path / "results"))
    for number in range(2):
        store.write_run(run(f"run-{number}", status="complete", started_at=START + timedelta(days=number)))
    for name in ("run-1", "compare-run-0-run-1"):
        (tmp_path / "reports" / name).mkdir(parents=True)
        (tmp_path / "reports" / name / "index.html").write_text("page")
    return tmp_path


def opening(folder: Path, which: str) -> int:
    return open_report(which, results=str(folder / "results"), reports=folder / "reports")


@pytest.mark.parametrize(("which", "name"), [("latest", "run-1"), ("run-1", "run-1"), ("compare-run-0-run-1",) * 2])
def test_a_report_is_opened_and_its_path_printed(
    folder: Path, opened: list[str], capsys: pytest.CaptureFixture[str], which: str, name: str
) -> None:
    page = folder / "reports" / name / "index.html"
    assert opening(folder, which) == 0
    assert opened == [page.as_uri()]
    assert capsys.readouterr().out == f"{page}\n"


def test_without_a_browser_the_path_is_printed(
    folder: Path, opened: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert opening(folder, "latest") == 0
    assert opened == []
    assert capsys.readouterr().out.endswith("index.html\n")


def test_a_run_without_a_report_says_how_to_write_it(folder: Path, opened: list[str]) -> None:
    with pytest.raises(UsageError, match="pullbench report run-0"):
        opening(folder, "run-0")
    assert opened == []


@pytest.mark.parametrize("which", ["..", "../reports/run-1", "run-9"])
def test_what_is_not_a_report_is_refused(folder: Path, opened: list[str], which: str) -> None:
    with pytest.raises(UsageError):
        opening(folder, which)
    assert opened == []
