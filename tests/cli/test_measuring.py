"""How a measuring command ends: its run is called directly or through its flow, and a server that is gone takes nothing with it."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from prefect.exceptions import ParameterTypeError
from rich.console import Console

from pullbench.app.progress import Outcome, Progress, hand_over, watcher
from pullbench.app.run import RunRequest, conduct, preparing
from pullbench.app.steps import DirectSteps
from pullbench.bench.workbench import Workbench
from pullbench.cli import regional
from pullbench.cli.measuring import Measuring, measure_spec
from pullbench.cli.terminal import interruption
from pullbench.cli.terminal.progress import ShellProgress
from pullbench.errors import IncompleteError, InterruptedRunError, PreflightFailed, UsageError
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.serving import flow as flows
from pullbench.serving.flow import NoServerError, ServerGoneError, call_flow
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


def through_flow(body: Body, request: RunRequest, monkeypatch: pytest.MonkeyPatch) -> Measuring:
    """A measuring command whose flow is `body`; call `through_flow` of it."""

    def called(_name: str, parameters: dict[str, Any], **_: object) -> Any:
        return body(**parameters)

    monkeypatch.setattr(flows, "call_flow", called)
    return Measuring(ShellProgress(Console(stderr=True)), request, as_json=True)


def conducted(request: RunRequest) -> Outcome:
    """What a flow's body does, as far as a command sees it."""
    with preparing(request) as prepared:
        return conduct(prepared, DirectSteps(), Progress())


@pytest.mark.parametrize("by_flow", [False, True])
def test_a_failed_check_is_printed_once(
    by_flow: bool, request_: RunRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = dataclasses.replace(request_, skip_preflight=False)
    failed = [
        Finding(check="tcp", target=name, status=Status.FAIL, observed=f"{name} refused", remedy=f"start {name}")
        for name in ("eu", "us")
    ]
    monkeypatch.setattr(DirectSteps, "preflight", lambda *_: failed)
    measuring = through_flow(lambda: conducted(request), request, monkeypatch)
    with pytest.raises(PreflightFailed) as ended:
        if by_flow:
            measuring.through_flow("pull_benchmark", {})
        else:
            measuring.directly(lambda: preparing(request))
    said = capsys.readouterr().err
    assert said.count("start eu") == said.count("start us") == 1
    assert "2 checks failed" in str(ended.value) and "start" not in str(ended.value)
    assert "start eu" in str(ended.value.__cause__), "the run is stored with the finding"


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
    measuring = through_flow(lambda: conducted(request_), request_, monkeypatch)
    assert measuring.through_flow("pull_benchmark", {}) == 0
    (run,) = ResultStore(request_.results).runs()
    assert json.loads(capsys.readouterr().out)["run_id"] == run.run_id


def test_a_server_that_goes_away_in_mid_run_leaves_an_incomplete_run_and_says_how_to_go_on(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> Outcome:
        with preparing(request_) as prepared:
            active = prepared.begin()
            watcher().planned(active.record, active.plan, 0)
        raise ServerGoneError("Prefect's server is gone (x)")

    measuring = through_flow(body, request_, monkeypatch)
    with pytest.raises(IncompleteError, match=r"^Prefect's server is gone \(x\); .*`--resume ") as ended:
        measuring.through_flow("pull_benchmark", {})
    (run,) = ResultStore(request_.results).runs()
    assert run.run_id in str(ended.value) and ended.value.exit_code == 3


@pytest.mark.promise("accidents", "An interrupted run ends with exit 3, and its last line says how to continue")
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

    measuring = through_flow(body, request_, monkeypatch)
    with pytest.raises(InterruptedRunError, match=r"^interrupted; .*`--resume ") as ended:
        measuring.through_flow("pull_benchmark", {})
    (run,) = ResultStore(request_.results).runs()
    assert run.run_id in str(ended.value) and ended.value.exit_code == 3


@pytest.mark.parametrize("by_flow", [False, True])
def test_an_interruption_after_the_last_trial_names_the_report_and_nothing_to_resume(
    by_flow: bool, request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ShellProgress, "ended", interrupted)
    measuring = through_flow(lambda: conducted(request_), request_, monkeypatch)
    with pytest.raises(InterruptedRunError) as ended:
        if by_flow:
            measuring.through_flow("pull_benchmark", {})
        else:
            measuring.directly(lambda: preparing(request_))
    (run,) = ResultStore(request_.results).runs()
    assert run.status == "complete"
    assert f"`pullbench report {run.run_id}`" in str(ended.value) and "--resume" not in str(ended.value)


def test_an_error_of_the_flows_body_is_the_commands_own(request_: RunRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> Outcome:
        raise UsageError("no such spec")

    with pytest.raises(UsageError, match="no such spec"):
        through_flow(body, request_, monkeypatch).through_flow("pull_benchmark", {})


@pytest.mark.parametrize(
    "setting",
    [
        "proxies[0].headers={X-Token: hunter2}",
        "proxies[0]={name: m, kind: mirror, headers: {X-Token: hunter2}}",
        "proxies=[{name: m, headers: {X-Token: hunter2}}]",
        "registries[0].url=https://me:hunter2@r.example.com",
    ],
)
def test_a_setting_that_may_hold_a_secret_does_not_reach_prefect(
    setting: str, request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "call_flow", lambda *_, **__: pytest.fail("Prefect was given a secret"))
    with pytest.raises(UsageError) as refused:
        measure_spec(dataclasses.replace(request_, sets=(setting,)), as_json=True, prefect=True)
    assert "hunter2" not in str(refused.value)


def called(
    monkeypatch: pytest.MonkeyPatch,
    *,
    handed_over: object = None,
    carried: object = None,
    raises: Exception | None = None,
    note: Callable[[str], None] = print,
) -> Any:
    """Call a flow that hands something over, raises, or whose state carries something of Prefect's own."""

    def flow(**parameters: object) -> SimpleNamespace:
        assert parameters.pop("return_state") is True
        if handed_over is not None:
            hand_over(handed_over)
        if raises is not None:
            raise raises
        return SimpleNamespace(result=lambda raise_on_failure: carried)

    monkeypatch.setattr(flows, "_reach_server", lambda _: None)
    monkeypatch.setattr(flows, "_load", lambda _: flow)
    return call_flow("pull_benchmark", {}, note=note)


def test_what_a_flow_hands_over_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch, handed_over="an outcome") == "an outcome"
    with pytest.raises(UsageError, match="no such spec"):
        called(monkeypatch, handed_over=UsageError("no such spec"))


@pytest.mark.promise(
    "accidents",
    "Prefect server gone during a run: the run ends with its own exit code, and one line reports that the server is gone",
)
def test_the_outcome_stands_though_the_server_went_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    assert called(monkeypatch, handed_over="an outcome", raises=GONE, note=notes.append) == "an outcome"
    assert "connection attempts failed" in notes[0]


def test_the_flows_own_error_goes_before_that_of_a_server_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PreflightFailed, match="tcp of eu"):
        called(monkeypatch, handed_over=PreflightFailed("tcp of eu"), raises=GONE)


def test_no_outcome_and_no_error_is_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IncompleteError, match="without an outcome"):
        called(monkeypatch)


@pytest.mark.parametrize("where", ["raises", "carried"])
def test_a_server_that_is_gone_is_told_as_one(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {where: GONE}
    with pytest.raises(ServerGoneError, match=r"^Prefect's server is gone \(All connection attempts failed\)$"):
        called(monkeypatch, **given)


def test_prefects_own_server_that_does_not_start_is_incomplete_and_a_refused_parameter_is_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")
    with pytest.raises(NoServerError, match="did not start"):
        called(monkeypatch, raises=slow)
    with pytest.raises(UsageError, match="refuses its parameters"):
        called(monkeypatch, raises=ParameterTypeError("vantage: too short"))
    with pytest.raises(ZeroDivisionError):
        called(monkeypatch, raises=ZeroDivisionError("a bug"))


def test_a_wrong_spec_is_told_before_any_server_is_contacted(
    request_: RunRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "call_flow", lambda *_, **__: pytest.fail("a server was contacted"))
    with pytest.raises(UsageError, match="no such file"):
        measure_spec(dataclasses.replace(request_, spec=Path("nowhere.yaml")), as_json=True, prefect=True)


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
        IncompleteError, match=r"^Prefect's server is gone .*vantages that have started continue"
    ) as raised:
        regional.regional(spec, results=str(tmp_path), reports=tmp_path, as_json=True)
    assert "\n" not in str(raised.value)
