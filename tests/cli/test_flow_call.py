"""A flow that a command calls: its outcome or its error comes back, and a Prefect server that is gone is no bug of ours."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import yaml

from pullbench.cli.commands import regional
from pullbench.cli.flow_call import outcome_of
from pullbench.cli.terminal import interruption
from pullbench.errors import IncompleteError, UsageError
from tests.bench.samples import spec_data


@dataclass
class Left:
    """What a flow left."""

    outcome: str | None = None
    error: Exception | None = None
    notes: list[str] = field(default_factory=list)


GONE = httpx.ConnectError("All connection attempts failed")


@pytest.fixture(autouse=True)
def _nothing_hurries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_hurried", [])
    monkeypatch.setattr(interruption, "_received", [])


def called(left: Left, raises: BaseException | None = None) -> str:
    def call() -> None:
        if raises is not None:
            raise raises

    return outcome_of(left, call, incomplete=lambda what: f"{what}; go on", note=left.notes.append)


def test_what_a_flow_left_comes_back() -> None:
    left = Left(outcome="done")
    assert called(left) == "done"
    assert left.notes == [] and not interruption.hurried()


def test_guard_server_gone_an_outcome_stands_though_the_server_went_away() -> None:
    left = Left(outcome="done")
    assert called(left, GONE) == "done"
    assert left.notes[0].startswith("Prefect's server is gone (All connection attempts failed)")
    assert interruption.hurried(), "nobody takes the events that Prefect would wait to send"


@pytest.mark.parametrize("left", [Left(), Left(error=GONE), Left(error=httpx.ReadError(""))])
def test_guard_server_gone_without_an_outcome_it_is_incomplete_and_says_how_to_go_on(left: Left) -> None:
    with pytest.raises(IncompleteError, match=r"^Prefect's server is gone \(.+\); go on$"):
        called(left, GONE)
    assert interruption.hurried()


def test_a_flow_that_met_a_server_that_was_gone_for_a_moment_is_incomplete_too() -> None:
    with pytest.raises(IncompleteError, match="Prefect's server is gone"):
        called(Left(error=GONE))


def test_the_flows_own_error_is_the_one_that_is_told() -> None:
    with pytest.raises(UsageError, match="no such spec"):
        called(Left(error=UsageError("no such spec")), GONE)


def test_no_outcome_and_no_error_is_incomplete() -> None:
    with pytest.raises(IncompleteError, match=r"cancelled in the UI\?\); go on"):
        called(Left())


def test_an_interruption_is_one_whatever_the_library_made_of_it() -> None:
    interruption._received.append(2)
    with pytest.raises(KeyboardInterrupt):
        called(Left(), RuntimeError("task engine"))


def test_guard_server_gone_regional_says_so_in_one_line_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(spec_data()))

    @contextmanager
    def invoked_by(_: object) -> Iterator[None]:
        yield

    def flow(**_: object) -> None:
        raise GONE

    stub = SimpleNamespace(
        RegionalInvocation=lambda note: Left(notes=[]), invoked_by=invoked_by, regional_benchmark=flow
    )
    monkeypatch.setitem(sys.modules, "flows.regional_benchmark", stub)
    monkeypatch.setattr(regional, "PrefectStart", lambda _: SimpleNamespace(wait=lambda: None))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with pytest.raises(
        IncompleteError, match=r"^Prefect's server is gone .*vantages that have started go on"
    ) as raised:
        regional.run_regional(
            spec, vantages=[], sets=[], in_turn=False, start_within_minutes=1, finish_within_minutes=1,
            results=str(tmp_path), reports=tmp_path, as_json=True,
        )  # fmt: skip
    assert "\n" not in str(raised.value)
