from pathlib import Path

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Status
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import http2
from tests.preflight.contexts import ROUTE, context_over, spec_of
from tests.registry.fake_registry import FakeRegistry
from tests.registry.sockets import answering, authority, listening

TARGET = Target(route=ROUTE)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("protocol", "status"), [("h2", Status.PASS), ("http/1.1", Status.WARN), (None, Status.WARN)])
def test_a_registry_without_http2_is_a_warning_that_says_why_it_matters(protocol: str | None, status: Status) -> None:
    findings = http2.judge(http2.AlpnNegotiation(protocol=protocol), TARGET)
    assert [finding.status for finding in findings] == [status]
    if status is Status.WARN:
        assert findings[0].remedy
        assert "`http2 on;`" in findings[0].remedy
        assert "curl -sI --http2" in findings[0].remedy


def test_an_engine_that_is_set_to_http2_is_named_where_the_registry_has_none() -> None:
    found = http2.judge(http2.AlpnNegotiation(protocol="http/1.1", wanted_by=("wire-2",)), TARGET)[0]
    assert "wire-2" in found.observed
    assert "remove wire-2" in found.remedy


def test_a_handshake_that_fails_fails_http2() -> None:
    offer = http2.AlpnNegotiation(fault=ObservedFault(code=ErrorCode.RESET, text="closed"))
    assert http2.judge(offer, TARGET)[0].observed == "[reset] closed"


def test_http2_is_looked_for_over_tls_alone() -> None:
    assert "http://" in (http2.skips(Target(route=Route(registry="eu", url="http://r.io"))) or "")
    assert http2.skips(TARGET) is None


@pytest.mark.parametrize(("offers", "expected"), [(["h2"], "h2"), (["http/1.1"], "http/1.1"), (None, None)])
def test_what_the_server_chooses_is_seen_and_who_wants_http2(
    tmp_path: Path, offers: list[str] | None, expected: str | None
) -> None:
    ca = authority(tmp_path)
    context = ca.server(tmp_path)
    if offers is not None:
        context.set_alpn_protocols(offers)
    engines = [{"name": "wire-2", "kind": "wire", "http_version": "2"}]
    spec = spec_of(engines=engines, matrix={"engines": ["wire", "wire-2"]})
    with listening(answering("HTTP/1.1 200 OK"), context) as port:
        route = Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file))
        offer = http2.probe(context_over(FakeRegistry(), spec), Target(route=route))
    assert offer == http2.AlpnNegotiation(protocol=expected, wanted_by=("wire-2",))


def test_the_page_that_tells_how_to_add_a_check_shows_this_one_as_it_is() -> None:
    assert Path(http2.__file__).read_text() in (ROOT / "docs" / "add-a-check.md").read_text()
