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
    assert pushed == (
        "set-up, not timed: 12.5 kB of synthetic images, pushed to eu/pullbench/cold and deleted again where the registry "
        "allows it"
    )
    assert warm_up == "cold mirrors have no warm-up"


def test_a_command_is_told_without_its_arguments() -> None:
    reset, _ = lines("cold", cold={"reset": ["empty", "--password", "hunter2"]})
    assert reset == "set-up, not timed: empty is run before 3 trials, to empty cache"


def test_what_fills_a_clients_store_is_told() -> None:
    asked = spec(matrix={"registries": ["eu"], "engines": ["podman"], "cache": ["warm"]}, warmup=1, repetitions=3)
    (told,) = setup_notes(plan(asked, facts()), asked)
    assert told == "set-up, not timed: 8.12 kB pulled into stores of engines before 4 trials, to warm them"


def test_what_warms_is_told() -> None:
    (warmed,) = lines("warm")
    assert warmed.startswith("set-up, not timed: 8.12 kB pulled through mirrors before 4 trials, to warm them")
