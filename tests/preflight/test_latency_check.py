import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import latency
from pullbench.preflight.checks.latency import ApiLatencies
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.preflight.contexts import ROUTE, context_over, spec_of, target_of
from tests.registry.fake_registry import FakeRegistry

TARGET = Target(route=ROUTE)
SERVER_ERROR = ObservedFault(code=ErrorCode.SERVER_ERROR, text="GET https://r.example/v2/: 503")
RATE_LIMITED = ObservedFault(code=ErrorCode.RATE_LIMITED, text="GET https://r.example/v2/: 429")


def judged(fast: int, slow: int = 0, *faults: ObservedFault, target_s: float | None = 2.0) -> Finding:
    answered = (0.001,) * fast + (2.001,) * slow
    findings = latency.judge(ApiLatencies(answered_s=answered, faults=faults, target_s=target_s), TARGET)
    assert len(findings) == 1
    return findings[0]


@pytest.mark.parametrize(
    ("fast", "slow", "status"),
    [
        (200, 0, Status.PASS),
        (198, 2, Status.PASS),
        (197, 3, Status.FAIL),
        (99, 1, Status.PASS),
        (98, 1, Status.WARN),
        (97, 2, Status.FAIL),
        (2, 1, Status.WARN),
        (0, 1, Status.FAIL),
        (0, 3, Status.FAIL),
    ],
)
def test_more_than_one_percent_over_the_slo_fails_and_a_single_one_of_few_warns(
    fast: int, slow: int, status: Status
) -> None:
    assert judged(fast, slow).status is status


def test_exactly_the_slo_is_not_over_it() -> None:
    assert latency.judge(ApiLatencies(answered_s=(2.0,) * 5, target_s=2.0), TARGET)[0].status is Status.PASS


def test_percentiles_are_shown_where_there_are_enough_probes_for_them() -> None:
    many, few = judged(200).observed, judged(39).observed
    assert all(part in many for part in ("p50 1.0 ms", "p95 1.0 ms", "p99 1.0 ms", "slowest 1.0 ms", "200 probes"))
    assert all(part in few for part in ("p50 1.0 ms", "slowest 1.0 ms", "39 probes", "3 s"))
    assert "p95" not in few and "p99" not in few
    assert "p95" in judged(40).observed


def test_a_miss_says_how_many_and_how_to_see_where_the_time_goes() -> None:
    found = judged(150, 50)
    assert "50 of 200" in found.observed and "2 s" in (found.expected or "")
    assert "%{time_starttransfer}" in found.remedy
    assert "https://registry.example.com/v2/`" in found.remedy


def test_without_an_slo_the_latency_is_reported_and_not_judged() -> None:
    found = judged(0, 50, target_s=None)
    assert found.status is Status.PASS
    assert "2001.0 ms" in found.observed and "slo.p99_api_s" in found.observed
    assert "2 s" not in (found.expected or "")


def test_probes_that_fail_count_as_too_slow_and_name_the_code() -> None:
    found = judged(100, 0, SERVER_ERROR, SERVER_ERROR)
    assert found.status is Status.FAIL
    assert found.observed.startswith("[server_error] p50 1.0 ms")
    assert "2 of 102 failed" in found.observed and " over " not in found.observed
    assert judged(0, 0, SERVER_ERROR, target_s=None).status is Status.FAIL


def test_a_rate_limit_that_ends_the_probes_is_a_warning() -> None:
    found = judged(50, 0, RATE_LIMITED)
    assert (found.status, found.code) == (Status.WARN, ErrorCode.RATE_LIMITED)
    assert "docker login registry.example.com" in found.remedy
    assert judged(50, 3, RATE_LIMITED).status is Status.FAIL


class SlowTime:
    """A clock that a probe moves on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def probed(
    monkeypatch: pytest.MonkeyPatch, takes_s: float, *answers: httpx.Response
) -> tuple[ApiLatencies, FakeRegistry]:
    registry, clock, left = FakeRegistry(), SlowTime(), list(answers)

    def handle(_request: httpx.Request) -> httpx.Response:
        clock.now_s += takes_s
        return left.pop(0) if left else httpx.Response(200, json={})

    registry.handler = handle
    monkeypatch.setattr(latency, "time", clock)
    context = context_over(registry, spec_of(slo={"p99_api_s": 0.5}))
    return latency.probe(context, target_of(context)), registry


def test_a_spec_without_an_slo_gives_the_check_no_target() -> None:
    context = context_over(FakeRegistry(), spec_of())
    assert latency.probe(context, target_of(context)).target_s is None


def test_a_fast_registry_gets_as_many_probes_as_a_p99_needs_and_one_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, registry = probed(monkeypatch, 0.001)
    assert (len(evidence.answered_s), evidence.target_s) == (200, 0.5)
    assert len(registry.requests) == 201
    assert registry.authorizations == [None] * 201


@pytest.mark.parametrize(("takes_s", "made"), [(0.1, 30), (2.0, 3), (9.0, 3), (30.0, 1)])
def test_a_slow_registry_gets_fewer(monkeypatch: pytest.MonkeyPatch, takes_s: float, made: int) -> None:
    assert abs(probed(monkeypatch, takes_s)[0].made - made) <= 1


@pytest.mark.parametrize(("status", "made"), [(503, 3), (429, 1)])
def test_a_registry_that_fails_is_left_in_peace(monkeypatch: pytest.MonkeyPatch, status: int, made: int) -> None:
    ok = httpx.Response(200, json={})
    evidence, registry = probed(monkeypatch, 0.001, ok, ok, *[httpx.Response(status) for _ in range(9)])
    assert len(evidence.faults) == made
    assert len(registry.requests) == 2 + made


def test_slow_probes_and_failed_ones_are_counted_apart() -> None:
    observed = judged(0, 1, SERVER_ERROR, SERVER_ERROR).observed
    assert "; 1 of 3 over 2 s; 2 of 3 failed: " in observed


def test_a_registry_that_refuses_anonymous_clients_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, _ = probed(monkeypatch, 0.1, *[httpx.Response(403) for _ in range(50)])
    assert evidence.faults == () and evidence.answered_s


def test_a_rate_limit_ends_the_probes_and_makes_the_other_checks_wait() -> None:
    registry, clock, statuses = FakeRegistry(), SlowTime(), [200, 200, 429]
    registry.handler = lambda request: httpx.Response(statuses.pop(0)) if statuses else registry.serve(request)

    def client(route: Route, keychain: Keychain, actions: str = "pull") -> RegistryClient:
        clocked = {"patience_s": 6.0, "monotonic": clock.monotonic, "sleep": clock.sleep}
        return RegistryClient(route, keychain, transport=httpx.MockTransport(registry), **clocked)  # type: ignore[arg-type]

    facts = Facts(host_platform="linux/amd64", offline=True)
    with CheckContext(spec_of(), facts, Keychain(environ={}), client=client) as context:
        target = target_of(context)
        evidence = latency.probe(context, target)
        assert (len(evidence.faults), clock.now_s) == (1, 0.0)
        context.client(target.route).ping()
    assert clock.now_s == 0.5
