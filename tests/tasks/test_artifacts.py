"""Artifacts: escaped, and never a reason for a measurement to fail."""

import logging
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pullbench.model.finding import Finding, Status
from pullbench.report.render.picture import write_picture
from pullbench.report.run.documents import run_document
from pullbench.store.dataset import ResultStore
from tasks import artifacts as results
from tasks.artifacts import Artifacts, artifact_key, picture_of
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe


def test_a_server_that_does_not_answer_costs_the_artifacts_and_not_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def down(**arguments: object) -> NoReturn:
        asked.append(str(arguments.get("key")))
        raise ConnectionError("connection refused")

    for name in ("create_progress_artifact", "create_table_artifact", "update_progress_artifact"):
        monkeypatch.setattr(results, name, down)
    monkeypatch.setattr(results, "get_run_logger", lambda: logging.getLogger("test"))
    artifacts = Artifacts()
    artifacts.begin("first-look", 10)
    artifacts.progress(0.5)
    artifacts.findings("first-look", [Finding(check="tcp", target="eu", status=Status.PASS, observed="fine")])
    assert asked == ["first-look-progress"], "the first that cannot be sent is the last"
    assert "ConnectionError: connection refused" in caplog.text


def test_preflights_artifact_has_what_asks_for_a_remedy_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(results, "create_table_artifact", lambda *, table, **_: sent.extend(table))
    order = (Status.PASS, Status.WARN, Status.SKIP, Status.FAIL, Status.PASS)
    Artifacts().findings(
        "first-look",
        [
            Finding(check=f"check-{index}", target="eu", status=status, observed="seen", remedy="fix it")
            for index, status in enumerate(order)
        ],
    )
    assert [row["check"] for row in sent] == ["check-3", "check-1", "check-0", "check-4", "check-2"]


@pytest.mark.promise("foreign text", "The text of a finding makes no markup in a Prefect artifact")
def test_escape_markdown_keeps_the_text_of_a_finding_text_in_its_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(results, "create_table_artifact", lambda *, table, **_: sent.extend(table))
    evil = "[x](javascript:alert(1)) <img src=x> | `a` ![i](http://e/)\x1b[31m"
    Artifacts().findings("x", [Finding(check="api", target=evil, status=Status.FAIL, observed=evil, remedy=evil)])
    for name in ("target", "observed", "remedy"):
        assert sent[0][name] == (
            "\\[x\\](javascript:alert(1)) \\<img src=x\\> \\| \\`a\\` \\!\\[i\\](http://e/) \\[31m"
        )


@pytest.mark.parametrize("name", ["First look", "127.0.0.1:5000", "…", "-a-", "x" * 200])
def test_an_artifacts_key_is_one_that_prefect_takes_whatever_the_benchmark_is_called(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", artifact_key(name, "preflight"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(results, "create_markdown_artifact", lambda **what: found.update({what["key"]: what}))
    monkeypatch.delenv(results.REPORTS_URL, raising=False)
    return found


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A report with two figures."""
    report = tmp_path / RUN_ID / "index.html"
    report.parent.mkdir()
    drawing = '<div class="pb-wide"><svg role="img" viewBox="0 0 100 50"><title id="{0}-wide-title">{0} &lt;1</title></svg></div>'
    report.write_text("".join(drawing.format(name) for name in ("heat", "overview")))
    return report


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    recipe = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), blocks=3, pulls=3)
    return synthetic.make(str(tmp_path / "results"), recipe)


def test_a_run_is_one_page_verdict_first_then_picture_and_links(
    sent: dict[str, dict[str, Any]], page: Path, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(results.REPORTS_URL, "http://reports.internal:4201/")
    document = run_document(store, RUN_ID)
    Artifacts(page.parents[1]).run(document, page, picture_of(page))
    (shown,) = sent.values()
    assert list(sent) == [artifact_key(document["name"])]
    places = [shown["markdown"].index(text) for text in ("## ", "| concurrency |", "picture.svg)", "index.html)")]
    assert places == sorted(places)
    assert f"(http://reports.internal:4201/{RUN_ID}/picture.svg)" in shown["markdown"]
    assert f"(http://reports.internal:4201/{RUN_ID}/index.html)" in shown["markdown"]


def test_without_an_address_the_page_names_the_reports_path_and_shows_no_picture(
    sent: dict[str, dict[str, Any]], page: Path, store: ResultStore
) -> None:
    Artifacts(page.parents[1]).run(run_document(store, RUN_ID), page, picture_of(page))
    (shown,) = sent.values()
    assert str(page) in shown["markdown"] and "picture.svg" not in shown["markdown"]


def test_a_reports_picture_is_its_overview_on_paper_of_its_own(page: Path) -> None:
    made = write_picture(page)
    assert made is not None and made.path == page.with_name("picture.svg") and made.title == "overview <1"
    assert 'viewBox="-8 -8 116 66"' in made.path.read_text() and "background:#ffffff" in made.path.read_text()
    page.write_text("<p>no figure</p>")
    assert write_picture(page) is None


def test_a_page_that_is_gone_costs_its_picture_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(results, "get_run_logger", lambda: logging.getLogger("test"))
    assert picture_of(tmp_path / "gone" / "index.html") is None
    assert "gone" in caplog.text
