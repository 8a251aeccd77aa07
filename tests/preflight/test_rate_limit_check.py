"""rate-limit: what is left holds the plan."""

from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import plan
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import rate_limit
from pullbench.preflight.checks.rate_limit import Allowance, RateLimit, read_rate_limit
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.preflight.contexts import NOW, ROUTE

HUB = Route(registry="hub", url="https://registry-1.docker.io")


def judged(route: Route = ROUTE, **fields: Any) -> Finding:
    fields = {"image": "app:1.0", "blocks": 6, "warmup": 1, **fields}
    (found,) = rate_limit.judge(Allowance(**fields), Target(route=route))
    return found


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        (
            {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"},
            RateLimit(limit=100, remaining=76, window_s=21600),
        ),
        (
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "59", "x-ratelimit-reset": "30"},
            RateLimit(limit=60, remaining=59, reset_s=30),
        ),
        (
            {"x-ratelimit-remaining": "5", "x-ratelimit-reset": str(int(NOW.timestamp()) + 90)},
            RateLimit(remaining=5, reset_s=90),
        ),
        (
            {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
            RateLimit(limit=100, remaining=50, window_s=60, reset_s=30),
        ),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, RateLimit(limit=100, remaining=50, reset_s=5)),
        ({"ratelimit-remaining": "0", "retry-after": "120"}, RateLimit(remaining=0, reset_s=120)),
    ],
)
def test_every_dialect_is_read(headers: dict[str, str], limit: RateLimit) -> None:
    assert read_rate_limit(headers, NOW) == limit


@pytest.mark.parametrize(
    "headers",
    [{}, {"retry-after": "5"}, {"ratelimit-limit": "many"}, {"ratelimit-limit": "9" * 40}, {"x-ratelimit-limit": "-1"}],
)
def test_what_states_no_limit_is_none(headers: dict[str, str]) -> None:
    assert read_rate_limit(headers, NOW) is None


def test_what_holds_the_plan_passes() -> None:
    found = judged(limit=RateLimit(limit=100, remaining=76, window_s=21600), cost=60)
    assert (found.status, "76 of 100" in found.observed, "6 h" in found.observed) == (Status.PASS, True, True)
    assert "60 manifest requests" in found.expected


def test_a_plan_that_takes_most_of_it_is_a_warning_with_the_repetitions_that_fit() -> None:
    found = judged(limit=RateLimit(limit=100, remaining=76), cost=72, headers={"docker-ratelimit-source": "192.0.2.1"})
    assert found.status is Status.WARN
    assert all(part in found.observed for part in ("192.0.2.1", "72 manifest requests", "95%"))
    # 12 a block: 80% of 76 holds 5 blocks, one of them the warm-up.
    assert "`--set repetitions=4`" in found.remedy


def test_a_plan_that_asks_for_more_than_is_left_fails() -> None:
    found = judged(HUB, limit=RateLimit(limit=100, remaining=76), cost=200)
    assert found.status is Status.FAIL
    assert found.code is ErrorCode.RATE_LIMITED
    assert "124 too few" in found.observed and "200 manifest requests" in found.observed
    assert "`docker login docker.io`" in found.remedy
    assert "remoteurl: https://registry-1.docker.io" in found.remedy
    assert "upstream: hub" in found.remedy


def test_where_not_one_repetition_fits_fewer_images_do() -> None:
    assert "use fewer images" in judged(limit=RateLimit(remaining=10), cost=120).remedy


def test_who_is_logged_in_is_not_told_to_log_in() -> None:
    assert "docker login" not in judged(limit=RateLimit(remaining=10), cost=120, authenticated=True).remedy


@pytest.mark.parametrize("cost", [None, 0, 5])
def test_nothing_left_fails_also_without_a_plan(cost: int | None) -> None:
    assert judged(limit=RateLimit(limit=100, remaining=0), cost=cost).status is Status.FAIL


def test_without_a_plan_something_left_is_enough() -> None:
    assert judged(limit=RateLimit(limit=100, remaining=1)).status is Status.PASS


def test_a_limit_without_what_is_left_is_held_against_the_plan_itself() -> None:
    assert judged(limit=RateLimit(limit=100), cost=101).status is Status.FAIL
    assert "100 requests" in judged(limit=RateLimit(limit=100), cost=1).observed


def test_429_fails_with_how_long_to_wait() -> None:
    fault = ObservedFault(code=ErrorCode.RATE_LIMITED, text="HEAD x: 429", status=429)
    found = judged(fault=fault, retry_after_s=7200.0)
    assert (found.status, found.code, found.parameters["status"]) == (Status.FAIL, fault.code, "429")
    assert found.remedy.startswith("wait 2 h")


def test_no_stated_limit_passes_and_no_image_is_not_run() -> None:
    assert "3 manifest requests" in judged(cost=3).observed
    assert judged(image=None).status is Status.SKIP


def test_the_plan_s_cost_is_of_this_way_alone_and_the_limit_is_read_by_head() -> None:
    registry = holding("app", "1.0", Image())
    told = {"RateLimit-RateLimit": "100;w=21600", "RateLimit-Remaining": "90;w=21600"}

    def handle(request: httpx.Request) -> httpx.Response:
        answer = registry.serve(request)
        answer.headers.update(told)
        return answer

    registry.handler = handle
    spec = spec_over("eu", "us", repetitions=4, warmup=1, pulls_per_trial=3)
    facts = Facts(host_platform="linux/amd64", offline=True)
    context = context_of({"eu": registry, "us": registry}, spec, facts=facts, plan=plan(spec, facts))
    found = findings_of(rate_limit.CHECK, context)
    # 5 blocks of 3 pulls; offline, each may be of an index: 2 requests.
    assert ["30 manifest requests" in each.expected for each in found] == [True] * 2
    assert {request.method for request in registry.requests} == {"HEAD"}


def test_a_429_to_the_probe_is_evidence() -> None:
    registry = holding("app", "1.0", Image())
    registry.handler = lambda request: httpx.Response(429, headers={"Retry-After": "60"})
    (found,) = findings_of(rate_limit.CHECK, context_of({"eu": registry}, spec_over("eu")))
    assert found.status is Status.FAIL
    assert found.remedy.startswith("wait 1 min")


@pytest.mark.parametrize(("wait", "status"), [({}, Status.WARN), ({"Retry-After": "120"}, Status.FAIL)])
def test_a_429_of_the_box_in_front_is_a_rate_unless_it_asks_for_a_long_wait(
    wait: dict[str, str], status: Status
) -> None:
    registry = holding("app", "1.0", Image())
    page = b"<html><head><title>429 Too Many Requests</title></head><center>nginx</center></html>"
    headers = {"Content-Type": "text/html", "Server": "nginx", **wait}
    registry.handler = lambda request: httpx.Response(429, headers=headers, content=page)
    (found,) = findings_of(rate_limit.CHECK, context_of({"eu": registry}, spec_over("eu")))
    assert (found.status, found.code, "limit_req" in found.remedy) == (status, "rate_limited", status is Status.WARN)


@pytest.mark.parametrize(
    "limit", [RateLimit(limit=60, remaining=59, window_s=60), RateLimit(limit=60, remaining=59, reset_s=60)]
)
def test_a_window_of_a_minute_passes_while_the_plan_runs_so_it_is_a_warning_with_the_rate_that_fits(
    limit: RateLimit,
) -> None:
    found = judged(limit=limit, cost=500)
    assert found.status is Status.WARN
    assert "windows of 1 min" in found.observed
    assert "`load: {mode: open, rate: 0.4}`" in found.remedy
    assert judged(limit=RateLimit(limit=60, remaining=0, window_s=60), cost=500).status is Status.FAIL


def test_ways_that_share_a_limit_are_counted_together() -> None:
    url = "https://eu.example"
    registries = [
        {"name": "eu", "url": url, "credentials": "anonymous"},
        {"name": "again", "url": url, "credentials": "anonymous"},
        {"name": "known", "url": url, "credentials": "env:CI"},
        {"name": "us", "url": "https://us.example", "credentials": "anonymous"},
    ]
    proxies = [{"name": "squid", "kind": "forward", "url": "http://squid.example:3128"}]
    matrix = {"platforms": ["linux/amd64"], "proxies": ["direct", "squid"]}
    changes = {"registries": registries, "proxies": proxies, "matrix": matrix}
    spec = spec_over(repetitions=1, warmup=0, pulls_per_trial=1, **changes)
    facts = Facts(host_platform="linux/amd64", offline=True)
    with context_of({}, spec, plan=plan(spec, facts)) as context:
        costs = {
            route.name: rate_limit.cost_of(context, route, authenticated=route.registry == "known")
            for route in context.routes
        }
    # Anonymous: by the address that is seen, which is the proxy's behind it. Known: by the account, wherever it comes from.
    assert costs == {
        "eu": 4,
        "eu via squid": 4,
        "again": 4,
        "again via squid": 4,
        "known": 4,
        "known via squid": 4,
        "us": 2,
        "us via squid": 2,
    }
