"""`tls`: the certificate is trusted, is for this host, and will hold for a while, and so will those above it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.addresses import registry_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import of_handshake, remedy
from pullbench.model.text import clean
from pullbench.preflight import handshake
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.preflight.handshake import Certificate, Handshake

ID = "tls"
WARN_BEFORE = timedelta(days=30)
FAIL_BEFORE = timedelta(days=1)

_FUTURE = "is not yet valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedHandshake:
    """A handshake and when it was made."""

    checked_at: datetime
    handshake: Handshake


def probe(context: CheckContext, target: Target) -> DatedHandshake:
    now = context.now()
    login = context.keychain.forward_login(target.route)
    try:
        return DatedHandshake(checked_at=now, handshake=handshake.shake_hands(target.route, login))
    except UsageError as error:
        fault = ObservedFault(code=ErrorCode.TLS_UNTRUSTED, text=str(error))
        return DatedHandshake(checked_at=now, handshake=Handshake(fault=fault))


def judge(evidence: DatedHandshake, target: Target) -> list[Finding]:
    """Under 30 days left on the verified path: warn. Under 1: fail, for a run may outlast it."""
    expected = f"a trusted certificate for {registry_endpoint(target.route).host}, valid for 30 days or more"
    seen = evidence.handshake
    if seen.fault is not None:
        return [_refused(seen, seen.fault, target, expected)]
    ends_first = min(seen.path or seen.chain, key=lambda certificate: certificate.ends_at, default=None)
    if ends_first is None:
        return [passed(ID, target, f"{seen.protocol}, {_alpn(seen)}", expected)]
    left = ends_first.ends_at - evidence.checked_at
    observed = f"{seen.protocol}, {_alpn(seen)}, {_describe(seen)}, {_in_words(left)} left"
    if ends_first is not (seen.path or seen.chain)[0]:
        observed += f" on '{ends_first.subject}', which issues it"
    if left <= timedelta(0):
        fault = ObservedFault(code=ErrorCode.TLS_EXPIRED, text=observed)
        return [failed(ID, target, fault, expected, remedy(fault.code, target.route))]
    if left < FAIL_BEFORE:
        return [failed(ID, target, observed, expected, remedy(ErrorCode.TLS_EXPIRED, target.route))]
    if left < WARN_BEFORE:
        return [warned(ID, target, observed, expected, remedy(ErrorCode.TLS_EXPIRED, target.route))]
    return [passed(ID, target, observed, expected)]


def _refused(seen: Handshake, fault: ObservedFault, target: Target, expected: str) -> Finding:
    route = target.route
    told, cure = fault.text, remedy(fault.code, route)
    if fault.code is ErrorCode.TLS_EXPIRED and _FUTURE in fault.text:
        cure = f"set this machine's clock (`timedatectl status`), if it is not the registry's that was wrong; {cure}"
    if fault.code is ErrorCode.TLS_UNTRUSTED and seen.chain:
        last = seen.chain[-1]
        if seen.chain[0].self_signed:
            told += ": it is self-signed"
            cure = f"give the certificate itself as `ca_file`, if it is the right one; {cure}"
        elif not last.self_signed:
            count = "1 certificate" if len(seen.chain) == 1 else f"{len(seen.chain)} certificates"
            told += f": the server sends {count}, and '{last.issuer}', which issued the last, is not known here"
            cure = (
                f"have the server send the certificate of '{last.issuer}' too, if that is an intermediate; else {cure}"
            )
    cure = of_handshake(fault.text, route) or cure
    shown = f" (the certificate: {_describe(seen)})" if seen.chain else ""
    return failed(ID, target, replace(fault, text=clean(told, 600) + shown), expected, cure)


def _alpn(seen: Handshake) -> str:
    return f"ALPN {clean(seen.alpn, 20)}" if seen.alpn else "no ALPN"


def _describe(seen: Handshake) -> str:
    """The server's own certificate, and the names of those above it that it presents."""
    own, above = seen.chain[0], seen.chain[1:]
    names = ", ".join(own.names[:5]) or "no name"
    more = f" and {len(own.names) - 5} more" if len(own.names) > 5 else ""
    sent = f", sent with {_subjects(above)}" if above else ""
    return f"for {names}{more}, issued by {own.issuer}{sent}, ends {own.ends_at:%Y-%m-%d %H:%M} UTC"


def _subjects(certificates: tuple[Certificate, ...]) -> str:
    return ", ".join(f"'{certificate.subject}'" for certificate in certificates)


def _in_words(left: timedelta) -> str:
    if left < timedelta(days=2):
        return f"{max(0.0, left.total_seconds() / 3600):.0f} hours"
    return f"{left.days} days"


def skips(target: Target) -> str | None:
    return handshake.skips(target.route)


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Shakes hands as strictly as a client does, with the spec's `ca_file` where there is one, and reads the chain "
    "as presented and as verified, the version of TLS, and the protocol that is chosen by ALPN.",
    statuses={
        Status.PASS: "the chain is trusted, is for this host, and holds for 30 days or more, every certificate of it",
        Status.WARN: "under 30 days are left on one",
        Status.FAIL: "it is not trusted, is for another host, has expired, or has under a day left; or the handshake failed",
        Status.SKIP: "the URL says `http://`, or the way leads through an `https://` forward proxy",
    },
    advice="Give the CA as `ca_file` and to Docker, have the server send its intermediates, or have the certificate renewed "
    "or issued for this name: `openssl s_client -showcerts -connect HOST:PORT`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"tcp"}),
    skips=skips,
)
