"""What a plan says of its set-up."""

from typing import Any

from pullbench.app.run import setup_notes
from pullbench.model.plan import plan
from tests.model.test_plan import MIRROR, facts, spec


def lines(*states: str, cold: dict[str, Any] | None = None) -> list[str]:
    matrix = {"registries": ["eu"], "proxies": ["cache"], "proxy_cache": list(states)}
    asked = spec(proxies=[{**MIRROR, "cold": cold}], matrix=matrix, warmup=1, repetitions=3)
    return setup_notes(plan(asked, facts()), asked)


def test_a_run_that_leaves_mirrors_alone_has_nothing_to_say() -> None:
    assert lines("any") == []


def test_what_is_pushed_is_told_with_its_place() -> None:
    pushed, warm_up = lines("any", "cold", cold={"push": "pullbench/cold"})
    assert "12.5 kB" in pushed and "eu/pullbench/cold" in pushed
    assert "no warm-up" in warm_up


def test_a_command_is_told_without_its_arguments() -> None:
    reset, _ = lines("cold", cold={"reset": ["empty", "--password", "hunter2"]})
    assert "empty runs" in reset and "3 trials" in reset


def test_what_fills_a_clients_store_is_told() -> None:
    asked = spec(matrix={"registries": ["eu"], "engines": ["podman"], "cache": ["warm"]}, warmup=1, repetitions=3)
    (told,) = setup_notes(plan(asked, facts()), asked)
    assert "8.12 kB" in told and "before 4 trials" in told


def test_what_warms_is_told() -> None:
    (warmed,) = lines("warm")
    assert "8.12 kB" in warmed and "before 4 trials" in warmed
