"""A TLS handshake on a route, as strict as a client's, and the certificates that the server sends."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pullbench.errors import ErrorCode
from pullbench.model.addresses import connected_endpoint, registry_endpoint
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.preflight.check import ObservedFault
from pullbench.registry import faults
from pullbench.registry.auth import Credentials, basic_header
from pullbench.registry.trust import tls_context

TIMEOUT_S = 10.0
SILENT_S = 2.0
"""A server without TLS that has not answered a ClientHello for so long is silent: docker and skopeo wait 10 s."""
OFFERED = ("h2", "http/1.1")
"""The ALPN protocols (RFC 7301) that an HTTP/2 client offers."""
MAX_CHAIN = 10
LEAST_RSA_BITS, LEAST_CURVE_BITS = 2048, 224
_DER = 2  # _ssl.ENCODING_DER


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The fields of a certificate that findings show, cleaned for display."""

    names: tuple[str, ...] = ()
    """Its DNS names and addresses; empty for a CA."""
    subject: str
    issuer: str
    starts_at: datetime
    ends_at: datetime
    self_signed: bool = False
    weak: str = ""
    """Why OpenSSL or Go's clients take its key or its signature for too weak: `an RSA key of 1024 bits`; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """The result of a handshake; the chain is present even if it was not trusted."""

    protocol: str = ""
    """Such as TLSv1.3."""
    alpn: str | None = None
    """The server's choice from OFFERED; None if it chose nothing."""
    chain: tuple[Certificate, ...] = ()
    """The chain that the server sends, its own certificate first."""
    path: tuple[Certificate, ...] = ()
    """The verified chain, from the server's certificate to the trusted root; empty if it was not trusted."""
    fault: ObservedFault | None = None


def skips(route: Route) -> str | None:
    """The reason why a route's handshake cannot be checked; None if it can."""
    if route.plain_http:
        return "the URL starts with http://: there is no TLS to check"
    if (route.forward_url or "").startswith("https:"):
        return "not checked through an https:// forward proxy; the api check uses the proxy"
    return None


def shake_hands(route: Route, forward_login: Credentials | None = None) -> Handshake:
    """Make a handshake as strict as a client's. If it fails, make a lenient one to read the chain, and send nothing.

    Raises UsageError if the route's `ca_file` cannot be used.
    """
    try:
        return _once(route, tls_context(route.ca_file), forward_login)
    except _HandshakeError as error:
        fault = error.fault
    if fault.code not in (ErrorCode.TLS_UNTRUSTED, ErrorCode.TLS_EXPIRED, ErrorCode.TLS_HOSTNAME):
        return Handshake(fault=fault)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    blind.set_ciphers("DEFAULT:@SECLEVEL=0")  # to read weak certificates too
    try:
        seen = _once(route, blind, forward_login)
    except _HandshakeError:
        return Handshake(fault=fault)
    return Handshake(protocol=seen.protocol, alpn=seen.alpn, chain=seen.chain, fault=fault)


def distrust(route: Route, authorities: Sequence[Path]) -> ObservedFault | None:
    """The fault of a client that trusts this machine's roots and these PEM files; None if it trusts the certificate.

    A handshake that fails for another reason gives None. Files that are no certificate are ignored.
    """
    context = tls_context(None)
    for file in authorities:
        with contextlib.suppress(OSError, ssl.SSLError):
            context.load_verify_locations(cafile=file)
    try:
        _once(route, context, None)
    except _HandshakeError as error:
        return error.fault if error.fault.code is ErrorCode.TLS_UNTRUSTED else None
    return None


def is_silent_to_tls(route: Route) -> bool:
    """Whether a server without TLS neither answers a ClientHello within SILENT_S nor closes the connection."""
    server = connected_endpoint(route)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((server.host, server.port), timeout=SILENT_S) as plain, blind.wrap_socket(plain):
            return False
    except TimeoutError:
        return True
    except OSError:
        return False


class _HandshakeError(Exception):
    def __init__(self, fault: ObservedFault) -> None:
        super().__init__(fault.text)
        self.fault = fault


def _once(route: Route, context: ssl.SSLContext, forward_login: Credentials | None) -> Handshake:
    server, in_tls = registry_endpoint(route), False
    where = f"TLS to {server}"
    context.set_alpn_protocols(list(OFFERED))
    try:
        with _connect(route, forward_login) as plain:
            in_tls = True
            with context.wrap_socket(plain, server_hostname=server.host) as secure:
                verified = context.verify_mode is ssl.CERT_REQUIRED
                return Handshake(
                    protocol=secure.version() or "TLS",
                    alpn=secure.selected_alpn_protocol(),
                    chain=_read_chain(_ders(secure, "get_unverified_chain")),
                    path=_read_chain(_ders(secure, "get_verified_chain")) if verified else (),
                )
    except OSError as error:
        # http.client raises a bare OSError if the proxy refuses CONNECT.
        if str(error).startswith("Tunnel connection failed"):
            raise _HandshakeError(ObservedFault(code=ErrorCode.PROXY, text=f"{where}: {clean(error)}")) from error
        raise _HandshakeError(ObservedFault.of(faults.of_exception(where, error, in_tls=in_tls))) from error
    except http.client.HTTPException as error:
        text = f"{where}: the proxy's answer to CONNECT is not HTTP ({type(error).__name__})"
        raise _HandshakeError(ObservedFault(code=ErrorCode.PROXY, text=text)) from error


def _connect(route: Route, forward_login: Credentials | None) -> socket.socket:
    server, connected = registry_endpoint(route), connected_endpoint(route)
    if route.forward_url is None:
        return socket.create_connection((connected.host, connected.port), timeout=TIMEOUT_S)
    tunnel = http.client.HTTPConnection(connected.host, connected.port, timeout=TIMEOUT_S)
    login = {} if forward_login is None else {"Proxy-Authorization": basic_header(forward_login)}
    tunnel.set_tunnel(server.host, server.port, headers=login)
    try:
        tunnel.connect()
    except BaseException:
        tunnel.close()
        raise
    return tunnel.sock


def _ders(secure: Any, method: str) -> list[bytes]:
    """A chain in DER. SSLSocket has these methods since Python 3.13; before, only the inner object has them."""
    public = getattr(secure, method, None)
    if public is not None:
        return [bytes(content) for content in public()]
    return [entry.public_bytes(_DER) for entry in getattr(secure._sslobj, method)() or ()]


def _read_chain(ders: Sequence[bytes]) -> tuple[Certificate, ...]:
    return tuple(read_certificate(der) for der in ders[:MAX_CHAIN])


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate. OpenSSL accepts some that `cryptography` cannot read; those are described as unreadable."""
    from cryptography import x509  # slow to import, and only TLS needs it

    try:
        found = x509.load_der_x509_certificate(der)
        return Certificate(
            names=_names(found),
            subject=_name(found.subject),
            issuer=_name(found.issuer),
            starts_at=found.not_valid_before_utc,
            ends_at=found.not_valid_after_utc,
            self_signed=found.subject == found.issuer,
            weak=_weakness(found),
        )
    except ValueError:
        never = datetime.max.replace(tzinfo=UTC)
        unread = "a certificate that cannot be read"
        return Certificate(subject=unread, issuer=unread, starts_at=datetime.min.replace(tzinfo=UTC), ends_at=never)


def _weakness(certificate: Any) -> str:
    """The level of OpenSSL's SECLEVEL 2, 112 bits; a root's own signature proves nothing and does not count."""
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    key, signed = certificate.public_key(), certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < LEAST_RSA_BITS:
        return f"{'an RSA' if isinstance(key, rsa.RSAPublicKey) else 'a DSA'} key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_CURVE_BITS:
        return f"an ECDSA key of {key.key_size} bits"
    if signed is not None and signed.name in ("sha1", "md5") and certificate.subject != certificate.issuer:
        return f"a signature with {signed.name.upper().replace('SHA1', 'SHA-1')}"
    return ""


def _names(certificate: Any) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension):
        return ()
    names = [*found.get_values_for_type(x509.DNSName), *found.get_values_for_type(x509.IPAddress)]
    return tuple(clean(name, 260) for name in names[:100])


def _name(name: Any) -> str:
    """The common name, with the organization if the two differ."""
    from cryptography.x509.oid import NameOID

    def of(oid: Any) -> str:
        return next((clean(entry.value, 80) for entry in name.get_attributes_for_oid(oid)), "")

    common, organization = of(NameOID.COMMON_NAME), of(NameOID.ORGANIZATION_NAME)
    if common and organization and organization not in common:
        return f"{common} ({organization})"
    return common or organization or "an unnamed subject"
