"""The message of a run that stopped: its command is right as it is, and is what the real programs read."""

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from prefect import runtime

from pullbench.app.run import RunRequest
from pullbench.bench.specfile import spec_of
from pullbench.model.record import RunKind
from pullbench.model.spec import Overrides
from pullbench.store.dataset import ResultStore
from tasks.resuming import how_to_resume
from tests.bench.samples import spec_data
from tests.cli.command_lines import parsed
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe

SPEC = Path("specs/a.yaml")
ELSEWHERE: dict[str, Any] = {"results": "/srv/my results", "reports": Path("it's here")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    return synthetic.make(tmp_path_factory.mktemp("results"), Recipe(engines=("wire",), blocks=1, warmup=0, pulls=1))


def said(store: ResultStore, *, kind: RunKind = "benchmark", is_measured: bool = False, **request: Any) -> str:
    run = dataclasses.replace(store.run(RUN_ID), kind=kind)
    made = RunRequest(**{"spec": SPEC, "kind": kind, **request})
    return how_to_resume(made, run, is_measured=is_measured)


def pasted(message: str) -> list[str]:
    (command,) = re.findall(r"`(.+)`", message)
    return shlex.split(command)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        ({}, {}),
        (ELSEWHERE, ELSEWHERE),
        ({"spec": Path("my specs/a 'b'.yaml")}, {}),
        ({"results": "s3://bucket/pulls;1"}, {"results": "s3://bucket/pulls;1"}),
        ({"vantage": "eu west"}, {"vantage": "eu west"}),
        ({"skip_preflight": True, "report": False}, {"skip_preflight": True, "no_report": True}),
        ({"only": ("api", "tls")}, {"only": ["api", "tls"]}),
        ({"skip": ("catalog",)}, {"skip": ["catalog"]}),
    ],
    ids=["defaults", "other places", "a path with spaces", "a bucket", "a vantage", "flags", "only", "skip"],
)
@pytest.mark.parametrize(("kind", "command"), [("benchmark", "run"), ("stress", "stress")])
def test_the_command_of_a_stopped_run_is_read_as_the_same_run(
    store: ResultStore, kind: RunKind, command: str, request_: dict[str, Any], wanted: dict[str, Any]
) -> None:
    message = said(store, kind=kind, **request_)
    assert f"resume = {RUN_ID}" in message
    program, *arguments = pasted(message)
    name, values = parsed(arguments)
    defaults = parsed([command, "x.yaml"])[1]
    assert (program, name) == ("pullbench", command)
    assert values == {**defaults, "spec": request_.get("spec", SPEC), "resume": RUN_ID, **wanted}


@pytest.mark.parametrize(
    "request_",
    [{"spec": spec_of(spec_data())}, {"sets": ("seed=2",)}, {"overrides": Overrides(repetitions=3)}],
    ids=["no spec file", "settings", "overrides"],
)
def test_what_only_the_deployment_can_resume_is_started_there(store: ResultStore, request_: dict[str, Any]) -> None:
    program, *arguments = pasted(said(store, **request_, **ELSEWHERE))
    assert program == "prefect"
    assert arguments[:3] == ["deployment", "run", "pull-benchmark/pull-benchmark"]
    given = dict(pair.split("=", 1) for pair in arguments[4::2])
    assert set(arguments[3::2]) == {"-p"}
    assert given == {"resume": RUN_ID, **{name: str(value) for name, value in ELSEWHERE.items()}}


def test_a_measured_run_lacks_its_report_only(store: ResultStore) -> None:
    _, *arguments = pasted(said(store, is_measured=True, **ELSEWHERE))
    name, values = parsed(arguments)
    assert name == "report" and values["run_id"] == RUN_ID
    assert {key: values[key] for key in ELSEWHERE} == ELSEWHERE


def test_a_workers_message_names_the_directory_that_its_paths_begin_in(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert str(tmp_path) not in said(store)
    monkeypatch.setattr(runtime.deployment, "id", "1", raising=False)
    monkeypatch.chdir(tmp_path)
    for is_measured in (True, False):
        assert f" in {tmp_path}: `pullbench " in said(store, is_measured=is_measured)


def test_a_calibration_cannot_be_resumed(store: ResultStore) -> None:
    assert "start another calibration" in said(store, kind="calibration")
