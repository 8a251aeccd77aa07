import base64
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight import handshake
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import api, tls
from pullbench.preflight.checks.tls import DatedHandshake
from pullbench.preflight.context import system_now
from pullbench.preflight.handshake import Certificate, Handshake, read_certificate
from pullbench.registry import faults
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.preflight.contexts import NOW, ROUTE, context_over, spec_of
from tests.registry.fake_registry import FakeRegistry
from tests.registry.sockets import Authority, answering, authority, closed_port, listening

TARGET = Target(route=ROUTE)


def certificate(left: timedelta = timedelta(days=90), **options: Any) -> Certificate:
    entry = {"names": ("registry.example.com",), "subject": "registry", "issuer": "CA"} | options
    return Certificate(starts_at=NOW - timedelta(days=9), ends_at=NOW + left, **entry)


def judged(*path: Certificate, **options: Any) -> Finding:
    shaken = Handshake(**{"protocol": "TLSv1.3", "chain": path, "path": path, **options})
    findings = tls.judge(DatedHandshake(checked_at=NOW, handshake=shaken), TARGET)
    assert len(findings) == 1
    return findings[0]


def refused(code: ErrorCode, text: str, *chain: Certificate) -> Finding:
    return judged(*chain, path=(), fault=ObservedFault(code=code, text=text))


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (timedelta(days=30), Status.PASS),
        (timedelta(days=30, seconds=-1), Status.WARN),
        (timedelta(days=1), Status.WARN),
        (timedelta(days=1, seconds=-1), Status.FAIL),
        (timedelta(seconds=-1), Status.FAIL),
    ],
)
def test_a_certificate_warns_under_thirty_days_and_fails_under_one(left: timedelta, status: Status) -> None:
    assert judged(certificate(left)).status is status


def test_an_intermediate_that_ends_first_is_the_one_that_is_told() -> None:
    above = certificate(timedelta(days=3), names=(), subject="R3", issuer="Root")
    found = judged(certificate(issuer="R3"), above)
    assert found.status is Status.WARN
    assert "sent with 'R3'" in found.observed
    assert "3 days left for 'R3'" in found.observed


def test_an_expired_root_that_is_sent_but_not_verified_by_does_no_harm() -> None:
    old = certificate(timedelta(days=-9), names=(), subject="Old Root", issuer="Old Root")
    assert judged(chain=(certificate(), old), path=(certificate(),)).status is Status.PASS


def test_version_and_protocol_are_shown() -> None:
    assert judged(certificate(), alpn="h2").observed.startswith("TLSv1.3, ALPN h2, ")
    assert judged(certificate()).observed.startswith("TLSv1.3, no ALPN, ")


def test_a_certificate_about_to_end_names_the_command_that_shows_its_dates() -> None:
    found = judged(certificate(timedelta(hours=5)))
    assert "5 hours left" in found.observed
    assert (
        "`openssl s_client -connect registry.example.com:443 </dev/null 2>/dev/null | openssl x509 -noout -dates`"
        in found.remedy
    )


def test_a_missing_intermediate_is_named_with_who_should_send_it() -> None:
    found = refused(ErrorCode.TLS_UNTRUSTED, "unable to get local issuer certificate", certificate(issuer="R3"))
    assert "1 certificate" in found.observed
    assert "'R3' is an intermediate" in found.remedy
    assert "install -D -m 644 ca.pem /etc/docker/certs.d/registry.example.com/ca.crt" in found.remedy


def test_a_self_signed_certificate_is_called_so() -> None:
    found = refused(ErrorCode.TLS_UNTRUSTED, "self-signed certificate", certificate(self_signed=True))
    assert "self-signed" in found.observed
    assert "set `ca_file`" in found.remedy


def test_a_certificate_of_the_future_points_at_this_machines_clock_first() -> None:
    found = refused(ErrorCode.TLS_EXPIRED, "certificate is not yet valid", certificate())
    assert "`timedatectl status`" in found.remedy


def test_plain_http_and_an_https_proxy_are_not_looked_at_with_the_reason() -> None:
    plain = Target(route=Route(registry="eu", url="http://r.io"))
    (found,) = tls.judge(DatedHandshake(checked_at=NOW, handshake=Handshake()), plain)
    assert (found.status, "http://" in found.observed) == (Status.SKIP, True)
    proxied = Target(route=Route(registry="eu", url="http://r.io", forward_url="http://squid:3128"))
    assert "http://" in (tls.skips(proxied) or "")
    by_proxy = Route(registry="eu", url="https://r.io", forward_url="https://squid:3129")
    assert "forward proxy" in (tls.skips(Target(route=by_proxy)) or "")
    assert tls.skips(TARGET) is None


@contextmanager
def registry_with(folder: Path, **options: Any) -> Iterator[Target]:
    ca = authority(folder)
    with listening(answering("HTTP/1.1 200 OK"), ca.server(folder, **options)) as port:
        yield Target(route=Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file)))


def probed(target: Target) -> DatedHandshake:
    context = context_over(FakeRegistry())
    context.now = system_now
    return tls.probe(context, target)


def fault_of(evidence: DatedHandshake) -> ObservedFault:
    assert evidence.handshake.fault is not None
    return evidence.handshake.fault


def test_a_good_certificate_passes_with_its_names_and_end(tmp_path: Path) -> None:
    with registry_with(tmp_path) as target:
        evidence = probed(target)
    seen = evidence.handshake
    assert seen.fault is None
    assert [(each.names, each.issuer) for each in seen.chain] == [(("127.0.0.1",), "Test CA")]
    assert [each.subject for each in seen.path][1:] == ["Test CA"]
    assert tls.judge(evidence, target)[0].status is Status.PASS


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"starts": -9, "ends": -2}, ErrorCode.TLS_EXPIRED),
        ({"starts": 2, "ends": 9}, ErrorCode.TLS_EXPIRED),
        ({"host": x509.DNSName("other.example")}, ErrorCode.TLS_HOSTNAME),
    ],
)
def test_a_refused_certificate_fails_with_its_code_and_is_still_described(
    tmp_path: Path, options: dict[str, Any], code: ErrorCode
) -> None:
    with registry_with(tmp_path, **options) as target:
        found = tls.judge(probed(target), target)[0]
    assert found.status is Status.FAIL
    assert found.observed.startswith(f"[{code}] TLS to 127.0.0.1:")
    names = "other.example" if code is ErrorCode.TLS_HOSTNAME else "127.0.0.1"
    assert all(f" {part}, " in found.observed for part in (f"for {names}", "Test CA"))
    assert f"openssl s_client -CAfile {target.route.ca_file} -connect {target.route.host}" in found.remedy


def at_localhost(target: Target) -> Target:
    return Target(route=replace(target.route, url=target.route.url.replace("127.0.0.1", "localhost")))


def test_a_common_name_alone_is_no_name_as_for_every_go_client(tmp_path: Path) -> None:
    with registry_with(tmp_path, host=None) as target:
        named = at_localhost(target)
        found = tls.judge(probed(named), named)[0]
        with RegistryClient(named.route, Keychain(environ={})) as client, pytest.raises(RegistryError) as refusal:
            client.ping()
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.TLS_HOSTNAME)
    assert "no subjectAltName" in found.observed and "subjectAltName for localhost" in found.remedy
    assert refusal.value.code is ErrorCode.TLS_HOSTNAME


def test_a_name_that_matches_a_san_passes(tmp_path: Path) -> None:
    with registry_with(tmp_path, host=x509.DNSName("localhost")) as target:
        named = at_localhost(target)
        assert tls.judge(probed(named), named)[0].status is Status.PASS


@pytest.mark.parametrize(
    ("options", "weak"),
    [
        ({"key": rsa.generate_private_key(65537, 1024)}, "an RSA key of 1024 bits"),
        ({"key": rsa.generate_private_key(65537, 1536)}, "an RSA key of 1536 bits"),
    ],
)
def test_a_weak_key_is_named_and_not_taken_for_an_unknown_authority(
    tmp_path: Path, options: dict[str, Any], weak: str
) -> None:
    with registry_with(tmp_path, **options) as target:
        found = tls.judge(probed(target), target)[0]
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.TLS_UNTRUSTED)
    assert f"the certificate of '127.0.0.1' has {weak}, which is too weak" in found.observed
    assert "ca_file" not in found.remedy and "does not know" not in found.observed


# Of `openssl x509 -sha1`: the library of the tests signs no SHA-1.
SIGNED_WITH_SHA_1 = (
    "MIIBHzCBxwIUfHE43ZOvtc2xbRq2Rk8OWNdwsrwwCQYHKoZIzj0EATARMQ8wDQYDVQQDDAZPbGQgQ0EwIBcNMjYxMTI5MDUzMzM1"
    "WhgPMjEyNjExMDUwNTMzMzVaMBQxEjAQBgNVBAMMCXIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCkgsj7ZVOHz"
    "OLLwM43TpK4RJNKjCF6VJCRVs5+hbde7eSVuftXCJxerGqncO1Tlw5i8Mp4f39GtajicqJSNrT4wCQYHKoZIzj0EAQNIADBFAiEA"
    "zfgNKNzYGevAfZbFEfG65UUfSwL7soDdl7B21ub1BpYCIBgUUprLDTEV366ScY5jAMnK2LCGOJ/8G1H171+A/G5n"
)
ROOT_WITH_SHA_1 = (
    "MIIBdjCCAR6gAwIBAgIURCcAxnMZcXQ9fgHO3rkZ0A35isowCQYHKoZIzj0EATARMQ8wDQYDVQQDDAZPbGQgQ0EwIBcNMjYxMTI5"
    "MDUzMzM1WhgPMjEyNjExMDUwNTMzMzVaMBExDzANBgNVBAMMBk9sZCBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIELB+Wx"
    "lO6Yc8wOWfj3oCJ4++594EK0W3dJ+xLO0rYwnvjG54O8ZQiUAmPPwog4lI1dRsPfWwg5jvmRq1ctCNOjUzBRMB0GA1UdDgQWBBRM"
    "kaMeH06ZQrDU6glRSBfgVspSsDAfBgNVHSMEGDAWgBRMkaMeH06ZQrDU6glRSBfgVspSsDAPBgNVHRMBAf8EBTADAQH/MAkGByqG"
    "SM49BAEDRwAwRAIgddEFPRRVSxR0eoSe8eS+1yw9BB7u9CEN6WD6pQmTKssCIEHxr2nyC/1w5uxSk/G9THof3wL+uTv2ppQe/Qkr"
    "H96m"
)


def test_a_signature_with_sha_1_is_weak_but_for_a_root_that_signs_itself() -> None:
    assert read_certificate(base64.b64decode(SIGNED_WITH_SHA_1)).weak == "a signature with SHA-1"
    assert read_certificate(base64.b64decode(ROOT_WITH_SHA_1)).weak == ""


def test_an_intermediate_that_is_weak_is_the_one_that_is_named() -> None:
    above = certificate(names=(), subject="Old CA", issuer="Root", weak="a signature with SHA-1")
    found = refused(ErrorCode.TLS_UNTRUSTED, "CA signature digest algorithm too weak", certificate(), above)
    assert "'Old CA' has a signature with SHA-1" in found.observed and "ca_file" not in found.remedy


@pytest.mark.parametrize(("kind", "status"), [("docker", Status.WARN), ("skopeo", Status.WARN), ("wire", Status.SKIP)])
def test_a_plain_server_that_is_silent_to_tls_makes_docker_and_skopeo_wait(
    kind: str, status: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "SILENT_S", 0.05)
    ended = threading.Event()

    def silent(_connection: socket.socket) -> None:
        ended.wait(5)

    with listening(silent) as port:
        spec = spec_of(f"http://127.0.0.1:{port}", matrix={"engines": [kind], "platforms": ["linux/amd64"]})
        target = Target(route=Route(registry="eu", url=f"http://127.0.0.1:{port}"))
        (found,) = tls.judge(tls.probe(context_over(FakeRegistry(), spec), target), target)
        ended.set()
    assert found.status is status
    assert (kind in found.observed and "10 s" in found.observed) is (status is Status.WARN)


@pytest.mark.parametrize("answer", ["HTTP/1.1 400 Bad Request", ""])
def test_a_plain_server_that_answers_or_closes_makes_nobody_wait(answer: str) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer.encode())

    with listening(serve) as port:
        assert not handshake.is_silent_to_tls(Route(registry="eu", url=f"http://127.0.0.1:{port}"))


def test_an_untrusted_authority_fails_with_where_docker_wants_its_certificate(tmp_path: Path) -> None:
    with registry_with(tmp_path) as target:
        stranger = Target(route=Route(registry="eu", url=target.route.url))
        found = tls.judge(probed(stranger), stranger)[0]
    assert found.observed.startswith("[tls_untrusted]")
    assert "Test CA" in found.observed
    assert f"/etc/docker/certs.d/{stranger.route.host}/ca.crt" in found.remedy
    assert f"openssl s_client -showcerts -connect {stranger.route.host}`" in found.remedy


def test_a_ca_file_that_is_not_there_fails_before_anything_is_sent(tmp_path: Path) -> None:
    route = Route(registry="eu", url=f"https://127.0.0.1:{closed_port()}", ca_file=str(tmp_path / "absent.pem"))
    fault = fault_of(probed(Target(route=route)))
    assert fault.code is ErrorCode.TLS_UNTRUSTED
    assert "absent.pem" in fault.text


def test_plain_http_behind_https_fails_with_how_to_see_it() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(serve) as port:
        target = Target(route=Route(registry="eu", url=f"https://127.0.0.1:{port}"))
        found = tls.judge(probed(target), target)[0]
    assert found.code is ErrorCode.PLAIN_HTTP and f"127.0.0.1:{port}" in found.observed
    assert f"`curl -i http://127.0.0.1:{port}/v2/`" in found.remedy


@pytest.mark.parametrize("answer", ["HTTP/1.1 403 Forbidden\nContent-Length: 0", "no http at all"])
def test_tls_goes_through_the_tunnel_of_a_forward_proxy_and_a_refused_tunnel_is_the_proxys(answer: str) -> None:
    with listening(answering(answer)) as port:
        route = Route(registry="eu", url="https://registry.example.com", forward_url=f"http://127.0.0.1:{port}")
        assert fault_of(probed(Target(route=route))).code is ErrorCode.PROXY


def test_a_certificate_that_cannot_be_read_is_no_error_of_ours() -> None:
    assert "cannot be read" in read_certificate(b"no DER").subject


def old_server(ca: Authority, folder: Path) -> ssl.SSLContext:
    context = ca.server(folder)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # these versions are deprecated, which is the point
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return context


def test_a_server_of_old_versions_of_tls_is_told_which_ones_clients_speak(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    with listening(answering("HTTP/1.1 200 OK"), old_server(ca, tmp_path)) as port:
        target = Target(route=Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file)))
        found = tls.judge(probed(target), target)[0]
    assert found.observed.startswith("[tls_untrusted]")
    assert "`openssl s_client" in found.remedy
    assert "TLS 1.2 or 1.3" in found.remedy
    assert f"-connect 127.0.0.1:{port} -tls1_2`" in found.remedy


def test_a_registry_that_asks_for_a_client_certificate_is_understood(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    context = ca.server(tmp_path)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(str(ca.ca_file))
    with listening(answering("HTTP/1.1 200 OK"), context) as port:
        target = Target(route=Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file)))
        found = tls.judge(probed(target), target)[0]
    assert found.status is Status.FAIL
    assert "[unknown]" not in found.observed
    assert "(mutual TLS)" in found.remedy


def test_in_tls_1_3_that_refusal_comes_after_the_handshake_and_api_tells_it() -> None:
    said = "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)"
    fault = ObservedFault.of(faults.of_exception("GET https://r.example/v2/", httpx.ReadError(said)))
    found = api.judge(api.ApiAnswer(fault=fault), TARGET)[0]
    assert found.observed.startswith("[unauthorized]")
    assert "(mutual TLS)" in found.remedy
