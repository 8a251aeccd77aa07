"""The limit on open files, which a crowd of connections may reach."""

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import Literal

import psutil
import pytest

from pullbench.engines.wire import engine
from pullbench.engines.wire.curl_multi import Multiplexer
from pullbench.engines.wire.engine import OF_A_HANDLE, OF_A_MULTIPLEXER, allow_connections
from pullbench.errors import IncompleteError
from tests.engines.wire_bench import bench, setup

PULLS = 200


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """`soft` and `hard` of a process that is made up."""
    found = {"soft": 1024, "hard": 524_288}
    monkeypatch.setattr(engine.resource, "getrlimit", lambda _: (found["soft"], found["hard"]))
    monkeypatch.setattr(engine.resource, "setrlimit", lambda _, both: found.update(soft=both[0], hard=both[1]))
    return found


def test_the_soft_limit_of_a_usual_shell_is_raised_for_a_thousand_pulls(limits: dict[str, int]) -> None:
    allow_connections(4000, engine="wire")
    assert limits["soft"] >= 4000 and limits["hard"] == 524_288


def test_a_limit_that_suffices_stays(limits: dict[str, int]) -> None:
    allow_connections(16, engine="wire")
    assert limits["soft"] == 1024


def test_no_more_is_asked_for_than_there_is(limits: dict[str, int]) -> None:
    limits["hard"] = 4400
    allow_connections(4000, engine="wire")
    assert limits["soft"] == 4400


@pytest.mark.parametrize(("kernel", "refused"), [(10_240, False), (3_000, True)])
def test_a_kernel_that_allows_less_than_its_hard_limit_is_asked_for_what_is_needed(
    limits: dict[str, int], monkeypatch: pytest.MonkeyPatch, kernel: int, refused: bool
) -> None:
    def within(_: int, both: tuple[int, int]) -> None:
        if both[0] > kernel:
            raise ValueError("current limit exceeds maximum limit")
        limits["soft"] = both[0]

    monkeypatch.setattr(engine.resource, "setrlimit", within)
    with pytest.raises(IncompleteError, match="1,024") if refused else nullcontext():
        allow_connections(4000, engine="wire")
    assert limits["soft"] == (1024 if refused else 4128)


def test_no_limit_at_all_allows_everything(limits: dict[str, int]) -> None:
    limits.update(soft=resource.RLIM_INFINITY, hard=resource.RLIM_INFINITY)
    allow_connections(10_000, engine="wire")
    assert limits["soft"] == resource.RLIM_INFINITY


@pytest.mark.parametrize(("changes", "auth"), [({"http_version": "2"}, "persisted"), ({}, "per-pull")])
def test_a_multiplexer_for_each_pull_counts_its_own_files(
    limits: dict[str, int], changes: dict[str, object], auth: Literal["persisted", "per-pull"]
) -> None:
    limits["hard"] = 700
    engine = {"layer_concurrency": 1, **changes}
    with bench(opened=False, engine=engine) as b, pytest.raises(IncompleteError, match="need 1,328 open files"):
        b.engine.open_trial(setup(replace(b.request, auth=auth), PULLS))


def test_the_files_of_a_handle_and_of_a_multiplexer_are_as_many_as_they_open() -> None:
    process = psutil.Process()
    with ThreadPoolExecutor(1) as executor, bench() as b:
        before = process.num_fds()
        multiplexer = Multiplexer(executor, time.monotonic)
        with multiplexer.handles.one():
            assert process.num_fds() - before <= OF_A_MULTIPLEXER
        multiplexer.close()
        assert b.pull().ok
        connected = [each for each in process.net_connections("tcp") if each.raddr]
        ours = [each for each in connected if f":{each.raddr.port}" in b.request.route.url]
        assert ours and process.num_fds() - before <= len(connected) + OF_A_HANDLE * len(ours)


def test_a_trial_that_the_system_allows_too_few_files_says_so_and_does_not_blame_the_registry(
    limits: dict[str, int],
) -> None:
    limits["hard"] = 256
    said = r"engine 'wire': 400 concurrent connections .* 256; .*ulimit -Hn"
    with bench(opened=False, engine={"layer_concurrency": 4}) as b, pytest.raises(IncompleteError, match=said):
        b.engine.open_trial(setup(b.request, 100))
