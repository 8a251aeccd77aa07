"""`tls`: the certificate is trusted, is for this host, and will hold for a while."""

import http.client
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight import endpoint
from pullbench.preflight.check import Check, Fault, Room, Target, failed, passed, warned
from pullbench.preflight.remedy import remedy
from pullbench.preflight.targets import every_route
from pullbench.preflight.world import World
from pullbench.registry import faults
from pullbench.registry.trust import tls_context

ID = "tls"
TIMEOUT_S = 10.0
WARN_BEFORE = timedelta(days=30)
FAIL_BEFORE = timedelta(days=1)

_X509_V_FLAG_NO_CHECK_TIME = 0x200000  # x509_vfy.h; Python has no name for it
_OF_CERTIFICATE = (ErrorCode.TLS_UNTRUSTED, ErrorCode.TLS_EXPIRED, ErrorCode.TLS_HOSTNAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The server's own certificate, as far as a person wants to know it."""

    names: tuple[str, ...]
    issuer: str
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """How the handshake went; the certificate is there also when it was not accepted."""

    checked_at: datetime
    protocol: str = ""
    certificate: Certificate | None = None
    fault: Fault | None = None


def probe(world: World, target: Target) -> Handshake:
    """Shake hands as strictly as a client; where the certificate is refused, look once more at what it was."""
    route, now = target.route, world.now()
    try:
        protocol, content = _shake_hands(route, tls_context(route.ca_file))
    except UsageError as error:
        return Handshake(checked_at=now, fault=Fault(code=ErrorCode.TLS_UNTRUSTED, text=str(error)))
    except _HandshakeError as error:
        certificate = _refused_certificate(route) if error.fault.code in _OF_CERTIFICATE else None
        return Handshake(checked_at=now, certificate=certificate, fault=error.fault)
    return Handshake(checked_at=now, protocol=protocol, certificate=_read(content))


def judge(evidence: Handshake, target: Target) -> list[Finding]:
    """Under 30 days left: warn. Under 1: fail, for a run may outlast it."""
    route = target.route
    expected = f"a trusted certificate for {endpoint.of_registry(route).host}, valid for 30 days or more"
    certificate = evidence.certificate
    if evidence.fault is not None:
        shown = f" (the certificate: {_describe(certificate)})" if certificate else ""
        fault = Fault(code=evidence.fault.code, text=evidence.fault.text + shown)
        return [failed(ID, target, fault, expected, remedy(fault.code, route))]
    if certificate is None:
        return [passed(ID, target, evidence.protocol, expected)]
    left = certificate.ends_at - evidence.checked_at
    observed = f"{evidence.protocol}, {_describe(certificate)}, {_in_words(left)} left"
    if left <= timedelta(0):
        fault = Fault(code=ErrorCode.TLS_EXPIRED, text=observed)
        return [failed(ID, target, fault, expected, remedy(fault.code, route))]
    if left < FAIL_BEFORE:
        cure = remedy(ErrorCode.TLS_EXPIRED, route)
        return [
            Finding(check=ID, target=target.name, status=Status.FAIL, observed=observed, expected=expected, remedy=cure)
        ]
    if left < WARN_BEFORE:
        return [warned(ID, target, observed, expected, remedy(ErrorCode.TLS_EXPIRED, route))]
    return [passed(ID, target, observed, expected)]


def skips(target: Target) -> str | None:
    if target.route.plain_http:
        return "the URL says http://: there is no TLS to look at"
    if (target.route.forward_url or "").startswith("https:"):
        return "not looked at through an https:// forward proxy; the api check goes through it"
    return None


class _HandshakeError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


def _shake_hands(route: Route, context: ssl.SSLContext, *, binary: bool = False) -> tuple[str, Any]:
    """The protocol and the peer's certificate (decoded, or DER); raises _HandshakeError."""
    server, in_tls = endpoint.of_registry(route), False
    where = f"TLS to {server}"
    try:
        with _connect(route) as plain:
            in_tls = True
            with context.wrap_socket(plain, server_hostname=server.host) as secure:
                return secure.version() or "TLS", secure.getpeercert(binary)
    except OSError as error:
        # http.client says so, as a bare OSError, where the proxy refuses to CONNECT.
        if str(error).startswith("Tunnel connection failed"):
            raise _HandshakeError(Fault(code=ErrorCode.PROXY, text=f"{where}: {faults.clean(error)}")) from error
        raise _HandshakeError(Fault.of(faults.of_exception(where, error, in_tls=in_tls))) from error


def _connect(route: Route) -> socket.socket:
    server, connected = endpoint.of_registry(route), endpoint.of_connection(route)
    if route.forward_url is None:
        return socket.create_connection((connected.host, connected.port), timeout=TIMEOUT_S)
    tunnel = http.client.HTTPConnection(connected.host, connected.port, timeout=TIMEOUT_S)
    tunnel.set_tunnel(server.host, server.port)
    tunnel.connect()
    return tunnel.sock


def _refused_certificate(route: Route) -> Certificate | None:
    """What a refused certificate says: trusted for one handshake, by its own bytes alone, and nothing is sent on it."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lenient.check_hostname = False
    lenient.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _X509_V_FLAG_NO_CHECK_TIME)
    try:
        _, der = _shake_hands(route, blind, binary=True)
        lenient.load_verify_locations(cadata=der)
        return _read(_shake_hands(route, lenient)[1])
    except (_HandshakeError, ssl.SSLError, ValueError):
        return None


def _read(content: Any) -> Certificate:
    """From the dictionary of `SSLSocket.getpeercert`."""
    names = tuple(value for kind, value in content.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    issuer = {key: value for part in content.get("issuer", ()) for key, value in part}
    named = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed issuer"
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(content["notAfter"]), UTC)
    return Certificate(names=names, issuer=named, ends_at=ends_at)


def _describe(certificate: Certificate) -> str:
    names = ", ".join(certificate.names[:5]) or "no name"
    more = f" and {len(certificate.names) - 5} more" if len(certificate.names) > 5 else ""
    return faults.clean(
        f"for {names}{more}, issued by {certificate.issuer}, ends {certificate.ends_at:%Y-%m-%d %H:%M} UTC"
    )


def _in_words(left: timedelta) -> str:
    if left < timedelta(days=2):
        return f"{max(0.0, left.total_seconds() / 3600):.0f} hours"
    return f"{left.days} days"


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Shakes hands as strictly as a client does, with the spec's `ca_file` where there is one.",
    statuses={
        Status.PASS: "the certificate is trusted, is for this host, and holds for 30 days or more",
        Status.WARN: "under 30 days are left",
        Status.FAIL: "it is not trusted, is for another host, has expired, or has under a day left; or the handshake failed",
        Status.SKIP: "the URL says `http://`, or the way leads through an `https://` forward proxy",
    },
    advice="Give the CA as `ca_file` and to Docker, or have the certificate renewed or issued for this name: "
    "`openssl s_client -connect HOST:PORT`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"tcp"}),
    skips=skips,
)
