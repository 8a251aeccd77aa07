"""`dns`: the host's name leads to an address, and soon."""

import ipaddress
import socket
import time
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode
from pullbench.model.addresses import connected_endpoint
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import remedy
from pullbench.preflight import resolv_conf
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.registry import faults

ID = "dns"
WARN_FROM_S = 1.0
"""Longer than any name server takes that answers at once: one was asked in vain."""
_MOST_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the system's resolver said of a name; `addresses` in the order in which a client tries them."""

    host: str
    addresses: tuple[str, ...] = ()
    lookup_s: float = 0.0
    options: tuple[str, ...] = ()
    """The resolver's, as in resolv.conf."""
    fault: ObservedFault | None = None


def probe(_context: CheckContext, target: Target) -> Resolution:
    """Ask the system's resolver, as every client here does."""
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
        detail = f"resolve {connected.host}: no host name: a part is empty or longer than 63 characters"
        fault = ObservedFault(code=ErrorCode.DNS, text=detail)
    except OSError as error:
        fault = ObservedFault.of(faults.of_exception(f"resolve {connected.host}", error))
    lookup_s = round(time.monotonic() - started, 6)
    return Resolution(host=connected.host, addresses=addresses, lookup_s=lookup_s, options=options, fault=fault)


def judge(evidence: Resolution, target: Target) -> list[Finding]:
    """No address: fail. One that took long: warn, for every new connection may wait so."""
    expected = f"{evidence.host} has an address"
    if evidence.fault is not None:
        took = f" (after {evidence.lookup_s:.1f} s)" if evidence.lookup_s >= WARN_FROM_S else ""
        fault = replace(evidence.fault, text=evidence.fault.text + took)
        return [failed(ID, target, fault, expected, remedy(fault.code, target.route))]
    observed = _shown(evidence)
    if target.route.forward_url is not None:
        observed += " (the forward proxy, which looks up the registry itself)"
    if evidence.lookup_s >= WARN_FROM_S:
        cure = (
            f"find the name server that is asked in vain (`pullbench preflight SPEC --only resolver`, `dig {evidence.host}`), "
            "and wait less for it: `options timeout:2` in /etc/resolv.conf"
        )
        return [warned(ID, target, observed, f"{expected}, found within {WARN_FROM_S:g} s", cure)]
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
    """4 or 6; None for what is no address."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Asks the system's resolver, as clients do, for the addresses of the host that is connected to (the "
    "registry, the mirror, or the forward proxy), of both kinds, and how long the answer takes.",
    statuses={
        Status.PASS: "the name has an address, or is one",
        Status.WARN: f"the answer took {WARN_FROM_S:g} s or more",
        Status.FAIL: "it has none, or the resolver does not answer",
    },
    advice="Check the name and the resolver: `getent hosts HOST`; `options timeout:2` in `/etc/resolv.conf`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    timeout_s=30.0,
)
