"""The limit on open files, which a crowd of connections may reach."""

import resource

import pytest

from pullbench.engines import open_files
from pullbench.engines.open_files import allow_connections
from pullbench.errors import IncompleteError
from tests.engines.wire_bench import bench, setup


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """`soft` and `hard` of a process that is made up."""
    found = {"soft": 1024, "hard": 524_288}
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _: (found["soft"], found["hard"]))
    monkeypatch.setattr(open_files.resource, "setrlimit", lambda _, both: found.update(soft=both[0], hard=both[1]))
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


def test_no_limit_at_all_allows_everything(limits: dict[str, int]) -> None:
    limits.update(soft=resource.RLIM_INFINITY, hard=resource.RLIM_INFINITY)
    allow_connections(10_000, engine="wire")
    assert limits["soft"] == resource.RLIM_INFINITY


def test_a_trial_that_the_system_allows_too_few_files_says_so_and_does_not_blame_the_registry(
    limits: dict[str, int],
) -> None:
    limits["hard"] = 256
    said = r"engine 'wire': 400 connections at once .* may have 256; .*ulimit -Hn"
    with bench(opened=False, engine={"layer_concurrency": 4}) as b, pytest.raises(IncompleteError, match=said):
        b.engine.open_trial(setup(b.request, 100))
