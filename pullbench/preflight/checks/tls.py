"""`tls`: the certificate is trusted, is for this host, and does not expire soon; nor do those that issued it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.addresses import registry_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import of_handshake, remedy
from pullbench.model.text import clean
from pullbench.preflight import handshake
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    every_route,
    failed,
    passed,
    skipped,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.preflight.handshake import Certificate, Handshake

ID = "tls"
EXPIRES_SOON = "tls-expires-soon"
SILENT_TO_TLS = "tls-silent-to-tls"
WARN_BEFORE = timedelta(days=30)
FAIL_BEFORE = timedelta(days=1)

TRY_TLS = ("docker", "podman", "skopeo")
"""Kinds of engines that try TLS first, also where http is allowed."""
CLIENTS_WAIT_S = 10
_FUTURE = "is not yet valid"
_UNKNOWN_ISSUER = ("issuer certificate", "verify the first certificate", "certificate verify failed")
# OpenSSL's words for a chain whose CA may well be known: what they mean, and what to do.
_UNSUITABLE = (
    (
        "certificate purpose",
        ": it is not for servers, as its extendedKeyUsage has no serverAuth",
        "reissue it with the extendedKeyUsage serverAuth",
    ),
    (
        "invalid CA certificate",
        ": 'ISSUER', which issued it, or a certificate above is no CA (basicConstraints)",
        "issue it by a CA, whose certificate has basicConstraints CA:TRUE",
    ),
    (
        "path length",
        ": the chain has more intermediates than a CA in it allows",
        "issue it by a CA whose path length allows the intermediates",
    ),
    (
        "subtree violation",
        ": the name constraints of a CA in the chain do not allow it",
        "issue it by a CA whose name constraints allow HOST",
    ),
    (
        "signature failure",
        ": another key signed it than that of the trusted 'LAST'",
        "set `ca_file` to the certificate of the CA that signed it: there are two of the name 'LAST'",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedHandshake:
    """A handshake and its time."""

    checked_at: datetime
    handshake: Handshake
    waiting: tuple[str, ...] = ()
    """The spec's engines that try TLS at this server without TLS, and wait because it is silent."""


def probe(context: CheckContext, target: Target) -> DatedHandshake:
    now = context.now()
    if target.route.plain_http:
        trying = tuple(entry.name for entry in context.engines if entry.kind in TRY_TLS)
        waiting = trying if trying and handshake.is_silent_to_tls(target.route) else ()
        return DatedHandshake(checked_at=now, handshake=Handshake(), waiting=waiting)
    login = context.keychain.forward_login(target.route)
    try:
        return DatedHandshake(checked_at=now, handshake=handshake.shake_hands(target.route, login))
    except UsageError as error:
        fault = ObservedFault(code=ErrorCode.TLS_UNTRUSTED, text=str(error))
        return DatedHandshake(checked_at=now, handshake=Handshake(fault=fault))


def judge(evidence: DatedHandshake, target: Target) -> list[Finding]:
    """Warn if a certificate of the verified chain expires in under 30 days; fail under 1 day, as a run may outlast it."""
    if target.route.plain_http:
        return [_without_tls(evidence, target)]
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
        observed += f" for '{ends_first.subject}', which issued it"
    if left <= timedelta(0):
        fault = ObservedFault(code=ErrorCode.TLS_EXPIRED, text=observed)
        return [failed(ID, target, fault, expected, remedy(fault.code, target.route))]
    if left < FAIL_BEFORE:
        return [failed(ID, target, observed, expected, remedy(ErrorCode.TLS_EXPIRED, target.route), kind=EXPIRES_SOON)]
    if left < WARN_BEFORE:
        return [warned(ID, target, observed, expected, remedy(ErrorCode.TLS_EXPIRED, target.route), kind=EXPIRES_SOON)]
    return [passed(ID, target, observed, expected)]


def _without_tls(evidence: DatedHandshake, target: Target) -> Finding:
    if not evidence.waiting:
        return skipped(ID, target, handshake.skips(target.route) or "")
    text = (
        f"the URL starts with http://, and this server is silent to TLS: docker, podman and skopeo wait "
        f"{CLIENTS_WAIT_S} s for TLS before they use http ({', '.join(evidence.waiting)})"
    )
    cure = (
        "serve the registry over TLS, or let the server close a connection that starts with no HTTP request; the time is in each "
        "measured pull of these engines and is not the registry's"
    )
    return warned(ID, target, text, "the server answers or closes what is no HTTP", cure, kind=SILENT_TO_TLS)


def _refused(seen: Handshake, fault: ObservedFault, target: Target, expected: str) -> Finding:
    route = target.route
    text, cure = fault.text, cure_of(fault, target)
    if fault.code is ErrorCode.TLS_EXPIRED and _FUTURE in fault.text:
        cure = f"check this machine's clock first (`timedatectl status`); {cure}"
    if fault.code is ErrorCode.TLS_HOSTNAME and seen.chain and not seen.chain[0].names:
        text += (
            ": it has no subjectAltName with a name or an address; docker, containerd, podman and skopeo do not read its common name "
            f"'{seen.chain[0].subject}'"
        )
        cure = f"reissue it with a subjectAltName for {registry_endpoint(route).host}"
    if fault.code is ErrorCode.TLS_UNTRUSTED and seen.chain:
        meaning, cure = _untrusted(seen, fault.text, target, cure)
        text += meaning
    cure = of_handshake(fault.text, route) or cure
    shown = f" (the certificate: {_describe(seen)})" if seen.chain else ""
    return failed(ID, target, replace(fault, text=clean(text, 600) + shown), expected, cure)


def _untrusted(seen: Handshake, said: str, target: Target, cure: str) -> tuple[str, str]:
    """What it means that a chain is not trusted, and the remedy; `cure` is the one for an unknown CA."""
    own, last = seen.chain[0], seen.chain[-1]
    weak = next((certificate for certificate in seen.chain if certificate.weak), None)
    if weak is not None and "weak" in said:
        meaning = f": the certificate of '{_subject(weak)}' has {weak.weak}, which is too weak"
        return meaning, (
            "reissue it with an RSA key of 2048 bits or ECDSA P-256, signed with SHA-256 (Go's clients refuse SHA-1; OpenSSL's and curl "
            "refuse short keys too)"
        )
    for pattern, meaning, remedy_text in _UNSUITABLE:
        if pattern in said:
            words = {"HOST": registry_endpoint(target.route).host, "ISSUER": own.issuer, "LAST": last.issuer}
            return _filled(meaning, words), _filled(remedy_text, words)
    if own.self_signed:
        return ": it is self-signed", f"if it is the right certificate, set `ca_file` to it; {cure}"
    if last.self_signed or not any(known in said for known in _UNKNOWN_ISSUER):
        return "", cure
    count = "1 certificate" if len(seen.chain) == 1 else f"{len(seen.chain)} certificates"
    return (
        f": the server sends {count}, and this machine does not know '{last.issuer}', which issued the last",
        f"if '{last.issuer}' is an intermediate, configure the server to send its certificate too; else {cure}",
    )


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(words), lambda found: words[found[0]], text)


def _alpn(seen: Handshake) -> str:
    return f"ALPN {clean(seen.alpn, 20)}" if seen.alpn else "no ALPN"


def _describe(seen: Handshake) -> str:
    """The server's certificate, and the names of the certificates sent with it."""
    own, above = seen.chain[0], seen.chain[1:]
    names = ", ".join(own.names[:5]) or "no name"
    more = f" and {len(own.names) - 5} more" if len(own.names) > 5 else ""
    sent = f", sent with {_subjects(above)}" if above else ""
    return f"for {names}{more}, issued by {own.issuer}{sent}, expires {own.ends_at:%Y-%m-%d %H:%M} UTC"


def _subject(certificate: Certificate) -> str:
    return certificate.names[0] if certificate.names else certificate.subject


def _subjects(certificates: tuple[Certificate, ...]) -> str:
    return ", ".join(f"'{certificate.subject}'" for certificate in certificates)


def _in_words(left: timedelta) -> str:
    if left < timedelta(days=2):
        return f"{max(0.0, left.total_seconds() / 3600):.0f} hours"
    return f"{left.days} days"


def skips(target: Target) -> str | None:
    if target.route.plain_http and target.route.forward_url is None:
        return None  # whether the server is silent to TLS
    return handshake.skips(target.route)


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Makes a TLS handshake as strict as a client's, with the spec's `ca_file` if it has one. Reads the chain as sent and "
    "as verified, the TLS version, and the protocol chosen by ALPN.",
    statuses={
        Status.PASS: "the chain is trusted, is for this host, and every certificate is valid for 30 days or more",
        Status.WARN: "a certificate expires in under 30 days; or the URL starts with `http://` and the server is silent to TLS, so "
        "docker, podman and skopeo wait 10 s first",
        Status.FAIL: "the chain is not trusted, has a weak key or signature, is for another host (a common name alone does not count), "
        "has expired, or expires in under a day; or the handshake failed",
        Status.SKIP: "the URL starts with `http://`, or the route uses an `https://` forward proxy",
    },
    advice="Set `ca_file` to the CA and install it for Docker, configure the server to send its intermediates, or renew or "
    "reissue the certificate: `openssl s_client -showcerts -connect HOST:PORT`.",
    kinds={
        EXPIRES_SOON: FindingKind(
            cause="Nobody has renewed the certificate yet, the renewal fails, or the server has not loaded the new certificate. Under a day is a failure, because a run may outlast it.",
            remedy="Renew the certificate and reload the server. The finding names the certificate of the chain that ends first.",
        ),
        SILENT_TO_TLS: FindingKind(
            cause="The server waits for an HTTP request. Clients that try TLS first for an `http://` registry wait for its answer.",
            remedy="Serve the registry over TLS, or let the server close a connection that starts with no HTTP request.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"tcp"}),
    skips=skips,
)
