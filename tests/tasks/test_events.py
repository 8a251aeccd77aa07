"""Events: what they say, and that no measurement fails for them."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pullbench.app.compare import compare_with_baseline
from pullbench.report.compare.runs import compare_runs
from pullbench.report.core.stored import StoredRun, read_run
from pullbench.report.run.documents import run_document
from pullbench.store.baselines import Baselines
from pullbench.store.dataset import ResultStore
from tasks import events as notify
from tasks.events import Notices
from tests.report.synthetic import STARTED_AT, Recipe, make

BASE = Recipe(engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 4), pulls=4, failure_rate=0.0)
LATER = replace(BASE, run_id="20270101T030000Z-0001", seed=8)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(notify, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(notify, "emit_event", lambda event, **what: events.append({"event": event, **what}))
    yield events
    json.dumps(events, allow_nan=False)  # a server takes nothing else


def stored(folder: Path, recipe: Recipe) -> StoredRun:
    return read_run(make(folder, recipe), recipe.run_id)


def test_missed_slos_are_one_event_with_each_of_them(emitted: list[dict[str, Any]], tmp_path: Path) -> None:
    document = run_document(make(tmp_path, replace(BASE, fail_everywhere=True)), BASE.run_id)
    Notices().slo_missed(document)
    (event,) = emitted
    assert event["event"] == "pullbench.slo.missed"
    assert event["resource"]["prefect.resource.id"] == f"pullbench.benchmark.{document['name']}"
    assert {entry["prefect.resource.id"] for entry in event["related"]} == {
        f"pullbench.run.{BASE.run_id}",
        f"pullbench.vantage.{document['vantage']}",
    }
    payload = event["payload"]
    assert (payload["run_id"], payload["benchmark"]) == (BASE.run_id, document["name"])
    assert "0%" in payload["message"] and "99.9%" in payload["message"]
    assert {entry["engine"] for entry in payload["objectives"]} == {"wire"}
    assert {entry["name"] for entry in payload["objectives"]} >= {"success_rate", "consecutive_failures"}
    assert len(payload["cells"]) == 2


def test_a_run_that_misses_nothing_tells_nothing(emitted: list[dict[str, Any]], tmp_path: Path) -> None:
    document = run_document(make(tmp_path, BASE), BASE.run_id)
    assert not [row for row in document["slo"] if row["verdict"] == "missed"]
    Notices().slo_missed(document)
    assert not emitted


def test_failures_in_a_row_name_cells_and_reasons(emitted: list[dict[str, Any]], tmp_path: Path) -> None:
    run = stored(tmp_path, BASE).run
    Notices().consecutive_failures(run, 3, ["wire · eu"], ["timeout", "reset"])
    (event,) = emitted
    assert event["event"] == "pullbench.pull.consecutive-failures"
    assert event["payload"]["message"] == "3 pulls in a row failed (timeout, reset): wire · eu."


def test_a_regression_names_the_baseline_and_the_worse_cells(emitted: list[dict[str, Any]], tmp_path: Path) -> None:
    before, after = stored(tmp_path, BASE), stored(tmp_path, replace(LATER, slower=1.5))
    Notices().regression(compare_runs(before, after))
    (event,) = emitted
    payload = event["payload"]
    assert (event["event"], payload["baseline"], payload["run_id"]) == (
        "pullbench.regression",
        BASE.run_id,
        LATER.run_id,
    )
    assert [cell["concurrency"] for cell in payload["cells"]] != []
    assert all(cell["ratio"] > 1.3 and cell["verdict"] == "slower" for cell in payload["cells"])


def test_no_regression_and_another_machine_tell_nothing(emitted: list[dict[str, Any]], tmp_path: Path) -> None:
    before = stored(tmp_path, BASE)
    Notices().regression(compare_runs(before, stored(tmp_path, LATER)))
    elsewhere = stored(tmp_path, replace(LATER, run_id="elsewhere", slower=1.5))
    moved = replace(elsewhere, run=replace(elsewhere.run, vantage="elsewhere"))
    found = compare_runs(before, moved)
    assert found.other_machine and not found.regressions().empty
    Notices().regression(found)
    assert not emitted


def test_an_event_that_cannot_be_sent_costs_nothing_but_a_log_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def down(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(notify, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(notify, "emit_event", down)
    Notices().consecutive_failures(stored(tmp_path, BASE).run, 3, ["wire"], ["timeout"])
    assert "pullbench.pull.consecutive-failures was not told: ConnectionError: refused" in caplog.text


def test_a_run_is_held_against_the_baseline_of_its_name(tmp_path: Path) -> None:
    make(tmp_path, BASE)
    store: ResultStore = make(tmp_path, replace(LATER, slower=1.5))
    assert compare_with_baseline(store, LATER.run_id) is None, "none is set"
    Baselines(store).set(BASE.run_id, STARTED_AT)
    assert compare_with_baseline(store, BASE.run_id) is None, "it is the baseline itself"
    found = compare_with_baseline(store, LATER.run_id)
    assert found is not None and not found.regressions().empty
