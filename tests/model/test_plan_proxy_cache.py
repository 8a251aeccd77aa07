"""The factor `proxy_cache` in a plan: which cells can be, which trials there are, and what they cost in set-up."""

from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.model.plan import Plan, manifest_requests, plan
from pullbench.model.spec import Spec, read_spec
from tests.model.test_plan import FORWARD, MIRROR, facts, spec

PUSH = {**MIRROR, "cold": {"push": "pullbench/cold"}}
RESET = {**MIRROR, "cold": {"reset": ["./empty", "all"]}}


def made(*states: str, proxy: dict[str, Any] = MIRROR, matrix: dict[str, Any] | None = None, **changes: Any) -> Plan:
    chosen = {"registries": ["eu"], "proxies": [proxy["name"]], "proxy_cache": list(states), **(matrix or {})}
    return plan(spec(proxies=[proxy], matrix=chosen, **changes), facts())


def reason(*states: str, **changes: Any) -> str:
    with pytest.raises(UsageError) as refused:
        made(*states, **changes)
    return str(refused.value)


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_way_without_a_known_store_is_planned_out_with_the_way_round(state: str) -> None:
    direct = reason(state, matrix={"proxies": ["direct"]})
    assert f"`proxy_cache: [any, {state}]`" in direct
    forward = reason(state, proxy=FORWARD)
    assert "a forward proxy" in forward and f"`proxy_cache: [any, {state}]`" in forward


def test_a_route_without_a_store_needs_no_advice_where_it_is_measured_as_it_is() -> None:
    found = made("any", "cold", "warm", proxy=PUSH, matrix={"proxies": ["direct", "cache"]})
    (said,) = {entry.reason for entry in found.planned_out}
    assert "`any`" in said and "proxy_cache" not in said


def test_a_cold_cell_that_nothing_makes_cold_is_planned_out_with_both_ways() -> None:
    said = reason("cold")
    assert "'cache' cold" in said
    assert "`cold: {push: REPOSITORY}`" in said and "pushed to 'eu'" in said and "`cold: {reset: [COMMAND]}`" in said


@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_client_that_has_the_image_already_tells_nothing_of_a_mirror(state: str) -> None:
    assert "`cache: [cold]`" in reason(state, proxy=PUSH, matrix={"engines": ["docker"], "cache": ["warm"]})


def test_an_engine_that_pulls_nothing_has_no_mirror() -> None:
    assert "fake pulls nothing" in reason("warm", matrix={"engines": ["fake"]})


def test_base_images_are_none_that_a_mirror_has_never_seen() -> None:
    staged = {"name": "staged", "kind": "wire", "strategy": "base-first", "base_images": ["base:1"]}
    matrix = {"engines": ["staged"]}
    assert "`base_images`" in reason("cold", proxy=PUSH, matrix=matrix, engines=[staged])
    assert made("cold", proxy=RESET, matrix=matrix, engines=[staged]).cells


def test_a_warm_up_block_has_no_cold_trial() -> None:
    found = made("any", "cold", "warm", proxy=PUSH, warmup=2, repetitions=3)
    by_state = {state: [t for t in found.trials if t.cell.proxy_cache == state] for state in ("any", "cold", "warm")}
    assert {state: len(trials) for state, trials in by_state.items()} == {"any": 5, "cold": 3, "warm": 5}
    assert not any(trial.warmup for trial in by_state["cold"])
    assert [trial.number for trial in found.trials] == list(range(13))


def test_by_push_every_pull_has_its_own_image_and_by_a_command_each_image_is_pulled_once() -> None:
    several = {"pulls_per_trial": 6, "warmup": 0, "repetitions": 1}
    assert [len(t.images) for t in made("cold", proxy=PUSH, **several).trials] == [6]
    assert [len(t.images) for t in made("cold", proxy=RESET, **several).trials] == [2]
    assert "after one pull" in reason("cold", proxy=RESET, matrix={"concurrency": [3]})


def test_what_is_pushed_and_what_is_warmed_is_told() -> None:
    run = {"warmup": 0, "repetitions": 2, "pulls_per_trial": 3}
    cold, warm = made("cold", proxy=PUSH, **run), made("warm", **run)
    layer = 2076  # each image of the facts has one, of 1,000 bytes
    assert (cold.pushed_bytes, cold.warmed_bytes) == (2 * 3 * layer, 0)
    assert (warm.pushed_bytes, warm.warmed_bytes) == (0, 2 * (1010 + 1020))
    assert made("cold", proxy=RESET, **run).pushed_bytes == 0
    assert cold.as_dict()["pushed_bytes"] == cold.pushed_bytes


def test_what_warms_a_mirror_counts_against_a_rate_limit() -> None:
    (trial,) = made("warm", warmup=0, repetitions=1, pulls_per_trial=3).trials
    assert manifest_requests(trial, facts()) == 2 * 3 + 2 * 2


def test_sizes_that_are_not_known_are_said_to_be_so() -> None:
    asked = {"registries": ["eu"], "proxies": ["cache"], "proxy_cache": ["cold", "warm"]}
    found = plan(spec(proxies=[PUSH], matrix=asked), facts(offline=True, images=()))
    assert (found.pushed_bytes, found.warmed_bytes) == (None, None)


def mistake(cold: object, **proxy: object) -> str:
    with pytest.raises(UsageError) as refused:
        read(cold, **proxy)
    return str(refused.value)


def read(cold: object, **proxy: object) -> Spec:
    return spec(proxies=[{**MIRROR, "cold": cold, **proxy}])


@pytest.mark.parametrize(
    ("cold", "said"),
    [
        ({}, "proxies[0].cold: "),
        ({"push": "a", "reset": ["b"]}, "proxies[0].cold: "),
        ({"push": "pullbench/cold:1"}, "proxies[0].cold.push: 'pullbench/cold:1' is not a repository"),
        ({"push": "Upper"}, "proxies[0].cold.push: 'Upper' is not a repository name"),
        ({"push": "r.example.com/a"}, "names the host 'r.example.com'"),
        ({"reset": []}, "proxies[0].cold.reset"),
        ({"reset": "rm -rf x"}, "proxies[0].cold.reset: a list is expected: [rm -rf x]"),
        ({"reset": ["a"], "credentials": "docker"}, "`credentials` are for `push`"),
        ({"push": "a", "timeout_s": 5}, "`timeout_s` is for `reset`"),
        ({"push": "a", "timeout_s": 60}, "`timeout_s` is for `reset`"),
    ],
)
def test_a_mistake_in_how_a_mirror_becomes_cold_is_named(cold: object, said: str) -> None:
    assert said in mistake(cold)


def test_a_forward_proxy_takes_no_way_to_be_cold() -> None:
    with pytest.raises(UsageError, match="belong to a mirror"):
        spec(proxies=[{**FORWARD, "cold": {"push": "a"}}])


def test_arguments_of_a_command_are_not_stored_for_they_may_be_secrets() -> None:
    document = read({"reset": ["curl", "-u", "admin:hunter2"]}).redacted()
    assert document["proxies"][0]["cold"]["reset"] == ["curl", "(redacted)", "(redacted)"]


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("http://127.0.0.1:5001/metrics", True),
        ("https://r.example.com/a/metrics", True),
        ("r.example.com/metrics", False),
        ("http://u:p@r.example.com/metrics", False),
        ("http://r.example.com/metrics?token=x", False),
    ],
)
def test_counters_are_read_at_a_url_without_secrets(url: str, right: bool) -> None:
    data = {"name": "a", "images": ["a:1"], "registries": [{"name": "r", "url": "http://r", "counters": url}]}
    if right:
        assert read_spec(data).registries[0].counters == url
    else:
        with pytest.raises(UsageError, match=r"registries\[0\].counters") as refused:
            read_spec(data)
        assert "u:p" not in str(refused.value) and "token" not in str(refused.value)
