"""`http2`: the registry supports HTTP/2, which lets a pull's layers share one connection and one handshake."""

from dataclasses import dataclass

from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import curl
from pullbench.model.spec import Spec
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
    warned,
)
from pullbench.preflight.context import CheckContext

ID = "http2"
NO_H2 = "http2-no-h2"
EXPECTED = "the registry chooses h2 by ALPN (RFC 7301)"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpnNegotiation:
    """The protocol that the registry chose, or why there was no answer."""

    protocol: str | None = None
    fault: ObservedFault | None = None
    wanted_by: tuple[str, ...] = ()
    """The engines of the matrix that use HTTP/2."""


def probe(context: CheckContext, target: Target) -> AlpnNegotiation:
    seen = handshake.shake_hands(target.route, context.keychain.forward_login(target.route))
    return AlpnNegotiation(protocol=seen.alpn, fault=seen.fault, wanted_by=_wanted_by(context.spec))


def _wanted_by(spec: Spec) -> tuple[str, ...]:
    return tuple(name for name in spec.matrix.engines if spec.engine(name).http_version == "2")


def judge(evidence: AlpnNegotiation, target: Target) -> list[Finding]:
    """Without h2 pulls work, but each concurrent layer needs its own connection and handshake: warn."""
    if evidence.fault is not None:
        return [failed(ID, target, evidence.fault, EXPECTED, cure_of(evidence.fault, target))]
    if evidence.protocol == "h2":
        hint = "" if evidence.wanted_by else '; to measure its benefit, use a wire engine with `http_version: "2"`'
        return [passed(ID, target, f"h2{hint}", EXPECTED)]
    chosen = f"the registry chooses {clean(evidence.protocol, 20)}" if evidence.protocol else "no ALPN: HTTP/1.1"
    observed = f"{chosen}; each concurrent layer needs its own connection and TLS handshake"
    cure = f"enable HTTP/2 where TLS ends for {target.route.host} (nginx: `http2 on;`, HAProxy: `alpn h2,http/1.1`)"
    if evidence.wanted_by:
        wanted = ", ".join(evidence.wanted_by)
        observed += f"; {wanted} asks for HTTP/2 and would get HTTP/1.1"
        cure += f", or remove {wanted} from the matrix"
    cure += (
        f"; check with `{curl(target.route)} -sI --http2 -o /dev/null -w '%{{http_version}}\\n' {target.route.url}/v2/`"
    )
    return [warned(ID, target, observed, EXPECTED, cure, kind=NO_H2)]


def skips(target: Target) -> str | None:
    if target.route.plain_http:
        return "the URL starts with http://: clients use HTTP/2 only over TLS"
    return handshake.skips(target.route)


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Makes a TLS handshake that offers `h2` and `http/1.1` by ALPN.",
    statuses={
        Status.PASS: "the registry chooses `h2`",
        Status.WARN: "it chooses another protocol or none: each concurrent layer needs its own connection and handshake",
        Status.FAIL: "the handshake failed",
        Status.SKIP: "the URL starts with `http://`, or the route uses an `https://` forward proxy",
    },
    advice="Enable HTTP/2 where TLS ends for the registry (nginx: `http2 on;`, HAProxy: `alpn h2,http/1.1`).",
    kinds={
        NO_H2: FindingKind(
            cause="HTTP/2 is not enabled where TLS ends, or a balancer in front passes HTTP/1.1 only.",
            remedy="Enable HTTP/2 there (nginx: `http2 on;`, HAProxy: `alpn h2,http/1.1`).",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"tls"}),
    skips=skips,
)
