from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight import tls
from pullbench.preflight.check import Fault, Target
from pullbench.preflight.tls import Certificate, Handshake
from pullbench.preflight.world import system_now
from tests.preflight.world import NOW, ROUTE, world_over
from tests.registry.fake_registry import FakeRegistry
from tests.registry.sockets import answering, authority, closed_port, listening

TARGET = Target(route=ROUTE)


def judged(left: timedelta) -> Finding:
    certificate = Certificate(names=("registry.example.com",), issuer="CA", ends_at=NOW + left)
    findings = tls.judge(Handshake(checked_at=NOW, protocol="TLSv1.3", certificate=certificate), TARGET)
    assert len(findings) == 1
    return findings[0]


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (timedelta(days=30), Status.PASS),
        (timedelta(days=30, seconds=-1), Status.WARN),
        (timedelta(days=1), Status.WARN),
        (timedelta(days=1, seconds=-1), Status.FAIL),
    ],
)
def test_a_certificate_warns_under_thirty_days_and_fails_under_one(left: timedelta, status: Status) -> None:
    assert judged(left).status is status


def test_a_certificate_about_to_end_names_the_command_that_shows_its_dates() -> None:
    found = judged(timedelta(hours=5))
    assert found.observed.startswith("TLSv1.3, for registry.example.com, issued by CA")
    assert "5 hours left" in found.observed
    assert "`openssl s_client -connect registry.example.com:443 | openssl x509 -dates`" in found.remedy


def test_plain_http_and_an_https_proxy_are_not_looked_at_with_the_reason() -> None:
    assert "http://" in (tls.skips(Target(route=Route(registry="eu", url="http://r.io"))) or "")
    by_proxy = Route(registry="eu", url="https://r.io", forward_url="https://squid:3129")
    assert "forward proxy" in (tls.skips(Target(route=by_proxy)) or "")
    assert tls.skips(TARGET) is None


@contextmanager
def registry_with(folder: Path, **options: Any) -> Iterator[Target]:
    ca = authority(folder)
    with listening(answering("HTTP/1.1 200 OK"), ca.server(folder, **options)) as port:
        yield Target(route=Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file)))


def probed(target: Target) -> Handshake:
    world = world_over(FakeRegistry())
    world.now = system_now
    return tls.probe(world, target)


def test_a_good_certificate_passes_with_its_names_and_end(tmp_path: Path) -> None:
    with registry_with(tmp_path) as target:
        evidence = probed(target)
    assert evidence.fault is None
    assert evidence.certificate is not None
    assert (evidence.certificate.names, evidence.certificate.issuer) == (("127.0.0.1",), "Test CA")
    assert tls.judge(evidence, target)[0].status is Status.PASS


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"starts": -9, "ends": -2}, ErrorCode.TLS_EXPIRED),
        ({"host": x509.DNSName("other.example")}, ErrorCode.TLS_HOSTNAME),
    ],
)
def test_a_refused_certificate_fails_with_its_code_and_is_still_described(
    tmp_path: Path, options: dict[str, Any], code: ErrorCode
) -> None:
    with registry_with(tmp_path, **options) as target:
        evidence = probed(target)
    found = tls.judge(evidence, target)[0]
    assert found.status is Status.FAIL
    assert found.observed.startswith(f"[{code}] TLS to 127.0.0.1:")
    names = "other.example" if code is ErrorCode.TLS_HOSTNAME else "127.0.0.1"
    assert f"(the certificate: for {names}, issued by Test CA, ends " in found.observed
    assert f"openssl s_client -connect {target.route.host}" in found.remedy


def test_an_untrusted_authority_fails_with_where_docker_wants_its_certificate(tmp_path: Path) -> None:
    with registry_with(tmp_path) as target:
        stranger = Target(route=Route(registry="eu", url=target.route.url))
        found = tls.judge(probed(stranger), stranger)[0]
    assert found.observed.startswith("[tls_untrusted]")
    assert "issued by Test CA" in found.observed
    assert f"/etc/docker/certs.d/{stranger.route.host}/ca.crt" in found.remedy
    assert f"openssl s_client -showcerts -connect {stranger.route.host}`" in found.remedy


def test_a_ca_file_that_is_not_there_fails_before_anything_is_sent(tmp_path: Path) -> None:
    route = Route(registry="eu", url=f"https://127.0.0.1:{closed_port()}", ca_file=str(tmp_path / "absent.pem"))
    evidence = probed(Target(route=route))
    assert evidence.fault is not None
    assert evidence.fault.code is ErrorCode.TLS_UNTRUSTED
    assert "absent.pem" in evidence.fault.text


def test_plain_http_behind_https_fails_with_how_to_see_it() -> None:
    evidence = Handshake(checked_at=NOW, fault=Fault(code=ErrorCode.PLAIN_HTTP, text="the answer is no TLS"))
    found = tls.judge(evidence, TARGET)[0]
    assert found.observed == "[plain_http] the answer is no TLS"
    assert "`curl -i http://registry.example.com:443/v2/`" in found.remedy


def test_tls_goes_through_the_tunnel_of_a_forward_proxy_and_a_refused_tunnel_is_the_proxys() -> None:
    with listening(answering("HTTP/1.1 403 Forbidden\nContent-Length: 0")) as port:
        route = Route(registry="eu", url="https://registry.example.com", forward_url=f"http://127.0.0.1:{port}")
        evidence = probed(Target(route=route))
    assert evidence.fault is not None
    assert evidence.fault.code is ErrorCode.PROXY
    assert "403" in evidence.fault.text
