"""How a measuring command ends: its run is called directly or through its flow, and a server that is gone takes nothing with it."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from rich.console import Console

from pullbench.app.progress import Outcome, Progress, watcher
from pullbench.app.run import RunRequest, conduct, preparing
from pullbench.app.steps import DirectSteps
from pullbench.bench.workbench import Workbench
from pullbench.cli import regional
from pullbench.cli.measuring import Measuring, measure_spec
from pullbench.cli.terminal import interruption
from pullbench.cli.terminal.progress import ShellProgress
from pullbench.errors import IncompleteError, InterruptedRunError, UsageError
from pullbench.model.facts import Facts
from pullbench.serving import flow as flows
from pullbench.serving.flow import ServerGoneError, call_flow
from pullbench.store.dataset import ResultStore
from tests.bench.samples import facts_for, spec_data

GONE = httpx.ConnectError("All connection attempts failed")
Body = Callable[..., Any]


@pytest.fixture(autouse=True)
def _nothing_hurries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(interruption, "_hurried", [])
    monkeypatch.setattr(interruption, "_received", [])
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunRequest:
    """A run of a scripted engine, whose facts are known."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(spec_data()))

    def gather(bench: Workbench, *_: object) -> Facts:
        return facts_for(bench.spec)

    monkeypatch.setattr(Workbench, "gather", gather)
    return RunRequest(spec=spec, results=str(tmp_path / "results"), skip_preflight=True, report=False)


def through_flow(body: Body, results: str, monkeypatch: pytest.MonkeyPatch) -> Measuring:
    """A measuring command whose flow is `body`; call `through_flow` of it."""

    def called(_name: str, parameters: dict[str, Any], **_: object) -> Any:
        return body(**parameters)

    monkeypatch.setattr(flows, "call_flow", called)
    return Measuring(ShellProgress(Console(stderr=True)), results=results, kind="benchmark", as_json=True)


def conducted(request: RunRequest) -> Outcome:
    """What a flow's body does, as far as a command sees it."""
    with preparing(request) as prepared:
        return conduct(prepared, DirectSteps(), Progress())


def test_a_command_runs_without_prefect_unless_it_is_asked_for(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[str] = []
    monkeypatch.setattr(Measuring, "through_flow", lambda _self, flow, *_, **__: called.append(flow) or 0)
    assert measure_spec(request_, as_json=True, prefect=False) == 0
    assert (called, json.loads(capsys.readouterr().out)["status"]) == ([], "complete")
    assert measure_spec(request_, as_json=True, prefect=True) == 0
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert measure_spec(request_, as_json=True, prefect=False) == 0
    assert called == ["pull_benchmark"] * 2


def test_the_document_of_a_flows_run_is_printed_and_its_exit_code_given(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring = through_flow(lambda: conducted(request_), request_.results, monkeypatch)
    assert measuring.through_flow("pull_benchmark", {}) == 0
    (run,) = ResultStore(request_.results).runs()
    assert json.loads(capsys.readouterr().out)["run_id"] == run.run_id


@pytest.mark.promise(
    "accidents",
    "Prefect server gone during a run: the run ends with its own exit code, and a line says that the server is gone",
)
def test_the_outcome_stands_though_the_server_went_away_at_the_end(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> Outcome:
        conducted(request_)
        raise ServerGoneError("Prefect's server is gone (All connection attempts failed)")

    measuring = through_flow(body, request_.results, monkeypatch)
    assert measuring.through_flow("pull_benchmark", {}) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["status"] == "complete"
    assert "Prefect's server is gone" in err
    assert interruption.hurried(), "nobody takes the events that Prefect would wait to send"


def test_a_server_that_goes_away_in_mid_run_leaves_an_incomplete_run_and_says_how_to_go_on(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> Outcome:
        with preparing(request_) as prepared:
            active = prepared.begin()
            watcher().planned(active.record, active.plan, 0)
        raise ServerGoneError("Prefect's server is gone (x)")

    measuring = through_flow(body, request_.results, monkeypatch)
    with pytest.raises(IncompleteError, match=r"^Prefect's server is gone \(x\); .*`--resume ") as ended:
        measuring.through_flow("pull_benchmark", {})
    (run,) = ResultStore(request_.results).runs()
    assert run.run_id in str(ended.value) and ended.value.exit_code == 3


@pytest.mark.promise("accidents", "An interrupted run ends with exit 3, and its last line says how to go on")
def test_an_interruption_says_how_to_go_on_with_exit_3_whatever_a_library_made_of_it(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    interruption.listen()

    def body() -> Outcome:
        with preparing(request_) as prepared:
            active = prepared.begin()
            watcher().planned(active.record, active.plan, 0)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ValueError("Task run is not set") from None  # as Prefect's task engine does
        raise AssertionError("not interrupted")

    measuring = through_flow(body, request_.results, monkeypatch)
    with pytest.raises(InterruptedRunError, match=r"^interrupted; .*`--resume ") as ended:
        measuring.through_flow("pull_benchmark", {})
    (run,) = ResultStore(request_.results).runs()
    assert run.run_id in str(ended.value) and ended.value.exit_code == 3


def test_an_error_of_the_flows_body_is_the_commands_own(request_: RunRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> Outcome:
        raise UsageError("no such spec")

    with pytest.raises(UsageError, match="no such spec"):
        through_flow(body, request_.results, monkeypatch).through_flow("pull_benchmark", {})


def test_a_setting_that_may_hold_a_secret_does_not_go_through_prefect(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "call_flow", lambda *_, **__: pytest.fail("Prefect was given a secret"))
    secret = dataclasses.replace(request_, sets=("proxies[0].headers={X-Token: hunter2}",))
    with pytest.raises(UsageError, match=r"proxies\[0\].headers") as refused:
        measure_spec(secret, as_json=True, prefect=True)
    assert "hunter2" not in str(refused.value)


class _State:
    def __init__(self, carried: object) -> None:
        self._carried = carried

    def result(self, *, raise_on_failure: bool) -> object:
        assert not raise_on_failure
        return self._carried


def called(monkeypatch: pytest.MonkeyPatch, carried: object = None, raises: Exception | None = None) -> Any:
    def flow(**parameters: object) -> _State:
        assert parameters.pop("return_state") is True
        if raises is not None:
            raise raises
        return _State(carried)

    monkeypatch.setattr(flows, "_reach_server", lambda _: None)
    monkeypatch.setattr(flows, "_load", lambda _: flow)
    return call_flow("pull_benchmark", {}, note=print)


def test_what_a_flows_state_carries_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch, "an outcome") == "an outcome"
    with pytest.raises(UsageError, match="no such spec"):
        called(monkeypatch, UsageError("no such spec"))


def test_no_outcome_and_no_error_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IncompleteError, match="without an outcome"):
        called(monkeypatch, None)


@pytest.mark.parametrize("where", ["raised", "carried"])
def test_a_server_that_is_gone_is_told_as_one(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"raises": GONE} if where == "raised" else {"carried": GONE}
    with pytest.raises(ServerGoneError, match=r"^Prefect's server is gone \(All connection attempts failed\)$"):
        called(monkeypatch, **given)


def test_regional_says_in_one_line_that_the_server_is_gone_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(spec_data()))

    def gone(*_: object, **__: object) -> None:
        raise ServerGoneError("Prefect's server is gone (x)")

    monkeypatch.setattr(regional, "call_flow", gone)
    monkeypatch.setattr(regional, "server_address", lambda: "http://127.0.0.1:1/api")
    with pytest.raises(
        IncompleteError, match=r"^Prefect's server is gone .*vantages that have started go on"
    ) as raised:
        regional.regional(spec, results=str(tmp_path), reports=tmp_path, as_json=True)
    assert "\n" not in str(raised.value)
