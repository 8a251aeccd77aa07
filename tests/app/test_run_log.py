"""A run that is asked to log: what its lines are, when they are written, and that nothing else changes."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pullbench.app.preflight import check
from pullbench.app.progress import Progress
from pullbench.app.run import Prepared, RunRequest, conduct
from pullbench.bench.active_run import ActiveRun
from pullbench.bench.workbench import Workbench
from pullbench.cli import measuring
from pullbench.cli.main import app
from pullbench.errors import IncompleteError, PreflightFailed, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import Trial
from pullbench.model.record import TrialResult
from pullbench.monitor.logs import VARIABLE
from pullbench.serving import flow as flows
from pullbench.store.dataset import ResultStore
from tests.app.test_run import Calls, prepare, stored_run
from tests.bench.samples import facts_for

FAILED = Finding(check="tcp", target="eu", status=Status.FAIL, observed="refused", remedy="start it")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log that the environment asks for."""
    named = tmp_path / "pullbench.json"
    monkeypatch.setenv(VARIABLE, str(named))
    return named


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def actions(path: Path) -> Counter[str]:
    return Counter(line["event"]["action"] for line in lines(path))


def test_a_run_logs_its_start_its_findings_its_trials_its_failed_pulls_and_its_end(tmp_path: Path, path: Path) -> None:
    broken = [{"name": "scripted", "kind": "fake", "script": ["reset", 0.001]}]
    passed = Finding(check="tcp", target="eu", status=Status.PASS, observed="connected")
    calls = Calls([passed])
    conduct(prepare(tmp_path, engines=broken), calls, calls)
    pulls = ResultStore(str(tmp_path / "results")).frame("pulls", stored_run(tmp_path).run_id)
    failed = int((~pulls["ok"]).sum())
    assert failed > 0
    assert actions(path) == {
        "run-started": 1,
        "check-finding": 1,
        "trial-measured": 6,
        "pull-failed": failed,
        "run-ended": 1,
    }
    codes = {line["error"]["code"] for line in lines(path) if line["event"]["action"] == "pull-failed"}
    assert codes == set(pulls["error_code"].dropna())
    assert {line["pullbench"]["run_id"] for line in lines(path)} == {stored_run(tmp_path).run_id}


def test_nothing_is_written_while_a_trial_runs(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_trial, grown = ActiveRun.run_trial, []

    def watched(self: ActiveRun, trial: Trial) -> TrialResult:
        before = path.stat().st_size
        result = run_trial(self, trial)
        grown.append(path.stat().st_size - before)
        return result

    monkeypatch.setattr(ActiveRun, "run_trial", watched)
    calls = Calls()
    conduct(prepare(tmp_path), calls, calls)
    assert grown == [0] * 6


def test_what_stops_a_run_is_its_last_line(tmp_path: Path, path: Path) -> None:
    with pytest.raises(PreflightFailed):
        conduct(prepare(tmp_path), Calls([FAILED]), Calls())
    last = lines(path)[-1]
    assert last["event"]["action"] == "run-stopped"
    assert (last["error"]["type"], last["pullbench"]["exit_code"]) == ("PreflightFailed", 1)
    assert "tcp of eu" in last["error"]["message"]


def test_an_interruption_is_logged_as_one_and_so_is_the_run_that_goes_on(tmp_path: Path, path: Path) -> None:
    first = Calls(stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        conduct(prepare(tmp_path), first, first)
    last = lines(path)[-1]
    assert (last["error"]["message"], last["pullbench"]["exit_code"]) == ("interrupted", 3)
    again = Calls()
    conduct(prepare(tmp_path, resume=stored_run(tmp_path).run_id), again, again)
    assert actions(path)["trial-measured"] == 6
    started = [line["pullbench"]["trials"] for line in lines(path) if line["event"]["action"] == "run-started"]
    assert started == [6, 4]


def test_the_text_of_a_bug_is_not_logged_for_nobody_looked_at_it_for_secrets(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("token hunter2")

    monkeypatch.setattr(ActiveRun, "run_trial", broken)
    with pytest.raises(ZeroDivisionError):
        conduct(prepare(tmp_path), Calls(), Calls())
    assert lines(path)[-1]["error"] == {"type": "ZeroDivisionError", "message": "a bug of pullbench"}
    assert "hunter2" not in path.read_text()


def test_a_run_that_never_began_says_why(tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = "the registry is away"

    def unreachable(*_: object) -> None:
        raise IncompleteError(away)

    prepared = prepare(tmp_path)
    prepared._facts = None
    monkeypatch.setattr(Workbench, "gather", unreachable)
    with pytest.raises(IncompleteError):
        conduct(prepared, Calls(), Calls())
    (line,) = lines(path)
    assert line["message"].endswith(away)


def test_a_log_that_is_asked_for_by_name_goes_before_the_environments(tmp_path: Path, path: Path) -> None:
    prepared = prepare(tmp_path)
    assert prepared.log is not None
    prepared.log.close()
    named = tmp_path / "named.json"
    request = RunRequest(spec=tmp_path / "spec.yaml", results=str(tmp_path / "results"), log_json=named)
    other = Prepared(request)
    other.use_facts(facts_for(other.bench.spec))
    conduct(other, Calls(), Calls())
    assert actions(named)["run-ended"] == 1
    assert path.read_text() == ""


@pytest.mark.parametrize("command", ["run", "stress"])
def test_every_command_that_measures_passes_on_where_its_log_goes(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[RunRequest] = []
    monkeypatch.setattr(measuring, "measure_spec", lambda request, **_: given.append(request) or 0)
    assert CliRunner().invoke(app, [command, "spec.yaml", "--log-json", "log.json"]).exit_code == 0
    assert given[0].log_json == Path("log.json")


def test_a_flow_finds_the_log_of_its_command_in_the_environment(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def called(*_: object, **__: object) -> None:
        seen.append(os.environ[VARIABLE])
        raise UsageError("seen")

    monkeypatch.setattr(flows, "call_flow", called)
    request = RunRequest(spec=tmp_path / "spec.yaml", results=str(tmp_path), kind="fleet")
    command = measuring.Measuring(Progress(), request, as_json=True)
    with pytest.raises(UsageError, match="seen"):
        command.through_flow("fleet_benchmark", {}, log_json=tmp_path / "named.json")
    assert seen == [str(tmp_path / "named.json")]
    assert os.environ[VARIABLE] == str(path), "the environment is as it was"


def test_without_being_asked_nothing_is_logged(tmp_path: Path) -> None:
    assert prepare(tmp_path).log is None
    assert not list(tmp_path.glob("*.json"))


def test_a_log_that_cannot_be_written_is_a_mistake_before_anything_is_contacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "no" / "x.json"))
    monkeypatch.setattr(Workbench, "gather", lambda *_: pytest.fail("something was contacted"))
    with pytest.raises(UsageError, match="log"):
        prepare(tmp_path)
    with pytest.raises(UsageError, match="log"):
        check(tmp_path / "spec.yaml", environ={VARIABLE: str(tmp_path / "no" / "x.json")})


def test_preflight_by_itself_logs_its_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(tmp_path)
    monkeypatch.setattr(Workbench, "gather", lambda *_: prepared.facts())
    monkeypatch.setattr("pullbench.bench.workbench.preflight", lambda *_, **__: [FAILED])
    path = tmp_path / "preflight.json"
    check(tmp_path / "spec.yaml", environ={VARIABLE: str(path)})
    (line,) = lines(path)
    assert (line["pullbench"]["check"], line["pullbench"]["benchmark"]) == ("tcp", "sample")
