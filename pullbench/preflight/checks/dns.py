"""`dns`: the host name resolves to an address, and quickly."""

import ipaddress
import socket
import time
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode
from pullbench.model.addresses import connected_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.preflight import resolv_conf
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
from pullbench.registry import faults

ID = "dns"
SLOW = "dns-slow"
WARN_FROM_S = 1.0
"""Longer than any working name server takes: one name server did not answer."""
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The system resolver's answer for a name; `addresses` in the order in which a client tries them."""

    host: str
    addresses: tuple[str, ...] = ()
    lookup_s: float = 0.0
    options: tuple[str, ...] = ()
    """The options in resolv.conf."""
    fault: ObservedFault | None = None


def probe(_context: CheckContext, target: Target) -> Resolution:
    """Query the system's resolver, as every client does."""
    connected = connected_endpoint(target.route)
    settings = resolv_conf.read()
    options = settings.options if settings else ()
    fault: ObservedFault | None = None
    addresses: tuple[str, ...] = ()
    started = time.monotonic()
    try:
        answers = socket.getaddrinfo(connected.host, connected.port, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
    except UnicodeError:
        detail = f"resolve {connected.host}: not a host name: a part is empty or longer than 63 characters"
        fault = ObservedFault(code=ErrorCode.DNS, text=detail)
    except OSError as error:
        fault = ObservedFault.of(faults.of_exception(f"resolve {connected.host}", error))
    lookup_s = round(time.monotonic() - started, 6)
    return Resolution(host=connected.host, addresses=addresses, lookup_s=lookup_s, options=options, fault=fault)


def judge(evidence: Resolution, target: Target) -> list[Finding]:
    """No address: fail. A slow lookup: warn, because every new connection may wait as long."""
    expected = f"{evidence.host} has an address"
    if evidence.fault is not None:
        took = f" (after {evidence.lookup_s:.1f} s)" if evidence.lookup_s >= WARN_FROM_S else ""
        fault = replace(evidence.fault, text=evidence.fault.text + took)
        return [failed(ID, target, fault, expected, cure_of(fault, target))]
    observed = _shown(evidence)
    if target.route.forward_url is not None:
        observed += " (the forward proxy, which looks up the registry itself)"
    if evidence.lookup_s >= WARN_FROM_S:
        cure = (
            f"find the name server that does not answer (`pullbench preflight SPEC --only resolver`, `dig {evidence.host}`), "
            "and shorten the wait for it: `options timeout:2` in /etc/resolv.conf"
        )
        return [warned(ID, target, observed, f"{expected}, found within {WARN_FROM_S:g} s", cure, kind=SLOW)]
    return [passed(ID, target, observed, expected)]


def _shown(evidence: Resolution) -> str:
    if _version(evidence.host):
        return f"{evidence.host} is an address"
    shown = ", ".join(evidence.addresses[:_MOST_SHOWN])
    shown += f" and {len(evidence.addresses) - _MOST_SHOWN} more" if len(evidence.addresses) > _MOST_SHOWN else ""
    versions = [_version(address.partition("%")[0]) for address in evidence.addresses]
    counts = ", ".join(f"{versions.count(each)} IPv{each}" for each in (4, 6) if each in versions)
    options = f"; options {' '.join(evidence.options)}" if evidence.options else ""
    return f"{evidence.host} → {shown} ({counts}) in {evidence.lookup_s * 1000:.1f} ms{options}"


def _version(host: str) -> int | None:
    """4 or 6; None if the text is no address."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Queries the system's resolver, as clients do, for the IPv4 and IPv6 addresses of the host that clients connect to "
    "(the registry, the mirror or the forward proxy), and measures the time.",
    statuses={
        Status.PASS: "the name has an address, or is one",
        Status.WARN: f"the answer took {WARN_FROM_S:g} s or more",
        Status.FAIL: "the name has no address, or the resolver does not answer",
    },
    advice="Check the name and the resolver: `getent hosts HOST`; `options timeout:2` in `/etc/resolv.conf`.",
    kinds={
        SLOW: FindingKind(
            cause="A name server in the list is silent, so the client waits for it first; or the resolver is far away or overloaded.",
            remedy="Fix or remove the silent server in `/etc/resolv.conf`, set `options timeout:2`, or use a resolver with a cache on this machine.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    timeout_s=30.0,
)
