"""Preflight of a spec of which nothing can be measured: its findings are shown all the same."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pullbench.app.preflight import check
from pullbench.bench.workbench import Workbench
from pullbench.cli.main import app
from pullbench.model.facts import EngineFacts, Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import NoCellLeft

PASSED = Finding(check="tcp", target="eu", status=Status.PASS, observed="connected")
FAILED = Finding(
    check="docker-daemon", target="engine docker", status=Status.FAIL, observed="no answer", remedy="start"
)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker is its only engine, and cannot be used."""
    path = tmp_path / "spec.yaml"
    document = {
        "name": "only-docker",
        "registries": [{"name": "eu", "url": "http://127.0.0.1:9"}],
        "images": ["app:1"],
        "matrix": {"engines": ["docker"]},
    }
    path.write_text(yaml.safe_dump(document))
    gone = EngineFacts(name="docker", kind="docker", unavailable="unix:///no.sock: no answer")
    facts = Facts(host_platform="linux/amd64", engines={"docker": gone})
    monkeypatch.setattr(Workbench, "gather", lambda *_: facts)
    return path


def found(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    monkeypatch.setattr("pullbench.bench.workbench.preflight", lambda *_, **__: list(findings))


def test_the_other_checks_are_reported_and_the_reason_is_the_end(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, PASSED)
    done = CliRunner().invoke(app, ["preflight", str(spec), "--json"])
    document = json.loads(done.stdout)
    assert [finding["check"] for finding in document["findings"]] == ["tcp"]
    assert [reason.startswith("engine 'docker': unix:///no.sock") for reason in document["planned_out"]] == [True]
    assert isinstance(done.exception, NoCellLeft)


def test_a_check_that_fails_says_it_already(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, PASSED, FAILED)
    checked = check(spec, environ={})
    assert checked.nothing_left is None
    assert len(checked.planned_out) == 1
    assert CliRunner().invoke(app, ["preflight", str(spec)], standalone_mode=False).return_value == 1
