"""dns, tcp and api."""

import socket

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.addresses import Endpoint
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import api, dns, tcp
from pullbench.preflight.checks.tcp import ConnectionAttempt
from tests.preflight.contexts import ROUTE, context_over, spec_of, target_of
from tests.registry.fake_registry import FakeRegistry
from tests.registry.sockets import closed_port, listening

TARGET = Target(route=ROUTE)
BY_PROXY = Target(route=Route(registry="eu", proxy="squid", url=ROUTE.url, forward_url="http://squid.example:3128"))


def one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1
    return findings[0]


def attempt(host: str, code: ErrorCode | None = None) -> ConnectionAttempt:
    fault = None if code is None else ObservedFault(code=code, text=f"connect to {host}: no")
    return ConnectionAttempt(address=Endpoint(host=host, port=443), connect_s=0.001, fault=fault)


def test_a_name_with_addresses_passes_and_shows_them() -> None:
    evidence = dns.Resolution(
        host="r.example", addresses=("192.0.2.1", "2001:db8::1"), lookup_s=0.0123, options=("timeout:2",)
    )
    found = one(dns.judge(evidence, TARGET))
    assert found.status is Status.PASS
    for part in ("r.example", "192.0.2.1, 2001:db8::1", "1 IPv4, 1 IPv6", "12.3 ms", "timeout:2"):
        assert part in found.observed


def test_an_address_in_the_url_is_not_looked_up() -> None:
    assert one(dns.judge(dns.Resolution(host="::1", addresses=("::1",)), TARGET)).observed == "::1 is an address"


@pytest.mark.parametrize(("lookup_s", "status"), [(0.999, Status.PASS), (1.0, Status.WARN)])
def test_a_lookup_of_a_second_or_more_warns_of_a_name_server_that_is_asked_in_vain(
    lookup_s: float, status: Status
) -> None:
    found = one(dns.judge(dns.Resolution(host="r.example", addresses=("192.0.2.1",), lookup_s=lookup_s), TARGET))
    assert found.status is status
    assert ("`options timeout:2`" in found.remedy) is (status is Status.WARN)


def test_many_addresses_are_counted_and_the_first_are_shown() -> None:
    evidence = dns.Resolution(host="r.example", addresses=tuple(f"192.0.2.{n}" for n in range(20)))
    found = one(dns.judge(evidence, TARGET))
    assert "192.0.2.7 and 12 more (20 IPv4)" in found.observed


def test_a_name_without_an_address_fails_with_the_command_that_asks_for_it() -> None:
    evidence = dns.Resolution(
        host="registry.example.com", fault=ObservedFault(code=ErrorCode.DNS, text="resolve: no such name")
    )
    found = one(dns.judge(evidence, TARGET))
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.DNS)
    assert "`getent hosts registry.example.com`" in found.remedy


def test_names_are_looked_up_as_the_system_does(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_over(FakeRegistry(), spec_of("http://localhost:5000"))
    assert "127.0.0.1" in dns.probe(context, target_of(context)).addresses

    def getaddrinfo(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    fault = dns.probe(context, target_of(context)).fault
    assert fault is not None
    assert fault.code is ErrorCode.DNS
    assert "localhost" in fault.text and "Name or service" in fault.text


def test_a_name_that_cannot_be_one_fails_as_dns() -> None:
    context = context_over(FakeRegistry(), spec_of(f"https://{'a' * 70}.example"))
    fault = dns.probe(context, target_of(context)).fault
    assert fault is not None
    assert fault.code is ErrorCode.DNS


def test_behind_a_forward_proxy_it_is_the_proxy_that_is_looked_up() -> None:
    evidence = dns.probe(
        context_over(FakeRegistry()),
        Target(route=Route(registry="eu", url=ROUTE.url, forward_url="http://127.0.0.1:3128")),
    )
    assert (evidence.host, evidence.addresses) == ("127.0.0.1", ("127.0.0.1",))


def test_an_open_port_passes() -> None:
    with listening(lambda connection: None) as port:
        context = context_over(FakeRegistry(), spec_of(f"http://127.0.0.1:{port}"))
        found = one(tcp.judge(tcp.probe(context, target_of(context)), target_of(context)))
    assert found.status is Status.PASS
    assert f"127.0.0.1:{port}" in found.observed


def test_a_closed_port_fails_with_its_code_and_the_command_that_tries_it() -> None:
    port = closed_port()
    context = context_over(FakeRegistry(), spec_of(f"http://127.0.0.1:{port}"))
    found = one(tcp.judge(tcp.probe(context, target_of(context)), target_of(context)))
    assert found.status is Status.FAIL
    assert found.observed.startswith("[connect_refused] ")
    assert (found.code, found.parameters["endpoint"]) == (ErrorCode.CONNECT_REFUSED, f"127.0.0.1:{port}")
    assert f"`nc -vz 127.0.0.1 {port}`" in found.remedy


def test_an_address_that_swallows_packets_beside_one_that_answers_is_a_warning() -> None:
    found = one(tcp.judge((attempt("192.0.2.1"), attempt("192.0.2.9", ErrorCode.CONNECT_TIMEOUT)), TARGET))
    assert found.status is Status.WARN
    assert (found.code, found.parameters["address"]) == (ErrorCode.CONNECT_TIMEOUT, "192.0.2.9")
    assert "192.0.2.9" in found.remedy


def test_an_address_that_refuses_at_once_beside_one_that_answers_costs_nothing() -> None:
    assert (
        one(tcp.judge((attempt("::1", ErrorCode.CONNECT_REFUSED), attempt("127.0.0.1")), TARGET)).status is Status.PASS
    )


def test_one_of_several_addresses_of_a_kind_that_is_down_is_a_warning() -> None:
    found = one(tcp.judge((attempt("192.0.2.1"), attempt("192.0.2.9", ErrorCode.CONNECT_REFUSED)), TARGET))
    assert found.status is Status.WARN
    assert "[connect_refused]" in found.observed and "192.0.2.9" in found.observed
    assert "192.0.2.9" in found.remedy


def test_an_unreachable_address_is_named_in_the_command() -> None:
    found = one(tcp.judge((attempt("192.0.2.1", ErrorCode.UNREACHABLE),), TARGET))
    assert "`ip route get 192.0.2.1`" in found.remedy


def test_a_proxys_closed_port_is_tried_at_the_proxy() -> None:
    found = one(tcp.judge((attempt("192.0.2.1", ErrorCode.CONNECT_REFUSED),), BY_PROXY))
    assert "`nc -vz squid.example 3128`" in found.remedy


def api_of(answer: httpx.Response) -> Finding:
    registry = FakeRegistry()
    registry.handler = lambda request: answer
    context = context_over(registry)
    return one(api.judge(api.probe(context, target_of(context)), target_of(context)))


@pytest.mark.parametrize("answer", [httpx.Response(403), httpx.Response(403, json={"errors": [{"code": "DENIED"}]})])
def test_a_registry_that_refuses_anonymous_clients_at_v2_is_one_that_skopeo_does_not_pull_from(
    answer: httpx.Response,
) -> None:
    found = api_of(answer)
    assert (found.status, found.code) == (Status.WARN, "forbidden")
    assert "skopeo" in found.remedy and "docker login" not in found.remedy


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={}),
        httpx.Response(200),
        httpx.Response(200, text="true", headers={"Content-Type": "application/json"}),
        httpx.Response(200, text="OK"),
        httpx.Response(200, text="ok\n", headers={"Content-Type": "application/octet-stream"}),
        httpx.Response(200, text="It works."),
        httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="x"'}),
        httpx.Response(401, headers={"WWW-Authenticate": 'Bearer realm="https://x/t"'}, html="<html>"),
    ],
)
def test_what_answers_as_a_registry_passes(answer: httpx.Response) -> None:
    assert api_of(answer).status is Status.PASS


def test_the_version_header_is_shown_and_its_absence_too() -> None:
    header = {"Docker-Distribution-API-Version": "registry/2.0", "Server": "nginx\x1b[2J"}
    assert api_of(httpx.Response(200, json={}, headers=header)).observed.endswith(", registry/2.0, nginx [2J")
    assert "Docker-Distribution-API-Version" in api_of(httpx.Response(200, json={})).observed


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(200, html="<html>Please log in to the WLAN</html>"), "not_a_registry"),
        (httpx.Response(200, text="<html>without a type</html>"), "not_a_registry"),
        (httpx.Response(200, text="Please accept the terms of this network before you go on"), "not_a_registry"),
        (httpx.Response(200, text="", headers={"Content-Type": "text/html"}), "not_a_registry"),
        (httpx.Response(401), "not_a_registry"),
        (httpx.Response(404, html="<html>"), "not_a_registry"),
        (httpx.Response(403, html="<html><title>Blocked</title></html>"), "forbidden"),
        (httpx.Response(429), "rate_limited"),
        (httpx.Response(503), "server_error"),
        (httpx.Response(302, headers={"Location": "http://portal.example/"}), "plain_http"),
    ],
)
def test_what_does_not_answer_as_a_registry_fails(answer: httpx.Response, code: str) -> None:
    found = api_of(answer)
    assert found.status is Status.FAIL
    assert found.observed.startswith(f"[{code}] GET https://registry.example.com/v2/")


def test_what_is_no_registry_can_be_seen_with_curl() -> None:
    assert "`curl -i https://registry.example.com/v2/`" in api_of(httpx.Response(404)).remedy


def test_through_a_forward_proxy_curl_is_told_of_it() -> None:
    fault = ObservedFault(code=ErrorCode.NOT_A_REGISTRY, text="x")
    found = one(api.judge(api.ApiAnswer(fault=fault), BY_PROXY))
    assert "`curl -x http://squid.example:3128 -i https://registry.example.com/v2/`" in found.remedy
