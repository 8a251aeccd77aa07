"""`compare-runs` and `publish-reports` without a server: what they decide, and what they would show."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.compare_runs import compare_runs
from flows.publish_reports import publish_reports
from pullbench.app.publish import publish
from pullbench.app.steps import DirectSteps, MadeT
from pullbench.cli.publish import publish as publish_command
from pullbench.errors import IncompleteError
from tasks import artifacts as artifacts_module
from tasks import events as notify
from tasks import stored as stored_module
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, STARTED_AT, Recipe

BASE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1,), failure_rate=0.0, blocks=4, pulls=3)
Sent = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run, and one that takes half as long again a day later."""
    folder = str(tmp_path_factory.mktemp("results"))
    synthetic.make(folder, BASE)
    synthetic.make(folder, replace(BASE, run_id="slow", slower=1.5, seed=8, started_at=STARTED_AT + timedelta(days=1)))
    return folder


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The artifacts by key, and events by name; nothing is sent anywhere."""
    found: Sent = {}
    monkeypatch.delenv("PULLBENCH_REPORTS_URL", raising=False)
    monkeypatch.setattr(notify, "emit_event", lambda event, **what: found.update({event: what}))
    for module in (stored_module, artifacts_module, notify):
        monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("test"))
    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(artifacts_module, name, lambda **what: found.update({what["key"]: what}))
    return found


def test_a_regression_fails_the_flow_with_one_line_that_names_the_worst_configuration(results: str, sent: Sent) -> None:
    state = compare_runs.fn(RUN_ID, "slow", fail_on="regression", results=results, report=False)
    assert state.is_failed()
    assert RUN_ID in state.message and "wire" in state.message
    assert "\n" not in state.message and "×" in state.message
    assert sent["concurrency-sweep-verdicts"]["table"][0]["verdict"] == "slower"
    assert "slow" in sent["concurrency-sweep-comparison"]["markdown"]
    assert sent[notify.REGRESSION]["payload"]["run_id"] == "slow"
    assert "index.html" not in sent["concurrency-sweep-comparison"]["markdown"], "no page was made"


@pytest.mark.parametrize(
    "asked", [{"fail_on": "nothing"}, {"fail_on": "regression", "fail_from_percent": 90.0}], ids=["nothing", "90%"]
)
def test_a_regression_without_fail_on_is_shown_and_fails_nothing(
    results: str, sent: Sent, asked: dict[str, Any]
) -> None:
    state = compare_runs.fn("latest", "slow", results=results, report=False, **asked)
    assert state.is_completed()
    assert sent["concurrency-sweep-verdicts"]["table"][0]["verdict"] == "slower"


def test_a_flow_that_can_compare_nothing_ends_incomplete_where_it_is_to_decide(results: str, sent: Sent) -> None:
    state = compare_runs.fn("slow", "slow", fail_on="regression", results=results, report=False)
    assert state.is_failed() and state.name == "Incomplete" and "cannot decide" in str(state.message)
    assert compare_runs.fn("slow", "slow", results=results, report=False).is_completed()


def test_a_run_that_is_not_there_fails_the_flow_with_what_there_is(results: str, sent: Sent) -> None:
    state = compare_runs.fn("commit=abc", "slow", results=results, report=False)
    assert state.is_failed() and "there are: commit=3f4ff3c" in state.message
    assert sent == {}


def test_the_report_is_linked_where_the_reports_are_served(
    results: str, sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "compare-a-b" / "index.html"
    page.parent.mkdir()
    page.write_text("a report without a figure")
    monkeypatch.setattr(stored_module, "TaskSteps", lambda _: Fixed(page))
    monkeypatch.setenv("PULLBENCH_REPORTS_URL", "https://reports.example.com/")
    compare_runs.fn(RUN_ID, "slow", results=results, reports=str(tmp_path))
    shown = sent["concurrency-sweep-comparison"]["markdown"]
    assert "(https://reports.example.com/compare-a-b/index.html)" in shown and "(https://reports.example.com/)" in shown
    monkeypatch.delenv("PULLBENCH_REPORTS_URL")
    compare_runs.fn(RUN_ID, "slow", results=results, reports=str(tmp_path))
    assert str(page) in sent["concurrency-sweep-comparison"]["markdown"]


class Fixed(DirectSteps):
    """Steps that give one page, whatever is to be made."""

    def __init__(self, page: Path) -> None:
        self._page = page

    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:
        return self._page  # type: ignore[return-value]


class Failing(DirectSteps):
    """Steps of which the report of one run fails, and no other is made; the site is."""

    def __init__(self, _artifacts: object = None) -> None:
        self.pages: list[str] = []

    def page(self, what: str, make: Callable[[], MadeT]) -> MadeT:
        self.pages.append(what)
        if what.endswith(": slow"):
            raise IncompleteError("the report failed in cell [3]")
        return make() if what == "the reports page" else Path("index.html")  # type: ignore[return-value]


def test_a_report_that_fails_keeps_no_other_from_being_made_nor_the_site(results: str, tmp_path: Path) -> None:
    steps, noted = Failing(), list[str]()
    done = publish(results=results, reports=tmp_path, url=None, render=True, steps=steps, note=noted.append)
    assert steps.pages == [
        "report 1 of 2: slow",
        f"report 2 of 2: {RUN_ID}",
        "trend of concurrency-sweep",
        "the reports page",
    ]
    assert done.made == 2 and done.site.page.is_file()
    (failure,) = done.failures
    assert failure.startswith("report 1 of 2: ") and "cell [3]" in failure


def test_the_flow_that_publishes_lists_the_runs_and_says_what_was_not_made(
    results: str, sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_module, "TaskSteps", Failing)
    state = publish_reports.fn(results=results, reports=str(tmp_path), url="https://reports.example.com")
    assert state.is_failed() and state.name == "Incomplete"
    assert state.message == "report 1 of 2: slow: the report failed in cell [3]"
    assert [row["run"] for row in sent["pullbench-runs"]["table"]] == ["slow", RUN_ID]
    assert "report 1 of 2: slow" in sent["pullbench-reports"]["markdown"]
    assert "(https://reports.example.com/index.html)" in sent["pullbench-reports"]["markdown"]


def test_the_command_prints_the_page_and_then_says_which_report_failed(
    results: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: Callable[[], Failing] = Failing
    monkeypatch.setattr("pullbench.app.steps.DirectSteps", made)
    with pytest.raises(IncompleteError, match="slow: the report failed in cell"):
        publish_command(results=results, reports=tmp_path, url=None, render=True)
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")


def test_an_address_with_credentials_is_refused_before_anything_is_made(
    results: str, sent: Sent, tmp_path: Path
) -> None:
    state = publish_reports.fn(results=results, reports=str(tmp_path / "new"), url="https://me:secret@example.com")
    assert state.is_failed() and "without credentials" in state.message
    assert not (tmp_path / "new").exists() and sent == {}
