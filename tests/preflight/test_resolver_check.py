import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pullbench.model.finding import Finding, Status
from pullbench.preflight import resolv_conf
from pullbench.preflight.checks import resolver
from pullbench.preflight.checks.resolver import HERE, NameServerReply, ResolverState
from pullbench.preflight.resolv_conf import ResolvConf
from tests.preflight.contexts import context_over, spec_of
from tests.registry.fake_registry import FakeRegistry

TWO = "nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions timeout:2\n"


def judged(text: str, *asked: NameServerReply, hosts: tuple[str, ...] = ("registry.example.com",)) -> Finding:
    findings = resolver.judge(ResolverState(settings=resolv_conf.parse(text), hosts=hosts, asked=asked), HERE)
    assert len(findings) == 1
    return findings[0]


def test_the_settings_are_read_as_the_c_library_does() -> None:
    text = "# a comment\nsearch a.example\n; another\nsearch b.example c.example .\nnameserver ::1 # here\n"
    text += "options ndots:5 timeout:1\noptions attempts:9 rotate use-vc:x\nnameserver\n"
    assert resolv_conf.parse(text) == ResolvConf(
        name_servers=("::1",),
        search=("b.example", "c.example"),
        timeout_s=1,
        attempts=5,
        ndots=5,
        options=("ndots:5", "timeout:1", "attempts:9", "rotate", "use-vc:x"),
    )
    assert resolv_conf.parse("") == ResolvConf(timeout_s=5, attempts=2, ndots=1)
    assert resolv_conf.parse("options timeout:99").timeout_s == 30


def test_name_servers_that_answer_and_a_short_time_out_pass() -> None:
    found = judged(
        TWO,
        NameServerReply(server="192.0.2.1", answered_s=0.0012),
        NameServerReply(server="192.0.2.2", answered_s=0.002),
    )
    assert found.status is Status.PASS
    for part in ("192.0.2.1 in 1.2 ms", "192.0.2.2 in 2.0 ms", "timeout:2"):
        assert part in found.observed


def test_a_silent_name_server_is_named_with_what_it_costs() -> None:
    found = judged(
        TWO,
        NameServerReply(server="192.0.2.1", problem="no answer within 2 s"),
        NameServerReply(server="192.0.2.2", answered_s=0),
    )
    assert found.status is Status.WARN
    assert "192.0.2.1: no answer within 2 s" in found.observed
    assert "`dig @192.0.2.1 registry.example.com`" in found.remedy


@pytest.mark.parametrize(("options", "status"), [("options timeout:2\n", Status.PASS), ("", Status.WARN)])
def test_the_guides_time_out_is_advised_where_a_packet_can_be_lost(options: str, status: Status) -> None:
    found = judged(f"nameserver 192.0.2.1\n{options}")
    assert found.status is status
    assert ("`options timeout:2` to /etc/resolv.conf" in found.remedy) is (status is Status.WARN)
    assert judged(f"nameserver 127.0.0.53\n{options}").status is Status.PASS


def test_ndots_with_search_domains_is_told_with_the_name_that_it_harms() -> None:
    kubernetes = "nameserver 10.96.0.10\nsearch a.svc.cluster.local svc.cluster.local\noptions timeout:2 ndots:5\n"
    found = judged(kubernetes)
    assert found.status is Status.WARN
    assert "ndots:5" in found.observed
    assert "registry.example.com" in found.observed
    assert "`options ndots:2`" in found.remedy
    assert judged(kubernetes, hosts=("a.b.c.d.e.example",)).status is Status.PASS


def test_a_name_server_beyond_the_third_is_said_not_to_be_asked() -> None:
    found = judged("".join(f"nameserver 192.0.2.{n}\n" for n in range(5)) + "options timeout:1\n")
    assert "192.0.2.2 (and 2 " in found.observed


def test_without_a_file_or_a_name_there_is_nothing_to_judge() -> None:
    assert resolver.judge(ResolverState(), HERE)[0].status is Status.SKIP
    assert judged(TWO, hosts=()).status is Status.SKIP


@contextmanager
def name_server(code: int | None, number: bytes | None = None) -> Iterator[int]:
    """Answers each query with this response code, to another query where `number` is given; silent for None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as serving:
        serving.bind(("127.0.0.1", 0))

        def serve() -> None:
            query, sender = serving.recvfrom(512)
            if number is not None:
                serving.sendto(number + struct.pack("!5H", 0x8180, 1, 0, 0, 0), sender)
            if code is not None:
                serving.sendto(query[:2] + struct.pack("!5H", 0x8180 | code, 1, 0, 0, 0) + query[12:], sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(serving.getsockname()[1])


@pytest.mark.parametrize(("code", "problem"), [(0, ""), (3, ""), (2, "it answers SERVFAIL"), (5, "it answers REFUSED")])
def test_a_name_server_that_answers_is_seen(code: int, problem: str) -> None:
    with name_server(code) as port:
        found = resolver.ask("127.0.0.1", "registry.example.com", port=port)
    assert found.problem == problem
    assert found.answered_s is not None


def test_the_answer_to_another_query_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver.os, "urandom", lambda count: b"\1\2")
    with name_server(0, number=b"\3\4") as port:
        assert resolver.ask("127.0.0.1", "registry.example.com", port=port).answered_s is not None
    monkeypatch.setattr(resolver, "ANSWER_WITHIN_S", 0.05)
    with name_server(None, number=b"\3\4") as port:
        assert resolver.ask("127.0.0.1", "registry.example.com", port=port).problem == "no answer within 0.05 s"


def test_a_silent_name_server_and_one_that_is_none_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "ANSWER_WITHIN_S", 0.02)
    with name_server(None) as port:
        assert resolver.ask("127.0.0.1", "r.example", port=port).problem == "no answer within 0.02 s"
    assert resolver.ask("no address", "r.example", port=53).problem
    assert resolver.ask("127.0.0.1", f"{'a' * 70}.example", port=53).problem


def test_the_machine_is_asked_for_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(resolver.resolv_conf, "read", lambda: resolv_conf.parse(TWO))
    monkeypatch.setattr(
        resolver,
        "ask",
        lambda server, host, *, port: asked.append(f"{server} {host}") or NameServerReply(server=server),
    )
    urls = [
        "http://127.0.0.1:5000",
        "http://localhost",
        "https://r.example.com",
        "https://[::1]",
        "https://r.example.com:1",
    ]
    entries = [{"name": f"r{n}", "url": url} for n, url in enumerate(urls)]
    context = context_over(FakeRegistry(), spec_of(registries=entries))
    assert resolver.probe(context, HERE).hosts == ("r.example.com",)
    assert sorted(asked) == ["192.0.2.1 r.example.com", "192.0.2.2 r.example.com"]
    assert resolver.probe(context_over(FakeRegistry(), spec_of("http://[::1]:5000")), HERE).asked == ()
