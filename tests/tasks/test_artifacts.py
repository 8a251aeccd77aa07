"""Artifacts: escaped, and never a reason for a measurement to fail."""

import logging
from typing import NoReturn

import pytest

from pullbench.model.finding import Finding, Status
from tasks import artifacts as results
from tasks.artifacts import Artifacts


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
    artifacts.begin(10)
    artifacts.progress(0.5)
    artifacts.findings([Finding(check="tcp", target="eu", status=Status.PASS, observed="fine")])
    artifacts.cells({"run_id": "x", "cells": []})
    assert asked == ["trials"], "the first that cannot be sent is the last"
    assert "no artifacts from here on: ConnectionError: connection refused" in caplog.text


def test_preflights_artifact_has_what_asks_for_a_remedy_first(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(results, "create_table_artifact", lambda *, table, **_: sent.extend(table))
    order = (Status.PASS, Status.WARN, Status.SKIP, Status.FAIL, Status.PASS)
    Artifacts().findings(
        [
            Finding(check=f"check-{index}", target="eu", status=status, observed="seen", remedy="mend it")
            for index, status in enumerate(order)
        ]
    )
    assert [row["check"] for row in sent] == ["check-3", "check-1", "check-0", "check-4", "check-2"]


@pytest.mark.promise("foreign text", "The text of a finding makes no markup in a Prefect artifact")
def test_escape_markdown_keeps_the_text_of_a_finding_text_in_its_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, str]] = []
    monkeypatch.setattr(results, "create_table_artifact", lambda *, table, **_: sent.extend(table))
    evil = "[x](javascript:alert(1)) <img src=x> | `a` ![i](http://e/)\x1b[31m"
    Artifacts().findings([Finding(check="api", target=evil, status=Status.FAIL, observed=evil, remedy=evil)])
    for name in ("target", "observed", "remedy"):
        assert sent[0][name] == (
            "\\[x\\](javascript:alert(1)) \\<img src=x\\> \\| \\`a\\` \\!\\[i\\](http://e/) \\[31m"
        )
