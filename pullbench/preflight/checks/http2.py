"""`http2`: the registry offers HTTP/2, over which a pull's layers share one connection and one handshake."""

from dataclasses import dataclass

from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import curl, remedy
from pullbench.model.spec import Spec
from pullbench.model.text import clean
from pullbench.preflight import handshake
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext

ID = "http2"
EXPECTED = "h2 is chosen by ALPN (RFC 7301)"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpnNegotiation:
    """The protocol that the registry chose of those offered, or why there was no answer."""

    protocol: str | None = None
    fault: ObservedFault | None = None
    wanted_by: tuple[str, ...] = ()
    """The matrix's engines that are set to HTTP/2."""


def probe(context: CheckContext, target: Target) -> AlpnNegotiation:
    seen = handshake.shake_hands(target.route, context.keychain.forward_login(target.route))
    return AlpnNegotiation(protocol=seen.alpn, fault=seen.fault, wanted_by=_wanted_by(context.spec))


def _wanted_by(spec: Spec) -> tuple[str, ...]:
    return tuple(name for name in spec.matrix.engines if spec.engine(name).http_version == "2")


def judge(evidence: AlpnNegotiation, target: Target) -> list[Finding]:
    """Without h2 a pull works, and each of its layers at once takes a connection and a handshake of its own: warn."""
    if evidence.fault is not None:
        return [failed(ID, target, evidence.fault, EXPECTED, remedy(evidence.fault.code, target.route))]
    if evidence.protocol == "h2":
        hint = "" if evidence.wanted_by else '; a wire engine with `http_version: "2"` measures what it brings'
        return [passed(ID, target, f"h2{hint}", EXPECTED)]
    chosen = f"{clean(evidence.protocol, 20)} is chosen" if evidence.protocol else "nothing is chosen: HTTP/1.1"
    observed = f"{chosen}; layers that are pulled at once take a connection and a handshake each"
    cure = (
        f"switch HTTP/2 on where TLS ends before {target.route.host} (nginx: `http2 on;`, HAProxy: `alpn h2,http/1.1`)"
    )
    if evidence.wanted_by:
        observed += f", also for {', '.join(evidence.wanted_by)}, set to HTTP/2"
        cure += f", or take {', '.join(evidence.wanted_by)} out of the matrix: HTTP/1.1 would be measured"
    cure += f"; see it with `{curl(target.route)} -sI --http2 -o /dev/null -w '%{{http_version}}\\n' {target.route.url}/v2/`"
    return [warned(ID, target, observed, EXPECTED, cure)]


def skips(target: Target) -> str | None:
    if target.route.plain_http:
        return "the URL says http://: clients speak HTTP/2 over TLS alone"
    return handshake.skips(target.route)


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Shakes hands and offers `h2` and `http/1.1` by ALPN.",
    statuses={
        Status.PASS: "the registry chooses `h2`",
        Status.WARN: "it chooses another, or none: layers that are pulled at once take a connection and a handshake each",
        Status.FAIL: "the handshake failed",
        Status.SKIP: "the URL says `http://`, or the way leads through an `https://` forward proxy",
    },
    advice="Switch HTTP/2 on where TLS ends before the registry (nginx: `http2 on;`, HAProxy: `alpn h2,http/1.1`).",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"tls"}),
    skips=skips,
)
