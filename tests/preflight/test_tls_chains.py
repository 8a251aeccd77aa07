"""Chains that OpenSSL and Go refuse although their CA is known: each is named as what it is, and no CA is to be installed."""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import Target
from pullbench.preflight.checks import tls
from pullbench.preflight.context import system_now
from tests.preflight.contexts import context_over
from tests.registry.fake_registry import FakeRegistry
from tests.registry.sockets import answering, listening

HOST = "127.0.0.1"
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Issued:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)


def issued(name: str, by: Issued | None = None, *extensions: x509.ExtensionType) -> Issued:
    """A certificate of this name; it signs itself if nobody else does."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=60))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.NameConstraints))
    return Issued(key, builder.sign(key if by is None else by.key, hashes.SHA256()))


def ca(path_length: int | None = None) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=True, path_length=path_length)


SAN = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
ROOT = issued("Root", None, ca())
NO_CA = issued("Department", ROOT)
SHORT = issued("Short", None, ca(path_length=0))
MIDDLE = issued("Middle", SHORT, ca())
TENS = x509.NameConstraints([x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))], None)
CONSTRAINED = issued("Tens", None, ca(), TENS)
TWIN = issued("Root", None, ca())
OF_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


def found_for(folder: Path, trusted: Issued, chain: Sequence[Issued]) -> Finding:
    """The finding of a server that sends this chain, where this certificate is the `ca_file`."""
    ca_file, served = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(trusted.pem)
    private = chain[0].key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    served.write_bytes(private + b"".join(each.pem for each in chain))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(served)
    with listening(answering("HTTP/1.1 200 OK"), server) as port:
        target = Target(route=Route(registry="eu", url=f"https://{HOST}:{port}", ca_file=str(ca_file)))
        context = context_over(FakeRegistry())
        context.now = system_now
        (found,) = tls.judge(tls.probe(context, target), target)
    return found


@pytest.mark.parametrize(
    ("trusted", "chain", "meaning", "cure"),
    [
        (ROOT, (issued("leaf", ROOT, SAN, OF_CLIENTS),), "no serverAuth", "serverAuth"),
        (ROOT, (issued("leaf", NO_CA, SAN), NO_CA), "'Department', which issued it", "CA:TRUE"),
        (SHORT, (issued("leaf", MIDDLE, SAN), MIDDLE), "more intermediates", "path length"),
        (CONSTRAINED, (issued("leaf", CONSTRAINED, SAN),), "name constraints", HOST),
        (ROOT, (issued("leaf", TWIN, SAN),), "another key signed it", "two of the name 'Root'"),
    ],
    ids=["purpose", "issuer", "path length", "name constraints", "another key"],
)
def test_a_chain_of_a_known_ca_is_refused_for_what_it_is(
    tmp_path: Path, trusted: Issued, chain: Sequence[Issued], meaning: str, cure: str
) -> None:
    found = found_for(tmp_path, trusted, chain)
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.TLS_UNTRUSTED)
    assert meaning in found.observed and cure in found.remedy
    assert "does not know" not in found.observed and "certs.d" not in found.remedy


@pytest.mark.parametrize(
    "chain", [(issued("leaf", ROOT, SAN),), (issued("leaf", ROOT, SAN), ROOT)], ids=["leaf", "with root"]
)
def test_a_chain_of_another_ca_is_still_one_to_install(tmp_path: Path, chain: Sequence[Issued]) -> None:
    found = found_for(tmp_path, CONSTRAINED, chain)
    assert found.code is ErrorCode.TLS_UNTRUSTED
    assert "certs.d" in found.remedy and ("'Root'" in found.observed)


def test_names_of_another_kind_are_no_names(tmp_path: Path) -> None:
    mail = x509.SubjectAlternativeName([x509.RFC822Name("registry@example.com")])
    found = found_for(tmp_path, ROOT, (issued(HOST, ROOT, mail),))
    assert found.code is ErrorCode.TLS_HOSTNAME
    assert "subjectAltName" in found.observed and f"subjectAltName for {HOST}" in found.remedy
